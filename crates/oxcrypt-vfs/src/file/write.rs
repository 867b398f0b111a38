//! Writing in place, chunk by chunk.
//!
//! Every chunk that a write touches is sealed anew under a fresh nonce; a chunk that is only partly
//! covered is read, opened and patched first. A run of neighbouring chunks reaches the store, or the
//! journal, in one `write_at`. Memory is bounded by one run, whatever the size of the file.

use std::sync::Arc;

use oxcrypt_core::ChunkBuf;
use oxcrypt_core::content::layout::{CHUNK_LEN, ChunkIndex};
use oxcrypt_core::rng::with_rng;
use oxcrypt_store::timing::{Phase, Span};
use oxcrypt_store::{Node, Store, TimeSet};

use super::open::Need;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::HEAD_LEN;
use crate::node::{Body, FileIo, Node as FileNode};
use crate::scratch;
use crate::sync::RwLockWriteGuard;
use crate::types::NodeId;
use crate::vault_fs::VaultFs;

/// Chunks sealed before they are written together.
const RUN: usize = 8;
/// A write that ends within the first page of a file is never torn by a kill.
const ONE_PAGE: u64 = 4096;

/// Which way a run of sealed chunks takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To the file.
    InPlace,
    /// To the journal.
    Logged,
    /// To the file, the first chunk to the journal as well. For a run that goes on in the last chunk
    /// of a file, which a kill must not tear, while none of that chunk must survive a power cut: the
    /// kernel hands over a growing file in pieces that end anywhere.
    TailLogged,
}

/// Whether a chunk is newer in the journal than in the file.
fn is_logged<S: Store>(io: &FileIo<S>, index: ChunkIndex) -> bool {
    let logged = io.logged.as_ref();
    logged.is_some_and(|logged| logged.chunks.contains_key(&index.0))
}

/// One chunk of zeros.
pub(super) static ZEROS: [u8; CHUNK_LEN] = [0; CHUNK_LEN];

impl<S: Store> VaultFs<S> {
    /// Writes all of `data` at `offset`; a gap behind the old end becomes zeros.
    ///
    /// # Errors
    /// `NoSpace` or `TooLarge` before anything is written when the gap cannot fit; `Corrupt` when a partly
    /// overwritten chunk does not authenticate.
    pub fn write(&self, node: NodeId, offset: u64, data: &[u8]) -> Result<()> {
        self.writable()?;
        let node = self.node(node)?;
        self.with_room(|| self.write_now(&node, offset, data))
    }

    fn write_now(&self, node: &Arc<FileNode<S>>, offset: u64, data: &[u8]) -> Result<()> {
        let _own = node.own.begin();
        let io = self.file_for(node, Need::Write)?;
        let mut io = self.after_earlier_writes(node, io, offset)?;
        self.write_locked(node, &mut io, offset, data)
    }

