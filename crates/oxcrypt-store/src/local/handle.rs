//! Open directories and files of the host.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::pattern::Pattern;
use crate::error::Result;

/// An open directory; a clone shares the descriptor.
#[derive(Clone, Debug)]
pub struct LocalDir(Arc<DirInner>);

#[derive(Debug)]
struct DirInner {
    fd: OwnedFd,
    /// False when the host lets us pass through but not list: the descriptor then only names the
    /// directory.
    readable: bool,
    /// Guards the descriptor's position, which a listing moves.
    position: Mutex<Position>,
}

/// What is known of a descriptor's position.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// Something was listed through it from the beginning.
    pub(super) begun: bool,
}

pub(super) const DIR_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

impl LocalDir {
    pub(super) fn open_path(path: &Path) -> Result<Self> {
        Self::open_with(|flags| {
            rustix::fs::openat(CWD, path, flags.difference(OFlags::NOFOLLOW), Mode::empty())
        })
    }

    /// Opens for listing, or failing that for passing through, with the given way of opening.
    pub(super) fn open_with(
        open: impl Fn(OFlags) -> std::result::Result<OwnedFd, Errno>,
    ) -> Result<Self> {
        let (fd, readable) = match open(DIR_FLAGS) {
            Err(Errno::ACCESS) => (open(DIR_FLAGS.union(OFlags::PATH))?, false),
            opened => (opened?, true),
        };
        Ok(Self(Arc::new(DirInner {
            fd,
            readable,
            position: Mutex::default(),
        })))
    }

    pub(super) fn is_readable(&self) -> bool {
        self.0.readable
    }

    pub(super) fn position(&self) -> &Mutex<Position> {
        &self.0.position
    }
}

impl AsFd for LocalDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

/// An open regular file.
#[derive(Debug)]
pub struct LocalFile {
    fd: OwnedFd,
    reads: Pattern,
}

impl LocalFile {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            reads: Pattern::default(),
        }
    }

    pub(super) fn reads(&self) -> &Pattern {
        &self.reads
    }
}

impl AsFd for LocalFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
