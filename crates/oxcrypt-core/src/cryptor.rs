//! Everything a file system needs of an unlocked vault, in one shared value.

use oxcrypt_secret::{Locked, scrubbed};
use sha1::{Digest, Sha1};

use crate::content::layout::{ChunkIndex, Layout};
use crate::content::{Backend, ContentKeys, FileHeader};
use crate::dir_id::{DirHash, DirId};
use crate::error::Error;
use crate::key::MasterKey;
use crate::name::{CipherName, CleartextName, NameBuf, NameError, cipher as cipher_name};
use crate::rng::Rng;
use crate::siv::{SIV_LEN, Siv, SivPrefix};
use crate::suite::CipherCombo;

/// The ciphers of one vault. Holds expanded keys only, not the master key, locked in memory; they
/// are wiped on drop. (An expanded AES key begins with the raw one: each half of the master key is
/// there once for names, and the encryption half once more for headers.) `Send` and `Sync`: one
/// value serves all threads.
pub struct Cryptor {
    keys: Locked<Keys>,
    threshold: u32,
}

/// How deep ciphers with the vault's keys reach into the stack, and leave parts of them.
const DEPTH: usize = 3 * 1024;
/// The same for headers, whose cipher lies deeper.
const HEADER_DEPTH: usize = 16 * 1024;

struct Keys {
    siv: Siv,
    content: ContentKeys,
}

/// The part of name encryption that depends on the directory only: 16 bytes, computed once per
/// directory by [`Cryptor::dir_names`].
#[derive(Clone, Copy, Debug)]
pub struct DirNames(SivPrefix);

impl Cryptor {
    /// The ciphers of a vault, by the default backend of this build. A name whose ciphertext is
    /// longer than `shortening_threshold` characters is shortened (§10).
    #[must_use]
    pub fn new(key: &MasterKey, combo: CipherCombo, shortening_threshold: u32) -> Self {
        Self::with_backend(key, combo, shortening_threshold, Backend::default())
    }

    /// The ciphers of a vault, by a chosen backend.
    #[must_use]
    pub fn with_backend(
        key: &MasterKey,
        combo: CipherCombo,
        shortening_threshold: u32,
        backend: Backend,
    ) -> Self {
        Self {
            keys: Locked::build(|| Keys {
                siv: Siv::new(key),
                content: ContentKeys::new(key, combo, backend),
            }),
            threshold: shortening_threshold,
        }
    }

    /// The cipher combination.
    #[must_use]
    pub fn combo(&self) -> CipherCombo {
        self.keys.content.combo
    }

    /// The sizes and offsets of content files.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.combo().layout()
    }

    /// The shortening threshold.
    #[must_use]
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// The backend in use.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.keys.content.backend
    }

    /// Where the content of a directory lies (§8): `base32(sha1(AES-SIV(id)))`.
    #[must_use]
    pub fn dir_hash(&self, id: &DirId) -> DirHash {
        scrubbed::<DEPTH, _>(|| self.hash_of(id.as_bytes()))
    }

    fn hash_of(&self, id: &[u8]) -> DirHash {
        const INLINE: usize = 64;
        let prefix = self.keys.siv.prefix_without_data();
        let digest = if id.len() <= INLINE {
            let mut sealed = [0; INLINE + SIV_LEN];
            let sealed = &mut sealed[..id.len() + SIV_LEN];
            self.keys.siv.seal(prefix, id, sealed);
            Sha1::digest(sealed)
        } else {
            let mut sealed = vec![0; id.len() + SIV_LEN];
            self.keys.siv.seal(prefix, id, &mut sealed);
            Sha1::digest(&sealed)
        };
        DirHash::of_digest(&digest.into())
    }

    /// What the names in a directory have in common.
    #[must_use]
    pub fn dir_names(&self, id: &DirId) -> DirNames {
        scrubbed::<DEPTH, _>(|| DirNames(self.keys.siv.prefix(id.as_bytes())))
    }

    /// The ciphertext name of `name` in a directory (§9, §10). Needs no heap.
    #[must_use]
    pub fn seal_name(&self, dir: &DirNames, name: &CleartextName<'_>) -> CipherName {
        scrubbed::<DEPTH, _>(|| cipher_name::seal(&self.keys.siv, dir.0, name, self.threshold))
    }

    /// The cleartext of a ciphertext name, written to `out`.
    ///
    /// `cipher_name` is the whole name of a `.c9r` node, or the whole content of a `name.c9s`,
    /// **with** its `.c9r`. Only the spelling a writer produces is accepted: a name whose
    /// re-encoding differs is [`NameError::NotCanonical`]. The result is a name a file system
    /// can show (not empty, no `/`, no NUL, not `.` or `..`, at most 255 bytes), but not
    /// necessarily NFC: [`CleartextName::parse`] tells, and gives the spelling to list.
    ///
    /// # Errors
    /// See [`NameError`]; work is bounded whatever the input.
    pub fn open_name<'b>(
        &self,
        dir: &DirNames,
        cipher_name: &[u8],
        out: &'b mut NameBuf,
    ) -> Result<&'b str, NameError> {
        scrubbed::<DEPTH, _>(|| cipher_name::open(&self.keys.siv, dir.0, cipher_name, out))
    }

    /// A new file: random nonce, random content key.
    #[must_use]
    pub fn create_header(&self, rng: &mut impl Rng) -> FileHeader {
        scrubbed::<HEADER_DEPTH, _>(|| FileHeader::create(&self.keys.content, rng))
    }

    /// Writes the stored form of a header to the start of `out`.
    ///
    /// # Panics
    /// When `out` is shorter than [`Layout::header_len`].
    pub fn seal_header(&self, header: &FileHeader, out: &mut [u8]) {
        let sealed = header.sealed();
        out[..sealed.len()].copy_from_slice(sealed);
    }

    /// The header of a file; `header` has exactly [`Layout::header_len`] bytes.
    ///
    /// # Errors
    /// Another length, or not sealed with this vault's key and combination.
    pub fn open_header(&self, header: &[u8]) -> Result<FileHeader, Error> {
        scrubbed::<HEADER_DEPTH, _>(|| FileHeader::open(&self.keys.content, header))
    }

    /// Writes the ciphertext of a chunk under a fresh random nonce to the start of `out`, and
    /// returns its length, `plain.len() + overhead`.
    ///
    /// # Panics
    /// When `plain` is longer than a chunk, or `out` shorter than the result.
    pub fn seal_chunk(
        &self,
        header: &FileHeader,
        index: ChunkIndex,
        rng: &mut impl Rng,
        plain: &[u8],
        out: &mut [u8],
    ) -> usize {
        header.seal_chunk(index, rng, plain, out)
    }

    /// Writes the cleartext of a chunk to the start of `out`, and returns its length. On failure
    /// `out` never holds cleartext that was not authenticated.
    ///
    /// # Errors
    /// Shorter than the overhead, longer than a chunk, or not this chunk of this file.
    ///
    /// # Panics
    /// When `out` is shorter than the cleartext, `cipher.len() - overhead`.
    pub fn open_chunk(
        &self,
        header: &FileHeader,
        index: ChunkIndex,
        cipher: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        header.open_chunk(index, cipher, out)
    }
}

impl std::fmt::Debug for Cryptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cryptor")
            .field("combo", &self.combo())
            .field("backend", &self.backend())
            .field("threshold", &self.threshold)
            .finish_non_exhaustive()
    }
}
