//! Random 4 KiB reads and writes in one 128 MiB file, timed one by one and all checked.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use super::ctx::{Ctx, blocks_in};
use super::files;
use crate::data::BLOCK;
use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::model::Unit;

const FILE: u64 = 2;

pub(crate) fn read(ctx: &mut Ctx<'_>) -> CaseResult {
    let len = ctx.mib(128);
    let content = ctx.content(FILE);
    let path = ctx.dir().join("random");
    files::write_all(&path, &content.bytes(len as usize), true)?;
    let blocks = blocks_in(len);
    let crcs: Vec<u32> = (0..blocks).map(|b| content.block_crc(b, 0)).collect();
    let mut order: Vec<u64> = (0..blocks).collect();
    ctx.dice(1).shuffle(&mut order);

    for (row, threads, reads) in [("randread_qd1", 1, 4000), ("randread_4thr", 4, 12_000)] {
        ctx.begin(&format!("{row}_iops"), Unit::Iops);
        ctx.cold()?;
        let file = File::open(&path).at("open", &path)?;
        // Reading ahead would answer reads that were never asked.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random);
        let reads = ctx.count(reads).min(order.len());
        let (nanos, took) = ctx.clock(|| {
            super::threads::share_out(threads, reads, |i| {
                let mut buf = [0; BLOCK];
                let block = order[i];
                file.read_exact_at(&mut buf, block * BLOCK as u64)
                    .at("read", &path)?;
                check(&buf, crcs[block as usize], block)
            })
        })?;
        ctx.push_operations(row, nanos, took);
    }
    Ok(())
}

fn check(buf: &[u8], crc: u32, block: u64) -> CaseResult {
    if crc32fast::hash(buf) == crc {
        return Ok(());
    }
    Err(CaseFailure::Corrupt(format!(
        "block {block} of the random file"
    )))
}

/// Overwrites, then makes all durable; both are in the rate. Afterwards every block is read from
/// disk and must be the old or the new one, as it should be.
pub(crate) fn write(ctx: &mut Ctx<'_>) -> CaseResult {
    let len = ctx.mib(128);
    let content = ctx.content(FILE);
    let path = ctx.dir().join("random");
    files::write_all(&path, &content.bytes(len as usize), true)?;
    let blocks = blocks_in(len);
    let mut generations = vec![0u64; blocks as usize];

    for (generation, (row, threads, writes)) in
        [("randwrite", 1, 8000), ("randwrite_4thr", 4, 8000)]
            .into_iter()
            .enumerate()
    {
        let generation = generation as u64 + 1;
        ctx.begin(&format!("{row}_iops"), Unit::Iops);
        ctx.cold()?;
        let mut order: Vec<u64> = (0..blocks).collect();
        ctx.dice(2 + generation).shuffle(&mut order);
        order.truncate(ctx.count(writes).min(order.len()));
        let prepared: Vec<[u8; BLOCK]> = order
            .iter()
            .map(|&block| {
                let mut buf = [0; BLOCK];
                content.fill(block, generation, &mut buf);
                buf
            })
            .collect();
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .at("open", &path)?;
        let (nanos, took) = ctx.clock(|| {
            let nanos = super::threads::share_out(threads, order.len(), |i| {
                file.write_all_at(&prepared[i], order[i] * BLOCK as u64)
                    .at("write", &path)
            })?;
            file.sync_all().at("fsync", &path)?;
            Ok(nanos)
        })?;
        ctx.push_operations(row, nanos, took);
        for &block in &order {
            generations[block as usize] = generation;
        }
    }
    ctx.begin("verify", Unit::Seconds);
    ctx.cold()?;
    let file = File::open(&path).at("open", &path)?;
    let mut buf = [0; BLOCK];
    for (block, &generation) in generations.iter().enumerate() {
        file.read_exact_at(&mut buf, (block * BLOCK) as u64)
            .at("read", &path)?;
        check(
            &buf,
            content.block_crc(block as u64, generation),
            block as u64,
        )?;
    }
    Ok(())
}

/// 70 % reads, 30 % writes at odd offsets and lengths by four threads, each in a quarter of the
/// file; then the same region read through a fresh descriptor.
pub(crate) fn mixed(ctx: &mut Ctx<'_>) -> CaseResult {
    let len = ctx.mib(32);
    let content = ctx.content(3);
    let path = ctx.dir().join("mixed");
    let original = content.bytes(len as usize);
    files::write_all(&path, &original, true)?;
    let quarter = len as usize / 4;
    let per_thread = ctx.count(2000);
    let new = ctx.content(4).bytes(16 * 1024);
    ctx.begin("mixed_70_30_unaligned_iops", Unit::Iops);
    ctx.cold()?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .at("open", &path)?;
    let regions: Vec<std::sync::Mutex<Vec<u8>>> = original
        .chunks(quarter)
        .map(|c| std::sync::Mutex::new(c.to_vec()))
        .collect();
    let seeds: Vec<_> = (0..4).map(|i| ctx.dice(10 + i)).collect();
    let ((), took) = ctx.clock(|| {
        super::threads::each(4, |thread| {
            let mut dice = seeds[thread].clone();
            let mut model = regions[thread]
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut buf = vec![0; 16 * 1024];
            for _ in 0..per_thread {
                let size = 1 + dice.below(16 * 1024 - 1) as usize;
                let at = dice.below((quarter - size) as u64) as usize;
                let offset = (thread * quarter + at) as u64;
                if dice.below(10) < 7 {
                    file.read_exact_at(&mut buf[..size], offset)
                        .at("read", &path)?;
                    if buf[..size] != model[at..at + size] {
                        return Err(CaseFailure::Corrupt(format!("{size} bytes at {offset}")));
                    }
                } else {
                    file.write_all_at(&new[..size], offset).at("write", &path)?;
                    model[at..at + size].copy_from_slice(&new[..size]);
                }
            }
            Ok(())
        })
    })?;
    let operations = (per_thread * 4) as f64;
    ctx.push(
        "mixed_70_30_unaligned_iops",
        Unit::Iops,
        operations / took.wall.as_secs_f64(),
        Some(took.cpu_s),
    );
    drop(file);
    ctx.cold()?;
    let found = std::fs::read(&path).at("read", &path)?;
    for (thread, region) in regions.into_iter().enumerate() {
        let model = region
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if found[thread * quarter..(thread + 1) * quarter] != model[..] {
            return Err(CaseFailure::Corrupt(format!(
                "quarter {thread} after the remount"
            )));
        }
    }
    Ok(())
}
