//! The file of a listening socket, which must go without taking another's along.
//!
//! Its path holds the device number of a mount, and the kernel gives such a number away again as soon
//! as the mount is gone, which is before its process is. So another process may listen at this path by
//! then; whoever binds or removes does so with the directory locked.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::failure::{Host, Result};

/// A socket of this process in the file tree, removed at the end.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Without a name since another process has taken the path.
    node: File,
}

impl SocketFile {
    /// Listens at `path`, for this user and root only. What listened there before was of a mount that
    /// is gone.
    pub(super) fn bind(path: PathBuf) -> Result<(Self, UnixListener)> {
        let _locked = locked(&path)?;
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).host(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).host(&path)?;
        let node = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::PATH | OFlags::NOFOLLOW).bits().cast_signed())
            .open(&path)
            .host(&path)?;
        Ok((Self { path, node }, listener))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Without the lock it stays: whoever binds there next removes it.
        let Ok(_locked) = locked(&self.path) else {
            return;
        };
        if self.node.metadata().is_ok_and(|meta| meta.nlink() > 0) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The directory of a path, locked until this is dropped.
fn locked(path: &Path) -> Result<File> {
    let dir = path.parent().unwrap_or(path);
    let file = File::open(dir).host(dir)?;
    file.lock().host(dir)?;
    Ok(file)
}
