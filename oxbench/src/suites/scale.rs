//! What one entry costs when there are many: 1 k, 10 k, 100 k and 1 M files, 1,000 a directory, and
//! 10 k and 100 k in a single one.

use std::fs::{self, File};
use std::path::PathBuf;

use super::ctx::{Ctx, same};
use super::files;
use crate::error::{AtPath, CaseResult};
use crate::model::Unit;

const PER_DIR: usize = 1000;

pub(crate) fn thousand(ctx: &mut Ctx<'_>) -> CaseResult {
    entries(ctx, "1k", 1000, PER_DIR)
}

pub(crate) fn ten_thousand(ctx: &mut Ctx<'_>) -> CaseResult {
    entries(ctx, "10k", 10_000, PER_DIR)
}

pub(crate) fn hundred_thousand(ctx: &mut Ctx<'_>) -> CaseResult {
    entries(ctx, "100k", 100_000, PER_DIR)
}

pub(crate) fn million(ctx: &mut Ctx<'_>) -> CaseResult {
    entries(ctx, "1M", 1_000_000, PER_DIR)
}

pub(crate) fn one_directory_of_ten_thousand(ctx: &mut Ctx<'_>) -> CaseResult {
    entries(ctx, "10k_in_one", 10_000, usize::MAX)
}

pub(crate) fn one_directory_of_a_hundred_thousand(ctx: &mut Ctx<'_>) -> CaseResult {
    entries(ctx, "100k_in_one", 100_000, usize::MAX)
}

fn entries(ctx: &mut Ctx<'_>, label: &str, standard: usize, per_dir: usize) -> CaseResult {
    let count = ctx.count(standard);
    let dirs: Vec<PathBuf> = (0..count.div_ceil(per_dir))
        .map(|i| ctx.dir().join(format!("d{i:04}")))
        .collect();
    let path = |i: usize| dirs[i / per_dir].join(format!("f{i:07}"));
    for dir in &dirs {
        fs::create_dir(dir).at("mkdir", dir)?;
    }
    let per_entry = |ctx: &mut Ctx<'_>, row: &str, work: &dyn Fn() -> CaseResult| {
        let row = format!("{row}_per_entry/{label}");
        ctx.begin(&row, Unit::Micros);
        let ((), took) = ctx.clock(work)?;
        ctx.push(
            &row,
            Unit::Micros,
            took.wall.as_secs_f64() * 1e6 / count as f64,
            Some(took.cpu_s),
        );
        Ok(())
    };
    per_entry(ctx, "create", &|| {
        (0..count)
            .map(path)
            .try_for_each(|p| File::create_new(&p).map(drop).at("create", &p))
    })?;
    ctx.cold()?;
    per_entry(ctx, "lookup_cold", &|| {
        (0..count)
            .map(path)
            .try_for_each(|p| fs::symlink_metadata(&p).map(drop).at("stat", &p))
    })?;
    ctx.cold()?;
    per_entry(ctx, "readdir_cold", &|| {
        let listed = dirs.iter().try_fold(0, |sum, dir| {
            Ok(sum + fs::read_dir(dir).at("list", dir)?.count())
        })?;
        same("names", &listed, &count)
    })?;
    let dir = ctx.dir();
    per_entry(ctx, "walk_warm", &|| {
        same("files", &files::walk(&dir)?.files, &(count as u64))
    })?;
    per_entry(ctx, "unlink", &|| {
        (0..count)
            .map(path)
            .try_for_each(|p| fs::remove_file(&p).at("unlink", &p))
    })
}
