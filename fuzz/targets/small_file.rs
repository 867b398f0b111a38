//! `dirid.c9r` and `symlink.c9r`: any bytes, and any content rightly sealed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oxcrypt_core::{
    CHUNK_LEN, ChunkIndex, TestRng, open_dir_id_file, open_symlink, seal_dir_id_file,
};

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let cryptor = oxcrypt_fuzz::cryptor(*choice);
    let _ = open_dir_id_file(&cryptor, data);
    let _ = open_symlink(&cryptor, data);

    let plain = &data[..data.len().min(CHUNK_LEN)];
    let mut rng = TestRng::new(1);
    let header = cryptor.create_header(&mut rng);
    let mut chunk = vec![0; plain.len() + cryptor.layout().overhead()];
    cryptor.seal_chunk(&header, ChunkIndex(0), &mut rng, plain, &mut chunk);
    let file = [header.sealed(), &chunk].concat();
    if let Ok(id) = open_dir_id_file(&cryptor, &file) {
        assert_eq!(id.as_bytes(), plain);
        let again = seal_dir_id_file(&cryptor, &id, &mut rng);
        assert_eq!(open_dir_id_file(&cryptor, &again), Ok(id));
    }
    if let Ok(target) = open_symlink(&cryptor, &file) {
        assert_eq!(target.as_bytes(), plain);
    }
});
