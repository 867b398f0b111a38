//! Media Streaming and Photo Library: large files read in pieces.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use crate::data::BLOCK;
use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::model::Unit;
use crate::stats;
use crate::suites::ctx::Ctx;
use crate::suites::files;

const PIECE: usize = 256 << 10;

/// A film of 96 MiB: played from the start, with twenty jumps, one after each twentieth.
pub(crate) fn streaming(ctx: &mut Ctx<'_>) -> CaseResult {
    let len = ctx.mib(96);
    let content = ctx.content(91);
    let path = ctx.dir().join("film.mkv");
    files::write_all(&path, &content.bytes(len as usize), true)?;
    ctx.begin("media_streaming", Unit::Seconds);
    ctx.cold()?;
    let pieces = len / PIECE as u64;
    let mut dice = ctx.dice(92);
    let mut nanos = Vec::new();
    let mut crcs = Vec::new();
    let order: Vec<u64> = (0..20)
        .flat_map(|_| {
            let start = dice
                .below(pieces.saturating_sub(pieces / 20) + 1)
                .min(pieces - 1);
            (start..pieces.min(start + pieces / 20 + 1)).collect::<Vec<_>>()
        })
        .collect();
    ctx.seconds("media_streaming", |_| {
        let file = File::open(&path).at("open", &path)?;
        let mut buf = vec![0; PIECE];
        for &piece in &order {
            let started = Instant::now();
            file.read_exact_at(&mut buf, piece * PIECE as u64)
                .at("read", &path)?;
            nanos.push(started.elapsed().as_nanos() as u64);
            crcs.push(crc32fast::hash(&buf));
        }
        Ok(())
    })?;
    let p99 = stats::share_us(&mut nanos, 0.99);
    if let Some(sample) = ctx.samples.last_mut() {
        sample.latency = nanos;
    }
    ctx.push("media_piece_p99", Unit::Micros, p99, None);
    let mut expected = vec![0; PIECE];
    for (&piece, &crc) in order.iter().zip(&crcs) {
        content.fill(piece * (PIECE / BLOCK) as u64, 0, &mut expected);
        if crc32fast::hash(&expected) != crc {
            return Err(CaseFailure::Corrupt(format!("piece {piece} of the film")));
        }
    }
    Ok(())
}

/// Forty pictures of 3 MiB: imported, shown as thumbnails from cold (the first 64 KiB of each),
/// then looked at one by one.
pub(crate) fn photos(ctx: &mut Ctx<'_>) -> CaseResult {
    const HEAD: usize = 64 << 10;
    let count = ctx.count(40);
    let len = 3 << 20;
    let paths: Vec<_> = (0..count)
        .map(|i| ctx.dir().join(format!("IMG_{i:04}.jpg")))
        .collect();
    let contents: Vec<_> = (0..count).map(|i| ctx.content(900 + i as u64)).collect();
    let bodies: Vec<Vec<u8>> = contents.iter().map(|c| c.bytes(len)).collect();
    ctx.seconds("photo_import", |_| {
        paths
            .iter()
            .zip(&bodies)
            .try_for_each(|(path, body)| files::write_all(path, body, false))
    })?;
    ctx.begin("photo_thumbnails_cold", Unit::Seconds);
    ctx.cold()?;
    ctx.seconds("photo_thumbnails_cold", |_| {
        let mut buf = vec![0; HEAD];
        for (path, body) in paths.iter().zip(&bodies) {
            File::open(path)
                .and_then(|f| f.read_exact_at(&mut buf, 0))
                .at("read", path)?;
            if buf != body[..HEAD] {
                return Err(CaseFailure::Corrupt(files::name(path)));
            }
        }
        Ok(())
    })?;
    ctx.seconds("photo_view", |_| {
        paths
            .iter()
            .try_for_each(|p| files::read_through(p).map(drop))
    })?;
    paths
        .iter()
        .zip(&contents)
        .try_for_each(|(path, content)| files::verify(path, content, len as u64))
}
