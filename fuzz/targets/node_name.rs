//! The name of a node: opened, searched for conflicts, read as a name of an old format.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oxcrypt_core::legacy::{LegacyName, long_name_hash, long_name_path};
use oxcrypt_core::name::conflict::{conflict_names, extract};
use oxcrypt_core::{CleartextName, DirId, NameBuf, NodeKind};

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let cryptor = oxcrypt_fuzz::cryptor(0);
    let dir = cryptor.dir_names(&DirId::ROOT);
    let mut buf = NameBuf::new();
    let mut tries = 0;
    match choice % 4 {
        0 => {
            let _ = NodeKind::of(data);
            if let Ok(name) = cryptor.open_name(&dir, data, &mut buf) {
                // Other spellings than NFC are opened, but not written.
                if let Ok(clear) = CleartextName::from_text(name)
                    && clear.as_str() == name
                {
                    assert_eq!(cryptor.seal_name(&dir, &clear).full(), data);
                }
            }
        }
        1 => {
            let found = extract(data, |text| {
                tries += 1;
                cryptor
                    .open_name(&dir, &[text, b".c9r"].concat(), &mut buf)
                    .is_ok()
            });
            assert!(tries <= 128);
            if let Some(found) = found {
                let whole = [found.prefix, found.text, found.suffix, b".c9r"].concat();
                assert_eq!(whole, data);
            }
        }
        2 => {
            let Ok(text) = std::str::from_utf8(data) else {
                return;
            };
            if let Some(name) = LegacyName::find(text) {
                assert!(text.contains(name.as_str()));
                let _ = name.migrated_node(220);
            }
            if let Some(hash) = long_name_hash(text) {
                let _ = long_name_path(hash);
            }
        }
        _ => {
            // A cleartext name, the way there and back, and the names of its conflicting copies.
            let Ok(clear) = CleartextName::parse(data) else {
                return;
            };
            let sealed = cryptor.seal_name(&dir, &clear);
            assert_eq!(
                cryptor.open_name(&dir, sealed.full(), &mut buf),
                Ok(clear.as_str())
            );
            let threshold = u32::from(*choice) * 2;
            assert!(conflict_names(clear.as_str(), data, threshold).count() <= 10);
        }
    }
});
