//! The handshake: what the kernel offers, what we take.

use super::reply::Reply;
use super::{Fields, Malformed, Struct};

/// The interface spoken here.
const MAJOR: u32 = 7;
const MINOR: u32 = 45;
/// Linux 5.4. Older kernels have shorter structs.
const OLDEST_MINOR: u32 = 31;

/// Things the kernel may do or leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u64);

impl Flags {
    /// Several reads of one file at a time.
    pub const ASYNC_READ: Self = Self(1);
    /// Writes of more than a page.
    pub const BIG_WRITES: Self = Self(1 << 5);
    /// Listings may come with attributes.
    pub const DO_READDIRPLUS: Self = Self(1 << 13);
    /// The kernel finds out when that pays.
    pub const READDIRPLUS_AUTO: Self = Self(1 << 14);
    /// Direct I/O in several requests at a time.
    pub const ASYNC_DIO: Self = Self(1 << 15);
    /// The kernel collects writes.
    pub const WRITEBACK_CACHE: Self = Self(1 << 16);
    /// `ENOSYS` to the first open means: never ask again.
    pub const NO_OPEN_SUPPORT: Self = Self(1 << 17);
    /// Lookups and listings of one directory at a time.
    pub const PARALLEL_DIROPS: Self = Self(1 << 18);
    /// Requests may be longer than 32 pages.
    pub const MAX_PAGES: Self = Self(1 << 22);
    /// Targets of symbolic links are remembered.
    pub const CACHE_SYMLINKS: Self = Self(1 << 23);
    /// `ENOSYS` to the first opendir means: never ask again.
    pub const NO_OPENDIR_SUPPORT: Self = Self(1 << 24);
    /// Cached data is dropped when we say so only.
    pub const EXPLICIT_INVAL_DATA: Self = Self(1 << 25);
    /// There are flags beyond 32 bits.
    pub const INIT_EXT: Self = Self(1 << 30);
    /// Files opened for direct I/O may be mapped.
    pub const DIRECT_IO_ALLOW_MMAP: Self = Self(1 << 36);
    /// Requests through rings.
    pub const OVER_IO_URING: Self = Self(1 << 41);

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitAnd for Flags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What the kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    major: u32,
    minor: u32,
    max_readahead: u32,
    /// What it can do.
    pub flags: Flags,
}

/// What we take.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    /// Of what was offered.
    pub flags: Flags,
    /// Longest write, and longest read.
    pub max_write: u32,
    /// Requests nobody waits for that may be under way.
    pub max_background: u16,
}

/// What to do about an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// It can be used.
    Good,
    /// The kernel speaks a newer major version: it asks again when it was told ours.
    AskAgain,
    /// Too old.
    None,
}

impl Offer {
    pub(super) fn decode(mut args: Fields<'_>, mut more: Fields<'_>) -> Result<Self, Malformed> {
        let (major, minor) = (args.u32()?, args.u32()?);
        let max_readahead = args.u32()?;
        let mut flags = Flags(u64::from(args.u32()?));
        if flags.contains(Flags::INIT_EXT) {
            flags = flags | Flags(u64::from(more.u32()?) << 32);
        }
        Ok(Self {
            major,
            minor,
            max_readahead,
            flags,
        })
    }

    /// Whether both sides understand each other.
    #[must_use]
    pub fn agreement(&self) -> Agreement {
        match (self.major, self.minor) {
            (MAJOR, OLDEST_MINOR..) => Agreement::Good,
            (major, _) if major > MAJOR => Agreement::AskAgain,
            _ => Agreement::None,
        }
    }

    /// The reply.
    #[must_use]
    pub fn accept(&self, chosen: &Chosen) -> Reply {
        // 4 KiB where pages are larger, too: the kernel takes the smaller of this and its own.
        let max_pages = u16::try_from(chosen.max_write / 4096).unwrap_or(u16::MAX);
        let flags = chosen.flags & self.flags | Flags::INIT_EXT & self.flags;
        let congestion = chosen.max_background / 4 * 3;
        Reply::of(
            &Struct::<64>::new()
                .u32(MAJOR)
                .u32(MINOR)
                .u32(self.max_readahead)
                .u32(flags.0 as u32)
                .u16(chosen.max_background)
                .u16(congestion)
                .u32(chosen.max_write)
                // Times are exact to the nanosecond.
                .u32(1)
                .u16(max_pages)
                .u16(0)
                .u32((flags.0 >> 32) as u32)
                .zeros(28),
        )
    }

    /// The reply to [`Agreement::AskAgain`].
    #[must_use]
    pub fn ask_again() -> Reply {
        Reply::of(&Struct::<64>::new().u32(MAJOR).u32(MINOR).zeros(56))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(major: u32, minor: u32, low: u32, high: u32) -> Offer {
        let mut args = Vec::new();
        for word in [major, minor, 131_072, low, high] {
            args.extend(u32::to_ne_bytes(word));
        }
        Offer::decode(Fields(&args[..16]), Fields(&args[16..])).unwrap()
    }

    #[test]
    fn versions() {
        assert_eq!(offer(7, 31, 0, 0).agreement(), Agreement::Good);
        assert_eq!(offer(7, 99, 0, 0).agreement(), Agreement::Good);
        assert_eq!(offer(7, 30, 0, 0).agreement(), Agreement::None);
        assert_eq!(offer(6, 40, 0, 0).agreement(), Agreement::None);
        assert_eq!(offer(8, 0, 0, 0).agreement(), Agreement::AskAgain);
    }

    #[test]
    fn only_what_is_offered_is_taken() {
        // High flags count only where the kernel says that it has any.
        assert_eq!(offer(7, 45, 1, u32::MAX).flags, Flags(1));
        let offered = offer(7, 45, 1 << 30 | 1 << 16, 1 << 9);
        assert!(offered.flags.contains(Flags::OVER_IO_URING));
        let chosen = Chosen {
            flags: Flags::OVER_IO_URING | Flags::WRITEBACK_CACHE | Flags::ASYNC_DIO,
            max_write: 1 << 20,
            max_background: 64,
        };
        let reply = offered.accept(&chosen);
        let bytes = reply.bytes();
        assert_eq!(bytes.len(), 64);
        let word = |at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap());
        assert_eq!((word(0), word(4), word(8)), (7, 45, 131_072));
        assert_eq!((word(12), word(32)), (1 << 30 | 1 << 16, 1 << 9));
        assert_eq!((word(20), word(24)), (1 << 20, 1));
        assert_eq!(bytes[28..30], 256_u16.to_ne_bytes());
    }
}
