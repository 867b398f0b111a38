//! Requests.

use oxcrypt_vfs::{NodeId, SetAttr, TimeChange, Timestamp};

use super::init::Offer;
use super::opcode as op;
use super::{Fields, Malformed};

/// Bytes of [`Header`].
pub const HEADER_LEN: usize = 40;
/// Most bytes a fixed part may have: the place a ring has for it.
pub const MAX_ARGS: usize = 128;

/// Bytes of content that a request moves, by a look at its fixed part.
#[must_use]
pub fn bulk(header: &Header, args: &[u8; MAX_ARGS], sent: usize) -> usize {
    match header.opcode {
        op::WRITE => sent,
        op::READ => args[16..]
            .first_chunk()
            .map_or(0, |n| u32::from_ne_bytes(*n) as usize),
        _ => 0,
    }
}

/// What stands before every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which request it is.
    pub opcode: u32,
    /// The reply carries the same number.
    pub unique: u64,
    /// The node it is about.
    pub node: NodeId,
    /// The user who asks.
    pub uid: u32,
    /// His group.
    pub gid: u32,
}

impl Header {
    /// Reads it.
    ///
    /// # Errors
    /// When there are too few bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes = bytes.get(..HEADER_LEN).ok_or(Malformed)?;
        let mut fields = Fields(bytes);
        fields.skip(4)?;
        Ok(Self {
            opcode: fields.u32()?,
            unique: fields.u64()?,
            node: NodeId(fields.u64()?),
            uid: fields.u32()?,
            gid: fields.u32()?,
        })
    }
}

/// A range of a file or a listing that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Where it begins; for a listing, what the entry before it said.
    pub offset: u64,
    /// Most bytes to give back.
    pub size: usize,
}

/// Bytes to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write<'a> {
    /// Where to.
    pub offset: u64,
    /// They come from the kernel's cache, which has found the place for appended bytes itself.
    pub cached: bool,
    /// `open` flags of the file.
    pub open_flags: u32,
    /// The bytes.
    pub data: &'a [u8],
}

/// A range to copy between files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Where it begins in the node asked about.
    pub from: u64,
    /// The node that gets it.
    pub target: NodeId,
    /// Where to put it.
    pub to: u64,
    /// How much.
    pub len: u64,
    /// The reply counts in 64 bits.
    pub wide: bool,
}

/// Nodes of which the kernel drops lookups, with how many each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten<'a>(&'a [u8]);

impl Iterator for Forgotten<'_> {
    type Item = (NodeId, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let mut fields = Fields(self.0);
        let one = (NodeId(fields.u64().ok()?), fields.u64().ok()?);
        self.0 = fields.0;
        Some(one)
    }
}

