//! Reading and changing attributes.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Statx, StatxFlags, Timespec, Timestamps, UTIME_NOW,
    UTIME_OMIT, Uid,
};

use super::LocalStore;
use super::handle::LocalDir;
use super::names;
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::name;
use crate::store::Node;
use crate::types::{Identity, Incarnation, Kind, Space, Stat, TimeSet, Timestamp};

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);
const NO_FOLLOW: AtFlags = AtFlags::SYMLINK_NOFOLLOW;

pub(super) fn stat(at: &LocalDir, path: &[u8]) -> Result<Stat> {
    let last = name::one(path)?;
    Ok(convert(&rustix::fs::statx(at, last, NO_FOLLOW, WANTED)?))
}

pub(super) fn stat_beneath(at: &LocalDir, path: &[u8]) -> Result<Stat> {
    let (dir, last) = names::parent(at, path)?;
    Ok(convert(&rustix::fs::statx(dir, last, NO_FOLLOW, WANTED)?))
}

pub(super) fn stat_fd(fd: impl AsFd) -> Result<Stat> {
    Ok(convert(&rustix::fs::statx(
        fd,
        c"",
        AtFlags::EMPTY_PATH,
        WANTED,
    )?))
}

/// The machine's boot and the mount. Kernels before 6.8 number mounts anew, so that one file system
/// may by chance get its number again.
pub(super) fn incarnation(root: &LocalDir) -> Result<Incarnation> {
    const MNT_ID: StatxFlags = StatxFlags::from_bits_retain(0x1000);
    const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let raw = rustix::fs::statx(root, c"", AtFlags::EMPTY_PATH, MNT_ID | MNT_ID_UNIQUE)?;
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut bytes = [0; Incarnation::LEN];
    let digits = boot.iter().filter_map(|b| char::from(*b).to_digit(16));
    for (i, digit) in digits.take(32).enumerate() {
        bytes[i / 2] = bytes[i / 2] << 4 | digit as u8;
    }
    bytes[16..].copy_from_slice(&raw.stx_mnt_id.to_le_bytes());
    Ok(Incarnation(bytes))
}

fn convert(raw: &Statx) -> Stat {
    let stamp = |secs, nanos| Timestamp { secs, nanos };
    let has_birth = raw.stx_mask & StatxFlags::BTIME.bits() != 0;
    Stat {
        kind: match FileType::from_raw_mode(raw.stx_mode.into()) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        },
        id: Identity {
            dev: u64::from(raw.stx_dev_major) << 32 | u64::from(raw.stx_dev_minor),
            ino: raw.stx_ino,
            btime: has_birth.then(|| stamp(raw.stx_btime.tv_sec, raw.stx_btime.tv_nsec)),
        },
        mode: u32::from(raw.stx_mode) & 0o7777,
        nlink: raw.stx_nlink.into(),
        uid: raw.stx_uid,
        gid: raw.stx_gid,
        size: raw.stx_size,
        blocks: raw.stx_blocks,
        atime: stamp(raw.stx_atime.tv_sec, raw.stx_atime.tv_nsec),
        mtime: stamp(raw.stx_mtime.tv_sec, raw.stx_mtime.tv_nsec),
        ctime: stamp(raw.stx_ctime.tv_sec, raw.stx_ctime.tv_nsec),
    }
}

pub(super) fn set_times(
    node: Node<'_, LocalStore>,
    atime: Option<TimeSet>,
    mtime: Option<TimeSet>,
) -> Result<()> {
    let times = Timestamps {
        last_access: timespec(atime),
        last_modification: timespec(mtime),
    };
    match node {
        Node::File(file) => Ok(rustix::fs::futimens(file, &times)?),
        Node::Dir(dir) => Ok(rustix::fs::utimensat(dir, c".", &times, NO_FOLLOW)?),
        Node::Name(at, path) => {
            let (dir, last) = names::parent(at, path)?;
            Ok(rustix::fs::utimensat(dir, last, &times, NO_FOLLOW)?)
        }
    }
}

fn timespec(set: Option<TimeSet>) -> Timespec {
    match set {
        None => Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        Some(TimeSet::Now) => Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        },
        Some(TimeSet::At(time)) => Timespec {
            tv_sec: time.secs,
            tv_nsec: time.nanos.into(),
        },
    }
}

pub(super) fn set_mode(node: Node<'_, LocalStore>, mode: u32) -> Result<()> {
    let mode = Mode::from_raw_mode(mode & 0o7777);
    match node {
        Node::File(file) => Ok(rustix::fs::fchmod(file, mode)?),
        Node::Dir(dir) if dir.is_readable() => Ok(rustix::fs::fchmod(dir, mode)?),
        Node::Dir(dir) => chmod_by_handle(dir.as_fd(), mode),
        Node::Name(at, path) => {
            let (dir, last) = names::parent(at, path)?;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let target = rustix::fs::openat(dir, last, flags, Mode::empty())?;
            chmod_by_handle(target.as_fd(), mode)
        }
    }
}

/// Changes the mode of what a bare handle names. `fchmod` refuses such handles; the way through
/// /proc does not, and needs no permission to read the object.
fn chmod_by_handle(target: BorrowedFd<'_>, mode: Mode) -> Result<()> {
    if stat_fd(target)?.kind == Kind::Symlink {
        return Err(StoreErrorKind::Unsupported.into());
    }
    let path = format!("/proc/self/fd/{}", target.as_raw_fd());
    rustix::fs::chmod(path, mode).map_err(StoreError::from)
}

pub(super) fn set_owner(
    node: Node<'_, LocalStore>,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<()> {
    // All ones means "leave as it is" to the kernel, so it can be no owner.
    if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
        return Err(StoreErrorKind::InvalidInput.into());
    }
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    match node {
        Node::File(file) => Ok(rustix::fs::fchown(file, uid, gid)?),
        Node::Dir(dir) => Ok(rustix::fs::chownat(
            dir,
            c"",
            uid,
            gid,
            AtFlags::EMPTY_PATH,
        )?),
        Node::Name(at, path) => {
            let (dir, last) = names::parent(at, path)?;
            Ok(rustix::fs::chownat(dir, last, uid, gid, NO_FOLLOW)?)
        }
    }
}

pub(super) fn space(root: &LocalDir) -> Result<Space> {
    let raw = rustix::fs::fstatvfs(root)?;
    Ok(Space {
        block_size: raw.f_frsize,
        blocks: raw.f_blocks,
        free: raw.f_bfree,
        avail: raw.f_bavail,
        files: raw.f_files,
        files_free: raw.f_ffree,
        name_max: raw.f_namemax,
    })
}
