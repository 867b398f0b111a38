//! `vault.cryptomator`: any bytes, and any header and payload rightly signed.

#![no_main]

use data_encoding::BASE64URL_NOPAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use oxcrypt_core::UnverifiedVaultConfig;

fn check(token: &[u8]) {
    let Ok(config) = UnverifiedVaultConfig::parse(token) else {
        return;
    };
    if let Ok(oxcrypt_core::KeySource::MasterKeyFile(name)) = config.key_source() {
        assert!(!name.contains(['/', '\\', '\0']) && name != ".." && !name.is_empty());
    }
    if let Ok(verified) = config.verify(&oxcrypt_fuzz::key()) {
        assert_eq!(verified.format(), 8);
        assert!((1..=10_240).contains(&verified.threshold()));
        let again = verified.render(&oxcrypt_fuzz::key());
        let again = UnverifiedVaultConfig::parse(again.as_bytes()).unwrap();
        assert_eq!(again.verify(&oxcrypt_fuzz::key()), Ok(verified));
    }
}

fuzz_target!(|data: &[u8]| {
    check(data);
    // The first line as header, the rest as payload.
    let Some(line) = data.iter().position(|b| *b == b'\n') else {
        return;
    };
    let signed = format!(
        "{}.{}",
        BASE64.encode(&data[..line]),
        BASE64.encode(&data[line + 1..])
    );
    let mac = Hmac::<sha2::Sha256>::new_from_slice(oxcrypt_fuzz::key().raw()).unwrap();
    let signature = mac.chain_update(&signed).finalize().into_bytes();
    check(format!("{signed}.{}", BASE64.encode(&signature)).as_bytes());
});
