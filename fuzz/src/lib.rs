//! What the targets share: vaults with a known key, one for each cipher combination and backend.

pub mod tree;

use oxcrypt_core::{Backend, CipherCombo, Cryptor, MasterKey};

/// The key of all vaults here.
pub fn key() -> MasterKey {
    MasterKey::from_raw(&[0x5a; MasterKey::LEN])
}

/// The vault a byte of the input chooses.
pub fn cryptor(choice: u8) -> Cryptor {
    let combo = if choice & 1 == 0 {
        CipherCombo::SivGcm
    } else {
        CipherCombo::SivCtrMac
    };
    let backend = Backend::ALL[usize::from(choice >> 1) % Backend::ALL.len()];
    Cryptor::with_backend(&key(), combo, 220, backend)
}
