//! Translation of attributes between the file system and fuser.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};
use oxcrypt_vfs::{Attr, NodeKind, TimeChange, Timestamp};

use crate::options::MountOptions;

pub(crate) fn file_type(kind: NodeKind) -> FileType {
    match kind {
        NodeKind::File => FileType::RegularFile,
        NodeKind::Directory => FileType::Directory,
        NodeKind::Symlink => FileType::Symlink,
    }
}

pub(crate) fn file_attr(attr: &Attr, options: &MountOptions) -> FileAttr {
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.size,
        blocks: attr.blocks,
        atime: system_time(attr.atime),
        mtime: system_time(attr.mtime),
        ctime: system_time(attr.ctime),
        crtime: system_time(attr.btime),
        kind: file_type(attr.kind),
        perm: (attr.mode & 0o7777 & !options.umask) as u16,
        nlink: attr.nlink,
        uid: options.uid.unwrap_or(attr.uid),
        gid: options.gid.unwrap_or(attr.gid),
        rdev: 0,
        // Programs copy in units of this; one chunk is the natural one.
        blksize: 32 * 1024,
        flags: 0,
    }
}

/// The reply that lets the kernel remember that a name does not exist.
pub(crate) fn no_node() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

fn system_time(t: Timestamp) -> SystemTime {
    let nanos = Duration::from_nanos(u64::from(t.nanos));
    let whole = Duration::from_secs(t.secs.unsigned_abs());
    let base = if t.secs >= 0 {
        UNIX_EPOCH.checked_add(whole)
    } else {
        UNIX_EPOCH.checked_sub(whole)
    };
    base.and_then(|b| b.checked_add(nanos))
        .unwrap_or(UNIX_EPOCH)
}

pub(crate) fn time_change(time: TimeOrNow) -> TimeChange {
    match time {
        TimeOrNow::Now => TimeChange::Now,
        TimeOrNow::SpecificTime(t) => TimeChange::At(timestamp(t)),
    }
}

fn timestamp(t: SystemTime) -> Timestamp {
    match t.duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp {
            secs: after.as_secs() as i64,
            nanos: after.subsec_nanos(),
        },
        Err(e) => {
            let before = e.duration();
            let nanos = before.subsec_nanos();
            let secs = -(before.as_secs() as i64);
            if nanos == 0 {
                Timestamp { secs, nanos: 0 }
            } else {
                Timestamp {
                    secs: secs - 1,
                    nanos: 1_000_000_000 - nanos,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_survive_the_round_trip() {
        for (secs, nanos) in [(0, 0), (1, 5), (-1, 0), (-1, 999_999_999), (-86_400, 1)] {
            let t = Timestamp { secs, nanos };
            assert_eq!(timestamp(system_time(t)), t);
        }
    }
}
