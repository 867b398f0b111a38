//! Replies. Those with data of any length are written where the transport wants them; the others
//! fit into a [`Reply`].

use std::time::Duration;

use oxcrypt_vfs::{Attr, NodeKind, Space, Timestamp};
use rustix::io::Errno;

use super::Struct;

/// Bytes of the header that stands before every reply.
pub const HEADER_LEN: usize = 16;
/// The greatest struct: what `statx` answers.
const MAX_LEN: usize = 288;
/// Node ids are never reused while the kernel knows them, so one generation is enough.
const GENERATION: u64 = 0;
/// Programs copy in units of this; one chunk is the natural one.
const BLOCK_SIZE: u32 = 32 * 1024;
/// Content stays in the kernel's cache from one open to the next.
const OPEN_KEEP_CACHE: u32 = 1 << 1;
/// Listings too.
const OPEN_CACHE_DIR: u32 = 1 << 3;

/// The header before a reply of `len` bytes.
#[must_use]
pub fn header(unique: u64, error: i32, len: usize) -> [u8; HEADER_LEN] {
    let whole = u32::try_from(HEADER_LEN + len).unwrap_or(u32::MAX);
    Struct::<HEADER_LEN>::new()
        .u32(whole)
        .u32(error.cast_unsigned())
        .u64(unique)
        .bytes
}

/// A reply without data of any length.
#[derive(Clone, Debug)]
pub struct Reply {
    error: i32,
    len: usize,
    bytes: [u8; MAX_LEN],
}

impl Reply {
    /// Done, and nothing to say.
    #[must_use]
    pub fn done() -> Self {
        Self {
            error: 0,
            len: 0,
            bytes: [0; MAX_LEN],
        }
    }

    /// It failed.
    #[must_use]
    pub fn error(errno: Errno) -> Self {
        Self {
            error: -errno.raw_os_error(),
            ..Self::done()
        }
    }

    pub(super) fn of<const N: usize>(content: &Struct<N>) -> Self {
        let mut reply = Self::done();
        let bytes = content.as_bytes();
        reply.bytes[..bytes.len()].copy_from_slice(bytes);
        reply.len = bytes.len();
        reply
    }

    /// 0, or a negative errno.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.error
    }

    /// What follows the header.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// A node found or made, and how long name and attributes may be trusted.
    #[must_use]
    pub fn entry(attr: &Attr, ttl: Duration) -> Self {
        Self::of(&entry::<128>(attr, ttl))
    }

    /// The kernel may remember for so long that a name does not exist.
    #[must_use]
    pub fn no_entry(ttl: Duration) -> Self {
        Self::of(&entry_head::<128>(0, ttl).zeros(88))
    }

    /// A file made and opened.
    #[must_use]
    pub fn created(attr: &Attr, ttl: Duration) -> Self {
        Self::of(&entry::<144>(attr, ttl).u64(0).u32(OPEN_KEEP_CACHE).u32(0))
    }

    /// A file opened.
    #[must_use]
    pub fn opened() -> Self {
        Self::of(&Struct::<16>::new().u64(0).u32(OPEN_KEEP_CACHE).u32(0))
    }

    /// A directory opened.
    #[must_use]
    pub fn opened_dir() -> Self {
        let flags = OPEN_KEEP_CACHE | OPEN_CACHE_DIR;
        Self::of(&Struct::<16>::new().u64(0).u32(flags).u32(0))
    }

    /// Attributes, and how long they may be trusted.
    #[must_use]
    pub fn attr(attr: &Attr, ttl: Duration) -> Self {
        let head = Struct::<104>::new()
            .u64(ttl.as_secs())
            .u32(ttl.subsec_nanos())
            .u32(0);
        Self::of(&put_attr(head, attr))
    }

    /// The same for `statx`, with the time of birth.
    #[must_use]
    pub fn statx(attr: &Attr, ttl: Duration) -> Self {
        /// All basic fields.
        const BASIC: u32 = 0x7ff;
        const BIRTH: u32 = 0x800;
        let known = attr.btime != Timestamp::default();
        let mask = if known { BASIC | BIRTH } else { BASIC };
        let out = Struct::<MAX_LEN>::new()
            .u64(ttl.as_secs())
            .u32(ttl.subsec_nanos())
            .zeros(20)
            .u32(mask)
            .u32(BLOCK_SIZE)
            .u64(0)
            .u32(attr.nlink)
            .u32(attr.uid)
            .u32(attr.gid)
            .u16(mode(attr) as u16)
            .u16(0)
            .u64(attr.ino)
            .u64(attr.size)
            .u64(attr.blocks)
            .u64(0);
        let times = [attr.atime, attr.btime, attr.ctime, attr.mtime];
        let out = times.iter().fold(out, |out, t| {
            out.u64(t.secs.cast_unsigned()).u32(t.nanos).u32(0)
        });
        let rest = MAX_LEN - out.len;
        Self::of(&out.zeros(rest))
    }

    /// How many bytes were written or copied.
    #[must_use]
    pub fn written(bytes: usize) -> Self {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Self::of(&Struct::<8>::new().u32(bytes).u32(0))
    }

    /// A number of 64 bits: an offset, or bytes copied.
    #[must_use]
    pub fn number(n: u64) -> Self {
        Self::of(&Struct::<8>::new().u64(n))
    }

    /// Free space.
    #[must_use]
    pub fn space(s: &Space) -> Self {
        let numbers = [s.blocks, s.free, s.available, s.files, s.files_free];
        let out = numbers
            .iter()
            .fold(Struct::<80>::new(), |out, n| out.u64(*n));
        let out = out.u32(s.block_size).u32(s.name_max).u32(s.block_size);
        Self::of(&out.zeros(28))
    }
}

