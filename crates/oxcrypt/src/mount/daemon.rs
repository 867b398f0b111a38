//! Going to the background: the command starts itself again, hands the verified key over through a
//! pipe, and returns when the child says that the mount answers, or why it does not.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use oxcrypt_core::MasterKey;
use zeroize::Zeroizing;

use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};

const READY: &str = "ready";

/// Starts this program again with `args` and waits until it reports.
pub(super) fn start(ctx: &Ctx, args: &[OsString], key: &MasterKey) -> Result<()> {
    let program = std::env::current_exe().what("this program")?;
    // Inherited, so that it holds from the first allocation on.
    let huge = small_pages(true);
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    if huge {
        small_pages(false);
    }
    let mut child = child.what("cannot start the mount process")?;
    if let Some(mut pipe) = child.stdin.take() {
        // A child that ended early tells why on its own.
        let _ = pipe.write_all(key.raw());
    }
    let mut answer = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out)
            .read_line(&mut answer)
            .what("the mount process")?;
    }
    if answer.trim_end() == READY {
        return Ok(());
    }
    let status = child.wait().what("the mount process")?;
    match status.code() {
        // It has said why: on standard error, or as an object in place of the answer.
        Some(code) if code != 0 => {
            if ctx.out.json {
                ctx.out.bytes(answer.as_bytes())?;
            }
            let mut failure = Failure::told(Exit::Mount);
            failure.raw_code = u8::try_from(code).ok();
            Err(failure)
        }
        _ => Err(Failure::new(
            Exit::Mount,
            format!("the mount process ended before the mount was ready ({status})"),
        )),
    }
}

/// A mount lives for weeks and mostly does nothing. With huge pages its few small objects would keep
/// 2 MiB each: 27 MiB instead of 2 in an idle mount. Returns whether that changed anything.
pub(super) fn small_pages(only: bool) -> bool {
    rustix::thread::disable_transparent_huge_pages(only).is_ok()
}

/// In the child: the key its parent has verified.
pub(super) fn receive_key() -> Result<MasterKey> {
    const WHAT: &str = "the key from the parent process";
    let mut raw = Zeroizing::new([0; MasterKey::LEN]);
    // Not by the standard input of the library, whose buffer would keep a copy.
    let pipe = std::io::stdin().as_fd().try_clone_to_owned().what(WHAT)?;
    std::fs::File::from(pipe)
        .read_exact(&mut raw[..])
        .what(WHAT)?;
    Ok(MasterKey::from_raw(&raw))
}

/// In the child: tells the parent that the mount answers, and leaves its terminal.
pub(super) fn report_ready() -> std::io::Result<()> {
    println!("{READY}");
    std::io::stdout().flush()?;
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// In the child: gets independent of the terminal and of the directory it was started in.
pub(super) fn detach() {
    // Fails only for a process group leader, which a fresh child is not.
    let _ = rustix::process::setsid();
    let _ = std::env::set_current_dir("/");
}
