//! Both cipher combinations by AWS-LC.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use oxcrypt_secret::Locked;
use subtle::ConstantTimeEq;

use super::chunk::{ChunkCipher, Context, gcm_aad};
use crate::error::Error;
use crate::wipe::wipe;

const GCM_TAG: usize = 16;
const MAC_TAG: usize = 32;

/// AES-256-GCM.
pub(crate) struct Gcm {
    key: LessSafeKey,
}

impl Gcm {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self { key: gcm_key(key) }
    }
}

fn gcm_key(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("AES-256 keys are 32 bytes"))
}

impl Drop for Gcm {
    // The library does not wipe the expanded key, which lies inside the value: the expansion of
    // a key of zeros takes its place.
    fn drop(&mut self) {
        self.key = gcm_key(&[0; 32]);
    }
}

impl ChunkCipher for Gcm {
    fn seal(&self, nonce: &[u8], context: Context<'_>, plain: &[u8], body: &mut [u8]) {
        let mut aad = [0; 20];
        let aad_len = gcm_aad(context, &mut aad);
        // The only out-of-place sealing the library offers is that of its "extra" input.
        self.key
            .seal_in_place_scatter(
                gcm_nonce(nonce),
                Aad::from(&aad[..aad_len]),
                &mut [],
                plain,
                body,
            )
            .expect("a chunk is far below the limits of GCM");
    }

    fn open(
        &self,
        nonce: &[u8],
        context: Context<'_>,
        body: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error> {
        let mut aad = [0; 20];
        let aad_len = gcm_aad(context, &mut aad);
        let (cipher, tag) = body.split_last_chunk::<GCM_TAG>().ok_or(Error::Truncated)?;
        let aad = Aad::from(&aad[..aad_len]);
        self.key
            .open_separate_gather(gcm_nonce(nonce), aad, cipher, tag, out)
            .map_err(|_| {
                // Decryption runs along with the check here: leave nothing that failed it.
                wipe(out);
                Error::Authentication
            })
    }
}

fn gcm_nonce(nonce: &[u8]) -> Nonce {
    Nonce::try_assume_unique_for_key(nonce).expect("GCM nonces are 12 bytes")
}

/// AES-256-CTR with a 128-bit counter, then HMAC-SHA256. The library wipes both keys.
pub(crate) struct CtrMac {
    ctr: EncryptingKey,
    /// Shared by all files of the vault.
    mac: Arc<Locked<hmac::Key>>,
}

impl CtrMac {
    pub(crate) fn new(ctr_key: &[u8; 32], mac_key: &[u8; 32]) -> Self {
        Self {
            ctr: ctr(ctr_key),
            mac: Arc::new(Locked::build(|| hmac::Key::new(hmac::HMAC_SHA256, mac_key))),
        }
    }

    /// The cipher with another content key and the same MAC key.
    pub(crate) fn with_content_key(&self, content_key: &[u8; 32]) -> Self {
        Self {
            ctr: ctr(content_key),
            mac: Arc::clone(&self.mac),
        }
    }

    /// The library ciphers in place only.
    fn apply(&self, nonce: &[u8], input: &[u8], out: &mut [u8]) {
        out.copy_from_slice(input);
        let iv: [u8; 16] = nonce.try_into().expect("counter blocks are 16 bytes");
        self.ctr
            .less_safe_encrypt(out, EncryptionContext::Iv128(iv.into()))
            .expect("counter mode takes any length");
    }

    fn tag(&self, nonce: &[u8], context: Context<'_>, cipher: &[u8]) -> hmac::Tag {
        let mut mac = hmac::Context::with_key(&self.mac);
        if let Context::Chunk {
            header_nonce,
            index,
        } = context
        {
            mac.update(header_nonce);
            mac.update(&index.to_be_bytes());
        }
        mac.update(nonce);
        mac.update(cipher);
        mac.sign()
    }
}

fn ctr(key: &[u8; 32]) -> EncryptingKey {
    let key = UnboundCipherKey::new(&AES_256, key).expect("AES-256 keys are 32 bytes");
    EncryptingKey::ctr(key).expect("AES-256 has a counter mode")
}

impl ChunkCipher for CtrMac {
    fn seal(&self, nonce: &[u8], context: Context<'_>, plain: &[u8], body: &mut [u8]) {
        let (cipher, tag) = body.split_at_mut(plain.len());
        self.apply(nonce, plain, cipher);
        tag.copy_from_slice(self.tag(nonce, context, cipher).as_ref());
    }

    fn open(
        &self,
        nonce: &[u8],
        context: Context<'_>,
        body: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error> {
        let (cipher, tag) = body.split_last_chunk::<MAC_TAG>().ok_or(Error::Truncated)?;
        if !bool::from(self.tag(nonce, context, cipher).as_ref().ct_eq(tag)) {
            return Err(Error::Authentication);
        }
        self.apply(nonce, cipher, out);
        Ok(())
    }
}