fn entry_head<const N: usize>(node: u64, ttl: Duration) -> Struct<N> {
    Struct::new()
        .u64(node)
        .u64(GENERATION)
        .u64(ttl.as_secs())
        .u64(ttl.as_secs())
        .u32(ttl.subsec_nanos())
        .u32(ttl.subsec_nanos())
}

fn entry<const N: usize>(attr: &Attr, ttl: Duration) -> Struct<N> {
    put_attr(entry_head(attr.ino, ttl), attr)
}

fn put_attr<const N: usize>(out: Struct<N>, attr: &Attr) -> Struct<N> {
    out.u64(attr.ino)
        .u64(attr.size)
        .u64(attr.blocks)
        .u64(attr.atime.secs.cast_unsigned())
        .u64(attr.mtime.secs.cast_unsigned())
        .u64(attr.ctime.secs.cast_unsigned())
        .u32(attr.atime.nanos)
        .u32(attr.mtime.nanos)
        .u32(attr.ctime.nanos)
        .u32(mode(attr))
        .u32(attr.nlink)
        .u32(attr.uid)
        .u32(attr.gid)
        .u32(0)
        .u32(BLOCK_SIZE)
        .u32(0)
}

/// The bits of a kind in a mode, above twelve bits of permissions.
fn kind_bits(kind: NodeKind) -> u32 {
    match kind {
        NodeKind::File => 0o10,
        NodeKind::Directory => 0o4,
        NodeKind::Symlink => 0o12,
    }
}

fn mode(attr: &Attr) -> u32 {
    attr.mode & 0o7777 | kind_bits(attr.kind) << 12
}

/// A listing in the making, in the space the transport has for it.
#[derive(Debug)]
pub struct Listing<'a> {
    out: &'a mut [u8],
    len: usize,
}

/// One line of a listing.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Inode number to show.
    pub ino: u64,
    /// What continues behind it.
    pub next: u64,
    /// Its kind.
    pub kind: NodeKind,
    /// Its name.
    pub name: &'a [u8],
}

impl<'a> Listing<'a> {
    /// Begins one.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no line yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a line; false when there is no room for it.
    #[must_use]
    pub fn add(&mut self, line: Line<'_>) -> bool {
        self.put(&[], line)
    }

    /// Adds a line with attributes, or without any that the kernel should remember.
    #[must_use]
    pub fn add_plus(&mut self, line: Line<'_>, found: Option<(&Attr, Duration)>) -> bool {
        let entry = match found {
            Some((attr, ttl)) => entry::<128>(attr, ttl),
            None => Struct::new().zeros(128),
        };
        self.put(entry.as_bytes(), line)
    }

