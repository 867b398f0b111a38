//! `masterkey.cryptomator`, unlocked where that is cheap.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oxcrypt_core::{MasterKeyFile, Passphrase, ScryptParams};

fuzz_target!(|data: &[u8]| {
    let Ok(file) = MasterKeyFile::parse(data) else {
        return;
    };
    assert!(file.params().memory() <= ScryptParams::MAX_MEMORY);
    assert_eq!(
        MasterKeyFile::parse(file.render().as_bytes()).as_ref(),
        Ok(&file)
    );
    if file.params().memory() <= 1 << 16 {
        let _ = file.unlock(&Passphrase::new("p\u{e4}ss".into()));
    }
});
