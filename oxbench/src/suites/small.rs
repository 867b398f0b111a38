//! 1,000 files of 4 KiB in 20 directories: created, walked, read, deleted.

use std::path::PathBuf;

use super::ctx::{Ctx, same};
use super::files::{self, Seen};
use crate::data::BLOCK;
use crate::error::{AtPath, CaseResult};

const DIRS: usize = 20;

pub(crate) fn small(ctx: &mut Ctx<'_>) -> CaseResult {
    let count = ctx.count(1000);
    let paths: Vec<PathBuf> = (0..count)
        .map(|i| {
            ctx.dir()
                .join(format!("dir{:02}", i % DIRS))
                .join(format!("file{i:04}.txt"))
        })
        .collect();
    let bodies: Vec<Vec<u8>> = (0..count)
        .map(|i| ctx.content(1000 + i as u64).bytes(BLOCK))
        .collect();
    let crcs: Vec<u32> = bodies.iter().map(|b| crc32fast::hash(b)).collect();
    let expected = Seen {
        dirs: DIRS.min(count) as u64,
        files: count as u64,
        bytes: (count * BLOCK) as u64,
    };

    for i in 0..DIRS {
        let dir = ctx.dir().join(format!("dir{i:02}"));
        std::fs::create_dir(&dir).at("mkdir", &dir)?;
    }
    ctx.seconds("create_write_close", |_| {
        paths
            .iter()
            .zip(&bodies)
            .try_for_each(|(path, body)| files::write_small(path, body))
    })?;

    ctx.begin("walk_cold", crate::model::Unit::Seconds);
    ctx.cold()?;
    let seen = ctx.seconds("walk_cold", files::walk)?;
    same("tree", &seen, &expected)?;
    let seen = ctx.seconds("walk_warm", files::walk)?;
    same("tree", &seen, &expected)?;

    ctx.begin("read_all_cold", crate::model::Unit::Seconds);
    ctx.cold()?;
    ctx.seconds("read_all_cold", |_| {
        let mut buf = Vec::with_capacity(BLOCK * 2);
        paths
            .iter()
            .zip(&crcs)
            .try_for_each(|(path, &crc)| files::read_small(path, &mut buf, crc))
    })?;

    ctx.seconds("unlink_all", |_| {
        paths
            .iter()
            .try_for_each(|path| std::fs::remove_file(path).at("unlink", path))
    })?;
    let seen = files::walk(&ctx.dir())?;
    same(
        "tree after unlink",
        &seen,
        &Seen {
            dirs: DIRS as u64,
            ..Seen::default()
        },
    )
}
