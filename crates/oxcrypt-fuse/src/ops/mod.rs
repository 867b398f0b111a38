//! From a request to its reply. No rule of the file system lives here, and nothing here knows how
//! requests and replies travel: every transport hands them to [`Server::answer`].
//!
//! Metadata, reads and writes are answered by the caller's thread. Only what really waits for the
//! disk comes back as [`Outcome::Later`].

mod files;
mod names;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oxcrypt_store::Store;
use oxcrypt_vfs::{Attr, Caller, Entry, Error, VaultFs};
use rustix::io::Errno;

use crate::errno::errno;
use crate::latency::Kind;
use crate::meter::Meter;
use crate::options::{Access, MountOptions};
use crate::trace::{Tracer, Watch};
use crate::wire::init::{Chosen, Flags, Offer};
use crate::wire::reply::Reply;
use crate::wire::request::{Header, Request};

/// Longest read and write: 256 pages, the most the kernel allows by default.
pub(crate) const MAX_IO: usize = 1 << 20;
/// Requests nobody waits for, such as readahead, that may be under way.
const MAX_BACKGROUND: u16 = 64;

/// Serves one mounted vault, whatever the transport.
pub(crate) struct Server<S: Store> {
    pub(crate) vfs: Arc<VaultFs<S>>,
    pub(crate) options: MountOptions,
    pub(crate) meter: Arc<Meter>,
    tracer: Tracer,
    /// The user whose mount it is.
    owner: u32,
}

/// Work that waits, to be done by another thread.
pub(crate) type Work = Box<dyn FnOnce() -> Reply + Send>;

/// What became of a request.
#[allow(
    clippy::large_enum_variant,
    reason = "it lives on the stack of one call"
)]
pub(crate) enum Outcome {
    /// This is the reply.
    Reply(Reply),
    /// The reply is so many bytes, at the beginning of the room.
    Data(usize),
    /// The reply is what this returns.
    Later(Work),
    /// No reply is wanted.
    Silence,
}

impl From<Errno> for Outcome {
    fn from(e: Errno) -> Self {
        Self::Reply(Reply::error(e))
    }
}

fn fail(e: Error) -> Reply {
    Reply::error(errno(e.kind))
}

fn empty(result: Result<(), Error>) -> Reply {
    result.map_or_else(fail, |()| Reply::done())
}

impl<S: Store> Server<S> {
    pub(crate) fn new(vfs: Arc<VaultFs<S>>, options: MountOptions) -> Self {
        let owner = rustix::process::geteuid().as_raw();
        Self {
            vfs,
            tracer: Tracer::new(options.trace_rate),
            options,
            owner,
            meter: Arc::default(),
        }
    }

    /// Answers a request. `args` is its fixed part; behind it came the first `sent` bytes of `room`,
    /// and a long reply is written over them.
    pub(crate) fn answer(
        &self,
        header: &Header,
        args: &[u8],
        room: &mut [u8],
        sent: usize,
    ) -> Outcome {
        // A fault in one request is not the end of the mount, and nobody may wait for ever.
        let answered = std::panic::catch_unwind(AssertUnwindSafe(|| {
            self.decode_and_answer(header, args, room, sent)
        }));
        answered.unwrap_or_else(|_| Errno::IO.into())
    }

    fn decode_and_answer(
        &self,
        header: &Header,
        args: &[u8],
        room: &mut [u8],
        sent: usize,
    ) -> Outcome {
        let sent = sent.min(room.len());
        let request = match Request::decode(header, args, &room[..sent]) {
            Ok(request) => request,
            Err(e) => {
                tracing::error!(opcode = header.opcode, "{e}");
                return Errno::IO.into();
            }
        };
        if is_counted(&request) {
            self.meter.request();
        }
        if !self.is_permitted(header, &request) {
            return Errno::ACCESS.into();
        }
        let kind = Kind::of(&request);
        let asked = Instant::now();
        let chosen = kind.is_some() && self.tracer.chooses_next();
        let watch = chosen.then(|| Watch::begin(asked));
        let node = header.node;
        let outcome = match request {
            // These are answered with data of any length, and came with none.
            Request::Read(range) => self.read(node, range, room),
            Request::ReadDir(range) => self.list(node, range, room),
            Request::ReadDirPlus(range) => self.list_plus(node, range, room),
            Request::ReadLink => self.readlink(node, room),
            request => self.answer_short(header, request),
        };
        let Some(kind) = kind else { return outcome };
        match outcome {
            Outcome::Later(work) => {
                if let Some(watch) = watch {
                    watch.leave();
                }
                self.timed(kind, asked, chosen, work)
            }
            outcome => {
                self.meter.took(kind, asked.elapsed());
                if let Some(watch) = watch {
                    watch.end(kind);
                }
                outcome
            }
        }
    }

    /// The time of what waits counts from when it was asked for.
    fn timed(&self, kind: Kind, asked: Instant, chosen: bool, work: Work) -> Outcome {
        let meter = Arc::clone(&self.meter);
        Outcome::Later(Box::new(move || {
            let watch = chosen.then(|| Watch::begin(asked));
            let reply = work();
            meter.took(kind, asked.elapsed());
            if let Some(watch) = watch {
                watch.end(kind);
            }
            reply
        }))
    }

    /// The kernel lets in nobody or everybody; root alone is a matter of ours. What it does itself
    /// has no user.
    fn is_permitted(&self, header: &Header, request: &Request<'_>) -> bool {
        self.options.access != Access::Root
            || header.uid == 0
            || header.uid == self.owner
            || matches!(
                request,
                Request::Read(_)
                    | Request::ReadDir(_)
                    | Request::ReadDirPlus(_)
                    | Request::Write(_)
                    | Request::FSync { .. }
                    | Request::FSyncDir
                    | Request::Release
                    | Request::Forget { .. }
                    | Request::BatchForget(_)
                    | Request::Destroy
            )
    }

