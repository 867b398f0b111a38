//! The header of a file and, with it, the sealing and opening of its chunks (§12.1, §12.2).

use super::chunk::{ChunkCipher, Cipher, ContentKeys, Context};
use super::layout::{CHUNK_LEN, ChunkIndex, HEADER_PAYLOAD_LEN};
use crate::error::Error;
use crate::key::with_wiped;
use crate::rng::Rng;
use crate::suite::CipherCombo;

/// Bytes of the longest header.
const MAX_HEADER_LEN: usize = 88;

/// Bytes before the content key, written as ones and ignored when read.
const RESERVED_LEN: usize = 8;

/// The header of one file. Its existence means that it was made here or authenticated; it holds
/// the expanded content key, wiped on drop, so that a chunk costs no key setup.
pub struct FileHeader {
    combo: CipherCombo,
    /// The header as it is stored. Kept instead of the content key: sealing again would use the
    /// same nonce on the same payload and give the same bytes.
    sealed: [u8; MAX_HEADER_LEN],
    cipher: Cipher,
}

impl FileHeader {
    pub(crate) fn create(keys: &ContentKeys, rng: &mut impl Rng) -> Self {
        let mut sealed = [0; MAX_HEADER_LEN];
        let nonce_len = keys.combo.nonce_len();
        let header = &mut sealed[..keys.combo.layout().header_len()];
        let (nonce, body) = header.split_at_mut(nonce_len);
        rng.fill(nonce);
        let cipher = with_wiped(|payload: &mut [u8; HEADER_PAYLOAD_LEN]| {
            payload[..RESERVED_LEN].fill(0xff);
            rng.fill(&mut payload[RESERVED_LEN..]);
            keys.header.seal(nonce, Context::Header, payload, body);
            keys.of_file(content_key(payload))
        });
        Self {
            combo: keys.combo,
            sealed,
            cipher,
        }
    }

    pub(crate) fn open(keys: &ContentKeys, header: &[u8]) -> Result<Self, Error> {
        let header_len = keys.combo.layout().header_len();
        if header.len() < header_len {
            return Err(Error::Truncated);
        }
        if header.len() > header_len {
            return Err(Error::Oversized);
        }
        let (nonce, body) = header.split_at(keys.combo.nonce_len());
        let cipher = with_wiped(|payload: &mut [u8; HEADER_PAYLOAD_LEN]| {
            keys.header.open(nonce, Context::Header, body, payload)?;
            Ok(keys.of_file(content_key(payload)))
        })?;
        let mut sealed = [0; MAX_HEADER_LEN];
        sealed[..header_len].copy_from_slice(header);
        Ok(Self {
            combo: keys.combo,
            sealed,
            cipher,
        })
    }

    /// The header as it is stored at the start of the file.
    #[must_use]
    pub fn sealed(&self) -> &[u8] {
        &self.sealed[..self.combo.layout().header_len()]
    }

    fn nonce(&self) -> &[u8] {
        &self.sealed[..self.combo.nonce_len()]
    }

    fn context(&self, index: ChunkIndex) -> Context<'_> {
        Context::Chunk {
            header_nonce: self.nonce(),
            index: index.0,
        }
    }

    pub(crate) fn seal_chunk(
        &self,
        index: ChunkIndex,
        rng: &mut impl Rng,
        plain: &[u8],
        out: &mut [u8],
    ) -> usize {
        assert!(
            plain.len() <= CHUNK_LEN,
            "a chunk holds at most {CHUNK_LEN} bytes"
        );
        let sealed_len = plain.len() + self.combo.layout().overhead();
        let (nonce, body) = out[..sealed_len].split_at_mut(self.combo.nonce_len());
        rng.fill(nonce);
        self.cipher.seal(nonce, self.context(index), plain, body);
        sealed_len
    }

    pub(crate) fn open_chunk(
        &self,
        index: ChunkIndex,
        cipher: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let layout = self.combo.layout();
        let plain_len = cipher
            .len()
            .checked_sub(layout.overhead())
            .ok_or(Error::Truncated)?;
        if plain_len > CHUNK_LEN {
            return Err(Error::Oversized);
        }
        let (nonce, body) = cipher.split_at(self.combo.nonce_len());
        self.cipher
            .open(nonce, self.context(index), body, &mut out[..plain_len])?;
        Ok(plain_len)
    }
}

fn content_key(payload: &[u8; HEADER_PAYLOAD_LEN]) -> &[u8; 32] {
    payload
        .last_chunk()
        .expect("the payload ends in the content key")
}

impl std::fmt::Debug for FileHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileHeader({})", self.combo)
    }
}