    /// Lets those go first who write what is missing before `offset`.
    ///
    /// The kernel hands over a growing file in pieces, one after the other, to several threads. A
    /// piece that overtakes the one before it would fill the gap with zeros, which then count as
    /// content to be overwritten with care. A gap that nobody is about to fill costs a short wait.
    fn after_earlier_writes<'n>(
        &self,
        node: &'n Arc<FileNode<S>>,
        mut io: RwLockWriteGuard<'n, FileIo<S>>,
        offset: u64,
    ) -> Result<RwLockWriteGuard<'n, FileIo<S>>> {
        let mut idle = 0;
        for _ in 0..500 {
            if offset <= self.plain_len(node, &io)? {
                break;
            }
            idle = if node.own.others() { 0 } else { idle + 1 };
            if idle > 3 {
                break;
            }
            drop(io);
            crate::sync::thread::sleep(std::time::Duration::from_micros(10));
            io = self.file_for(node, Need::Write)?;
        }
        Ok(io)
    }

    /// Appends `data` at the end as it is when the write happens, and returns where that was.
    ///
    /// # Errors
    /// As [`VaultFs::write`].
    pub fn append(&self, node: NodeId, data: &[u8]) -> Result<u64> {
        self.writable()?;
        let node = self.node(node)?;
        let _own = node.own.begin();
        let mut io = self.file_for(&node, Need::Write)?;
        let end = self.plain_len(&node, &io)?;
        self.write_locked(&node, &mut io, end, data)?;
        Ok(end)
    }

    pub(crate) fn write_locked(
        &self,
        node: &Arc<FileNode<S>>,
        io: &mut FileIo<S>,
        offset: u64,
        data: &[u8],
    ) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let end = offset
            .checked_add(data.len() as u64)
            .ok_or(ErrorKind::TooLarge)?;
        let size = self.plain_len(node, io)?;
        self.check_growth(size, end, offset.saturating_sub(size))?;
        self.fill_gap(node, io, size, offset)?;
        self.write_runs(node, io, offset, data)
    }

    /// Refuses an end that the format or the store cannot hold, before the first byte is written.
    ///
    /// Ordinary growth by the data at hand is left to the store to refuse; a gap costs time and
    /// space beyond what the caller gave us, so its room is checked first.
    pub(crate) fn check_growth(&self, size: u64, end: u64, gap: u64) -> Result<()> {
        let layout = self.cryptor.layout();
        if end <= size {
            return Ok(());
        }
        if end > layout.max_plain_len() {
            return Err(ErrorKind::TooLarge.into());
        }
        if gap > CHUNK_LEN as u64 {
            let space = self.store.space()?;
            let room = space.avail.saturating_mul(space.block_size);
            let whole = space.blocks.saturating_mul(space.block_size);
            let before = layout.cipher_len(size).ok_or(ErrorKind::TooLarge)?;
            let after = layout.cipher_len(end).ok_or(ErrorKind::TooLarge)?;
            if after - before > whole {
                // Not even an empty disk could hold it.
                return Err(ErrorKind::TooLarge.into());
            }
            if after - before > room {
                return Err(ErrorKind::NoSpace.into());
            }
        }
        Ok(())
    }

    /// Writes zeros from `size` up to the chunk that holds `offset`; the rest of the gap is patched
    /// together with the data.
    pub(crate) fn fill_gap(
        &self,
        node: &Arc<FileNode<S>>,
        io: &mut FileIo<S>,
        size: u64,
        offset: u64,
    ) -> Result<()> {
        let stop = ChunkIndex::of(offset).0 * CHUNK_LEN as u64;
        let mut at = size;
        while at < stop {
            let len = (CHUNK_LEN as u64 - at % CHUNK_LEN as u64).min(stop - at);
            self.write_runs(node, io, at, &ZEROS[..len as usize])?;
            at += len;
        }
        Ok(())
    }

    fn write_runs(
        &self,
        node: &Arc<FileNode<S>>,
        io: &mut FileIo<S>,
        offset: u64,
        data: &[u8],
    ) -> Result<()> {
        let layout = self.cryptor.layout();
        self.ensure_header(io);
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let skip = (at % CHUNK_LEN as u64) as usize;
            let most = (RUN * CHUNK_LEN - skip).min(data.len() - done);
            let (len, way) = self.way_of_run(node, io, at, most)?;
            let front = match way {
                Way::InPlace if io.header_pending => layout.header_len(),
                Way::InPlace => 0,
                Way::Logged | Way::TailLogged => HEAD_LEN,
            };
            let chunks = (skip + len).div_ceil(CHUNK_LEN);
            let capacity = front + chunks * layout.cipher_chunk_len();
            scratch::with(capacity, |cipher| {
                let part = &data[done..done + len];
                let filled = front + self.seal_run(node, io, at, part, &mut cipher[front..])?;
                self.put_run(node, io, ChunkIndex::of(at), way, &mut cipher[..filled])
            })?;
            done += len;
        }
        Ok(())
    }

    /// How far the run at `offset` goes, at most `most` bytes, and which way it takes.
    ///
    /// Chunks that exist go through the journal, and so does what grows the last of them. What lies
    /// behind the end goes to the file at once.
    fn way_of_run(
        &self,
        node: &Arc<FileNode<S>>,
        io: &mut FileIo<S>,
        offset: u64,
        most: usize,
    ) -> Result<(usize, Way)> {
        if self.journal_for(node).is_none() {
            // Its last name is gone: nothing is logged any more, and nothing may hide what follows.
            self.settle(node, io)?;
            return Ok((most, Way::InPlace));
        }
        if io.header_pending {
            return Ok((most, Way::InPlace));
        }
        let size = self.plain_len(node, io)?;
        let stored_in_full = io
            .logged
            .as_ref()
            .is_none_or(|logged| logged.stored_len == io.cipher_len);
        let index = ChunkIndex::of(offset);
        if index.plain_start() < size {
            let grows_last = index == ChunkIndex::of(size) && most >= RUN * CHUNK_LEN / 2;
            let fresh = self.cryptor.layout().chunk_start(index) >= io.durable_len;
            if grows_last && fresh && stored_in_full && !is_logged(io, index) {
                return Ok((most, Way::TailLogged));
            }
            // A run that overwrites whole chunks up to the end stops there; what follows is new.
            let to_end = size.saturating_sub(offset);
            let splits = size % CHUNK_LEN as u64 == 0 && to_end < most as u64 && stored_in_full;
            let len = if splits { to_end as usize } else { most };
            return Ok((len, Way::Logged));
        }
        if !stored_in_full && most < RUN * CHUNK_LEN / 2 {
            // The file on disk is shorter than its content for a moment: small additions wait too.
            return Ok((most, Way::Logged));
        }
        Ok((most, Way::InPlace))
    }

    /// Sends a sealed run its way.
    fn put_run(
        &self,
        node: &Arc<FileNode<S>>,
        io: &mut FileIo<S>,
        first: ChunkIndex,
        way: Way,
        run: &mut [u8],
    ) -> Result<()> {
        match way {
            Way::Logged => {
                let journal = self.journal.as_ref().ok_or(ErrorKind::Internal)?;
                self.log_chunks(journal, node, io, first, run)
            }
            Way::TailLogged => {
                let start = self.cryptor.layout().chunk_start(first);
                // No record may follow that declares this one done.
                self.before_extension(node, io)?;
                self.log_tail(node, io, first, run, |io, sealed| {
                    self.store_run(node, io, start, sealed)
                })
            }
            Way::InPlace if io.header_pending => {
                // A new file: header and first chunks go out together.
                let header = io.header.as_ref().ok_or(ErrorKind::Internal)?;
                let len = self.cryptor.layout().header_len();
                self.cryptor.seal_header(header, &mut run[..len]);
                self.store_run(node, io, 0, run)
            }
            Way::InPlace => {
                let start = self.cryptor.layout().chunk_start(first);
                self.store_run(node, io, start, run)
            }
        }
    }

    /// Seals one run into `cipher` and returns how long it got.
    fn seal_run(
        &self,
        node: &Arc<FileNode<S>>,
        io: &FileIo<S>,
        offset: u64,
        data: &[u8],
        cipher: &mut [u8],
    ) -> Result<usize> {
        let layout = self.cryptor.layout();
        let size = self.plain_len(node, io)?;
        let header = io.header.as_ref().ok_or(ErrorKind::Internal)?;
        let mut filled = 0;
        let mut taken = 0;
        for span in layout.spans(offset, data.len()) {
            let part = &data[taken..taken + span.len];
            taken += span.len;
            let old_len = layout.chunk_plain_len(span.index, size);
            let room = &mut cipher[filled..];
            if span.skip == 0 && span.len >= old_len {
                let _crypt = Span::of(Phase::Crypt);
                filled +=
                    with_rng(|rng| self.cryptor.seal_chunk(header, span.index, rng, part, room));
                continue;
            }
            let mut plain = ChunkBuf::take();
            if old_len > 0 {
                let sealed_len = old_len + layout.overhead();
                let old = &mut room[..sealed_len];
                let got = self.read_sealed(io, span.index, old)?;
                let _crypt = Span::of(Phase::Crypt);
                self.cryptor
                    .open_chunk(header, span.index, &old[..got], &mut plain[..old_len])
                    .map_err(|_| self.corrupt(node, "chunk"))?;
            }
            if span.skip > old_len {
                plain[old_len..span.skip].fill(0);
            }
            plain[span.skip..span.skip + span.len].copy_from_slice(part);
            let new_len = old_len.max(span.skip + span.len);
            let _crypt = Span::of(Phase::Crypt);
            filled += with_rng(|rng| {
                self.cryptor
                    .seal_chunk(header, span.index, rng, &plain[..new_len], room)
            });
        }
        Ok(filled)
    }

    /// Writes sealed bytes in place; after a failure the file has its old length again, so that no torn chunk
    /// is left behind the old end.
    fn store_run(
        &self,
        node: &Arc<FileNode<S>>,
        io: &mut FileIo<S>,
        start: u64,
        sealed: &[u8],
    ) -> Result<()> {
        let end = start + sealed.len() as u64;
        self.before_extension(node, io)?;
        if end > ONE_PAGE {
            self.log_extension(node, io, start.max(io.cipher_len))?;
        }
        node.touch_data();
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        if let Err(e) = self.store.write_at(file, sealed, start) {
            if end > io.cipher_len {
                let _ = self.store.set_len(file, io.cipher_len);
            }
            return Err(Error::from(e));
        }
        io.header_pending = false;
        io.cipher_len = io.cipher_len.max(end);
        if let Some(logged) = &mut io.logged {
            logged.stored_len = io.cipher_len;
        }
        if let Body::File(file) = &node.body {
            file.len.changed(io.cipher_len);
        }
        Ok(())
    }

    /// Gives a file without content its header, in memory.
    pub(crate) fn ensure_header(&self, io: &mut FileIo<S>) {
        if io.header.is_none() {
            io.header = Some(Box::new(with_rng(|rng| self.cryptor.create_header(rng))));
            io.header_pending = true;
        }
    }

    /// Puts a header that exists only in memory on disk. The file's times stay: nobody changed its
    /// content.
    pub(crate) fn write_pending_header(
        &self,
        node: &Arc<FileNode<S>>,
        io: &mut FileIo<S>,
    ) -> Result<()> {
        if !io.header_pending {
            return Ok(());
        }
        let len = self.cryptor.layout().header_len();
        let mut buf = [0u8; 128];
        let header = io.header.as_ref().ok_or(ErrorKind::Internal)?;
        self.cryptor.seal_header(header, &mut buf[..len]);
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        let before = self.store.stat_file(file)?;
        self.store_run(node, io, 0, &buf[..len])?;
        let (atime, mtime) = (TimeSet::At(before.atime), TimeSet::At(before.mtime));
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        Ok(self
            .store
            .set_times(Node::File(file), Some(atime), Some(mtime))?)
    }
}
