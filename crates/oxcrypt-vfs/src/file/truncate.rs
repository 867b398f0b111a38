//! Changing the length of a file.

use std::sync::Arc;

use oxcrypt_core::ChunkBuf;
use oxcrypt_core::content::layout::{CHUNK_LEN, ChunkIndex};
use oxcrypt_core::rng::with_rng;
use oxcrypt_store::Store;

use super::write::ZEROS;
use crate::error::{ErrorKind, Result};
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
        if len == 0 {
            return self.cut_to_nothing(io);
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
    fn cut_to_nothing(&self, io: &mut FileIo<S>) -> Result<()> {
        let header_len = self.cryptor.layout().header_len() as u64;
        if io.cipher_len > header_len {
            let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
            self.store.set_len(file, header_len)?;
            io.cipher_len = header_len;
        }
        Ok(())
    }

    fn cut(&self, node: &Arc<Node<S>>, io: &mut FileIo<S>, len: u64) -> Result<()> {
        let layout = self.cryptor.layout();
        let header = io.header.as_ref().ok_or(ErrorKind::Internal)?;
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        let keep = (len % CHUNK_LEN as u64) as usize;
        let new_cipher_len = layout.cipher_len(len).ok_or(ErrorKind::TooLarge)?;
        if keep > 0 {
            // The last chunk is sealed anew at its shorter length.
            let index = ChunkIndex::of(len);
            let start = layout.chunk_start(index);
            scratch::with(layout.cipher_chunk_len(), |cipher| -> Result<()> {
                let got = self.store.read_at(file, cipher, start)?;
                let mut plain = ChunkBuf::take();
                let whole = got.checked_sub(layout.overhead()).filter(|n| *n >= keep);
                let whole = whole.ok_or_else(|| self.corrupt(node, "length"))?;
                self.cryptor
                    .open_chunk(header, index, &cipher[..got], &mut plain[..whole])
                    .map_err(|_| self.corrupt(node, "chunk"))?;
                let sealed = with_rng(|rng| {
                    self.cryptor
                        .seal_chunk(header, index, rng, &plain[..keep], cipher)
                });
                self.store.write_at(file, &cipher[..sealed], start)?;
                Ok(())
            })?;
        }
        self.store.set_len(file, new_cipher_len)?;
        io.cipher_len = new_cipher_len;
        Ok(())
    }
}
