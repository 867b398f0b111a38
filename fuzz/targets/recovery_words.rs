//! A typed recovery key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oxcrypt_core::{RecoveryError, recovery};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match recovery::decode(text) {
        Ok(key) => {
            let typed: Vec<_> = text.split_whitespace().map(str::to_lowercase).collect();
            assert_eq!(*recovery::encode(&key), typed.join(" "));
        }
        Err(RecoveryError::UnknownWord { suggestions, .. }) => assert!(suggestions.len() <= 3),
        Err(_) => {}
    }
});