    fn answer_short(&self, header: &Header, request: Request<'_>) -> Outcome {
        let node = header.node;
        Outcome::Reply(match request {
            Request::Lookup { name } => self.lookup(node, name),
            Request::GetAttr => self.getattr(node),
            Request::Statx => self.statx(node),
            Request::SetAttr(change) => self.setattr(node, change),
            Request::Symlink { name, target } => {
                self.entry(self.vfs.symlink(caller(header), node, name, target))
            }
            Request::MkNod { name, mode } => self.mknod(header, name, mode),
            Request::MkDir { name, mode } => {
                self.entry(self.vfs.mkdir(caller(header), node, name, mode))
            }
            Request::Create {
                name,
                mode,
                open_flags,
            } => self.create(header, name, mode, open_flags),
            Request::Unlink { name } => empty(self.vfs.unlink(node, name)),
            Request::RmDir { name } => empty(self.vfs.rmdir(node, name)),
            Request::Rename {
                name,
                new_parent,
                new_name,
                flags,
            } => self.rename((node, name), (new_parent, new_name), flags),
            Request::Link { node: linked, name } => self.entry(self.vfs.link(linked, node, name)),
            Request::Open => self.open(Reply::opened()),
            Request::OpenDir => self.open(Reply::opened_dir()),
            Request::Write(write) => self.write(node, &write),
            Request::Fallocate { offset, len, mode } => self.allocate(node, offset, len, mode),
            Request::Access { mask } => self.access(node, mask),
            Request::StatFs => self.vfs.space().map_or_else(fail, |s| Reply::space(&s)),
            Request::FSync { data_only } => return self.fsync(node, data_only),
            Request::FSyncDir => return self.fsync_dir(node),
            Request::Copy(copy) => return self.copy(node, copy),
            Request::Forget { count } => {
                self.vfs.forget(node, count);
                return Outcome::Silence;
            }
            Request::BatchForget(nodes) => {
                nodes.for_each(|(node, count)| self.vfs.forget(node, count));
                return Outcome::Silence;
            }
            Request::Release | Request::Destroy => Reply::done(),
            // A second one; the first is taken by the handshake.
            Request::Init(_) => Reply::error(Errno::IO),
            // Refused so, they are never asked again: nothing is buffered for an open file, no
            // request takes so long that it must be interrupted, and a probe of extended attributes
            // would come before every write. Where data and holes are, the kernel then answers by
            // the length of the file, which it alone knows while it holds writes back.
            Request::Flush | Request::Interrupt { .. } | Request::Other => {
                Reply::error(Errno::NOSYS)
            }
            Request::Read(_)
            | Request::ReadDir(_)
            | Request::ReadDirPlus(_)
            | Request::ReadLink => Reply::error(Errno::IO),
        })
    }

    /// The reply to what the kernel offers. Rings are asked for when there are any.
    pub(crate) fn negotiate(&mut self, offer: &Offer, rings: bool) -> Reply {
        let mut wanted = Flags::ASYNC_READ
            | Flags::BIG_WRITES
            | Flags::MAX_PAGES
            | Flags::ASYNC_DIO
            | Flags::PARALLEL_DIROPS
            | Flags::DO_READDIRPLUS
            | Flags::READDIRPLUS_AUTO
            | Flags::CACHE_SYMLINKS
            | Flags::EXPLICIT_INVAL_DATA
            | Flags::DIRECT_IO_ALLOW_MMAP;
        let without_message = Flags::NO_OPEN_SUPPORT | Flags::NO_OPENDIR_SUPPORT;
        // Answered as the kernel understands it; the rest are optimisations only.
        self.options.zero_message_open &= offer.flags.contains(without_message);
        if self.options.zero_message_open {
            wanted = wanted | without_message;
        }
        if self.options.writeback {
            wanted = wanted | Flags::WRITEBACK_CACHE;
        }
        if rings {
            wanted = wanted | Flags::OVER_IO_URING;
        }
        offer.accept(&Chosen {
            flags: wanted,
            max_write: MAX_IO as u32,
            max_background: MAX_BACKGROUND,
        })
    }

    fn entry(&self, result: Result<Entry, Error>) -> Reply {
        result.map_or_else(fail, |e| {
            Reply::entry(&self.shown(&e.attr), self.ttl(&e.attr))
        })
    }

    /// As the options want attributes shown.
    fn shown(&self, attr: &Attr) -> Attr {
        Attr {
            mode: attr.mode & !self.options.umask,
            uid: self.options.uid.unwrap_or(attr.uid),
            gid: self.options.gid.unwrap_or(attr.gid),
            ..*attr
        }
    }

    fn ttl(&self, attr: &Attr) -> Duration {
        *self.options.ttl_of(attr)
    }
}

fn caller(header: &Header) -> Caller {
    Caller {
        uid: header.uid,
        gid: header.gid,
    }
}

/// Whether a program caused it, and not the kernel's own bookkeeping.
fn is_counted(request: &Request<'_>) -> bool {
    !matches!(
        request,
        Request::Init(_)
            | Request::Forget { .. }
            | Request::BatchForget(_)
            | Request::Open
            | Request::OpenDir
            | Request::Flush
            | Request::Release
            | Request::StatFs
            | Request::Interrupt { .. }
            | Request::Destroy
            | Request::Other
    )
}
