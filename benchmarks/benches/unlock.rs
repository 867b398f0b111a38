//! Unlocking a vault, beside the key derivation it consists of.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use oxcrypt_core::{
    CipherCombo, Cryptor, MasterKey, MasterKeyFile, OsRng, Passphrase, ScryptParams,
    UnverifiedVaultConfig, VERSION_IN_CONFIG, VaultConfig, recovery,
};

fn unlock(c: &mut Criterion) {
    let key = MasterKey::random(&mut OsRng);
    let passphrase = Passphrase::new("correct horse battery staple".into());
    let params = ScryptParams::DEFAULT;
    let file = MasterKeyFile::lock(&key, &passphrase, params, VERSION_IN_CONFIG, &mut OsRng);
    let mut group = c.benchmark_group("unlock");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    group.bench_function("scrypt crate, N = 32768, r = 8", |b| {
        let params = scrypt::Params::new(15, 8, 1).expect("valid");
        let mut kek = [0; 32];
        b.iter(|| {
            scrypt::scrypt(
                black_box(b"correct horse battery staple"),
                b"saltsalt",
                &params,
                &mut kek,
            )
            .expect("32 bytes");
        });
    });
    group.bench_function("master key file", |b| {
        b.iter(|| {
            file.unlock(black_box(&passphrase))
                .expect("the right passphrase")
        });
    });
    group.finish();

    let token = VaultConfig::new(CipherCombo::SivGcm, 220, &mut OsRng)
        .expect("valid")
        .render(&key);
    c.bench_function("vault configuration", |b| {
        b.iter(|| {
            let config = UnverifiedVaultConfig::parse(black_box(token.as_bytes())).expect("sound");
            config.verify(&key).expect("signed with this key")
        });
    });
    c.bench_function("cryptor", |b| {
        b.iter(|| Cryptor::new(black_box(&key), CipherCombo::SivGcm, 220));
    });
    let words = recovery::encode(&key);
    c.bench_function("recovery key", |b| {
        b.iter(|| recovery::decode(black_box(&words)).expect("a recovery key"));
    });
}

criterion_group!(benches, unlock);
criterion_main!(benches);
