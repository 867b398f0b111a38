//! Writing in place, chunk by chunk.
//!
//! Every chunk that a write touches is sealed anew under a fresh nonce; a chunk that is only partly
//! covered is read, opened and patched first. A run of neighbouring chunks reaches the store in one
//! `write_at`. Memory is bounded by one run, whatever the size of the file.

use std::sync::Arc;

use oxcrypt_core::ChunkBuf;
use oxcrypt_core::content::layout::{CHUNK_LEN, ChunkIndex};
use oxcrypt_core::rng::with_rng;
use oxcrypt_store::{Node, Store, TimeSet};

use super::open::Need;
use crate::error::{Error, ErrorKind, Result};
use crate::node::{FileIo, Node as FileNode};
use crate::scratch;
use crate::types::NodeId;
use crate::vault_fs::VaultFs;

/// Chunks sealed before they are written together.
const RUN: usize = 8;
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
        let _own = node.own.begin();
        let mut io = self.file_for(&node, Need::Write)?;
        self.write_locked(&node, &mut io, offset, data)
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
        let head = if io.header_pending {
            layout.header_len()
        } else {
            0
        };
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let skip = (at % CHUNK_LEN as u64) as usize;
            let len = (RUN * CHUNK_LEN - skip).min(data.len() - done);
            let chunks = (skip + len).div_ceil(CHUNK_LEN);
            let capacity = head + chunks * layout.cipher_chunk_len();
            scratch::with(capacity, |cipher| {
                self.write_run(node, io, at, &data[done..done + len], cipher)
            })?;
            done += len;
        }
        Ok(())
    }

    /// Seals one run into `cipher` and writes it.
    fn write_run(
        &self,
        node: &Arc<FileNode<S>>,
        io: &mut FileIo<S>,
        offset: u64,
        data: &[u8],
        cipher: &mut [u8],
    ) -> Result<()> {
        let layout = self.cryptor.layout();
        let size = self.plain_len(node, io)?;
        let header = io.header.as_ref().ok_or(ErrorKind::Internal)?;
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        let mut start = layout.chunk_start(ChunkIndex::of(offset));
        let mut filled = 0;
        if io.header_pending {
            // A new file: header and first chunks go out together.
            filled = layout.header_len();
            self.cryptor.seal_header(header, &mut cipher[..filled]);
            start = 0;
        }
        let mut taken = 0;
        for span in layout.spans(offset, data.len()) {
            let part = &data[taken..taken + span.len];
            taken += span.len;
            let old_len = layout.chunk_plain_len(span.index, size);
            let room = &mut cipher[filled..];
            if span.skip == 0 && span.len >= old_len {
                filled +=
                    with_rng(|rng| self.cryptor.seal_chunk(header, span.index, rng, part, room));
                continue;
            }
            let mut plain = ChunkBuf::take();
            if old_len > 0 {
                let sealed_len = old_len + layout.overhead();
                let old = &mut room[..sealed_len];
                let got = self
                    .store
                    .read_at(file, old, layout.chunk_start(span.index))?;
                self.cryptor
                    .open_chunk(header, span.index, &old[..got], &mut plain[..old_len])
                    .map_err(|_| self.corrupt(node, "chunk"))?;
            }
            if span.skip > old_len {
                plain[old_len..span.skip].fill(0);
            }
            plain[span.skip..span.skip + span.len].copy_from_slice(part);
            let new_len = old_len.max(span.skip + span.len);
            filled += with_rng(|rng| {
                self.cryptor
                    .seal_chunk(header, span.index, rng, &plain[..new_len], room)
            });
        }
        self.store_run(io, start, &cipher[..filled])
    }

    /// Writes sealed bytes; after a failure the file has its old length again, so that no torn chunk
    /// is left behind the old end.
    fn store_run(&self, io: &mut FileIo<S>, start: u64, sealed: &[u8]) -> Result<()> {
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        if let Err(e) = self.store.write_at(file, sealed, start) {
            if start + sealed.len() as u64 > io.cipher_len {
                let _ = self.store.set_len(file, io.cipher_len);
            }
            return Err(Error::from(e));
        }
        io.header_pending = false;
        io.cipher_len = io.cipher_len.max(start + sealed.len() as u64);
        Ok(())
    }

    /// Gives a file without content its header, in memory.
    pub(crate) fn ensure_header(&self, io: &mut FileIo<S>) {
        if io.header.is_none() {
            io.header = Some(with_rng(|rng| self.cryptor.create_header(rng)));
            io.header_pending = true;
        }
    }

    /// Puts a header that exists only in memory on disk. The file's times stay: nobody changed its
    /// content.
    pub(crate) fn write_pending_header(&self, io: &mut FileIo<S>) -> Result<()> {
        if !io.header_pending {
            return Ok(());
        }
        let len = self.cryptor.layout().header_len();
        let mut buf = [0u8; 128];
        let header = io.header.as_ref().ok_or(ErrorKind::Internal)?;
        self.cryptor.seal_header(header, &mut buf[..len]);
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        let before = self.store.stat_file(file)?;
        self.store_run(io, 0, &buf[..len])?;
        let (atime, mtime) = (TimeSet::At(before.atime), TimeSet::At(before.mtime));
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        Ok(self
            .store
            .set_times(Node::File(file), Some(atime), Some(mtime))?)
    }
}
