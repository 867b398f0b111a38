//! Large files from end to end.

use super::ctx::Ctx;
use super::files;
use crate::error::CaseResult;
use crate::model::Unit;

const STREAMS: u64 = 4;

/// 256 MiB in 1 MiB calls: written and made durable, read from disk, read again.
pub(crate) fn stream(ctx: &mut Ctx<'_>) -> CaseResult {
    let len = ctx.mib(256);
    let (mib, gib) = (
        len as f64 / f64::from(1 << 20),
        len as f64 / f64::from(1 << 30),
    );
    let content = ctx.content(1);
    let path = ctx.dir().join("stream");

    ctx.begin("write", Unit::MibPerSecond);
    let prepared = content.bytes(len as usize);
    let ((), took) = ctx.clock(|| files::write_all(&path, &prepared, true))?;
    drop(prepared);
    ctx.push(
        "write",
        Unit::MibPerSecond,
        mib / took.wall.as_secs_f64(),
        Some(took.cpu_s),
    );
    if ctx.instance.target.remounts() {
        ctx.push("write_cpu", Unit::CpuPerGib, took.cpu_s / gib, None);
    }

    ctx.begin("read_cold", Unit::MibPerSecond);
    ctx.cold()?;
    let (read, took) = ctx.clock(|| files::read_through(&path))?;
    super::ctx::same("bytes read", &read, &len)?;
    ctx.push(
        "read_cold",
        Unit::MibPerSecond,
        mib / took.wall.as_secs_f64(),
        Some(took.cpu_s),
    );
    if ctx.instance.target.remounts() {
        ctx.push("read_cold_cpu", Unit::CpuPerGib, took.cpu_s / gib, None);
    }
    // Hashes the very pages that the measured read brought in.
    files::verify(&path, &content, len)?;

    ctx.begin("read_warm", Unit::MibPerSecond);
    let (read, took) = ctx.clock(|| files::read_through(&path))?;
    super::ctx::same("bytes read", &read, &len)?;
    ctx.push(
        "read_warm",
        Unit::MibPerSecond,
        mib / took.wall.as_secs_f64(),
        Some(took.cpu_s),
    );
    Ok(())
}

/// Four files of 32 MiB at once, each by a thread of its own.
pub(crate) fn streams(ctx: &mut Ctx<'_>) -> CaseResult {
    let len = ctx.mib(32);
    let total_mib = (len * STREAMS) as f64 / f64::from(1 << 20);
    let contents: Vec<_> = (0..STREAMS).map(|i| ctx.content(100 + i)).collect();
    let paths: Vec<_> = (0..STREAMS)
        .map(|i| ctx.dir().join(format!("stream{i}")))
        .collect();

    ctx.begin("write_4streams", Unit::MibPerSecond);
    let prepared: Vec<_> = contents.iter().map(|c| c.bytes(len as usize)).collect();
    let ((), took) = ctx.clock(|| {
        super::threads::each(paths.len(), |i| {
            files::write_all(&paths[i], &prepared[i], true)
        })
    })?;
    drop(prepared);
    ctx.push(
        "write_4streams",
        Unit::MibPerSecond,
        total_mib / took.wall.as_secs_f64(),
        Some(took.cpu_s),
    );

    ctx.begin("read_cold_4streams", Unit::MibPerSecond);
    ctx.cold()?;
    let ((), took) = ctx.clock(|| {
        super::threads::each(paths.len(), |i| {
            super::ctx::same("bytes read", &files::read_through(&paths[i])?, &len)
        })
    })?;
    ctx.push(
        "read_cold_4streams",
        Unit::MibPerSecond,
        total_mib / took.wall.as_secs_f64(),
        Some(took.cpu_s),
    );
    for (path, content) in paths.iter().zip(&contents) {
        files::verify(path, content, len)?;
    }
    Ok(())
}
