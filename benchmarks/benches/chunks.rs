//! Full chunks and headers, both cipher combinations and backends, beside the raw AES-256-GCM of
//! the same library on the same bytes at the same place.

use std::hint::black_box;

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use oxcrypt_core::{
    Backend, CHUNK_BUF_LEN, CHUNK_LEN, ChunkIndex, CipherCombo, Cryptor, MasterKey, OsRng, Rng,
    with_rng,
};

const INDEX: ChunkIndex = ChunkIndex(7);

fn raw_primitives(c: &mut Criterion) {
    let mut group = c.benchmark_group("raw 32 KiB");
    group.throughput(Throughput::Bytes(CHUNK_LEN as u64));
    let plain = vec![7; CHUNK_LEN];
    let nonce = [9; 12];
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[3; 32]).expect("32 bytes"));
    let aws_nonce = || Nonce::assume_unique_for_key(nonce);
    let mut in_place = plain.clone();
    group.bench_function("aws-lc seal in place", |b| {
        b.iter(|| {
            key.seal_in_place_separate_tag(
                aws_nonce(),
                Aad::from([1; 20]),
                black_box(&mut in_place),
            )
            .expect("sealed")
        });
    });
    // As in a chunk, the nonce lies before the ciphertext: its place decides how loads align.
    let mut sealed = plain.clone();
    key.seal_in_place_append_tag(aws_nonce(), Aad::from([1; 20]), &mut sealed)
        .expect("sealed");
    let sealed = [&nonce[..], &sealed].concat();
    let mut out = vec![0; CHUNK_LEN];
    let (cipher, tag) = sealed[nonce.len()..].split_at(CHUNK_LEN);
    group.bench_function("aws-lc open", |b| {
        b.iter(|| {
            key.open_separate_gather(
                aws_nonce(),
                Aad::from([1; 20]),
                black_box(cipher),
                tag,
                black_box(&mut out),
            )
            .expect("authentic");
        });
    });
    let mac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[3; 32]);
    group.bench_function("aws-lc HMAC-SHA256, the greater part of SIV_CTRMAC", |b| {
        b.iter(|| aws_lc_rs::hmac::sign(&mac, black_box(&plain)));
    });
    let key = Aes256Gcm::new(&[3; 32].into());
    group.bench_function("rustcrypto seal", |b| {
        b.iter(|| {
            let in_out = InOutBuf::new(black_box(&plain[..]), &mut out).expect("one length");
            key.encrypt_inout_detached(&nonce.into(), &[1; 20], in_out)
                .expect("sealed")
        });
    });
    group.finish();
}

fn chunks(c: &mut Criterion) {
    for combo in [CipherCombo::SivGcm, CipherCombo::SivCtrMac] {
        let mut group = c.benchmark_group(format!("{combo} chunk 32 KiB"));
        group.throughput(Throughput::Bytes(CHUNK_LEN as u64));
        for backend in Backend::ALL {
            let key = MasterKey::from_raw(&[3; 64]);
            let cryptor = Cryptor::with_backend(&key, combo, 220, *backend);
            let header = cryptor.create_header(&mut OsRng);
            let plain = vec![7; CHUNK_LEN];
            let mut sealed = vec![0; CHUNK_BUF_LEN];
            let mut len = 0;
            group.bench_function(format!("{backend} seal"), |b| {
                b.iter(|| {
                    len = with_rng(|rng| {
                        cryptor.seal_chunk(&header, INDEX, rng, black_box(&plain), &mut sealed)
                    });
                });
            });
            len = with_rng(|rng| cryptor.seal_chunk(&header, INDEX, rng, &plain, &mut sealed));
            let mut out = vec![0; CHUNK_LEN];
            group.bench_function(format!("{backend} open"), |b| {
                b.iter(|| {
                    cryptor
                        .open_chunk(&header, INDEX, black_box(&sealed[..len]), &mut out)
                        .expect("authentic")
                });
            });
        }
        group.finish();
    }
}

fn headers(c: &mut Criterion) {
    for combo in [CipherCombo::SivGcm, CipherCombo::SivCtrMac] {
        let mut group = c.benchmark_group(format!("{combo} header"));
        for backend in Backend::ALL {
            let key = MasterKey::from_raw(&[3; 64]);
            let cryptor = Cryptor::with_backend(&key, combo, 220, *backend);
            group.bench_function(format!("{backend} create"), |b| {
                b.iter(|| with_rng(|rng| cryptor.create_header(rng)));
            });
            let header = cryptor.create_header(&mut OsRng);
            group.bench_function(format!("{backend} open"), |b| {
                b.iter(|| {
                    cryptor
                        .open_header(black_box(header.sealed()))
                        .expect("authentic")
                });
            });
        }
        group.finish();
    }
}

fn nonces(c: &mut Criterion) {
    let mut group = c.benchmark_group("random nonce 12 B");
    let mut nonce = [0; 12];
    group.bench_function("operating system", |b| {
        b.iter(|| OsRng.fill(black_box(&mut nonce)));
    });
    group.bench_function("buffered", |b| {
        b.iter(|| with_rng(|rng| rng.fill(black_box(&mut nonce))));
    });
    group.finish();
}

criterion_group!(benches, raw_primitives, chunks, headers, nonces);
criterion_main!(benches);
