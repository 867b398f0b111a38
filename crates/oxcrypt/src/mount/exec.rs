//! `exec`: a command with a vault mounted for it, and locked when it ends.

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use oxcrypt_fuse::Mount;
use oxcrypt_vfs::LogEvents;
use rustix::mount::UnmountFlags;

use super::args::Options;
use super::{claim, lock, run, runtime};
use crate::ctx::Ctx;
use crate::descriptors;
use crate::failure::{Failure, Host, Result};
use crate::open::{self, Mode, VaultArgs};
use crate::target::Target;

/// Arguments of `exec`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Mount read-only.
    #[arg(long, visible_alias = "read-only")]
    ro: bool,
    /// The command; it starts in the vault, and OXCRYPT_MOUNTPOINT says where that is.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Our own failure, as `env` and `nice` tell it.
const OWN: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let code = mounted(ctx, args).map_err(|mut failure| {
        failure.raw_code = Some(OWN);
        failure
    })?;
    if code == 0 {
        return Ok(());
    }
    let mut failure = Failure::told(crate::exit::Exit::Other);
    failure.raw_code = Some(code);
    Err(failure)
}

/// The private mount point; removed when it is empty again.
struct Point(PathBuf);

impl Drop for Point {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn mounted(ctx: &Ctx, args: &Args) -> Result<u8> {
    let target = Target::find(&args.vault.vault, &ctx.config)?;
    let claim = if args.ro {
        None
    } else {
        Some(claim::exclusive(&target)?)
    };
    let mode = if args.ro { Mode::Read } else { Mode::Write };
    let unlocked = open::unlock_target(ctx, &target, &args.vault.source, mode)?;
    let options = Options {
        ro: args.ro,
        ..Options::default()
    };
    let (vfs, journal) = (options.vfs(), options.journal());
    let fs = open::file_system(ctx, &target, unlocked, vfs, journal, Box::new(LogEvents))?;
    let point = Point(runtime::dir()?.join(format!("exec-{}", std::process::id())));
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&point.0)
        .host(&point.0)?;
    let mount = Mount::new(fs, &point.0, options.transport(&target.path))
        .map_err(|e| run::cannot_mount(&e, &point.0))?;
    let server = std::thread::spawn(move || mount.serve(|| {}, || {}));
    let code = child(ctx, args, &point);
    let done = lock::unmount(&point.0, UnmountFlags::empty()).or_else(|_| {
        // Something it left behind still runs there.
        ctx.out
            .warn("a program still uses the vault; it is locked when that ends");
        lock::unmount(&point.0, UnmountFlags::DETACH)
    });
    if done.is_ok() {
        let _ = server.join();
    }
    drop(claim);
    done.map(|()| code)
}

fn child(ctx: &Ctx, args: &Args, point: &Point) -> u8 {
    let Some((program, arguments)) = args.command.split_first() else {
        return OWN;
    };
    let status = Command::new(program)
        .args(arguments)
        .current_dir(&point.0)
        .env("OXCRYPT_MOUNTPOINT", &point.0)
        .spawn()
        .and_then(|mut child| {
            descriptors::usual_for(&child);
            child.wait()
        });
    match status {
        // As the shell tells a death by a signal.
        Ok(status) => status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal))
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(OWN),
        Err(e) => {
            ctx.out.warn(format!("{}: {e}", program.to_string_lossy()));
            if e.kind() == std::io::ErrorKind::NotFound {
                NOT_FOUND
            } else {
                NOT_RUNNABLE
            }
        }
    }
}
