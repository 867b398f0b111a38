//! The directory for sockets and locks: of this user alone, and gone with the session.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;

use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};

/// The directory, made if it is missing. Nobody else may be able to write to it.
pub(crate) fn dir() -> Result<PathBuf> {
    let dir = place()?;
    match std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
    {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e).host(&dir),
        _ => {}
    }
    let meta = std::fs::symlink_metadata(&dir).host(&dir)?;
    let own = rustix::process::geteuid().as_raw();
    if !meta.is_dir() || meta.uid() != own || meta.mode() & 0o022 != 0 {
        return Err(Failure::new(
            Exit::Permission,
            format!("{} is not a directory of this user alone", dir.display()),
        ));
    }
    Ok(dir)
}

/// `$XDG_RUNTIME_DIR/oxcrypt`; `/run/oxcrypt` for root; without a session below the state
/// directory. Never a directory that others can write to.
fn place() -> Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/run/oxcrypt"));
    }
    let session = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute() && dir.is_dir());
    let dir = session
        .map(|dir| dir.join("oxcrypt"))
        .or_else(|| Some(crate::config::state_dir()?.join("run")));
    dir.ok_or_else(|| {
        Failure::new(Exit::Other, "neither XDG_RUNTIME_DIR nor HOME is set")
            .hint("set XDG_RUNTIME_DIR to a directory of this user alone")
    })
}
