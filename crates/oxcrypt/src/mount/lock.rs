//! `lock`: unmount and forget the keys, in bounded time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::UnmountFlags;

use super::table::{self, Mounted};
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};

/// Arguments of `lock`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Where it is mounted.
    mountpoint: PathBuf,
}

pub(crate) fn run(_ctx: &Ctx, args: &Args) -> Result<()> {
    let point = crate::target::absolute(&args.mountpoint)?;
    match table::at(&point)? {
        Some(mount) => unmount(&mount.point, UnmountFlags::empty()),
        None => Err(Failure::new(
            Exit::Mount,
            format!("no vault is mounted at {}", point.display()),
        )),
    }
}

/// Takes a mount out of the tree at once; it ends when nobody uses it any more.
pub(super) fn detach(mount: &Mounted) -> Result<()> {
    unmount(&mount.point, UnmountFlags::DETACH)
}

/// Unmounts; as an ordinary user by way of fusermount3, which is allowed to.
pub(super) fn unmount(point: &Path, flags: UnmountFlags) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return rustix::mount::unmount(point, flags | UnmountFlags::NOFOLLOW).host(point);
    }
    let mut command = Command::new("fusermount3");
    command.arg("-u");
    if flags.contains(UnmountFlags::DETACH) {
        command.arg("-z");
    }
    let done = command
        .arg("--")
        .arg(point)
        .stdin(Stdio::null())
        .output()
        .what("fusermount3")?;
    if done.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    let exit = if text.contains("busy") {
        Exit::Busy
    } else {
        Exit::Mount
    };
    Err(Failure::new(exit, text))
}