/// A request, its names and data still where the kernel put them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the fields are those of the calls they are named after"
)]
pub enum Request<'a> {
    Init(Offer),
    Lookup {
        name: &'a [u8],
    },
    Forget {
        count: u64,
    },
    BatchForget(Forgotten<'a>),
    GetAttr,
    SetAttr(SetAttr),
    Statx,
    ReadLink,
    Symlink {
        name: &'a [u8],
        target: &'a [u8],
    },
    MkNod {
        name: &'a [u8],
        mode: u32,
    },
    MkDir {
        name: &'a [u8],
        mode: u32,
    },
    Create {
        name: &'a [u8],
        mode: u32,
        open_flags: u32,
    },
    Unlink {
        name: &'a [u8],
    },
    RmDir {
        name: &'a [u8],
    },
    Rename {
        name: &'a [u8],
        new_parent: NodeId,
        new_name: &'a [u8],
        flags: u32,
    },
    Link {
        node: NodeId,
        name: &'a [u8],
    },
    Open,
    OpenDir,
    Read(Range),
    Write(Write<'a>),
    ReadDir(Range),
    ReadDirPlus(Range),
    FSync {
        data_only: bool,
    },
    FSyncDir,
    Flush,
    /// Of a file or a directory: nothing is kept for an open one.
    Release,
    StatFs,
    /// May root do this? Nobody else's rights are asked for here.
    Access {
        mask: u32,
    },
    Fallocate {
        offset: u64,
        len: u64,
        mode: u32,
    },
    Copy(Copy),
    Interrupt {
        unique: u64,
    },
    /// The mount ends.
    Destroy,
    /// Not served.
    Other,
}

impl<'a> Request<'a> {
    /// Takes apart what follows `header`: the fixed part and what comes behind it. `args` may be
    /// longer than the fixed part.
    ///
    /// # Errors
    /// When anything is shorter than it says.
    pub fn decode(header: &Header, args: &[u8], payload: &'a [u8]) -> Result<Self, Malformed> {
        let args = Fields(args.get(..op::args_len(header.opcode)).ok_or(Malformed)?);
        let payload = Fields(payload);
        Ok(match header.opcode {
            op::LOOKUP
            | op::SYMLINK
            | op::MKNOD
            | op::MKDIR
            | op::CREATE
            | op::UNLINK
            | op::RMDIR
            | op::RENAME
            | op::RENAME2
            | op::LINK => named(header.opcode, args, payload)?,
            op::FORGET | op::BATCH_FORGET | op::INTERRUPT | op::INIT => {
                of_the_kernel(header.opcode, args, payload)?
            }
            op::READ
            | op::READDIR
            | op::READDIRPLUS
            | op::WRITE
            | op::FALLOCATE
            | op::COPY_FILE_RANGE
            | op::COPY_FILE_RANGE_64 => ranged(header.opcode, args, payload)?,
            op::SETATTR => Self::SetAttr(set_attr(args)?),
            op::GETATTR => Self::GetAttr,
            op::STATX => Self::Statx,
            op::READLINK => Self::ReadLink,
            op::OPEN => Self::Open,
            op::OPENDIR => Self::OpenDir,
            op::FSYNC => Self::FSync {
                data_only: sync_flags(args)? & 1 != 0,
            },
            op::FSYNCDIR => Self::FSyncDir,
            op::FLUSH => Self::Flush,
            op::RELEASE | op::RELEASEDIR => Self::Release,
            op::STATFS => Self::StatFs,
            op::ACCESS => Self::Access {
                mask: access_mask(args)?,
            },
            op::DESTROY => Self::Destroy,
            _ => Self::Other,
        })
    }
}

fn named<'a>(
    opcode: u32,
    mut args: Fields<'_>,
    mut payload: Fields<'a>,
) -> Result<Request<'a>, Malformed> {
    let name = payload.name()?;
    Ok(match opcode {
        op::LOOKUP => Request::Lookup { name },
        op::SYMLINK => Request::Symlink {
            name,
            target: payload.name()?,
        },
        op::MKNOD => Request::MkNod {
            name,
            mode: args.u32()?,
        },
        op::MKDIR => Request::MkDir {
            name,
            mode: args.u32()?,
        },
        op::CREATE => {
            let open_flags = args.u32()?;
            Request::Create {
                name,
                mode: args.u32()?,
                open_flags,
            }
        }
        op::UNLINK => Request::Unlink { name },
        op::RMDIR => Request::RmDir { name },
        op::LINK => Request::Link {
            node: NodeId(args.u64()?),
            name,
        },
        _ => {
            let new_parent = NodeId(args.u64()?);
            let flags = if opcode == op::RENAME2 {
                args.u32()?
            } else {
                0
            };
            let new_name = payload.name()?;
            Request::Rename {
                name,
                new_parent,
                new_name,
                flags,
            }
        }
    })
}

fn of_the_kernel<'a>(
    opcode: u32,
    mut args: Fields<'_>,
    payload: Fields<'a>,
) -> Result<Request<'a>, Malformed> {
    Ok(match opcode {
        op::FORGET => Request::Forget { count: args.u64()? },
        op::INTERRUPT => Request::Interrupt {
            unique: args.u64()?,
        },
        op::INIT => Request::Init(Offer::decode(args, payload)?),
        _ => {
            let len = (args.u32()? as usize).checked_mul(16).ok_or(Malformed)?;
            Request::BatchForget(Forgotten(payload.0.get(..len).ok_or(Malformed)?))
        }
    })
}

