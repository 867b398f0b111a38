//! AES-SIV with a 512-bit key (RFC 5297), for directory ids (no associated data) and names (one
//! component, the parent's id).
//!
//! Written over the block cipher so that what depends only on the directory is computed once
//! per directory: S2V starts with `dbl(CMAC(0)) ^ CMAC(associated data)`, 16 bytes that
//! [`Siv::prefix`] keeps. A name then costs one CMAC of itself and one counter pass, without
//! key setup and without heap.

use aes::Aes256Enc;
use aes::Block;
use aes::cipher::consts::U16;
use aes::cipher::{
    BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::error::Error;
use crate::key::MasterKey;
use crate::wipe::wipe;

/// Bytes of the synthetic IV, which comes before the ciphertext.
pub const SIV_LEN: usize = 16;

/// Counter blocks encrypted in one go: a name of 255 bytes.
const CTR_BATCH: usize = 16;

/// AES-SIV with a 512-bit key.
pub type Siv = BlockSiv<Aes256Enc>;

/// The expanded keys; wiped on drop.
pub struct BlockSiv<C> {
    mac: C,
    ctr: C,
    /// CMAC subkeys: `dbl(AES(0))` and its double.
    full: u128,
    padded: u128,
    /// S2V without associated data: `CMAC(0)`.
    zero: u128,
}

/// S2V over the associated data, before the plaintext: depends on the key and the directory.
#[derive(Clone, Copy)]
pub struct SivPrefix(u128);

impl std::fmt::Debug for SivPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SivPrefix { .. }")
    }
}

impl<C> Drop for BlockSiv<C> {
    fn drop(&mut self) {
        self.full.zeroize();
        self.padded.zeroize();
        self.zero.zeroize();
    }
}

impl Siv {
    /// The cipher of a vault: the MAC half is the CMAC key, the encryption half the counter key.
    #[must_use]
    pub fn new(key: &MasterKey) -> Self {
        Self::from_halves(
            Aes256Enc::new(key.mac().into()),
            Aes256Enc::new(key.enc().into()),
        )
    }
}

impl<C: BlockCipherEncrypt<BlockSize = U16>> BlockSiv<C> {
    /// The cipher of an RFC 5297 key, whose first half keys `mac`, the second `ctr`.
    #[must_use]
    pub fn from_halves(mac: C, ctr: C) -> Self {
        let mut block = Block::default();
        mac.encrypt_block(&mut block);
        let full = double(word(&block.0));
        let mut siv = Self {
            mac,
            ctr,
            full,
            padded: double(full),
            zero: 0,
        };
        siv.zero = siv.cmac(&[0; 16]);
        siv
    }

    /// The state for no associated data at all.
    #[must_use]
    pub fn prefix_without_data(&self) -> SivPrefix {
        SivPrefix(self.zero)
    }

    /// The state for exactly one component, which may be empty: not the same as none.
    #[must_use]
    pub fn prefix(&self, data: &[u8]) -> SivPrefix {
        self.extend(self.prefix_without_data(), data)
    }

    /// The state for one more component.
    #[must_use]
    pub fn extend(&self, prefix: SivPrefix, data: &[u8]) -> SivPrefix {
        SivPrefix(double(prefix.0) ^ self.cmac(data))
    }

    /// Writes `SIV || ciphertext` to `out`.
    ///
    /// # Panics
    /// When `out` is not 16 bytes longer than `plain`.
    pub fn seal(&self, prefix: SivPrefix, plain: &[u8], out: &mut [u8]) {
        assert_eq!(
            out.len(),
            plain.len() + SIV_LEN,
            "room for the SIV and the ciphertext"
        );
        let tag = self.s2v(prefix, plain);
        let (siv, cipher) = out.split_at_mut(SIV_LEN);
        siv.copy_from_slice(&tag.to_be_bytes());
        self.apply_ctr(tag, plain, cipher);
    }

    /// Writes the cleartext of `sealed` to `out`; on failure `out` is zeroed.
    ///
    /// # Errors
    /// [`Error::Truncated`] below 16 bytes, [`Error::Authentication`] for anything not sealed
    /// with this key and prefix.
    ///
    /// # Panics
    /// When `out` is not exactly 16 bytes shorter than `sealed`.
    pub fn open(&self, prefix: SivPrefix, sealed: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let Some((siv, cipher)) = sealed.split_first_chunk::<SIV_LEN>() else {
            return Err(Error::Truncated);
        };
        assert_eq!(out.len(), cipher.len(), "room for the cleartext");
        let tag = u128::from_be_bytes(*siv);
        self.apply_ctr(tag, cipher, out);
        if bool::from(self.s2v(prefix, out).to_be_bytes().ct_eq(siv)) {
            return Ok(());
        }
        out.zeroize();
        Err(Error::Authentication)
    }

