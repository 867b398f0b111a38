//! `speed`: what this machine's ciphers reach, without any file.

use std::hint::black_box;
use std::time::{Duration, Instant};

use oxcrypt_core::content::Backend;
use oxcrypt_core::name::CleartextName;
use oxcrypt_core::{
    CHUNK_LEN, ChunkIndex, CipherCombo, Cryptor, DirId, MasterKey, MasterKeyFile, OsRng,
    Passphrase, ScryptParams, VERSION_IN_CONFIG, with_rng,
};
use serde::Serialize;

use crate::ctx::{Ctx, cpus};
use crate::failure::Result;

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    cpus: usize,
    backend: String,
    content: Vec<Content>,
    names_per_second: f64,
    unlock_seconds: f64,
}

#[derive(Serialize)]
struct Content {
    cipher: &'static str,
    threads: usize,
    seal_mib_s: f64,
    open_mib_s: f64,
}

/// How long each measurement runs.
const SPAN: Duration = Duration::from_millis(250);

pub(crate) fn run(ctx: &Ctx) -> Result<()> {
    let key = MasterKey::random(&mut OsRng);
    let mut content = Vec::new();
    for combo in [CipherCombo::SivGcm, CipherCombo::SivCtrMac] {
        let cryptor = Cryptor::new(&key, combo, 220);
        let mut counts = vec![1];
        if cpus() > 1 {
            counts.push(cpus());
        }
        for threads in counts {
            ctx.go_on()?;
            content.push(Content {
                cipher: combo.as_str(),
                threads,
                seal_mib_s: on_threads(threads, &cryptor, seal),
                open_mib_s: on_threads(threads, &cryptor, open),
            });
        }
    }
    let answer = Answer {
        schema: "oxcrypt.speed/1",
        cpus: cpus(),
        backend: format!("{:?}", Backend::default()),
        content,
        names_per_second: names(&Cryptor::new(&key, CipherCombo::SivGcm, 220)),
        unlock_seconds: unlock_time(),
    };
    if ctx.out.json {
        return ctx.out.object(&answer);
    }
    ctx.out
        .line(format!("{} CPUs, backend {}", answer.cpus, answer.backend))?;
    for line in &answer.content {
        ctx.out.line(format!(
            "{:10} {:>2} threads  seal {:>6.0} MiB/s  open {:>6.0} MiB/s",
            line.cipher, line.threads, line.seal_mib_s, line.open_mib_s
        ))?;
    }
    ctx.out.line(format!(
        "names      {:.0} a second",
        answer.names_per_second
    ))?;
    ctx.out.line(format!(
        "unlock     {:.0} ms (scrypt N=32768)",
        answer.unlock_seconds * 1e3
    ))?;
    ctx.out.flush()
}

/// MiB per second of all threads together.
fn on_threads(threads: usize, cryptor: &Cryptor, work: fn(&Cryptor) -> u64) -> f64 {
    let start = Instant::now();
    let chunks: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| work(cryptor)))
            .collect();
        workers.into_iter().map(|w| w.join().unwrap_or(0)).sum()
    });
    chunks as f64 * CHUNK_LEN as f64 / f64::from(1 << 20) / start.elapsed().as_secs_f64()
}

fn seal(cryptor: &Cryptor) -> u64 {
    let header = with_rng(|rng| cryptor.create_header(rng));
    let plain = vec![7; CHUNK_LEN];
    let mut cipher = vec![0; CHUNK_LEN + 64];
    repeat(|i| {
        let len =
            with_rng(|rng| cryptor.seal_chunk(&header, ChunkIndex(i), rng, &plain, &mut cipher));
        black_box(len);
    })
}

fn open(cryptor: &Cryptor) -> u64 {
    let header = with_rng(|rng| cryptor.create_header(rng));
    let mut plain = vec![7; CHUNK_LEN];
    let mut cipher = vec![0; CHUNK_LEN + 64];
    let len = with_rng(|rng| cryptor.seal_chunk(&header, ChunkIndex(0), rng, &plain, &mut cipher));
    repeat(|_| {
        let opened = cryptor.open_chunk(&header, ChunkIndex(0), &cipher[..len], &mut plain);
        black_box(opened.is_ok());
    })
}

fn repeat(mut step: impl FnMut(u64)) -> u64 {
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < SPAN {
        for _ in 0..16 {
            step(done);
            done += 1;
        }
    }
    done
}

fn names(cryptor: &Cryptor) -> f64 {
    let names = cryptor.dir_names(&DirId::ROOT);
    let start = Instant::now();
    let done = repeat(|i| {
        let text = format!("a file with number {i}.txt");
        if let Ok(name) = CleartextName::parse(text.as_bytes()) {
            black_box(cryptor.seal_name(&names, &name));
        }
    });
    done as f64 / start.elapsed().as_secs_f64()
}

fn unlock_time() -> f64 {
    let key = MasterKey::random(&mut OsRng);
    let passphrase = Passphrase::new("only for measuring".into());
    let params = ScryptParams::DEFAULT;
    let file = MasterKeyFile::lock(&key, &passphrase, params, VERSION_IN_CONFIG, &mut OsRng);
    let start = Instant::now();
    black_box(file.unlock(&passphrase).is_ok());
    start.elapsed().as_secs_f64()
}
