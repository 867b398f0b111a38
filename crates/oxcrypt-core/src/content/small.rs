//! Whole files of at most one chunk: link targets and copies of directory ids.

use super::layout::{CHUNK_LEN, ChunkIndex};
use crate::cryptor::Cryptor;
use crate::error::Error;
use crate::rng::Rng;

const FIRST: ChunkIndex = ChunkIndex(0);

/// Whether a file without content ends after its header or has a chunk of no bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmptyChunk {
    Omitted,
    Written,
}

/// Header and chunk of a new file.
pub(crate) fn seal(
    cryptor: &Cryptor,
    rng: &mut impl Rng,
    plain: &[u8],
    empty_chunk: EmptyChunk,
) -> Vec<u8> {
    let layout = cryptor.layout();
    let header = cryptor.create_header(rng);
    let mut file = header.sealed().to_vec();
    if !plain.is_empty() || empty_chunk == EmptyChunk::Written {
        let start = file.len();
        file.resize(start + plain.len() + layout.overhead(), 0);
        cryptor.seal_chunk(&header, FIRST, rng, plain, &mut file[start..]);
    }
    file
}

/// The content of a file of at most `max_len` bytes; with or without an empty chunk.
pub(crate) fn open(cryptor: &Cryptor, file: &[u8], max_len: usize) -> Result<Vec<u8>, Error> {
    let (header, chunk) = file
        .split_at_checked(cryptor.layout().header_len())
        .ok_or(Error::Truncated)?;
    if chunk.len() > max_len.min(CHUNK_LEN) + cryptor.layout().overhead() {
        return Err(Error::Oversized);
    }
    let header = cryptor.open_header(header)?;
    if chunk.is_empty() {
        return Ok(Vec::new());
    }
    let mut plain = vec![0; chunk.len().saturating_sub(cryptor.layout().overhead())];
    cryptor.open_chunk(&header, FIRST, chunk, &mut plain)?;
    Ok(plain)
}