    /// `CMAC(plain xorend D)`, or `CMAC(dbl(D) ^ pad(plain))` when shorter than a block.
    fn s2v(&self, prefix: SivPrefix, plain: &[u8]) -> u128 {
        let last = if plain.len() >= 16 {
            Last::XorEnd(prefix.0)
        } else {
            Last::Short(double(prefix.0) ^ padded(plain))
        };
        self.run_cmac(plain, &last)
    }

    fn cmac(&self, message: &[u8]) -> u128 {
        self.run_cmac(message, &Last::XorEnd(0))
    }

    fn run_cmac(&self, message: &[u8], last: &Last) -> u128 {
        let mut mac = 0;
        self.mac.encrypt_with_backend(Cmac {
            message,
            last,
            full: self.full,
            padded: self.padded,
            mac: &mut mac,
        });
        mac
    }

    /// Counter mode from the SIV with bits 31 and 63 cleared.
    fn apply_ctr(&self, siv: u128, input: &[u8], out: &mut [u8]) {
        let start = siv & !((1 << 63) | (1 << 31));
        self.ctr.encrypt_with_backend(Ctr { start, input, out });
    }
}

/// What the last blocks of a CMAC are made of.
enum Last {
    /// The message's own end, with this value added to its last 16 bytes. Zero for a plain
    /// CMAC, the only case in which the message may be shorter than a block.
    XorEnd(u128),
    /// This whole block instead of the message.
    Short(u128),
}

struct Cmac<'a> {
    message: &'a [u8],
    last: &'a Last,
    full: u128,
    padded: u128,
    mac: &'a mut u128,
}

impl BlockSizeUser for Cmac<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Cmac<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let message = self.message;
        let end = match *self.last {
            Last::Short(block) => {
                *self.mac = encrypt(backend, block ^ self.full);
                return;
            }
            Last::XorEnd(_) if message.len() < 16 => {
                *self.mac = encrypt(backend, padded(message) ^ self.padded);
                return;
            }
            Last::XorEnd(end) => end,
        };
        let Some(beyond) = message.len().checked_sub(17) else {
            *self.mac = encrypt(backend, word(message) ^ end ^ self.full);
            return;
        };
        // The last 17 to 32 bytes are two blocks; `end` overlaps both unless there are 32.
        let (head, tail) = message.split_at(beyond / 16 * 16);
        let mut mac = 0;
        for block in head.chunks_exact(16) {
            mac = encrypt(backend, mac ^ word(block));
        }
        let last_len = tail.len() - 16;
        let mut last = [0; 16];
        last[..last_len].copy_from_slice(&tail[16..]);
        let shift = 8 * last_len as u32;
        let first = word(&tail[..16]) ^ end.checked_shr(shift).unwrap_or(0);
        let last = word(&last) ^ end.checked_shl(128 - shift).unwrap_or(0);
        let last = if last_len == 16 {
            last ^ self.full
        } else {
            last ^ (0x80 << (120 - shift)) ^ self.padded
        };
        mac = encrypt(backend, mac ^ first);
        *self.mac = encrypt(backend, mac ^ last);
    }
}

struct Ctr<'a> {
    start: u128,
    input: &'a [u8],
    out: &'a mut [u8],
}

impl BlockSizeUser for Ctr<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Ctr<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let mut counter = self.start;
        let mut stream = [Block::default(); CTR_BATCH];
        let batch = CTR_BATCH * 16;
        for (input, out) in self.input.chunks(batch).zip(self.out.chunks_mut(batch)) {
            let blocks = &mut stream[..input.len().div_ceil(16)];
            for block in blocks.iter_mut() {
                block.0 = counter.to_be_bytes();
                counter = counter.wrapping_add(1);
                backend.encrypt_block(block.into());
            }
            for ((out, input), key) in out.chunks_mut(16).zip(input.chunks(16)).zip(&*blocks) {
                for ((out, input), key) in out.iter_mut().zip(input).zip(&key.0) {
                    *out = input ^ key;
                }
            }
        }
        let used = self.input.len().min(batch).next_multiple_of(16);
        wipe(&mut Block::slice_as_flattened_mut(&mut stream)[..used]);
    }
}

#[inline(always)]
fn encrypt<B: BlockCipherEncBackend<BlockSize = U16>>(backend: &B, block: u128) -> u128 {
    let mut block: Block = block.to_be_bytes().into();
    backend.encrypt_block((&mut block).into());
    word(&block.0)
}

