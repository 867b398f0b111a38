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
        if io.logged.is_some()
            && let Some(journal) = self.journal_for(node)
        {
            let mut record = [0; HEAD_LEN];
            self.log_cut(journal, node, io, (header_len, header_len), &mut record)?;
        }
        self.cut_in_place(node, io, header_len)
    }

    /// Cuts inside the content: the last chunk is sealed anew at its shorter length, and this and
    /// the new length are one step in the journal.
    fn cut(&self, node: &Arc<Node<S>>, io: &mut FileIo<S>, len: u64) -> Result<()> {
        let layout = self.cryptor.layout();
        let cipher_len = layout.cipher_len(len).ok_or(ErrorKind::TooLarge)?;
        let keep = (len % CHUNK_LEN as u64) as usize;
        let start = layout.chunk_start(ChunkIndex::of(len));
        scratch::with(HEAD_LEN + layout.cipher_chunk_len(), |record| {
            let mut filled = HEAD_LEN;
            if keep > 0 {
                filled += self.seal_shorter(node, io, len, &mut record[HEAD_LEN..])?;
            }
            let record = &mut record[..filled];
            // A cut between chunks is one step by itself, unless records would undo it.
            if (keep > 0 || io.logged.is_some())
                && let Some(journal) = self.journal_for(node)
            {
                let at = if keep > 0 { start } else { cipher_len };
                self.log_cut(journal, node, io, (at, cipher_len), record)?;
            }
            if keep > 0 {
                let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
                self.store.write_at(file, &record[HEAD_LEN..], start)?;
            }
            self.cut_in_place(node, io, cipher_len)
        })
    }

    /// Seals the chunk that holds the byte before `len`, up to that byte.
    fn seal_shorter(
        &self,
        node: &Arc<Node<S>>,
        io: &FileIo<S>,
        len: u64,
        out: &mut [u8],
    ) -> Result<usize> {
        let layout = self.cryptor.layout();
        let header = io.header.as_ref().ok_or(ErrorKind::Internal)?;
        let keep = (len % CHUNK_LEN as u64) as usize;
        let index = ChunkIndex::of(len);
        let got = self.read_sealed(io, index, out)?;
        let mut plain = ChunkBuf::take();
        let whole = got.checked_sub(layout.overhead()).filter(|n| *n >= keep);
        let whole = whole.ok_or_else(|| self.corrupt(node, "length"))?;
        self.cryptor
            .open_chunk(header, index, &out[..got], &mut plain[..whole])
            .map_err(|_| self.corrupt(node, "chunk"))?;
        Ok(with_rng(|rng| {
            self.cryptor
                .seal_chunk(header, index, rng, &plain[..keep], out)
        }))
    }

    fn cut_in_place(&self, node: &Arc<Node<S>>, io: &mut FileIo<S>, cipher_len: u64) -> Result<()> {
        node.touch_data();
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        self.store.set_len(file, cipher_len)?;
        io.cipher_len = cipher_len;
        self.cut_done(node, io);
        Ok(())
    }
}
