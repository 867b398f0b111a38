//! Reading: one `read_at` for a run of chunks, each opened straight into the caller's buffer.

use std::sync::Arc;

use oxcrypt_core::ChunkBuf;
use oxcrypt_core::content::layout::{CHUNK_LEN, ChunkIndex};
use oxcrypt_store::Store;
use oxcrypt_store::timing::{Phase, Span};

use crate::error::{ErrorKind, Result};
use crate::node::{FileIo, Node};
use crate::scratch;
use crate::types::NodeId;
use crate::vault_fs::VaultFs;

/// Chunks taken from the store at once: enough to amortise the call, few enough to stay in the cache
/// of one CPU until they are opened.
const RUN: usize = 4;

impl<S: Store> VaultFs<S> {
    /// Fills `out` from `offset` on; fewer bytes mean the end of the file.
    ///
    /// # Errors
    /// `Corrupt` when any chunk in the range fails its authentication: nothing of it is returned.
    pub fn read(&self, node: NodeId, offset: u64, out: &mut [u8]) -> Result<usize> {
        let node = self.node(node)?;
        let io = self.file_for_read(&node)?;
        self.read_locked(&node, &io, offset, out)
    }

    pub(crate) fn read_locked(
        &self,
        node: &Arc<Node<S>>,
        io: &FileIo<S>,
        offset: u64,
        out: &mut [u8],
    ) -> Result<usize> {
        let Some(header) = &io.header else {
            return Ok(0);
        };
        if io.header_pending {
            return Ok(0);
        }
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        let layout = self.cryptor.layout();
        let (chunk_len, overhead) = (layout.cipher_chunk_len(), layout.overhead());
        let mut done = 0;
        while done < out.len() {
            let at = offset
                .checked_add(done as u64)
                .ok_or(ErrorKind::InvalidArgument)?;
            if at >= layout.max_plain_len() {
                break;
            }
            let first = ChunkIndex::of(at);
            let mut skip = (at % CHUNK_LEN as u64) as usize;
            let chunks = (skip + out.len() - done).div_ceil(CHUNK_LEN).min(RUN);
            let (chunks, in_log) = same_place(io, first, chunks);
            let want = chunks * chunk_len;
            let step = scratch::with(want, |cipher| -> Result<(usize, bool)> {
                let got = if in_log {
                    self.read_sealed(io, first, cipher)?
                } else {
                    self.store
                        .read_at(file, cipher, layout.chunk_start(first))?
                };
                let mut filled = 0;
                let mut end = got < want;
                let _crypt = Span::of(Phase::Crypt);
                for (i, chunk) in cipher[..got].chunks(chunk_len).enumerate() {
                    let index = ChunkIndex(first.0 + i as u64);
                    let room = &mut out[done + filled..];
                    // A trailing chunk without content does not exist in a sound file.
                    let len = chunk.len().checked_sub(overhead).filter(|n| *n > 0);
                    let len = len.ok_or_else(|| self.corrupt(node, "length"))?;
                    let damaged = |_| self.corrupt(node, "chunk");
                    if skip == 0 && room.len() >= len {
                        filled += self
                            .cryptor
                            .open_chunk(header, index, chunk, &mut room[..len])
                            .map_err(damaged)?;
                    } else if skip < len {
                        let mut plain = ChunkBuf::take();
                        self.cryptor
                            .open_chunk(header, index, chunk, &mut plain[..len])
                            .map_err(damaged)?;
                        let part = (len - skip).min(room.len());
                        room[..part].copy_from_slice(&plain[skip..skip + part]);
                        filled += part;
                    }
                    end |= len < CHUNK_LEN;
                    skip = 0;
                }
                Ok((filled, end))
            })?;
            done += step.0;
            if step.1 {
                break;
            }
        }
        Ok(done)
    }
}

/// How many of the next `chunks` can be taken at once, and whether that is one from the journal.
fn same_place<S: Store>(io: &FileIo<S>, first: ChunkIndex, chunks: usize) -> (usize, bool) {
    let Some(logged) = &io.logged else {
        return (chunks, false);
    };
    match logged.chunks.range(first.0..).next() {
        Some((index, _)) if *index == first.0 => (1, true),
        Some((index, _)) => {
            let before = usize::try_from(index - first.0).unwrap_or(chunks);
            (chunks.min(before), false)
        }
        None => (chunks, false),
    }
}
