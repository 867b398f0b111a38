//! Requests about content.

use std::sync::Arc;

use oxcrypt_store::Store;
use oxcrypt_vfs::{AllocateMode, NodeId};
use rustix::io::Errno;

use super::{Outcome, Server, empty, fail};
use crate::wire::reply::Reply;
use crate::wire::request::{Copy, Range, Write};

/// Most bytes copied for one request, so that it ends soon and its reply counts in 32 bits.
const MAX_COPY: u64 = 8 << 20;
/// Copies longer than this are not worth keeping a serving thread for.
const INLINE_COPY: u64 = 256 << 10;

impl<S: Store> Server<S> {
    pub(super) fn read(&self, node: NodeId, range: Range, room: &mut [u8]) -> Outcome {
        let size = range.size.min(room.len());
        match self.vfs.read(node, range.offset, &mut room[..size]) {
            Ok(len) => {
                self.meter.read(len);
                Outcome::Data(len)
            }
            Err(e) => Outcome::Reply(fail(e)),
        }
    }

    pub(super) fn write(&self, node: NodeId, write: &Write<'_>) -> Reply {
        const O_APPEND: u32 = 0o2000;
        let append = write.open_flags & O_APPEND != 0 && !write.cached && !self.options.writeback;
        let result = if append {
            self.vfs.append(node, write.data).map(|_| ())
        } else {
            self.vfs.write(node, write.offset, write.data)
        };
        match result {
            Ok(()) => {
                self.meter.written(write.data.len());
                Reply::written(write.data.len())
            }
            Err(e) => fail(e),
        }
    }

    pub(super) fn fsync(&self, node: NodeId, data_only: bool) -> Outcome {
        let vfs = Arc::clone(&self.vfs);
        Outcome::Later(Box::new(move || empty(vfs.fsync(node, data_only))))
    }

    pub(super) fn fsync_dir(&self, node: NodeId) -> Outcome {
        let vfs = Arc::clone(&self.vfs);
        Outcome::Later(Box::new(move || empty(vfs.fsync_dir(node))))
    }

    pub(super) fn copy(&self, node: NodeId, copy: Copy) -> Outcome {
        let len = copy.len.min(MAX_COPY);
        let vfs = Arc::clone(&self.vfs);
        let work = move || match vfs.copy_range(node, copy.from, copy.target, copy.to, len) {
            Ok(copied) if copy.wide => Reply::number(copied),
            Ok(copied) => Reply::written(copied as usize),
            Err(e) => fail(e),
        };
        if len <= INLINE_COPY {
            Outcome::Reply(work())
        } else {
            Outcome::Later(Box::new(work))
        }
    }

    pub(super) fn allocate(&self, node: NodeId, offset: u64, len: u64, mode: u32) -> Reply {
        const KEEP_SIZE: u32 = 1;
        const PUNCH_HOLE: u32 = 2;
        const ZERO_RANGE: u32 = 16;
        let mode = match mode {
            0 => AllocateMode::Grow,
            KEEP_SIZE => AllocateMode::KeepSize,
            m if m == PUNCH_HOLE | KEEP_SIZE => AllocateMode::PunchHole,
            ZERO_RANGE => AllocateMode::ZeroRange,
            m if m == ZERO_RANGE | KEEP_SIZE => AllocateMode::ZeroRangeKeepSize,
            _ => return Reply::error(Errno::OPNOTSUPP),
        };
        empty(self.vfs.allocate(node, offset, len, mode))
    }
}
