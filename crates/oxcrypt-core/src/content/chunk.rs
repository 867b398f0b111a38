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
#[allow(
    clippy::large_enum_variant,
    reason = "one kind is in use in a process; a box would cost each chunk a pointer"
)]
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
            (CipherCombo::SivCtrMac, Backend::AwsLc) => {
                Cipher::AwsCtrMac(aws_lc::CtrMac::new(key.enc(), key.mac()))
            }
            // The other backend keeps its key in memory that nobody locks; a header is 40 bytes,
            // so that which one seals it makes no difference.
            (CipherCombo::SivGcm, _) => Cipher::Gcm(rust_crypto::Gcm::new(key.enc())),
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
        match (&self.header, self.backend) {
            #[cfg(feature = "aws-lc")]
            (Cipher::AwsCtrMac(vault), _) => Cipher::AwsCtrMac(vault.with_content_key(content_key)),
            (Cipher::CtrMac(vault), _) => Cipher::CtrMac(vault.with_content_key(content_key)),
            #[cfg(feature = "aws-lc")]
            (_, Backend::AwsLc) => Cipher::AwsGcm(aws_lc::Gcm::new(content_key)),
            (_, Backend::RustCrypto) => Cipher::Gcm(rust_crypto::Gcm::new(content_key)),
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

#[cfg(test)]
pub(crate) mod tests {
    use data_encoding::HEXLOWER_PERMISSIVE as HEX;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        HEX.decode(text.split_whitespace().collect::<String>().as_bytes())
            .unwrap()
    }

    fn gcm_ciphers(key: &[u8; 32]) -> Vec<Cipher> {
        vec![
            #[cfg(feature = "aws-lc")]
            Cipher::AwsGcm(aws_lc::Gcm::new(key)),
            Cipher::Gcm(rust_crypto::Gcm::new(key)),
        ]
    }

    fn ctr_mac_ciphers(key: &[u8; 32]) -> Vec<Cipher> {
        vec![
            #[cfg(feature = "aws-lc")]
            Cipher::AwsCtrMac(aws_lc::CtrMac::new(key, &[7; 32])),
            Cipher::CtrMac(rust_crypto::CtrMac::new(key, &[7; 32])),
        ]
    }

    /// Pieces bound to nothing, as headers are, for vectors from elsewhere.
    pub(crate) trait Pieces {
        fn seal(&self, nonce: &[u8], plain: &[u8]) -> Vec<u8>;
        fn open(&self, nonce: &[u8], body: &[u8]) -> Result<Vec<u8>, Error>;
    }

    struct Piece {
        cipher: Cipher,
        tag_len: usize,
    }

    impl Pieces for Piece {
        fn seal(&self, nonce: &[u8], plain: &[u8]) -> Vec<u8> {
            let mut body = vec![0; plain.len() + self.tag_len];
            self.cipher.seal(nonce, Context::Header, plain, &mut body);
            body
        }

        fn open(&self, nonce: &[u8], body: &[u8]) -> Result<Vec<u8>, Error> {
            let mut out = vec![0; body.len() - self.tag_len];
            self.cipher.open(nonce, Context::Header, body, &mut out)?;
            Ok(out)
        }
    }

    pub(crate) fn gcm(key: &[u8; 32]) -> impl Iterator<Item = impl Pieces> {
        let piece = |cipher| Piece {
            cipher,
            tag_len: 16,
        };
        gcm_ciphers(key).into_iter().map(piece)
    }

    pub(crate) fn hmac_sha256(mac_key: &[u8; 32]) -> impl Iterator<Item = impl Pieces> {
        let ciphers = vec![
            #[cfg(feature = "aws-lc")]
            Cipher::AwsCtrMac(aws_lc::CtrMac::new(&[3; 32], mac_key)),
            Cipher::CtrMac(rust_crypto::CtrMac::new(&[3; 32], mac_key)),
        ];
        let piece = |cipher| Piece {
            cipher,
            tag_len: 32,
        };
        ciphers.into_iter().map(piece)
    }

    /// Case 16 of the GCM specification, whose associated data happens to be 20 bytes.
    struct GcmCase {
        key: [u8; 32],
        nonce: Vec<u8>,
        header_nonce: Vec<u8>,
        index: u64,
        plain: Vec<u8>,
        body: Vec<u8>,
    }

    fn gcm_case() -> GcmCase {
        GcmCase {
            key: hex("feffe9928665731c6d6a8f9467308308 feffe9928665731c6d6a8f9467308308")
                .try_into()
                .unwrap(),
            nonce: hex("cafebabefacedbaddecaf888"),
            index: 0xfeed_face_dead_beef,
            header_nonce: hex("feedfacedeadbeefabaddad2"),
            plain: hex(
                "d9313225f88406e5a55909c5aff5269a 86a7a9531534f7da2e4c303d8a318a72
                        1c3c0c95956809532fcf0e2449a6b525 b16aedf5aa0de657ba637b39",
            ),
            body: hex(
                "522dc1f099567d07f47f37a32a84427d 643a8cdcbfe5c0c97598a2bd2555d1aa
                       8cb08e48590dbb3da7b08b1056828838 c5f61e6393ba7a0abcc9f662
                       76fc6ece0f4e1768cddf8853bb2d551b",
            ),
        }
    }

    #[test]
    fn gcm_is_that_of_its_specification() {
        let case = gcm_case();
        let context = Context::Chunk {
            header_nonce: &case.header_nonce,
            index: case.index,
        };
        for cipher in gcm_ciphers(&case.key) {
            let mut body = vec![0; case.body.len()];
            cipher.seal(&case.nonce, context, &case.plain, &mut body);
            assert_eq!(body, case.body);
            let mut plain = vec![0; case.plain.len()];
            assert_eq!(cipher.open(&case.nonce, context, &body, &mut plain), Ok(()));
            assert_eq!(plain, case.plain);
        }
    }

    #[test]
    fn gcm_refuses_what_differs_in_anything() {
        let case = gcm_case();
        let other_nonce = hex("cafebabefacedbaddecaf889");
        let other_header = hex("feedfacedeadbeefabaddad3");
        for cipher in gcm_ciphers(&case.key) {
            let refuses = |nonce: &[u8], header_nonce: &[u8], index, body: &[u8]| {
                let mut plain = vec![0xee; body.len().saturating_sub(16)];
                let context = Context::Chunk {
                    header_nonce,
                    index,
                };
                let result = cipher.open(nonce, context, body, &mut plain);
                assert!(matches!(
                    result,
                    Err(Error::Authentication | Error::Truncated)
                ));
                assert!(plain.iter().all(|b| *b == 0) || plain.iter().all(|b| *b == 0xee));
            };
            let (nonce, header, index) = (&case.nonce, &case.header_nonce, case.index);
            refuses(&other_nonce, header, index, &case.body);
            refuses(nonce, &other_header, index, &case.body);
            refuses(nonce, header, index ^ 1, &case.body);
            for at in 0..case.body.len() {
                let mut body = case.body.clone();
                body[at] ^= 0x80;
                refuses(nonce, header, index, &body);
                refuses(nonce, header, index, &case.body[..at]);
            }
        }
    }

    #[test]
    fn ctr_is_that_of_sp_800_38a() {
        let key = hex("603deb1015ca71be2b73aef0857d7781 1f352c073b6108d72d9810a30914dff4");
        let nonce = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
        let plain = hex("6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51");
        let expect = hex("601ec313775789a5b7a7f504bbf3d228 f443e3ca4d62b59aca84e990cacaf5c5");
        for cipher in ctr_mac_ciphers(&key.try_into().unwrap()) {
            let mut body = vec![0; plain.len() + 32];
            cipher.seal(&nonce, Context::Header, &plain, &mut body);
            assert_eq!(body[..plain.len()], expect);
        }
    }

    #[test]
    fn the_counter_carries_over_all_of_its_bits() {
        use aes::cipher::{BlockCipherEncrypt, KeyInit};
        let key = [9; 32];
        let mut stream = [[0xff; 16].into(), [0; 16].into()];
        aes::Aes256Enc::new(&key.into()).encrypt_blocks(&mut stream);
        for cipher in ctr_mac_ciphers(&key) {
            let mut body = [0; 64];
            cipher.seal(&[0xff; 16], Context::Header, &[0; 32], &mut body);
            assert_eq!(body[..16], stream[0].0);
            assert_eq!(body[16..32], stream[1].0);
        }
    }

    #[test]
    fn the_mac_covers_header_nonce_then_index_then_piece() {
        use hmac::{Hmac, KeyInit, Mac};
        let (header_nonce, nonce) = ([1; 16], [2; 16]);
        let context = Context::Chunk {
            header_nonce: &header_nonce,
            index: 3,
        };
        for cipher in ctr_mac_ciphers(&[9; 32]) {
            let mut body = [0; 37];
            cipher.seal(&nonce, context, b"plain", &mut body);
            let tag = Hmac::<sha2::Sha256>::new_from_slice(&[7; 32])
                .unwrap()
                .chain_update(header_nonce)
                .chain_update(3_u64.to_be_bytes())
                .chain_update(nonce)
                .chain_update(&body[..5])
                .finalize();
            assert_eq!(body[5..], tag.into_bytes()[..]);
        }
    }
}
