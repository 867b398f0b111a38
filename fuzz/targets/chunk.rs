//! A chunk: any bytes, and a sound chunk changed in one place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oxcrypt_core::{CHUNK_LEN, ChunkIndex, TestRng};

fuzz_target!(|data: &[u8]| {
    let Some(([choice, index, at, change], data)) = data.split_first_chunk::<4>() else {
        return;
    };
    let cryptor = oxcrypt_fuzz::cryptor(*choice);
    let mut rng = TestRng::new(1);
    let header = cryptor.create_header(&mut rng);
    let index = ChunkIndex(u64::from(*index));
    let mut out = vec![0; CHUNK_LEN];
    assert!(cryptor.open_chunk(&header, index, data, &mut out).is_err());
    assert!(out.iter().all(|b| *b == 0));

    let plain = &data[..data.len().min(CHUNK_LEN)];
    let mut chunk = vec![0; plain.len() + cryptor.layout().overhead()];
    cryptor.seal_chunk(&header, index, &mut rng, plain, &mut chunk);
    let at = usize::from(*at) * 131 % chunk.len();
    chunk[at] ^= change;
    match cryptor.open_chunk(&header, index, &chunk, &mut out) {
        Ok(len) => assert!(*change == 0 && out[..len] == *plain),
        Err(_) => assert!(*change != 0 && out.iter().all(|b| *b == 0)),
    }
});
