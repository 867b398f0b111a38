//! The vault format's cipher work alone, in this very process: no file system, no mount.

use std::time::Instant;

use oxcrypt_core::{
    Backend, CHUNK_LEN, ChunkIndex, CipherCombo, CleartextName, Cryptor, DirId, MasterKey,
    MasterKeyFile, NameBuf, OsRng, Passphrase, ScryptParams, VERSION_IN_CONFIG, with_rng,
};

use super::ctx::Ctx;
use super::threads;
use crate::error::{CaseFailure, CaseResult};
use crate::model::Unit;

const THRESHOLD: u32 = 220;

pub(crate) fn crypto(ctx: &mut Ctx<'_>) -> CaseResult {
    let key = MasterKey::random(&mut OsRng);
    let cpus = std::thread::available_parallelism().map_or(1, Into::into);
    for &backend in Backend::ALL {
        for combo in [CipherCombo::SivGcm, CipherCombo::SivCtrMac] {
            let cryptor = Cryptor::with_backend(&key, combo, THRESHOLD, backend);
            for workers in [1, cpus] {
                chunks(
                    ctx,
                    &cryptor,
                    &format!("{}/{backend:?}/{workers}thr", combo.as_str()),
                    workers,
                )?;
            }
        }
    }
    names(ctx, &Cryptor::new(&key, CipherCombo::SivGcm, THRESHOLD))?;
    ctx.begin("scrypt_2^15", Unit::Seconds);
    let passphrase = Passphrase::new("a passphrase of usual length".into());
    let started = Instant::now();
    // Wrapping two keys and a MAC takes microseconds; the rest is scrypt.
    let params = ScryptParams::DEFAULT;
    std::hint::black_box(MasterKeyFile::lock(
        &key,
        &passphrase,
        params,
        VERSION_IN_CONFIG,
        &mut OsRng,
    ));
    ctx.push(
        "scrypt_2^15",
        Unit::Seconds,
        started.elapsed().as_secs_f64(),
        None,
    );
    Ok(())
}

/// Chunks sealed and opened, each worker its own; every opened chunk is compared.
fn chunks(ctx: &mut Ctx<'_>, cryptor: &Cryptor, label: &str, workers: usize) -> CaseResult {
    let per_worker = ctx.count(2000);
    let mib = (per_worker * workers * CHUNK_LEN) as f64 / f64::from(1 << 20);
    let plain = ctx.content(1).bytes(CHUNK_LEN);
    let mut seal = 0.0;
    let mut open = 0.0;
    ctx.begin(&format!("seal/{label}"), Unit::MibPerSecond);
    for (is_open, time) in [(false, &mut seal), (true, &mut open)] {
        let started = Instant::now();
        threads::each(workers, |_| work(cryptor, &plain, per_worker, is_open))?;
        *time = started.elapsed().as_secs_f64();
    }
    ctx.push(
        &format!("seal/{label}"),
        Unit::MibPerSecond,
        mib / seal,
        None,
    );
    ctx.push(
        &format!("open/{label}"),
        Unit::MibPerSecond,
        mib / open,
        None,
    );
    Ok(())
}

fn work(cryptor: &Cryptor, plain: &[u8], count: usize, open: bool) -> CaseResult {
    let header = with_rng(|rng| cryptor.create_header(rng));
    let mut sealed = vec![0; CHUNK_LEN + 256];
    let mut out = vec![0; CHUNK_LEN];
    let mut len =
        with_rng(|rng| cryptor.seal_chunk(&header, ChunkIndex(0), rng, plain, &mut sealed));
    for i in 0..count {
        if open {
            let n = cryptor
                .open_chunk(&header, ChunkIndex(0), &sealed[..len], &mut out)
                .map_err(|e| CaseFailure::Corrupt(format!("a chunk just sealed: {e}")))?;
            if i == 0 && out[..n] != *plain {
                return Err(CaseFailure::Corrupt("an opened chunk differs".into()));
            }
        } else {
            len = with_rng(|rng| {
                cryptor.seal_chunk(&header, ChunkIndex(i as u64), rng, plain, &mut sealed)
            });
        }
    }
    std::hint::black_box(&sealed[..len]);
    Ok(())
}

fn names(ctx: &mut Ctx<'_>, cryptor: &Cryptor) -> CaseResult {
    let count = ctx.count(50_000);
    let dir = DirId::random(&mut OsRng);
    let dir_names = cryptor.dir_names(&dir);
    let wrong =
        |e: &dyn std::fmt::Display| CaseFailure::Corrupt(format!("a name of 36 bytes: {e}"));
    let name =
        CleartextName::from_text("a usual file name of 36 bytes ok.txt").map_err(|e| wrong(&e))?;
    let sealed = cryptor.seal_name(&dir_names, &name);
    let mut buf = NameBuf::new();
    let opened = cryptor
        .open_name(&dir_names, sealed.full(), &mut buf)
        .map_err(|e| wrong(&e))?;
    super::ctx::same("name", &opened, &name.as_str())?;

    let mut row = |row: &str, work: &mut dyn FnMut()| {
        ctx.begin(row, Unit::Micros);
        let started = Instant::now();
        for _ in 0..count {
            work();
        }
        let each = started.elapsed().as_secs_f64() * 1e6 / count as f64;
        ctx.push(row, Unit::Micros, each, None);
    };
    row("seal_name_36", &mut || {
        std::hint::black_box(cryptor.seal_name(&dir_names, &name));
    });
    row("open_name_36", &mut || {
        std::hint::black_box(cryptor.open_name(&dir_names, sealed.full(), &mut buf)).ok();
    });
    row("dir_hash", &mut || {
        std::hint::black_box(cryptor.dir_hash(&dir));
    });
    let header = with_rng(|rng| cryptor.create_header(rng));
    let mut stored = vec![0; cryptor.layout().header_len()];
    cryptor.seal_header(&header, &mut stored);
    row("open_header", &mut || {
        std::hint::black_box(cryptor.open_header(&stored)).ok();
    });
    Ok(())
}
