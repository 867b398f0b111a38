//! 256 workers over 1,024 files of 4 KiB, and the same for each number of FUSE reader threads,
//! beside what the host's own file system does in the same minute.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ctx::Ctx;
use super::{files, threads};
use crate::data::{BLOCK, Content};
use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::model::Unit;
use crate::mount::{Instance, Target};

const WORKERS: usize = 256;

struct Set {
    paths: Vec<PathBuf>,
    bodies: [Vec<Vec<u8>>; 2],
    crcs: [Vec<u32>; 2],
}

impl Set {
    fn new(dir: &Path, count: usize, content: impl Fn(u64) -> Content) -> Self {
        let paths = (0..count).map(|i| dir.join(format!("f{i:04}"))).collect();
        let make = |base: u64| -> Vec<Vec<u8>> {
            (0..count)
                .map(|i| content(base + i as u64).bytes(BLOCK))
                .collect()
        };
        let bodies = [make(5000), make(9000)];
        let crcs = [0, 1].map(|g: usize| bodies[g].iter().map(|b| crc32fast::hash(b)).collect());
        Self {
            paths,
            bodies,
            crcs,
        }
    }

    fn write_sync(&self, generation: usize) -> CaseResult<Vec<u64>> {
        threads::share_out(WORKERS, self.paths.len(), |i| {
            files::write_small_sync(&self.paths[i], &self.bodies[generation][i])
        })
    }

    fn read(&self, generation: usize) -> CaseResult<Vec<u64>> {
        threads::share_out(WORKERS, self.paths.len(), |i| {
            let mut buf = Vec::with_capacity(BLOCK + 1);
            files::read_small(&self.paths[i], &mut buf, self.crcs[generation][i])
        })
    }
}

pub(crate) fn parallel(ctx: &mut Ctx<'_>) -> CaseResult {
    let set = Set::new(&ctx.dir(), ctx.count(1024), |file| ctx.content(file));
    for (row, generation) in [("create_fsync_256w", 0), ("rewrite_fsync_256w", 1)] {
        let nanos = ctx.seconds(row, |_| set.write_sync(generation))?;
        keep_latency(ctx, nanos);
    }
    ctx.begin("read_cold_256w", Unit::Seconds);
    ctx.cold()?;
    for row in ["read_cold_256w", "read_warm_256w"] {
        let nanos = ctx.seconds(row, |_| set.read(1))?;
        keep_latency(ctx, nanos);
    }
    Ok(())
}

fn keep_latency(ctx: &mut Ctx<'_>, nanos: Vec<u64>) {
    if let Some(sample) = ctx.samples.last_mut() {
        sample.latency = nanos;
    }
}

const READERS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Our product with each number of reader threads. The ratio to the host is a row of its own, taken
/// from the host's figure in the same pass; the speed-up is against one reader.
pub(crate) fn readers(ctx: &mut Ctx<'_>) -> CaseResult {
    let count = ctx.count(1024);
    let host_dir = ctx.params.scratch.join("parallel-host");
    std::fs::create_dir_all(&host_dir).at("mkdir", &host_dir)?;
    let set = Set::new(&host_dir, count, |file| ctx.content(file));
    let host = measure(ctx, &set, |_| {
        crate::mount::kernel::drop_caches(&host_dir);
        Ok(())
    });
    std::fs::remove_dir_all(&host_dir).at("remove", &host_dir)?;
    let host = host?;
    for (kind, time) in KINDS.iter().zip(&host) {
        ctx.push(
            &format!("{kind}/host"),
            Unit::Seconds,
            time.as_secs_f64(),
            None,
        );
    }

    let mut single: Option<[Duration; 3]> = None;
    for readers in READERS {
        ctx.begin(&format!("read_cold/readers={readers}"), Unit::Seconds);
        let times = with_readers(ctx, readers, count)?;
        let single = *single.get_or_insert(times);
        for (i, kind) in KINDS.iter().enumerate() {
            let time = times[i].as_secs_f64();
            ctx.push(
                &format!("{kind}/readers={readers}"),
                Unit::Seconds,
                time,
                None,
            );
            ctx.push(
                &format!("{kind}/readers={readers}/to_host"),
                Unit::Times,
                time / host[i].as_secs_f64(),
                None,
            );
            let speed_up = single[i].as_secs_f64() / time;
            if let Some(sample) = ctx.samples.last_mut() {
                sample.remark = Some(format!("{speed_up:.2}× one reader"));
            }
        }
    }
    Ok(())
}

const KINDS: [&str; 3] = ["read_cold", "read_warm", "write_fsync"];

/// A second instance of the same target, so that the case's own mount stays as it is.
fn with_readers(ctx: &mut Ctx<'_>, readers: usize, count: usize) -> CaseResult<[Duration; 3]> {
    let base = ctx.params.scratch.join(format!("readers-{readers}"));
    std::fs::create_dir_all(&base).at("mkdir", &base)?;
    let mut target = Target::new(&ctx.instance.target.name, ctx.instance.target.kind.clone());
    target.env.clone_from(&ctx.instance.target.env);
    target
        .env
        .insert("OXCRYPT_FUSE_READERS".into(), readers.to_string());
    let password = ctx.instance.site.password.clone();
    let setup = ctx.params.setup(&base, &password);
    let mut instance = Instance::create(&target, &setup, &ctx.params.programs)?;
    let result = instance.mount().and_then(|_| {
        let dir = instance.root().join("oxbench-readers");
        std::fs::create_dir(&dir).at("mkdir", &dir)?;
        let set = Set::new(&dir, count, |file| ctx.content(file));
        measure(ctx, &set, |_| instance.go_cold())
    });
    drop(instance);
    std::fs::remove_dir_all(&base).at("remove", &base)?;
    result
}

fn measure(
    ctx: &mut Ctx<'_>,
    set: &Set,
    cold: impl FnOnce(&mut Ctx<'_>) -> CaseResult,
) -> CaseResult<[Duration; 3]> {
    set.write_sync(0)?;
    let (_, write) = ctx.clock(|| set.write_sync(1))?;
    cold(ctx)?;
    let (_, read_cold) = ctx.clock(|| set.read(1))?;
    let (_, read_warm) = ctx.clock(|| set.read(1))?;
    if read_warm.wall.is_zero() {
        return Err(CaseFailure::Skipped("too little work for the clock".into()));
    }
    Ok([read_cold.wall, read_warm.wall, write.wall])
}
