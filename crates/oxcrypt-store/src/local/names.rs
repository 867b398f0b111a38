//! Opening, making, moving and removing names.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use super::handle::{LocalDir, LocalFile};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::name::{self, Parts};
use crate::types::{Create, OpenMode, RenameMode};

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);
const PASS_THROUGH: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Where the last component of a name lives.
pub(super) enum Parent<'a> {
    Given(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Parent::Given(fd) => *fd,
            Parent::Opened(fd) => fd.as_fd(),
        }
    }
}

/// Splits a name into the directory that holds its last component, and that component.
pub(super) fn parent<'a>(at: &'a LocalDir, path: &'a [u8]) -> Result<(Parent<'a>, &'a [u8])> {
    match name::parts(path)? {
        Parts::One(last) => Ok((Parent::Given(at.as_fd()), last)),
        Parts::Two(first, last) => {
            // A link here gives ENOTDIR, as O_DIRECTORY and O_NOFOLLOW together demand.
            let fd = rustix::fs::openat(at, first, PASS_THROUGH, Mode::empty())?;
            Ok((Parent::Opened(fd), last))
        }
    }
}

/// Opens one or two components below `at` in one step, following nothing.
pub(super) fn open_at(
    at: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> std::result::Result<OwnedFd, Errno> {
    let Some(slash) = path.iter().position(|&byte| byte == b'/') else {
        return rustix::fs::openat(at, path, flags, mode);
    };
    match rustix::fs::openat2(at, path, flags, mode, BENEATH) {
        // Old kernels and some containers have no openat2: two steps then, each refusing links.
        Err(Errno::NOSYS | Errno::PERM) => {
            let middle = rustix::fs::openat(at, &path[..slash], PASS_THROUGH, Mode::empty())?;
            rustix::fs::openat(middle, &path[slash + 1..], flags, mode)
        }
        opened => opened,
    }
}

pub(super) fn open_dir(at: &LocalDir, path: &[u8]) -> Result<LocalDir> {
    name::parts(path)?;
    LocalDir::open_with(|flags| open_at(at.as_fd(), path, flags, Mode::empty()))
}

pub(super) fn open(at: &LocalDir, path: &[u8], how: OpenMode) -> Result<LocalFile> {
    name::parts(path)?;
    let access = match (how.read, how.write) {
        (_, false) => OFlags::RDONLY,
        (false, true) => OFlags::WRONLY,
        (true, true) => OFlags::RDWR,
    };
    let create = match how.create {
        Create::No => OFlags::empty(),
        Create::IfMissing => OFlags::CREATE,
        Create::New => OFlags::CREATE | OFlags::EXCL,
    };
    // O_NONBLOCK: a pipe planted in the vault must not make us wait; it means nothing for regular
    // files.
    let flags =
        access | create | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mode = if how.create == Create::No {
        Mode::empty()
    } else {
        Mode::from_raw_mode(how.mode)
    };
    // Reading ciphertext is our doing, not the user's: leave access times alone where the host lets
    // the owner do so.
    let fd = match open_at(at.as_fd(), path, flags | OFlags::NOATIME, mode) {
        Err(Errno::PERM) => open_at(at.as_fd(), path, flags, mode)?,
        opened => opened?,
    };
    if how.create == Create::New {
        return Ok(LocalFile::new(fd));
    }
    match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
        FileType::RegularFile => Ok(LocalFile::new(fd)),
        FileType::Directory => Err(StoreErrorKind::IsDirectory.into()),
        _ => Err(StoreErrorKind::NotRegular.into()),
    }
}

pub(super) fn create_dir(at: &LocalDir, path: &[u8], mode: u32) -> Result<()> {
    let (dir, last) = parent(at, path)?;
    Ok(rustix::fs::mkdirat(dir, last, Mode::from_raw_mode(mode))?)
}

pub(super) fn remove(at: &LocalDir, path: &[u8], flags: AtFlags) -> Result<()> {
    let (dir, last) = parent(at, path)?;
    rustix::fs::unlinkat(dir, last, flags).map_err(|errno| match errno {
        // POSIX allows EEXIST for a directory with entries.
        Errno::EXIST => StoreErrorKind::NotEmpty.into(),
        _ => errno.into(),
    })
}

pub(super) fn rename(
    from_at: &LocalDir,
    from: &[u8],
    to_at: &LocalDir,
    to: &[u8],
    mode: RenameMode,
) -> Result<()> {
    let (from_dir, from) = parent(from_at, from)?;
    let (to_dir, to) = parent(to_at, to)?;
    let flags = match mode {
        RenameMode::Replace => return Ok(rustix::fs::renameat(from_dir, from, to_dir, to)?),
        RenameMode::NoReplace => RenameFlags::NOREPLACE,
        RenameMode::Exchange => RenameFlags::EXCHANGE,
    };
    rustix::fs::renameat_with(from_dir, from, to_dir, to, flags).map_err(|errno| match errno {
        // File systems that do not know the flag answer EINVAL.
        Errno::INVAL => StoreError {
            kind: StoreErrorKind::Unsupported,
            os: Some(errno.raw_os_error()),
        },
        _ => errno.into(),
    })
}

pub(super) fn link(from_at: &LocalDir, from: &[u8], to_at: &LocalDir, to: &[u8]) -> Result<()> {
    let (from_dir, from) = parent(from_at, from)?;
    let (to_dir, to) = parent(to_at, to)?;
    Ok(rustix::fs::linkat(
        from_dir,
        from,
        to_dir,
        to,
        AtFlags::empty(),
    )?)
}
