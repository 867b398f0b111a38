//! Concurrent Access and Working Set: several programs in one vault, and one that returns to the
//! same files again and again.

use std::fs;

use crate::data::BLOCK;
use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::model::Unit;
use crate::suites::ctx::{Ctx, same};
use crate::suites::{files, threads};

const WORKERS: usize = 8;

/// Eight workers share the same work: 40 % reads, 20 % new files, 20 % stats, 10 % listings,
/// 10 % renames, in one set of directories.
pub(crate) fn concurrent(ctx: &mut Ctx<'_>) -> CaseResult {
    let count = ctx.count(400);
    let operations = ctx.count(8000);
    let dirs: Vec<_> = (0..WORKERS)
        .map(|i| ctx.dir().join(format!("shared{i}")))
        .collect();
    let body = ctx.content(50).bytes(2 * BLOCK);
    let crc = crc32fast::hash(&body);
    for dir in &dirs {
        fs::create_dir(dir).at("mkdir", dir)?;
    }
    let old: Vec<_> = (0..count)
        .map(|i| dirs[i % WORKERS].join(format!("old{i:04}")))
        .collect();
    for path in &old {
        files::write_small(path, &body)?;
    }
    ctx.begin("concurrent_access", Unit::Seconds);
    ctx.cold()?;
    let seed = ctx.dice(51);
    let nanos = ctx.seconds("concurrent_access", |_| {
        threads::share_out(WORKERS, operations, |job| {
            let mut dice = seed.clone();
            for _ in 0..job % 7 {
                dice.next();
            }
            let path = &old[(dice.next() as usize).wrapping_add(job * 31) % old.len()];
            let own = dirs[job % WORKERS].join(format!("new{job:05}"));
            match job % 10 {
                0..4 => files::read_small(path, &mut Vec::with_capacity(2 * BLOCK + 1), crc),
                4 | 5 => files::write_small(&own, &body),
                6 | 7 => {
                    let len = fs::metadata(path).at("stat", path)?.len();
                    same("size", &len, &(body.len() as u64))
                }
                8 => {
                    let dir = &dirs[job / 10 % WORKERS];
                    let listed = fs::read_dir(dir)
                        .at("list", dir)?
                        .filter_map(Result::ok)
                        .count();
                    if listed < count / WORKERS {
                        return Err(CaseFailure::Corrupt(format!(
                            "a listing lost entries: {listed}"
                        )));
                    }
                    Ok(())
                }
                _ => {
                    files::write_small(&own, &body)?;
                    let renamed = own.with_extension("renamed");
                    fs::rename(&own, &renamed).at("rename", &own)
                }
            }
        })
    })?;
    if let Some(sample) = ctx.samples.last_mut() {
        sample.latency = nanos;
    }
    ctx.begin("verify", Unit::Seconds);
    ctx.cold()?;
    let mut buf = Vec::new();
    let all = files::files_below(&ctx.dir())?;
    let written = (0..operations)
        .filter(|job| matches!(job % 10, 4 | 5 | 9))
        .count();
    same("files", &all.len(), &(count + written))?;
    all.iter()
        .try_for_each(|path| files::read_small(path, &mut buf, crc))
}

/// 64 files of 256 KiB, of which a quarter gets most of the reads; each tenth access changes a block.
pub(crate) fn working_set(ctx: &mut Ctx<'_>) -> CaseResult {
    use std::os::unix::fs::FileExt;
    const FILE: usize = 256 << 10;
    let count = ctx.count(64);
    let paths: Vec<_> = (0..count)
        .map(|i| ctx.dir().join(format!("set{i:02}")))
        .collect();
    let mut model: Vec<Vec<u8>> = (0..count)
        .map(|i| ctx.content(600 + i as u64).bytes(FILE))
        .collect();
    for (path, body) in paths.iter().zip(&model) {
        files::write_small(path, body)?;
    }
    let accesses = ctx.count(6000);
    let new = ctx.content(700).bytes(BLOCK);
    ctx.begin("working_set", Unit::Seconds);
    ctx.cold()?;
    let mut dice = ctx.dice(60);
    ctx.seconds("working_set", |_| {
        let mut buf = vec![0; BLOCK];
        for access in 0..accesses {
            let hot = dice.below(10) < 8;
            let file = dice.below(if hot { count as u64 / 4 } else { count as u64 }) as usize;
            let at = dice.below((FILE / BLOCK) as u64) as usize * BLOCK;
            let path = &paths[file];
            let range = at..at + BLOCK;
            if access % 10 == 9 {
                let handle = fs::OpenOptions::new()
                    .write(true)
                    .open(path)
                    .at("open", path)?;
                handle.write_all_at(&new, at as u64).at("write", path)?;
                model[file][range].copy_from_slice(&new);
            } else {
                let handle = fs::File::open(path).at("open", path)?;
                handle.read_exact_at(&mut buf, at as u64).at("read", path)?;
                if buf != model[file][range] {
                    return Err(CaseFailure::Corrupt(format!(
                        "{} at {at}",
                        files::name(path)
                    )));
                }
            }
        }
        Ok(())
    })?;
    ctx.begin("verify", Unit::Seconds);
    ctx.cold()?;
    for (path, body) in paths.iter().zip(&model) {
        files::read_small(
            path,
            &mut Vec::with_capacity(FILE + 1),
            crc32fast::hash(body),
        )?;
    }
    Ok(())
}
