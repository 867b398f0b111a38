//! A file header: none but one made with the key opens.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oxcrypt_core::TestRng;

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let cryptor = oxcrypt_fuzz::cryptor(*choice);
    if let Ok(header) = cryptor.open_header(data) {
        assert_eq!(header.sealed(), data);
    }
    let size = data
        .iter()
        .take(8)
        .fold(0, |size, byte| size << 8 | u64::from(*byte));
    if let Ok(plain) = cryptor.layout().plain_len(size)
        && let Some(cipher) = cryptor.layout().cipher_len(plain)
    {
        assert_eq!(cipher, size);
    }
    // One changed byte of a sound header.
    let header = cryptor.create_header(&mut TestRng::new(1));
    let mut stored = header.sealed().to_vec();
    if let [at, change, ..] = data
        && *change != 0
    {
        let at = usize::from(*at) % stored.len();
        stored[at] ^= change;
        assert!(cryptor.open_header(&stored).is_err());
    }
});
