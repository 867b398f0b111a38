//! Names and directory ids, beside one call of the `aes-siv` crate on the same bytes.

use std::hint::black_box;

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use data_encoding::BASE64URL;
use oxcrypt_core::siv::Siv;
use oxcrypt_core::{
    CipherCombo, CleartextName, Cryptor, DirId, MasterKey, NameBuf, OsRng, Rng, TestRng,
};

const KEY: [u8; 64] = [3; 64];

/// Lengths of names: short, usual, the longest that is not shortened, the longest of all.
const LENS: [usize; 5] = [8, 20, 60, 146, 255];

fn oracle() -> Aes256Siv {
    Aes256Siv::new(&KEY.into())
}

fn single_names(c: &mut Criterion) {
    let key = MasterKey::from_raw(&KEY);
    let cryptor = Cryptor::new(&key, CipherCombo::SivGcm, 220);
    let siv = Siv::new(&key);
    let id = DirId::random(&mut OsRng);
    let dir = cryptor.dir_names(&id);
    let prefix = siv.prefix(id.as_bytes());
    let mut group = c.benchmark_group("name");
    for len in LENS {
        let plain = vec![b'n'; len];
        let text = String::from_utf8(plain.clone()).expect("ASCII");
        let mut oracle = oracle();
        let expect = oracle.encrypt([id.as_bytes()], &plain).expect("sealed");
        group.bench_function(BenchmarkId::new("aes-siv crate seal", len), |b| {
            b.iter(|| {
                oracle
                    .encrypt([id.as_bytes()], black_box(&plain))
                    .expect("sealed")
            });
        });
        group.bench_function(BenchmarkId::new("aes-siv crate open", len), |b| {
            b.iter(|| {
                oracle
                    .decrypt([id.as_bytes()], black_box(&expect))
                    .expect("authentic")
            });
        });
        let mut sealed = vec![0; len + 16];
        group.bench_function(BenchmarkId::new("siv seal", len), |b| {
            b.iter(|| siv.seal(prefix, black_box(&plain), &mut sealed));
        });
        assert_eq!(sealed, expect);
        let mut out = vec![0; len];
        group.bench_function(BenchmarkId::new("siv open", len), |b| {
            b.iter(|| {
                siv.open(prefix, black_box(&sealed), &mut out)
                    .expect("authentic");
            });
        });
        group.bench_function(BenchmarkId::new("end to end seal", len), |b| {
            b.iter(|| {
                let name = CleartextName::from_text(black_box(&text)).expect("a name");
                cryptor.seal_name(&dir, &name)
            });
        });
        let name = CleartextName::from_text(&text).expect("a name");
        let cipher_name = cryptor.seal_name(&dir, &name);
        let mut buf = NameBuf::new();
        group.bench_function(BenchmarkId::new("end to end open", len), |b| {
            b.iter(|| {
                cryptor
                    .open_name(&dir, black_box(cipher_name.full()), &mut buf)
                    .expect("a name")
                    .len()
            });
        });
    }
    group.finish();
}

/// A directory of 10,000 random names of 1 to 60 characters.
fn listing(c: &mut Criterion) {
    let mut rng = TestRng::new(1);
    let key = MasterKey::from_raw(&KEY);
    let cryptor = Cryptor::new(&key, CipherCombo::SivGcm, 220);
    let id = DirId::random(&mut rng);
    let dir = cryptor.dir_names(&id);
    let names: Vec<Vec<u8>> = (0..10_000)
        .map(|_| {
            let mut random = [0; 61];
            rng.fill(&mut random);
            let len = 1 + usize::from(random[60]) % 60;
            let text: String = random[..len]
                .iter()
                .map(|b| char::from(b'a' + b % 26))
                .collect();
            let name = CleartextName::from_text(&text).expect("a name");
            cryptor.seal_name(&dir, &name).full().to_vec()
        })
        .collect();
    let raw: Vec<Vec<u8>> = names
        .iter()
        .map(|name| BASE64URL.decode(&name[..name.len() - 4]).expect("base64"))
        .collect();

    let mut group = c.benchmark_group("10,000 names");
    group
        .throughput(Throughput::Elements(10_000))
        .sample_size(30);
    let mut oracle = oracle();
    group.bench_function("aes-siv crate, decrypt only", |b| {
        b.iter(|| {
            for sealed in &raw {
                black_box(oracle.decrypt([id.as_bytes()], sealed).expect("authentic"));
            }
        });
    });
    let siv = Siv::new(&key);
    let prefix = siv.prefix(id.as_bytes());
    group.bench_function("siv, decrypt only", |b| {
        let mut out = [0; 255];
        b.iter(|| {
            for sealed in &raw {
                siv.open(prefix, sealed, &mut out[..sealed.len() - 16])
                    .expect("authentic");
            }
        });
    });
    group.bench_function("end to end, into NFC names", |b| {
        let mut buf = NameBuf::new();
        b.iter(|| {
            for name in &names {
                let clear = cryptor.open_name(&dir, name, &mut buf).expect("a name");
                black_box(CleartextName::from_text(clear).expect("a name"));
            }
        });
    });
    group.finish();
}

fn directories(c: &mut Criterion) {
    let cryptor = Cryptor::new(&MasterKey::from_raw(&KEY), CipherCombo::SivGcm, 220);
    let id = DirId::random(&mut OsRng);
    c.bench_function("directory/hash", |b| {
        b.iter(|| cryptor.dir_hash(black_box(&id)));
    });
    c.bench_function("directory/names", |b| {
        b.iter(|| cryptor.dir_names(black_box(&id)));
    });
}

criterion_group!(benches, single_names, listing, directories);
criterion_main!(benches);
