//! The test vectors of project Wycheproof against the ciphers as the format uses them: valid cases
//! must match byte for byte, invalid ones must be refused. Cases whose shape the format never
//! has (other key, nonce or tag lengths, other associated data) are left out; each test counts
//! what it ran, so that a filter that fits nothing is noticed.

use aes::Aes256Enc;
use aes_kw::KeyInit;
use wycheproof::TestResult;

use crate::content::cipher_tests::{Pieces, gcm, hmac_sha256};
use crate::masterkey_file::{unwrap_half, wrap_half};
use crate::siv::{BlockSiv, SIV_LEN};

/// Nonce 12 bytes, tag 16, no associated data: a header of `SIV_GCM`.
#[test]
fn aes_256_gcm() {
    use wycheproof::aead::{TestName, TestSet};
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let mut ran = [0; 2];
    for group in set.test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for case in group.tests.iter().filter(|case| case.aad.is_empty()) {
            let body = [&case.ct[..], &case.tag[..]].concat();
            let key = case.key[..].try_into().unwrap();
            let is_valid = case.result == TestResult::Valid;
            for cipher in gcm(key) {
                let opened = cipher.open(&case.nonce, &body);
                assert_eq!(opened.is_ok(), is_valid, "case {}", case.tc_id);
                if is_valid {
                    assert_eq!(opened.unwrap(), case.pt[..], "case {}", case.tc_id);
                    assert_eq!(cipher.seal(&case.nonce, &case.pt), body);
                }
            }
            ran[usize::from(is_valid)] += 1;
        }
    }
    assert_eq!(ran, [27, 21], "invalid and valid cases");
}

/// The MAC of `SIV_CTRMAC`: what it covers begins with a nonce of 16 bytes.
#[test]
fn hmac_sha_256() {
    use wycheproof::mac::{TestName, TestSet};
    let set = TestSet::load(TestName::HmacSha256).unwrap();
    let mut ran = [0; 2];
    for group in set.test_groups {
        if (group.key_size, group.tag_size) != (256, 256) {
            continue;
        }
        for case in group.tests.iter().filter(|case| case.msg.len() >= 16) {
            let (nonce, cipher) = case.msg.split_at(16);
            let body = [cipher, &case.tag[..]].concat();
            let is_valid = case.result == TestResult::Valid;
            for mac in hmac_sha256(case.key[..].try_into().unwrap()) {
                let opened = mac.open(nonce, &body);
                assert_eq!(opened.is_ok(), is_valid, "case {}", case.tc_id);
            }
            ran[usize::from(is_valid)] += 1;
        }
    }
    assert_eq!(ran, [27, 11], "invalid and valid cases");
}

/// Associated data first, then the nonce, as components of a SIV; 256-bit halves.
#[test]
fn aes_siv_512() {
    use wycheproof::aead::{TestName, TestSet};
    let set = TestSet::load(TestName::AesSivCmac).unwrap();
    let mut ran = [0; 2];
    for group in set.test_groups {
        if group.key_size != 512 || group.tag_size != 128 {
            continue;
        }
        for case in &group.tests {
            let half = |part: &[u8]| Aes256Enc::new_from_slice(part).unwrap();
            let siv = BlockSiv::from_halves(half(&case.key[..32]), half(&case.key[32..]));
            let prefix = siv.extend(siv.prefix(&case.aad), &case.nonce);
            let sealed = [&case.tag[..], &case.ct[..]].concat();
            let mut opened = vec![0; sealed.len() - SIV_LEN];
            let is_valid = case.result == TestResult::Valid;
            let result = siv.open(prefix, &sealed, &mut opened);
            assert_eq!(result.is_ok(), is_valid, "case {}", case.tc_id);
            if is_valid {
                assert_eq!(opened, case.pt[..], "case {}", case.tc_id);
                let mut again = vec![0; sealed.len()];
                siv.seal(prefix, &case.pt, &mut again);
                assert_eq!(again, sealed, "case {}", case.tc_id);
            }
            ran[usize::from(is_valid)] += 1;
        }
    }
    assert_eq!(ran, [216, 84], "invalid and valid cases");
}

/// A half of the master key under the key of a passphrase: 32 bytes, wrapped 40.
#[test]
fn aes_256_key_wrap() {
    use wycheproof::keywrap::{TestName, TestSet};
    let set = TestSet::load(TestName::AesKeyWrap).unwrap();
    let mut ran = [0; 2];
    for group in set.test_groups {
        if group.key_size != 256 {
            continue;
        }
        for case in group.tests {
            let Ok(wrapped) = <[u8; 40]>::try_from(&case.ct[..]) else {
                continue;
            };
            let kek: [u8; 32] = case.key[..].try_into().unwrap();
            let unwrapped = unwrap_half(&kek, &wrapped);
            let is_valid = case.result == TestResult::Valid;
            assert_eq!(unwrapped.is_some(), is_valid, "case {}", case.tc_id);
            if let Some(half) = unwrapped {
                assert_eq!(half[..], case.pt[..], "case {}", case.tc_id);
                assert_eq!(wrap_half(&kek, &half), wrapped);
            }
            ran[usize::from(is_valid)] += 1;
        }
    }
    assert_eq!(ran, [12, 4], "invalid and valid cases");
}

/// Section 4.6: 256 bits of key data under a 256-bit key.
#[test]
fn rfc_3394_4_6() {
    let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    let kek: [u8; 32] = std::array::from_fn(|i| i as u8);
    let half = hex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f");
    let half: [u8; 32] = half.try_into().unwrap();
    let wrapped =
        hex("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21");
    assert_eq!(wrap_half(&kek, &half)[..], wrapped);
    let mut wrapped: [u8; 40] = wrapped.try_into().unwrap();
    assert_eq!(*unwrap_half(&kek, &wrapped).unwrap(), half);
    for bit in 0..320 {
        wrapped[bit / 8] ^= 1 << (bit % 8);
        assert!(unwrap_half(&kek, &wrapped).is_none(), "bit {bit}");
        wrapped[bit / 8] ^= 1 << (bit % 8);
    }
}
