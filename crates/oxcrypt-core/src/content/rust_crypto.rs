//! Both cipher combinations by the RustCrypto crates.

use std::sync::Arc;

use aes::Aes256Enc;
use aes::cipher::inout::InOutBuf;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipherCore};
use aes_gcm::{AeadInOut, Aes256Gcm};
use hmac::{Hmac, Mac};
use oxcrypt_secret::Locked;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::chunk::{ChunkCipher, Context, gcm_aad};
use crate::error::Error;

const GCM_TAG: usize = 16;
const MAC_TAG: usize = 32;

/// AES-256-GCM. The key schedule is wiped on drop.
pub(crate) struct Gcm(Aes256Gcm);

impl Gcm {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }
}

impl ChunkCipher for Gcm {
    fn seal(&self, nonce: &[u8], context: Context<'_>, plain: &[u8], body: &mut [u8]) {
        let mut aad = [0; 20];
        let aad_len = gcm_aad(context, &mut aad);
        let (cipher, tag) = body.split_at_mut(plain.len());
        let in_out = InOutBuf::new(plain, cipher).expect("cipher and plain are of one length");
        let nonce = nonce.try_into().expect("GCM nonces are 12 bytes");
        let sealed = self
            .0
            .encrypt_inout_detached(nonce, &aad[..aad_len], in_out)
            .expect("a chunk is far below the limits of GCM");
        tag.copy_from_slice(&sealed);
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
        let in_out = InOutBuf::new(cipher, out).expect("out and cipher are of one length");
        let nonce = nonce.try_into().expect("GCM nonces are 12 bytes");
        // The tag is checked before anything is decrypted.
        self.0
            .decrypt_inout_detached(nonce, &aad[..aad_len], in_out, tag.into())
            .map_err(|_| Error::Authentication)
    }
}

/// AES-256-CTR with a 128-bit counter, then HMAC-SHA256.
pub(crate) struct CtrMac {
    ctr: Aes256Enc,
    /// Keyed once and shared by all files; each MAC starts from a copy of this state.
    mac: Arc<Locked<Hmac<Sha256>>>,
}

impl CtrMac {
    pub(crate) fn new(ctr_key: &[u8; 32], mac_key: &[u8; 32]) -> Self {
        let mac = || Hmac::new_from_slice(mac_key).expect("HMAC takes keys of any length");
        Self {
            ctr: Aes256Enc::new(ctr_key.into()),
            mac: Arc::new(Locked::build(mac)),
        }
    }

    /// The cipher with another content key and the same MAC key.
    pub(crate) fn with_content_key(&self, content_key: &[u8; 32]) -> Self {
        Self {
            ctr: Aes256Enc::new(content_key.into()),
            mac: Arc::clone(&self.mac),
        }
    }

    fn apply(&self, nonce: &[u8], input: &[u8], out: &mut [u8]) {
        type Core<'a> = ctr::CtrCore<&'a Aes256Enc, ctr::flavors::Ctr128BE>;
        let iv = nonce.try_into().expect("counter blocks are 16 bytes");
        let core = Core::inner_iv_init(&self.ctr, iv);
        let in_out = InOutBuf::new(input, out).expect("out and input are of one length");
        core.try_apply_keystream_partial(in_out)
            .expect("the 128-bit counter does not run out");
    }

    fn tag(&self, nonce: &[u8], context: Context<'_>, cipher: &[u8]) -> [u8; MAC_TAG] {
        let mut mac = Hmac::clone(&**self.mac);
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
        mac.finalize().into_bytes().into()
    }
}

impl ChunkCipher for CtrMac {
    fn seal(&self, nonce: &[u8], context: Context<'_>, plain: &[u8], body: &mut [u8]) {
        let (cipher, tag) = body.split_at_mut(plain.len());
        self.apply(nonce, plain, cipher);
        tag.copy_from_slice(&self.tag(nonce, context, cipher));
    }

    fn open(
        &self,
        nonce: &[u8],
        context: Context<'_>,
        body: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error> {
        let (cipher, tag) = body.split_last_chunk::<MAC_TAG>().ok_or(Error::Truncated)?;
        if !bool::from(self.tag(nonce, context, cipher).ct_eq(tag)) {
            return Err(Error::Authentication);
        }
        self.apply(nonce, cipher, out);
        Ok(())
    }
}
