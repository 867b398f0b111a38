//! Changing the length of a file.

use std::sync::Arc;

use oxcrypt_core::ChunkBuf;
use oxcrypt_core::content::layout::{CHUNK_LEN, ChunkIndex};
use oxcrypt_core::rng::with_rng;
use oxcrypt_store::Store;

use super::write::ZEROS;
use crate::error::{ErrorKind, Result};
use crate::journal::HEAD_LEN;
use crate::node::{FileIo, Node};
use crate::scratch;
use crate::vault_fs::VaultFs;

impl<S: Store> VaultFs<S> {
    /// Cuts or grows the file to `len` bytes; growth becomes zeros.
    pub(crate) fn set_len_locked(
        &self,
        node: &Arc<Node<S>>,
        io: &mut FileIo<S>,
        len: u64,
    ) -> Result<()> {
        if self.journal_for(node).is_none() {
            self.settle(node, io)?;
        }
        if len == 0 {
            return self.cut_to_nothing(node, io);
        }
        let size = self.plain_len(node, io)?;
        if len < size {
            return self.cut(node, io, len);
        }
        if len > size {
            self.check_growth(size, len, len - size)?;
            // Up to the chunk that holds the last byte, then that byte's chunk itself.
            self.fill_gap(node, io, size, len)?;
            let at = self.plain_len(node, io)?;
            if at < len {
                self.write_locked(node, io, at, &ZEROS[..(len - at) as usize])?;
            }
        }
        Ok(())
    }

    /// Leaves the header, so that other programs never meet an empty ciphertext file. This also
    /// rescues a file whose length is impossible: its content is given up on request.
    fn cut_to_nothing(&self, node: &Arc<Node<S>>, io: &mut FileIo<S>) -> Result<()> {
        let header_len = self.cryptor.layout().header_len() as u64;
        if io.cipher_len <= header_len {
            return Ok(());
        }
        let is_logged = io.logged.is_some();
        let cut = Cut {
            at: header_len,
            cipher_len: header_len,
            shorter: None,
        };
        let mut record = [0; HEAD_LEN];
        self.do_cut(node, io, is_logged, &cut, &mut record)
    }

    /// Cuts inside the content: the last chunk is sealed anew at its shorter length, and this and
    /// the new length are one step in the journal.
    fn cut(&self, node: &Arc<Node<S>>, io: &mut FileIo<S>, len: u64) -> Result<()> {
        let layout = self.cryptor.layout();
        let cipher_len = layout.cipher_len(len).ok_or(ErrorKind::TooLarge)?;
        let keep = (len % CHUNK_LEN as u64) as usize;
        scratch::with(HEAD_LEN + layout.cipher_chunk_len(), |record| {
            if keep == 0 {
                // A cut between chunks is one step by itself, unless records would undo it.
                let is_logged = io.logged.is_some();
                let cut = Cut {
                    at: cipher_len,
                    cipher_len,
                    shorter: None,
                };
                return self.do_cut(node, io, is_logged, &cut, &mut record[..HEAD_LEN]);
            }
            let index = ChunkIndex::of(len);
            let mut plain = ChunkBuf::take();
            let whole = self.open_whole(node, io, index, &mut record[HEAD_LEN..], &mut plain)?;
            if whole < keep {
                return Err(self.corrupt(node, "length"));
            }
            let filled = self.seal_one(io, index, &plain[..keep], &mut record[HEAD_LEN..])?;
            let cut = Cut {
                at: layout.chunk_start(index),
                cipher_len,
                shorter: Some((index, &plain[..whole])),
            };
            self.do_cut(node, io, true, &cut, &mut record[..HEAD_LEN + filled])
        })
    }

    /// `record` has the chunk at `cut.at`, sealed at its new length, behind room for a head.
    fn do_cut(
        &self,
        node: &Arc<Node<S>>,
        io: &mut FileIo<S>,
        is_logged: bool,
        cut: &Cut<'_>,
        record: &mut [u8],
    ) -> Result<()> {
        if is_logged && let Some(journal) = self.journal_for(node) {
            let range = (cut.at, cut.cipher_len);
            self.log_cut(journal, node, io, range, record)
                .inspect_err(|_| self.take_back(node, io, None))?;
        }
        self.cut_in_place(node, io, cut, &record[HEAD_LEN..])
            .inspect_err(|_| self.take_back(node, io, cut.shorter))
    }

    fn cut_in_place(
        &self,
        node: &Arc<Node<S>>,
        io: &mut FileIo<S>,
        cut: &Cut<'_>,
        sealed: &[u8],
    ) -> Result<()> {
        node.touch_data();
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        if !sealed.is_empty() {
            self.store.write_at(file, sealed, cut.at)?;
        }
        self.store.set_len(file, cut.cipher_len)?;
        io.cipher_len = cut.cipher_len;
        self.cut_done(node, io);
        Ok(())
    }

    /// After a cut that failed: puts back the chunk whose place a shorter one has begun to take, and
    /// lets no replay repeat the cut.
    fn take_back(
        &self,
        node: &Arc<Node<S>>,
        io: &mut FileIo<S>,
        chunk: Option<(ChunkIndex, &[u8])>,
    ) {
        let restored = chunk.map_or(Ok(()), |(index, plain)| {
            let layout = self.cryptor.layout();
            let mut sealed = vec![0; layout.cipher_chunk_len()];
            let filled = self.seal_one(io, index, plain, &mut sealed)?;
            let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
            let start = layout.chunk_start(index);
            Ok(self.store.write_at(file, &sealed[..filled], start)?)
        });
        if let Err(e) = restored.and_then(|()| self.declare_done(node, io)) {
            tracing::error!(error = %e, "a cut that failed could not be taken back");
        }
    }

    /// Opens the chunk at `index` as it is now, by way of `room`, and returns its length.
    fn open_whole(
        &self,
        node: &Arc<Node<S>>,
        io: &FileIo<S>,
        index: ChunkIndex,
        room: &mut [u8],
        plain: &mut [u8],
    ) -> Result<usize> {
        let header = io.header.as_ref().ok_or(ErrorKind::Internal)?;
        let got = self.read_sealed(io, index, room)?;
        let whole = got.checked_sub(self.cryptor.layout().overhead());
        let whole = whole.ok_or_else(|| self.corrupt(node, "length"))?;
        self.cryptor
            .open_chunk(header, index, &room[..got], &mut plain[..whole])
            .map_err(|_| self.corrupt(node, "chunk"))?;
        Ok(whole)
    }

    fn seal_one(
        &self,
        io: &FileIo<S>,
        index: ChunkIndex,
        plain: &[u8],
        out: &mut [u8],
    ) -> Result<usize> {
        let header = io.header.as_ref().ok_or(ErrorKind::Internal)?;
        Ok(with_rng(|rng| {
            self.cryptor.seal_chunk(header, index, rng, plain, out)
        }))
    }
}

/// From where on a file changes, how long its ciphertext becomes, and the chunk that loses its end,
/// with its content as it was.
struct Cut<'a> {
    at: u64,
    cipher_len: u64,
    shorter: Option<(ChunkIndex, &'a [u8])>,
}
