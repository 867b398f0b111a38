//! The numbers of the requests, and how long their fixed parts are.

pub(super) const LOOKUP: u32 = 1;
pub(super) const FORGET: u32 = 2;
pub(super) const GETATTR: u32 = 3;
pub(super) const SETATTR: u32 = 4;
pub(super) const READLINK: u32 = 5;
pub(super) const SYMLINK: u32 = 6;
pub(super) const MKNOD: u32 = 8;
pub(super) const MKDIR: u32 = 9;
pub(super) const UNLINK: u32 = 10;
pub(super) const RMDIR: u32 = 11;
pub(super) const RENAME: u32 = 12;
pub(super) const LINK: u32 = 13;
pub(super) const OPEN: u32 = 14;
pub(super) const READ: u32 = 15;
pub(super) const WRITE: u32 = 16;
pub(super) const STATFS: u32 = 17;
pub(super) const RELEASE: u32 = 18;
pub(super) const FSYNC: u32 = 20;
pub(super) const FLUSH: u32 = 25;
pub(super) const INIT: u32 = 26;
pub(super) const OPENDIR: u32 = 27;
pub(super) const READDIR: u32 = 28;
pub(super) const RELEASEDIR: u32 = 29;
pub(super) const FSYNCDIR: u32 = 30;
pub(super) const ACCESS: u32 = 34;
pub(super) const CREATE: u32 = 35;
pub(super) const INTERRUPT: u32 = 36;
pub(super) const DESTROY: u32 = 38;
pub(super) const BATCH_FORGET: u32 = 42;
pub(super) const FALLOCATE: u32 = 43;
pub(super) const READDIRPLUS: u32 = 44;
pub(super) const RENAME2: u32 = 45;
pub(super) const COPY_FILE_RANGE: u32 = 47;
pub(super) const STATX: u32 = 52;
pub(super) const COPY_FILE_RANGE_64: u32 = 53;

/// Bytes of a request's fixed part. Through /dev/fuse names and data follow it at once; a ring has a
/// place of its own for it. Of INIT it is the part that every kernel sends. 0 for requests that are not served: nothing in them is looked at.
#[must_use]
pub fn args_len(opcode: u32) -> usize {
    match opcode {
        FORGET | RENAME | LINK | MKDIR | OPEN | OPENDIR | ACCESS | INTERRUPT | BATCH_FORGET => 8,
        GETATTR | MKNOD | FSYNC | FSYNCDIR | CREATE | RENAME2 | INIT => 16,
        RELEASE | RELEASEDIR | FLUSH | STATX => 24,
        FALLOCATE => 32,
        READ | READDIR | READDIRPLUS | WRITE => 40,
        COPY_FILE_RANGE | COPY_FILE_RANGE_64 => 56,
        SETATTR => 88,
        _ => 0,
    }
}
