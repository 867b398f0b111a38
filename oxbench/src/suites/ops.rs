//! Single operations by one thread: once answered by the kernel's caches, once by a round trip to
//! the daemon, with a check that it was so.
//!
//! The check counts the daemon's read-like system calls: each request that it takes from
//! `/dev/fuse` costs one. A daemon that takes requests another way shows no such calls; then its
//! context switches and CPU time would have to be looked at, and the row says "not checked".

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

use rustix::fs::{AtFlags, CWD, OFlags, StatxFlags, statx};

use super::ctx::{Ctx, Took};
use super::files;
use crate::data::BLOCK;
use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::model::Unit;
use crate::process;
use crate::stats;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Cached,
    RoundTrip,
    /// The kernel decides (a write may be held back, a listing is one request for many names).
    Either,
}

pub(crate) fn ops(ctx: &mut Ctx<'_>) -> CaseResult {
    let count = ctx.count(2000);
    let path = ctx.dir().join("file");
    let content = ctx.content(7);
    let len = count * BLOCK;
    files::write_all(&path, &content.bytes(len), true)?;
    attributes(ctx, count, &path)?;
    reads(ctx, count, &path)?;
    writes(ctx, count, &path)?;
    open_close(ctx, count, &path)?;
    listings(ctx, count)?;
    create_unlink(ctx, count)
}

fn operation(
    ctx: &mut Ctx<'_>,
    row: &str,
    count: usize,
    expect: Expect,
    mut one: impl FnMut(usize) -> CaseResult,
) -> CaseResult {
    ctx.begin(row, Unit::Micros);
    let mut nanos = Vec::with_capacity(count);
    let ((), took) = ctx.clock(|| {
        for i in 0..count {
            let started = Instant::now();
            one(i)?;
            nanos.push(started.elapsed().as_nanos() as u64);
        }
        Ok(())
    })?;
    let median = stats::share_us(&mut nanos, 0.5);
    ctx.push(row, Unit::Micros, median, Some(took.cpu_s));
    let remark = remark(ctx, expect, took, count);
    if let Some(sample) = ctx.samples.last_mut() {
        sample.latency = nanos;
        sample.remark = remark;
    }
    Ok(())
}

fn remark(ctx: &Ctx<'_>, expect: Expect, took: Took, count: usize) -> Option<String> {
    if ctx.guard().daemons().is_empty() {
        return None;
    }
    if process::uses_rings(&ctx.guard().daemons()) {
        return Some("not checked: requests come through io_uring".into());
    }
    let per_operation = took.reads as f64 / count as f64;
    Some(match expect {
        Expect::Cached if per_operation < 0.1 => "cached: checked".into(),
        Expect::Cached => format!("NOT CACHED: {per_operation:.1} requests each"),
        Expect::RoundTrip if per_operation > 0.9 => {
            format!("round trip: {per_operation:.1} requests each")
        }
        Expect::RoundTrip if took.reads == 0 => {
            "round trip not checked: no request was counted".into()
        }
        Expect::RoundTrip => format!("NOT A ROUND TRIP: {per_operation:.2} requests each"),
        Expect::Either => format!("{per_operation:.1} requests each"),
    })
}

fn attributes(ctx: &mut Ctx<'_>, count: usize, path: &Path) -> CaseResult {
    let stat = |flags: AtFlags| {
        statx(CWD, path, flags, StatxFlags::BASIC_STATS)
            .map(drop)
            .at("statx", path)
    };
    stat(AtFlags::empty())?;
    operation(ctx, "getattr/cached", count, Expect::Cached, |_| {
        stat(AtFlags::empty())
    })?;
    operation(ctx, "getattr/round_trip", count, Expect::RoundTrip, |_| {
        stat(AtFlags::STATX_FORCE_SYNC)
    })?;

    let absent = ctx.dir().join("absent");
    let miss = |path: &Path| match fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(source).at("stat", path),
        Ok(_) => Err(CaseFailure::Corrupt(format!("{} exists", path.display()))),
    };
    miss(&absent)?;
    // Whether a name that is not there may be remembered is the file system's own choice.
    operation(ctx, "lookup_missing/cached", count, Expect::Either, |_| {
        miss(&absent)
    })?;
    let names: Vec<_> = (0..count)
        .map(|i| ctx.dir().join(format!("absent{i}")))
        .collect();
    operation(
        ctx,
        "lookup_missing/round_trip",
        count,
        Expect::RoundTrip,
        |i| miss(&names[i]),
    )
}

