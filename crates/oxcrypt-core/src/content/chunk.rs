//! The seam between the format and the implementations of its ciphers.
//!
//! A backend supplies both cipher combinations completely; which one runs is decided when a
//! vault is opened. Everything about offsets, nonces and lengths is done here or in
//! [`super::header`], once for all backends.

use crate::error::Error;
use crate::key::MasterKey;
use crate::suite::CipherCombo;

#[cfg(feature = "aws-lc")]
use super::aws_lc;
use super::rust_crypto;

/// Whose implementation of the ciphers is used for content.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Backend {
    /// AWS-LC: the fastest on common processors.
    #[cfg(feature = "aws-lc")]
    AwsLc,
    /// The RustCrypto crates: portable, and the check on the other.
    RustCrypto,
}

impl Backend {
    /// All backends of this build, the default first.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "aws-lc")]
        Self::AwsLc,
        Self::RustCrypto,
    ];

    /// The name shown to users.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => "aws-lc",
            Self::RustCrypto => "rustcrypto",
        }
    }
}

impl Default for Backend {
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A keyed cipher, for a header (with the vault's keys) or for the chunks of one file.
///
/// Pieces are `nonce || ciphertext || tag`. `context` is authenticated with the piece; how it
/// is laid out belongs to the cipher combination, and [`super::header`] supplies it.
pub(crate) trait ChunkCipher {
    /// Writes the ciphertext and the tag of `plain` to `body`, which has exactly that length.
    fn seal(&self, nonce: &[u8], context: Context<'_>, plain: &[u8], body: &mut [u8]);

    /// Writes the cleartext to `out`, which has exactly its length. On failure `out` holds
    /// zeros or what it held before.
    fn open(
        &self,
        nonce: &[u8],
        context: Context<'_>,
        body: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error>;
}

/// What a piece is bound to.
#[derive(Clone, Copy)]
pub(crate) enum Context<'a> {
    /// A header is bound to nothing but the vault's keys.
    Header,
    /// A chunk is bound to its file and to its place in it.
    Chunk { header_nonce: &'a [u8], index: u64 },
}

/// The ciphers of one combination from one backend.
pub(crate) enum Cipher {
    #[cfg(feature = "aws-lc")]
    AwsGcm(aws_lc::Gcm),
    #[cfg(feature = "aws-lc")]
    AwsCtrMac(aws_lc::CtrMac),
    Gcm(rust_crypto::Gcm),
    CtrMac(rust_crypto::CtrMac),
}

impl ChunkCipher for Cipher {
    #[inline]
    fn seal(&self, nonce: &[u8], context: Context<'_>, plain: &[u8], body: &mut [u8]) {
        match self {
            #[cfg(feature = "aws-lc")]
            Self::AwsGcm(cipher) => cipher.seal(nonce, context, plain, body),
            #[cfg(feature = "aws-lc")]
            Self::AwsCtrMac(cipher) => cipher.seal(nonce, context, plain, body),
            Self::Gcm(cipher) => cipher.seal(nonce, context, plain, body),
            Self::CtrMac(cipher) => cipher.seal(nonce, context, plain, body),
        }
    }

    #[inline]
    fn open(
        &self,
        nonce: &[u8],
        context: Context<'_>,
        body: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error> {
        match self {
            #[cfg(feature = "aws-lc")]
            Self::AwsGcm(cipher) => cipher.open(nonce, context, body, out),
            #[cfg(feature = "aws-lc")]
            Self::AwsCtrMac(cipher) => cipher.open(nonce, context, body, out),
            Self::Gcm(cipher) => cipher.open(nonce, context, body, out),
            Self::CtrMac(cipher) => cipher.open(nonce, context, body, out),
        }
    }
}

/// The vault's part of content encryption: the cipher of headers, and the MAC key of chunks
/// where the combination has one.
pub(crate) struct ContentKeys {
    pub(crate) combo: CipherCombo,
    pub(crate) backend: Backend,
    pub(crate) header: Cipher,
}

impl ContentKeys {
    pub(crate) fn new(key: &MasterKey, combo: CipherCombo, backend: Backend) -> Self {
        let header = match (combo, backend) {
            #[cfg(feature = "aws-lc")]
            (CipherCombo::SivGcm, Backend::AwsLc) => Cipher::AwsGcm(aws_lc::Gcm::new(key.enc())),
            #[cfg(feature = "aws-lc")]
            (CipherCombo::SivCtrMac, Backend::AwsLc) => {
                Cipher::AwsCtrMac(aws_lc::CtrMac::new(key.enc(), key.mac()))
            }
            (CipherCombo::SivGcm, Backend::RustCrypto) => {
                Cipher::Gcm(rust_crypto::Gcm::new(key.enc()))
            }
            (CipherCombo::SivCtrMac, Backend::RustCrypto) => {
                Cipher::CtrMac(rust_crypto::CtrMac::new(key.enc(), key.mac()))
            }
        };
        Self {
            combo,
            backend,
            header,
        }
    }

    /// The cipher of a file's chunks.
    pub(crate) fn of_file(&self, content_key: &[u8; 32]) -> Cipher {
        match &self.header {
            #[cfg(feature = "aws-lc")]
            Cipher::AwsGcm(_) => Cipher::AwsGcm(aws_lc::Gcm::new(content_key)),
            #[cfg(feature = "aws-lc")]
            Cipher::AwsCtrMac(vault) => Cipher::AwsCtrMac(vault.with_content_key(content_key)),
            Cipher::Gcm(_) => Cipher::Gcm(rust_crypto::Gcm::new(content_key)),
            Cipher::CtrMac(vault) => Cipher::CtrMac(vault.with_content_key(content_key)),
        }
    }
}

/// GCM's associated data of a chunk: `be64(index) || header nonce`.
pub(crate) fn gcm_aad(context: Context<'_>, buf: &mut [u8; 20]) -> usize {
    match context {
        Context::Header => 0,
        Context::Chunk {
            header_nonce,
            index,
        } => {
            buf[..8].copy_from_slice(&index.to_be_bytes());
            buf[8..].copy_from_slice(header_nonce);
            buf.len()
        }
    }
}
