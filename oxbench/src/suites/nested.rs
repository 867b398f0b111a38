//! A vault inside a mounted vault: what each layer adds, and that two of them do not wait for each
//! other for ever.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use super::ctx::Ctx;
use super::files;
use crate::data::BLOCK;
use crate::error::{AtPath, CaseResult};
use crate::model::Unit;
use crate::mount::{Instance, Target};
use crate::stats;

/// Row and seconds, or microseconds of one operation.
type Figures = Vec<(&'static str, Unit, f64)>;

pub(crate) fn nested(ctx: &mut Ctx<'_>) -> CaseResult {
    let outer_dir = ctx.dir().join("l1");
    fs::create_dir(&outer_dir).at("mkdir", &outer_dir)?;
    ctx.begin("l1", Unit::Seconds);
    let outer = measure(ctx, &outer_dir)?;
    for (row, unit, value) in &outer {
        ctx.push(&format!("{row}/l1"), *unit, *value, None);
    }
    ctx.begin("l2", Unit::Seconds);
    let inner = inner(ctx)?;
    for ((row, unit, value), (_, _, base)) in inner.iter().zip(&outer) {
        ctx.push(&format!("{row}/l2"), *unit, *value, None);
        ctx.push(&format!("{row}/ratio"), Unit::Times, value / base, None);
    }
    Ok(())
}

fn inner(ctx: &mut Ctx<'_>) -> CaseResult<Figures> {
    let base = ctx.dir().join("inner");
    fs::create_dir(&base).at("mkdir", &base)?;
    let mut target = Target::new(&ctx.instance.target.name, ctx.instance.target.kind.clone());
    target.env.clone_from(&ctx.instance.target.env);
    let password = ctx.instance.site.password.clone();
    let setup = ctx.params.setup(&base, &password);
    let mut instance = Instance::create(&target, &setup, &ctx.params.programs)?;
    let result = instance.mount().and_then(|_| {
        instance.warm_up()?;
        let dir = instance.root().join("l2");
        fs::create_dir(&dir).at("mkdir", &dir)?;
        measure(ctx, &dir)
    });
    let unmounted = instance.unmount();
    drop(instance);
    unmounted?;
    result
}

fn measure(ctx: &Ctx<'_>, dir: &Path) -> CaseResult<Figures> {
    let mut figures = Figures::new();
    let len = ctx.mib(16);
    let content = ctx.content(11);
    let bytes = content.bytes(len as usize);
    let path = dir.join("large");
    let mut time = |row, work: &dyn Fn() -> CaseResult| -> CaseResult {
        let started = Instant::now();
        work()?;
        figures.push((row, Unit::Seconds, started.elapsed().as_secs_f64()));
        Ok(())
    };
    time("async_write_16M", &|| {
        files::write_all(&path, &bytes, false)
    })?;
    time("sync_write_16M", &|| files::write_all(&path, &bytes, true))?;
    // Given back by the kernel, so that it is read through every layer again.
    let file = File::open(&path).at("open", &path)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).at("fadvise", &path)?;
    drop(file);
    time("read_16M", &|| files::read_through(&path).map(drop))?;
    files::verify(&path, &content, len)?;

    let count = ctx.count(500);
    let names: Vec<_> = (0..count).map(|i| dir.join(format!("s{i}"))).collect();
    let body = ctx.content(12).bytes(BLOCK);
    let crc = crc32fast::hash(&body);
    for name in &names {
        files::write_small(name, &body)?;
    }
    figures.push((
        "stat",
        Unit::Micros,
        each(&names, |p| {
            rustix::fs::statx(
                rustix::fs::CWD,
                p,
                rustix::fs::AtFlags::STATX_FORCE_SYNC,
                rustix::fs::StatxFlags::BASIC_STATS,
            )
            .map(drop)
            .at("statx", p)
        })?,
    ));
    figures.push((
        "small_read",
        Unit::Micros,
        each(&names, |p| {
            let mut buf = Vec::with_capacity(BLOCK + 1);
            files::read_small(p, &mut buf, crc)
        })?,
    ));
    let file = OpenOptions::new()
        .write(true)
        .open(&path)
        .at("open", &path)?;
    let fsyncs: Vec<usize> = (0..count / 10).collect();
    figures.push((
        "write_4k_fsync",
        Unit::Micros,
        each(&fsyncs, |&i| {
            file.write_all_at(&body, (i * BLOCK) as u64)
                .at("write", &path)?;
            file.sync_all().at("fsync", &path)
        })?,
    ));
    Ok(figures)
}

/// Median microseconds of one operation.
fn each<T>(items: &[T], mut one: impl FnMut(&T) -> CaseResult) -> CaseResult<f64> {
    let mut nanos = Vec::with_capacity(items.len());
    for item in items {
        let started = Instant::now();
        one(item)?;
        nanos.push(started.elapsed().as_nanos() as u64);
    }
    Ok(stats::share_us(&mut nanos, 0.5))
}