fn reads(ctx: &mut Ctx<'_>, count: usize, path: &Path) -> CaseResult {
    files::read_through(path)?;
    let file = File::open(path).at("open", path)?;
    let mut buf = [0; BLOCK];
    operation(ctx, "read_4k/cached", count, Expect::Cached, |i| {
        file.read_exact_at(&mut buf, (i * BLOCK) as u64)
            .at("read", path)
    })?;
    let mut aligned = Aligned::new();
    match open_direct(path, false) {
        Ok(file) => operation(ctx, "read_4k/round_trip", count, Expect::RoundTrip, |i| {
            file.read_exact_at(aligned.block(), (i * BLOCK) as u64)
                .at("read", path)
        }),
        Err(_) => {
            // No direct I/O here: empty the cache and hop about, so that nothing is read ahead.
            drop(file);
            ctx.cold()?;
            let file = File::open(path).at("open", path)?;
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random);
            operation(ctx, "read_4k/round_trip", count, Expect::RoundTrip, |i| {
                file.read_exact_at(&mut buf, (i * BLOCK) as u64)
                    .at("read", path)
            })
        }
    }
}

fn writes(ctx: &mut Ctx<'_>, count: usize, path: &Path) -> CaseResult {
    let content = ctx.content(8);
    let file = OpenOptions::new().write(true).open(path).at("open", path)?;
    let block = content.bytes(BLOCK);
    operation(ctx, "write_4k/cached", count, Expect::Either, |i| {
        file.write_all_at(&block, (i * BLOCK) as u64)
            .at("write", path)
    })?;
    file.sync_all().at("fsync", path)?;
    drop(file);
    let mut aligned = Aligned::new();
    aligned.block().copy_from_slice(&block);
    // Some file systems take the flag and then fail every such write; they have no such row.
    let direct = open_direct(path, true).and_then(|file| {
        file.write_all_at(aligned.block(), 0)?;
        Ok(file)
    });
    if let Ok(direct) = direct {
        operation(ctx, "write_4k/round_trip", count, Expect::RoundTrip, |i| {
            direct
                .write_all_at(aligned.block(), (i * BLOCK) as u64)
                .at("write", path)
        })?;
    }
    let found = fs::read(path).at("read", path)?;
    if found.chunks(BLOCK).take(count).any(|chunk| chunk != block) {
        return Err(CaseFailure::Corrupt("blocks written directly".into()));
    }
    Ok(())
}

fn open_direct(path: &Path, write: bool) -> std::io::Result<File> {
    let direct = OFlags::DIRECT.bits() as i32;
    OpenOptions::new()
        .read(!write)
        .write(write)
        .custom_flags(direct)
        .open(path)
}

fn open_close(ctx: &mut Ctx<'_>, count: usize, path: &Path) -> CaseResult {
    // A file system that needs no message for opening answers from the kernel.
    operation(ctx, "open_close", count, Expect::Either, |_| {
        File::open(path).map(drop).at("open", path)
    })
}

fn listings(ctx: &mut Ctx<'_>, count: usize) -> CaseResult {
    let dir = ctx.dir().join("listed");
    fs::create_dir(&dir).at("mkdir", &dir)?;
    for i in 0..100 {
        let file = dir.join(format!("name{i}"));
        File::create(&file).map(drop).at("create", &file)?;
    }
    operation(ctx, "readdir_100", count / 20, Expect::Either, |_| {
        let found = fs::read_dir(&dir).at("list", &dir)?.count();
        super::ctx::same("entries", &found, &100)
    })
}

fn create_unlink(ctx: &mut Ctx<'_>, count: usize) -> CaseResult {
    let names: Vec<_> = (0..count / 2)
        .map(|i| ctx.dir().join(format!("new{i}")))
        .collect();
    operation(ctx, "create_close", names.len(), Expect::RoundTrip, |i| {
        File::create_new(&names[i])
            .map(drop)
            .at("create", &names[i])
    })?;
    operation(ctx, "unlink", names.len(), Expect::RoundTrip, |i| {
        fs::remove_file(&names[i]).at("unlink", &names[i])
    })
}

/// Direct I/O wants memory that starts on a block boundary.
struct Aligned(Vec<u8>, usize);

impl Aligned {
    fn new() -> Self {
        let memory = vec![0; BLOCK * 2];
        let skip = memory.as_ptr().align_offset(BLOCK);
        Self(memory, skip)
    }

    fn block(&mut self) -> &mut [u8] {
        &mut self.0[self.1..self.1 + BLOCK]
    }
}
