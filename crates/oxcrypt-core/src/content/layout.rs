//! All offset arithmetic of content files (§12.3); no other module adds or divides sizes.
//!
//! `file = header || chunk 0 || chunk 1 || …`, every chunk but the last is full.
//! Impossible ciphertext sizes are errors, never a guess: a caller that treated them as empty
//! would overwrite what is left of the file.

use crate::suite::CipherCombo;

/// Cleartext bytes of a full chunk, in both cipher combinations.
pub const CHUNK_LEN: usize = 32 * 1024;

const CHUNK: u64 = CHUNK_LEN as u64;

/// Bytes of `reserved || content key`, the cleartext of a header.
pub(crate) const HEADER_PAYLOAD_LEN: usize = 40;

/// Sizes of one cipher combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    header_len: usize,
    overhead: usize,
}

/// Why a ciphertext size cannot be that of a content file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SizeError {
    /// Zero bytes: the file was created and its header never written.
    #[error("the file is empty and has no header")]
    Empty,
    /// Shorter than a header.
    #[error("the file header is cut off")]
    TornHeader,
    /// The last chunk is shorter than nonce and tag: cut off.
    #[error("the last chunk is cut off")]
    TornChunk,
    /// The file ends in a chunk of zero cleartext bytes. Writers of regular files never make
    /// one; if it authenticates, the cleartext length is `plain_len`.
    #[error("the file ends in an empty chunk")]
    EmptyTrailingChunk {
        /// Cleartext bytes before the empty chunk.
        plain_len: u64,
    },
}

impl Layout {
    pub(crate) const fn new(combo: CipherCombo) -> Self {
        let (nonce, tag) = (combo.nonce_len(), combo.tag_len());
        Self {
            header_len: nonce + HEADER_PAYLOAD_LEN + tag,
            overhead: nonce + tag,
        }
    }

    /// Bytes of the file header: 68 or 88.
    #[must_use]
    pub const fn header_len(self) -> usize {
        self.header_len
    }

    /// Bytes a chunk is longer than its cleartext: 28 or 48.
    #[must_use]
    pub const fn overhead(self) -> usize {
        self.overhead
    }

    /// Bytes of a full chunk on disk.
    #[must_use]
    pub const fn cipher_chunk_len(self) -> usize {
        CHUNK_LEN + self.overhead
    }

    const fn cipher_chunk(self) -> u64 {
        self.cipher_chunk_len() as u64
    }

    /// The greatest cleartext length whose ciphertext length fits a signed 64-bit offset.
    #[must_use]
    pub const fn max_plain_len(self) -> u64 {
        let room = i64::MAX as u64 - self.header_len as u64;
        let (full, rest) = (room / self.cipher_chunk(), room % self.cipher_chunk());
        full * CHUNK + rest.saturating_sub(self.overhead as u64)
    }

    /// The ciphertext length of a file of `plain_len` cleartext bytes; `None` when it does not
    /// fit a signed 64-bit offset.
    #[must_use]
    pub const fn cipher_len(self, plain_len: u64) -> Option<u64> {
        if plain_len > self.max_plain_len() {
            return None;
        }
        let (full, rest) = (plain_len / CHUNK, plain_len % CHUNK);
        let tail = if rest == 0 {
            0
        } else {
            rest + self.overhead as u64
        };
        Some(self.header_len as u64 + full * self.cipher_chunk() + tail)
    }

    /// The cleartext length of a file of `cipher_len` bytes.
    ///
    /// # Errors
    /// The length is none a writer can leave; see [`SizeError`].
    pub const fn plain_len(self, cipher_len: u64) -> Result<u64, SizeError> {
        if cipher_len == 0 {
            return Err(SizeError::Empty);
        }
        if cipher_len < self.header_len as u64 {
            return Err(SizeError::TornHeader);
        }
        let payload = cipher_len - self.header_len as u64;
        let (full, rest) = (payload / self.cipher_chunk(), payload % self.cipher_chunk());
        let overhead = self.overhead as u64;
        if rest == 0 {
            Ok(full * CHUNK)
        } else if rest < overhead {
            Err(SizeError::TornChunk)
        } else if rest == overhead {
            Err(SizeError::EmptyTrailingChunk {
                plain_len: full * CHUNK,
            })
        } else {
            Ok(full * CHUNK + rest - overhead)
        }
    }

    /// The ciphertext offset at which a chunk starts; saturates at `u64::MAX`, which no
    /// file reaches.
    #[must_use]
    pub const fn chunk_start(self, index: ChunkIndex) -> u64 {
        index
            .0
            .saturating_mul(self.cipher_chunk())
            .saturating_add(self.header_len as u64)
    }

    /// The parts of the chunks that hold the cleartext range `off .. off + len`, in order.
    /// A range that reaches beyond `u64::MAX` ends there.
    #[must_use]
    pub const fn spans(self, off: u64, len: usize) -> Spans {
        let room = u64::MAX - off;
        let len = if len as u64 > room { room } else { len as u64 };
        Spans { off, left: len }
    }

    /// How many cleartext bytes chunk `index` holds in a file of `file_plain_len`; 0 beyond the end.
    #[must_use]
    pub const fn chunk_plain_len(self, index: ChunkIndex, file_plain_len: u64) -> usize {
        let start = match index.0.checked_mul(CHUNK) {
            Some(start) if start < file_plain_len => start,
            _ => return 0,
        };
        let rest = file_plain_len - start;
        if rest >= CHUNK {
            CHUNK_LEN
        } else {
            rest as usize
        }
    }

    /// How many chunks a file of `plain_len` cleartext bytes has.
    #[must_use]
    pub const fn chunk_count(self, plain_len: u64) -> u64 {
        plain_len.div_ceil(CHUNK)
    }
}

/// The number of a chunk in its file, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkIndex(pub u64);

impl ChunkIndex {
    /// The chunk that holds the cleartext offset `plain_off`.
    #[must_use]
    pub const fn of(plain_off: u64) -> Self {
        Self(plain_off / CHUNK)
    }

    /// The cleartext offset of the chunk's first byte; saturates at `u64::MAX`.
    #[must_use]
    pub const fn plain_start(self) -> u64 {
        self.0.saturating_mul(CHUNK)
    }
}

/// A part of one chunk: `len` cleartext bytes from `skip`. Never crosses a chunk, never empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkSpan {
    /// Which chunk.
    pub index: ChunkIndex,
    /// Cleartext bytes of the chunk before the part.
    pub skip: usize,
    /// Cleartext bytes of the part, at least 1.
    pub len: usize,
}

impl ChunkSpan {
    /// Whether the part is less than a full chunk, so that a write must read the rest first.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.len < CHUNK_LEN
    }
}

/// Iterator of [`ChunkSpan`], made by [`Layout::spans`].
#[derive(Clone, Debug)]
pub struct Spans {
    off: u64,
    left: u64,
}

impl Iterator for Spans {
    type Item = ChunkSpan;

    fn next(&mut self) -> Option<ChunkSpan> {
        if self.left == 0 {
            return None;
        }
        let skip = self.off % CHUNK;
        let len = self.left.min(CHUNK - skip);
        let span = ChunkSpan {
            index: ChunkIndex::of(self.off),
            skip: skip as usize,
            len: len as usize,
        };
        self.off += len;
        self.left -= len;
        Some(span)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = (self.off % CHUNK + self.left).div_ceil(CHUNK);
        let count = if self.left == 0 {
            0
        } else {
            usize::try_from(count).unwrap_or(usize::MAX)
        };
        (count, Some(count))
    }
}

impl ExactSizeIterator for Spans {}
