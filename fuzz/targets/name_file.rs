//! `name.c9s`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oxcrypt_core::name::NameFile;
use oxcrypt_core::{DirId, NameBuf, ShortName};

fuzz_target!(|data: &[u8]| {
    let Ok(file) = NameFile::parse(data) else {
        return;
    };
    assert_eq!(file.full().len() + file.trailing_len(), data.len());
    assert!(file.belongs_to(ShortName::of(file.full()).as_bytes()));
    let cryptor = oxcrypt_fuzz::cryptor(0);
    let dir = cryptor.dir_names(&DirId::ROOT);
    let _ = cryptor.open_name(&dir, file.full(), &mut NameBuf::new());
});