#[inline(always)]
fn word(block: &[u8]) -> u128 {
    u128::from_be_bytes(block.try_into().expect("16 bytes"))
}

/// `text || 10…0`, for less than 16 bytes.
#[inline(always)]
fn padded(text: &[u8]) -> u128 {
    let mut block = [0; 16];
    block[..text.len()].copy_from_slice(text);
    block[text.len()] = 0x80;
    u128::from_be_bytes(block)
}

/// Doubling in GF(2^128), without a branch on the secret top bit.
#[inline(always)]
const fn double(value: u128) -> u128 {
    (value << 1) ^ ((value >> 127).wrapping_neg() & 0x87)
}

#[cfg(test)]
mod tests {
    use aes::Aes128Enc;
    use aes_siv::siv::Aes256Siv;
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    fn check_rfc(key: &str, data: &[&str], plain: &str, expect: &str) {
        let key = hex(key);
        let half = |part: &[u8]| Aes128Enc::new_from_slice(part).unwrap();
        let siv = BlockSiv::from_halves(half(&key[..16]), half(&key[16..]));
        let prefix = data.iter().fold(siv.prefix_without_data(), |prefix, data| {
            siv.extend(prefix, &hex(data))
        });
        let plain = hex(plain);
        let mut sealed = vec![0; plain.len() + SIV_LEN];
        siv.seal(prefix, &plain, &mut sealed);
        assert_eq!(HEXLOWER.encode(&sealed), expect);
    }

    #[test]
    fn rfc_5297_a_1() {
        check_rfc(
            "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
            &["101112131415161718191a1b1c1d1e1f2021222324252627"],
            "112233445566778899aabbccddee",
            "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c",
        );
    }

    #[test]
    fn rfc_5297_a_2() {
        check_rfc(
            "7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f",
            &[
                "00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100",
                "102030405060708090a0",
                "09f911029d74e35bd84156c5635688c0",
            ],
            "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349\
             562d414553",
            "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3\
             f748ba8af829ea64ad544a272e9c485b62a3fd5c0d",
        );
    }

    proptest! {
        #[test]
        fn agrees_with_another_implementation(
            mac: [u8; 32],
            ctr: [u8; 32],
            data in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..70)),
            plain in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let mut oracle = Aes256Siv::new(&{
                let mut key = [0; 64];
                key[..32].copy_from_slice(&mac);
                key[32..].copy_from_slice(&ctr);
                key.into()
            });
            let expect = oracle.encrypt(data.as_slice(), &plain).unwrap();

            let siv = Siv::from_halves(Aes256Enc::new(&mac.into()), Aes256Enc::new(&ctr.into()));
            let prefix = match &data {
                Some(data) => siv.prefix(data),
                None => siv.prefix_without_data(),
            };
            let mut sealed = vec![0; plain.len() + SIV_LEN];
            siv.seal(prefix, &plain, &mut sealed);
            prop_assert_eq!(&sealed, &expect);

            let mut opened = vec![0; plain.len()];
            siv.open(prefix, &sealed, &mut opened).unwrap();
            prop_assert_eq!(opened, plain);
        }

        #[test]
        fn any_changed_bit_is_noticed(
            plain in proptest::collection::vec(any::<u8>(), 0..80),
            at: prop::sample::Index,
            bit in 0..8,
        ) {
            let siv = Siv::from_halves(
                Aes256Enc::new(&[1; 32].into()),
                Aes256Enc::new(&[2; 32].into()),
            );
            let prefix = siv.prefix(b"id");
            let mut sealed = vec![0; plain.len() + SIV_LEN];
            siv.seal(prefix, &plain, &mut sealed);
            let at = at.index(sealed.len());
            sealed[at] ^= 1_u8 << bit;
            let mut opened = vec![1; plain.len()];
            prop_assert_eq!(siv.open(prefix, &sealed, &mut opened), Err(Error::Authentication));
            prop_assert!(opened.iter().all(|b| *b == 0));
        }
    }

    #[test]
    fn no_component_is_not_one_empty_component() {
        let siv = Siv::from_halves(
            Aes256Enc::new(&[1; 32].into()),
            Aes256Enc::new(&[2; 32].into()),
        );
        assert_ne!(siv.prefix_without_data().0, siv.prefix(b"").0);
    }

    #[test]
    fn too_short_for_a_siv_is_refused() {
        let siv = Siv::from_halves(
            Aes256Enc::new(&[1; 32].into()),
            Aes256Enc::new(&[2; 32].into()),
        );
        let result = siv.open(siv.prefix(b""), &[0; 15], &mut []);
        assert_eq!(result, Err(Error::Truncated));
    }
}