fn ranged<'a>(
    opcode: u32,
    mut args: Fields<'_>,
    payload: Fields<'a>,
) -> Result<Request<'a>, Malformed> {
    // A file handle: there are none.
    args.skip(8)?;
    let offset = args.u64()?;
    Ok(match opcode {
        op::WRITE => {
            const FROM_CACHE: u32 = 1;
            let size = args.u32()? as usize;
            let cached = args.u32()? & FROM_CACHE != 0;
            args.skip(8)?;
            let open_flags = args.u32()?;
            let data = payload.0.get(..size).ok_or(Malformed)?;
            Request::Write(Write {
                offset,
                cached,
                open_flags,
                data,
            })
        }
        op::FALLOCATE => {
            let len = args.u64()?;
            Request::Fallocate {
                offset,
                len,
                mode: args.u32()?,
            }
        }
        op::COPY_FILE_RANGE | op::COPY_FILE_RANGE_64 => {
            let target = NodeId(args.u64()?);
            args.skip(8)?;
            Request::Copy(Copy {
                from: offset,
                target,
                to: args.u64()?,
                len: args.u64()?,
                wide: opcode == op::COPY_FILE_RANGE_64,
            })
        }
        _ => {
            let range = Range {
                offset,
                size: args.u32()? as usize,
            };
            match opcode {
                op::READ => Request::Read(range),
                op::READDIR => Request::ReadDir(range),
                _ => Request::ReadDirPlus(range),
            }
        }
    })
}

fn sync_flags(mut args: Fields<'_>) -> Result<u32, Malformed> {
    args.skip(8)?;
    args.u32()
}

fn access_mask(mut args: Fields<'_>) -> Result<u32, Malformed> {
    args.u32()
}

