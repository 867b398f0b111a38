//! Ends of files that a crash tore.
//!
//! After a crash the host shows of an extension some first part, or all of its length with zeros in
//! place of pages it had not written yet. Chunks of either do not authenticate. Where a note says
//! from where on a file grew, everything behind is looked at ([`Mender::behind`]). Notes of the last
//! moments may be missing after a power cut; then files that changed in these moments are looked at
//! with more care ([`Mender::unnoted`]): a torn end is cut off, but a chunk with sound ones behind it
//! is given up only if it has a page of zeros, which no ciphertext has.
//!
//! This gives an attacker nothing: who can write to the vault can cut between chunks, which nobody
//! can see.

use oxcrypt_core::content::layout::{CHUNK_LEN, ChunkIndex};
use oxcrypt_core::rng::with_rng;
use oxcrypt_core::{ChunkBuf, Cryptor, FileHeader};
use oxcrypt_store::Store;

use crate::error::Result;

/// Chunks at the end of a file that are looked at without a note: a gibibyte, more than is written
/// before a note becomes durable.
const MOST_WITHOUT_NOTE: u64 = 32 * 1024;
/// What hosts write at once.
const PAGE: usize = 4096;

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
        self.mend(file, header, ChunkIndex(first), size, Evidence::Note)
    }

    /// Cuts off and mends what is torn of a file that may have grown without a note. Returns whether
    /// anything was.
    pub(super) fn unnoted(&self, file: &S::File, header: Option<&FileHeader>) -> Result<bool> {
        let layout = self.cryptor.layout();
        let header_len = layout.header_len();
        let size = self.vault.stat_file(file)?.size;
        let Some(header) = header else {
            let mut front = [0; 128];
            let got = self.vault.read_at(file, &mut front[..header_len], 0)?;
            let torn = got < header_len || front == [0; 128];
            if torn {
                self.vault.set_len(file, 0)?;
            }
            return Ok(torn);
        };
        let count = size
            .saturating_sub(header_len as u64)
            .div_ceil(layout.cipher_chunk_len() as u64);
        let first = ChunkIndex(count.saturating_sub(MOST_WITHOUT_NOTE));
        self.mend(file, header, first, size, Evidence::Zeros)
    }

    fn mend(
        &self,
        file: &S::File,
        header: &FileHeader,
        first: ChunkIndex,
        size: u64,
        evidence: Evidence,
    ) -> Result<bool> {
        let layout = self.cryptor.layout();
        let mut torn = Vec::new();
        let mut sound_end = layout.chunk_start(first).min(size);
        for index in (first.0..).map(ChunkIndex) {
            match self.look(file, header, index)? {
                Look::Nothing => break,
                Look::Sound { end } => sound_end = end,
                Look::Torn { zeros } => torn.push((index, zeros)),
            }
        }
        let mut mended = false;
        for (index, zeros) in torn {
            if layout.chunk_start(index) < sound_end && (zeros || evidence == Evidence::Note) {
                self.blank(file, header, index)?;
                mended = true;
            }
        }
        if sound_end < size {
            let header_len = layout.header_len() as u64;
            self.vault.set_len(file, sound_end.max(header_len))?;
            mended = true;
        }
        Ok(mended)
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
            // Pages of the file, not of the chunk.
            let skip = (start.next_multiple_of(PAGE as u64) - start) as usize;
            let pages = sealed[skip.min(got)..got].chunks_exact(PAGE);
            Look::Torn {
                zeros: pages.into_iter().any(|page| page.iter().all(|b| *b == 0)),
            }
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
    Sound {
        end: u64,
    },
    /// Does not authenticate; `zeros` when a page of it was never written.
    Torn {
        zeros: bool,
    },
}

/// What says that a torn chunk between sound ones was being written for the first time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Evidence {
    Note,
    Zeros,
}
