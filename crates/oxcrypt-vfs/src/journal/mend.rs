//! Ends of files that a crash tore.
//!
//! The host writes a growing file from the front, so what a crash leaves of an extension ends
//! anywhere, most likely within a chunk, which then does not authenticate. Where a note says from
//! where on a file grew, everything behind is looked at ([`Mender::behind`]). Notes of the last
//! moments may be missing after a power cut; then only the very end of a file that changed in these
//! moments is ([`Mender::end`]).
//!
//! Cutting off a torn end gives an attacker nothing: who can write to the vault can cut between
//! chunks, which nobody can see.

use oxcrypt_core::content::layout::{CHUNK_LEN, ChunkIndex};
use oxcrypt_core::rng::with_rng;
use oxcrypt_core::{ChunkBuf, Cryptor, FileHeader};
use oxcrypt_store::Store;

use crate::error::Result;

/// Chunks at the end of a file that are looked at without a note. The host has about as much of one
/// file in flight at a time; a longer stretch that does not authenticate is damage of another kind.
const MOST_WITHOUT_NOTE: u64 = 64;

/// Cuts and mends files of one vault.
pub(super) struct Mender<'a, S: Store> {
    pub(super) vault: &'a S,
    pub(super) cryptor: &'a Cryptor,
}

impl<S: Store> Mender<'_, S> {
    /// Cuts off a torn end behind `from`, an offset in the ciphertext; a torn chunk with sound ones
    /// behind it becomes zeros, as on any file system whose power went while it wrote. Returns
    /// whether anything was torn.
    pub(super) fn behind(
        &self,
        file: &S::File,
        header: Option<&FileHeader>,
        from: u64,
    ) -> Result<bool> {
        let size = self.vault.stat_file(file)?.size;
        let Some(header) = header else {
            // A new file whose header never reached the disk.
            let torn = size > 0 && from == 0;
            if torn {
                self.vault.set_len(file, 0)?;
            }
            return Ok(torn);
        };
        let layout = self.cryptor.layout();
        let header_len = layout.header_len() as u64;
        let first = from.saturating_sub(header_len) / layout.cipher_chunk_len() as u64;
        let mut torn = Vec::new();
        let mut sound_end = layout.chunk_start(ChunkIndex(first)).min(size);
        for index in (first..).map(ChunkIndex) {
            match self.look(file, header, index)? {
                Look::Nothing => break,
                Look::Sound { end } => sound_end = end,
                Look::Torn => torn.push(index),
            }
        }
        let mut mended = false;
        for index in torn {
            if layout.chunk_start(index) < sound_end {
                self.blank(file, header, index)?;
                mended = true;
            }
        }
        if sound_end < size {
            self.vault.set_len(file, sound_end.max(header_len))?;
            mended = true;
        }
        Ok(mended)
    }

    /// Cuts off a torn end that nothing is known of. Returns whether there was one.
    pub(super) fn end(&self, file: &S::File, header: Option<&FileHeader>) -> Result<bool> {
        let layout = self.cryptor.layout();
        let header_len = layout.header_len() as u64;
        let size = self.vault.stat_file(file)?.size;
        let Some(header) = header else {
            let torn = size > 0 && size < header_len;
            if torn {
                self.vault.set_len(file, 0)?;
            }
            return Ok(torn);
        };
        let count = size
            .saturating_sub(header_len)
            .div_ceil(layout.cipher_chunk_len() as u64);
        for behind in 0..MOST_WITHOUT_NOTE.min(count) {
            let index = ChunkIndex(count - 1 - behind);
            if let Look::Sound { end } = self.look(file, header, index)? {
                if behind > 0 {
                    self.vault.set_len(file, end)?;
                }
                return Ok(behind > 0);
            }
        }
        let all_torn = count > 0 && count <= MOST_WITHOUT_NOTE;
        if all_torn {
            self.vault.set_len(file, header_len)?;
        }
        Ok(all_torn)
    }

    fn look(&self, file: &S::File, header: &FileHeader, index: ChunkIndex) -> Result<Look> {
        let layout = self.cryptor.layout();
        let start = layout.chunk_start(index);
        let mut sealed = ChunkBuf::take_for_cipher();
        let mut plain = ChunkBuf::take();
        let sealed = &mut sealed[..layout.cipher_chunk_len()];
        let got = self.vault.read_at(file, sealed, start)?;
        if got == 0 {
            return Ok(Look::Nothing);
        }
        let opened = got
            .checked_sub(layout.overhead())
            .filter(|len| *len > 0)
            .is_some_and(|len| {
                self.cryptor
                    .open_chunk(header, index, &sealed[..got], &mut plain[..len])
                    .is_ok()
            });
        Ok(if opened {
            Look::Sound {
                end: start + got as u64,
            }
        } else {
            Look::Torn
        })
    }

    /// Puts a chunk of zeros.
    fn blank(&self, file: &S::File, header: &FileHeader, index: ChunkIndex) -> Result<()> {
        let layout = self.cryptor.layout();
        let mut sealed = vec![0; layout.cipher_chunk_len()];
        let len = with_rng(|rng| {
            let zeros = [0; CHUNK_LEN];
            self.cryptor
                .seal_chunk(header, index, rng, &zeros, &mut sealed)
        });
        Ok(self
            .vault
            .write_at(file, &sealed[..len], layout.chunk_start(index))?)
    }
}

/// What is where a chunk should be.
enum Look {
    Nothing,
    Sound { end: u64 },
    Torn,
}