    fn put(&mut self, before: &[u8], line: Line<'_>) -> bool {
        let Ok(name_len) = u32::try_from(line.name.len()) else {
            return false;
        };
        let head = Struct::<24>::new()
            .u64(line.ino)
            .u64(line.next)
            .u32(name_len)
            .u32(kind_bits(line.kind));
        // The next line begins at a multiple of eight.
        let padding = line.name.len().wrapping_neg() % 8;
        let parts = [before, head.as_bytes(), line.name, &[0; 7][..padding]];
        let whole: usize = parts.iter().map(|p| p.len()).sum();
        let Some(mut room) = self.out.get_mut(self.len..self.len + whole) else {
            return false;
        };
        for part in parts {
            let (here, rest) = room.split_at_mut(part.len());
            here.copy_from_slice(part);
            room = rest;
        }
        self.len += whole;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr() -> Attr {
        Attr {
            ino: 11,
            kind: NodeKind::Symlink,
            size: 1 << 40,
            blocks: 3,
            mode: 0o777,
            nlink: 2,
            uid: 1000,
            gid: 100,
            atime: Timestamp { secs: -1, nanos: 5 },
            mtime: Timestamp { secs: 2, nanos: 6 },
            ctime: Timestamp { secs: 3, nanos: 7 },
            btime: Timestamp { secs: 4, nanos: 8 },
            watched: true,
        }
    }

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap())
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_ne_bytes(*bytes[at..].first_chunk().unwrap())
    }

    #[test]
    fn structs_have_the_lengths_of_the_kernel() {
        let ttl = Duration::from_millis(1500);
        let a = attr();
        assert_eq!(Reply::entry(&a, ttl).bytes().len(), 128);
        assert_eq!(Reply::no_entry(ttl).bytes().len(), 128);
        assert_eq!(Reply::created(&a, ttl).bytes().len(), 144);
        assert_eq!(Reply::attr(&a, ttl).bytes().len(), 104);
        assert_eq!(Reply::statx(&a, ttl).bytes().len(), 288);
        assert_eq!(Reply::opened().bytes().len(), 16);
        assert_eq!(Reply::written(5).bytes().len(), 8);
        assert_eq!(Reply::number(5).bytes().len(), 8);
        let space = Space {
            block_size: 4096,
            blocks: 1,
            free: 2,
            available: 3,
            files: 4,
            files_free: 5,
            name_max: 255,
        };
        assert_eq!(Reply::space(&space).bytes().len(), 80);
        assert_eq!(u32_at(Reply::space(&space).bytes(), 44), 255);
    }

    #[test]
    fn attributes_stand_where_the_kernel_looks() {
        let ttl = Duration::from_millis(1500);
        let reply = Reply::entry(&attr(), ttl);
        let bytes = reply.bytes();
        assert_eq!(
            (u64_at(bytes, 0), u64_at(bytes, 16), u32_at(bytes, 32)),
            (11, 1, 500_000_000)
        );
        let attrs = &bytes[40..];
        assert_eq!((u64_at(attrs, 0), u64_at(attrs, 8)), (11, 1 << 40));
        assert_eq!((u64_at(attrs, 24), u32_at(attrs, 48)), (u64::MAX, 5));
        assert_eq!((u32_at(attrs, 60), u32_at(attrs, 64)), (0o120_777, 2));
        let reply = Reply::statx(&attr(), ttl);
        let statx = &reply.bytes()[32..];
        assert_eq!((u32_at(statx, 0), u32_at(statx, 4)), (0xfff, 32 * 1024));
        assert_eq!(
            (u32_at(statx, 16), u32_at(statx, 20), u32_at(statx, 24)),
            (2, 1000, 100)
        );
        assert_eq!(statx[28..30], 0o120_777_u16.to_ne_bytes());
        assert_eq!((u64_at(statx, 32), u64_at(statx, 40)), (11, 1 << 40));
        let secs = [64, 80, 96, 112].map(|at| u64_at(statx, at).cast_signed());
        assert_eq!(secs, [-1, 4, 3, 2]);
    }

    #[test]
    fn an_error_is_negative() {
        let reply = Reply::error(Errno::NOENT);
        assert_eq!((reply.code(), reply.bytes().len()), (-2, 0));
        let head = header(9, reply.code(), 0);
        assert_eq!(
            (u32_at(&head, 0), u32_at(&head, 4), u64_at(&head, 8)),
            (16, -2_i32 as u32, 9)
        );
    }

    #[test]
    fn a_listing_ends_where_the_room_ends() {
        let line = |name| Line {
            ino: 5,
            next: 6,
            kind: NodeKind::File,
            name,
        };
        let mut room = [0xff; 64];
        let mut listing = Listing::new(&mut room);
        assert!(listing.add(line(b"abc")));
        assert!(listing.add(line(b"12345678")));
        assert_eq!(listing.len(), 64);
        assert!(!listing.add(line(b"")));
        assert_eq!(u32_at(&room, 16), 3);
        assert_eq!(&room[24..32], b"abc\0\0\0\0\0");
        assert_eq!((u32_at(&room, 20), u64_at(&room, 40)), (8, 6));
        let mut room = [0xff; 160];
        let mut listing = Listing::new(&mut room);
        assert!(listing.add_plus(line(b"abc"), Some((&attr(), Duration::ZERO))));
        assert!(!listing.add_plus(line(b"abc"), None));
        assert_eq!((u64_at(&room, 0), u64_at(&room, 128)), (11, 5));
    }
}
