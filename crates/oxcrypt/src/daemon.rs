//! Going to the background: the command starts itself again, hands the passphrase over through a
//! pipe, and returns when the child says that the mount answers, or why it does not.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use oxcrypt_core::Passphrase;

const READY: &str = "ready";

/// Starts this program again with `args` and waits until it reports.
pub(crate) fn start(args: &[std::ffi::OsString], passphrase: &Passphrase) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context("cannot start the mount process")?;
    if let Some(mut pipe) = child.stdin.take() {
        // A child that ended early tells why on its own.
        let _ = pipe.write_all(passphrase.as_str().as_bytes());
    }
    let mut answer = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut answer)?;
    }
    if answer.trim_end() == READY {
        return Ok(());
    }
    let status = child.wait()?;
    match status.code() {
        // It has said why on standard error.
        Some(code) if code != 0 => std::process::exit(code),
        _ => bail!("the mount process ended before the mount was ready"),
    }
}

/// In the child: tells the parent that the mount answers, and leaves its terminal.
pub(crate) fn report_ready() -> anyhow::Result<()> {
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
pub(crate) fn detach() {
    // Fails only for a process group leader, which a fresh child is not.
    let _ = rustix::process::setsid();
    let _ = std::env::set_current_dir("/");
}