fn set_attr(mut args: Fields<'_>) -> Result<SetAttr, Malformed> {
    const MODE: u32 = 1;
    const UID: u32 = 1 << 1;
    const GID: u32 = 1 << 2;
    const SIZE: u32 = 1 << 3;
    const ATIME: u32 = 1 << 4;
    const MTIME: u32 = 1 << 5;
    const ATIME_NOW: u32 = 1 << 7;
    const MTIME_NOW: u32 = 1 << 8;
    const CTIME: u32 = 1 << 10;
    let valid = args.u32()?;
    args.skip(12)?;
    let size = args.u64()?;
    args.skip(8)?;
    let (atime, mtime, ctime) = (args.u64()?, args.u64()?, args.u64()?);
    let (atime_nanos, mtime_nanos, ctime_nanos) = (args.u32()?, args.u32()?, args.u32()?);
    let mode = args.u32()?;
    args.skip(4)?;
    let (uid, gid) = (args.u32()?, args.u32()?);
    let stamp = |secs: u64, nanos: u32| Timestamp {
        secs: secs.cast_signed(),
        nanos: nanos.min(999_999_999),
    };
    let time = |at: u32, now: u32, secs: u64, nanos: u32| {
        if valid & at == 0 {
            None
        } else if valid & now != 0 {
            Some(TimeChange::Now)
        } else {
            Some(TimeChange::At(stamp(secs, nanos)))
        }
    };
    Ok(SetAttr {
        mode: (valid & MODE != 0).then_some(mode),
        uid: (valid & UID != 0).then_some(uid),
        gid: (valid & GID != 0).then_some(gid),
        size: (valid & SIZE != 0).then_some(size),
        atime: time(ATIME, ATIME_NOW, atime, atime_nanos),
        mtime: time(MTIME, MTIME_NOW, mtime, mtime_nanos),
        noted_ctime: (valid & CTIME != 0).then(|| stamp(ctime, ctime_nanos)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(opcode: u32) -> Header {
        Header {
            opcode,
            unique: 7,
            node: NodeId(1),
            uid: 2,
            gid: 3,
        }
    }

    /// Words of 32 bits as the kernel would write them.
    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_ne_bytes()).collect()
    }

    #[cfg(target_endian = "little")]
    fn low_high(n: u64) -> [u32; 2] {
        [n as u32, (n >> 32) as u32]
    }

    #[test]
    fn a_header_has_forty_bytes() {
        let mut bytes = words(&[48, op::FORGET, 5, 0, 9, 0, 1000, 100, 42, 0]);
        let expected = Header {
            opcode: op::FORGET,
            unique: 5,
            node: NodeId(9),
            uid: 1000,
            gid: 100,
        };
        assert_eq!(Header::decode(&bytes), Ok(expected));
        bytes.pop();
        assert_eq!(Header::decode(&bytes), Err(Malformed));
    }

    #[test]
    fn fixed_parts_may_be_longer_but_not_shorter() {
        for opcode in 0..=64 {
            let len = op::args_len(opcode);
            assert!(len <= MAX_ARGS);
            let payload = b"name\0other\0";
            let args = [0; MAX_ARGS];
            assert!(
                Request::decode(&header(opcode), &args, payload).is_ok(),
                "{opcode}"
            );
            assert!(
                Request::decode(&header(opcode), &args[..len], payload).is_ok(),
                "{opcode}"
            );
            if len > 0 {
                let short = Request::decode(&header(opcode), &args[..len - 1], payload);
                assert_eq!(short, Err(Malformed), "{opcode}");
            }
        }
    }

    #[test]
    fn names_must_end() {
        let rename = header(op::RENAME2);
        let args = words(&[5, 0, 2, 0]);
        assert_eq!(
            Request::decode(&rename, &args, b"from\0to\0"),
            Ok(Request::Rename {
                name: b"from",
                new_parent: NodeId(5),
                new_name: b"to",
                flags: 2
            })
        );
        for payload in [&b"from\0to"[..], b"from", b""] {
            assert_eq!(Request::decode(&rename, &args, payload), Err(Malformed));
        }
        let symlink = Request::decode(&header(op::SYMLINK), &[], b"name\0target\0");
        assert_eq!(
            symlink,
            Ok(Request::Symlink {
                name: b"name",
                target: b"target"
            })
        );
        let create = Request::decode(&header(op::CREATE), &words(&[2, 0o644, 0, 0]), b"n\0");
        assert_eq!(
            create,
            Ok(Request::Create {
                name: b"n",
                mode: 0o644,
                open_flags: 2
            })
        );
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn written_bytes_are_all_there_or_it_is_no_request() {
        let [low, high] = low_high(1 << 40);
        let args = |size| words(&[0, 0, low, high, size, 1, 0, 0, 0o2000, 0]);
        let write = Write {
            offset: 1 << 40,
            cached: true,
            open_flags: 0o2000,
            data: b"abc",
        };
        let request = header(op::WRITE);
        assert_eq!(
            Request::decode(&request, &args(3), b"abcd"),
            Ok(Request::Write(write))
        );
        assert_eq!(Request::decode(&request, &args(5), b"abcd"), Err(Malformed));
        assert_eq!(
            Request::decode(&request, &args(u32::MAX), b"abcd"),
            Err(Malformed)
        );
    }

    #[test]
    fn a_batch_is_as_long_as_it_says() {
        let payload = words(&[4, 0, 1, 0, 5, 0, 2, 0]);
        let batch = |count: u32, payload| {
            let args = words(&[count, 0]);
            match Request::decode(&header(op::BATCH_FORGET), &args, payload) {
                Ok(Request::BatchForget(list)) => Some(list.collect::<Vec<_>>()),
                _ => None,
            }
        };
        assert_eq!(
            batch(2, &payload),
            Some(vec![(NodeId(4), 1), (NodeId(5), 2)])
        );
        assert_eq!(batch(1, &payload), Some(vec![(NodeId(4), 1)]));
        assert_eq!(batch(0, &[]), Some(vec![]));
        assert_eq!(batch(3, &payload), None);
        assert_eq!(batch(u32::MAX, &payload), None);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn attributes_change_where_they_are_valid() {
        let [low, high] = low_high((-5_i64).cast_unsigned());
        let mut fields = vec![0; 22];
        fields[0] = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 10;
        fields[4] = 77;
        (fields[8], fields[9]) = (low, high);
        fields[12] = 8;
        fields[14] = 3_000_000_000;
        fields[16] = 9;
        let Ok(Request::SetAttr(change)) =
            Request::decode(&header(op::SETATTR), &words(&fields), &[])
        else {
            panic!("not decoded");
        };
        let at = Timestamp {
            secs: -5,
            nanos: 999_999_999,
        };
        assert_eq!(
            change,
            SetAttr {
                size: Some(77),
                atime: Some(TimeChange::At(at)),
                mtime: Some(TimeChange::Now),
                noted_ctime: Some(Timestamp { secs: 8, nanos: 9 }),
                ..SetAttr::default()
            }
        );
    }
}
