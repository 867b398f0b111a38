//! Names and attributes, without content.

use std::fs;
use std::path::{Path, PathBuf};

use super::ctx::{Ctx, same};
use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::model::Unit;

fn names(dir: &Path, prefix: &str, count: usize) -> Vec<PathBuf> {
    (0..count)
        .map(|i| dir.join(format!("{prefix}{i:05}")))
        .collect()
}

pub(crate) fn directories(ctx: &mut Ctx<'_>) -> CaseResult {
    let dirs = names(&ctx.dir(), "dir", ctx.count(1000));
    ctx.seconds("mkdir", |_| {
        dirs.iter()
            .try_for_each(|d| fs::create_dir(d).at("mkdir", d))
    })?;
    same("directories", &list(&ctx.dir())?, &dirs.len())?;
    ctx.seconds("rmdir", |_| {
        dirs.iter()
            .try_for_each(|d| fs::remove_dir(d).at("rmdir", d))
    })?;
    same("directories", &list(&ctx.dir())?, &0)
}

pub(crate) fn entries(ctx: &mut Ctx<'_>) -> CaseResult {
    let count = ctx.count(1000);
    let files = names(&ctx.dir(), "file", count);
    ctx.seconds("create_empty_1k", |_| {
        files.iter().try_for_each(|f| create_empty(f))
    })?;

    let renamed = names(&ctx.dir(), "renamed", count);
    ctx.seconds("rename", |_| {
        files
            .iter()
            .zip(&renamed)
            .try_for_each(|(from, to)| fs::rename(from, to).at("rename", from))
    })?;
    same("files", &list(&ctx.dir())?, &count)?;

    ctx.seconds("open_close_2k", |_| {
        renamed
            .iter()
            .chain(&renamed)
            .try_for_each(|f| fs::File::open(f).map(drop).at("open", f))
    })?;
    ctx.seconds("stat_missing", |_| {
        files.iter().try_for_each(|f| missing(f))
    })?;
    links(ctx)?;

    ctx.begin("stat_cold", Unit::Seconds);
    ctx.cold()?;
    for row in ["stat_cold", "stat_warm"] {
        ctx.seconds(row, |_| {
            renamed
                .iter()
                .try_for_each(|f| fs::symlink_metadata(f).map(drop).at("stat", f))
        })?;
    }
    Ok(())
}

fn links(ctx: &mut Ctx<'_>) -> CaseResult {
    let links = names(&ctx.dir(), "link", ctx.count(300));
    ctx.seconds("symlink", |_| {
        links
            .iter()
            .try_for_each(|l| std::os::unix::fs::symlink("../some/target", l).at("symlink", l))
    })?;
    ctx.seconds("readlink", |_| {
        links.iter().try_for_each(|l| {
            let target = fs::read_link(l).at("readlink", l)?;
            same(
                "link target",
                &target.as_path(),
                &Path::new("../some/target"),
            )
        })
    })
}

pub(crate) fn listing(ctx: &mut Ctx<'_>) -> CaseResult {
    for (label, standard) in [("1k", 1000), ("10k", 10_000)] {
        let count = ctx.count(standard);
        let dir = ctx.dir().join(label);
        fs::create_dir(&dir).at("mkdir", &dir)?;
        let files = names(&dir, "file", count);
        let create = format!("create_empty_{label}_dir");
        ctx.seconds(&create, |_| files.iter().try_for_each(|f| create_empty(f)))?;
        let cold = format!("readdir_{label}_cold");
        ctx.begin(&cold, Unit::Seconds);
        ctx.cold()?;
        for row in [cold, format!("readdir_{label}_warm")] {
            let found = ctx.seconds(&row, |_| list(&dir))?;
            same("entries", &found, &count)?;
        }
    }
    Ok(())
}

/// Names of 200 bytes: a format that shortens long names pays for it here.
pub(crate) fn long_names(ctx: &mut Ctx<'_>) -> CaseResult {
    let dir = ctx.dir();
    let files: Vec<PathBuf> = (0..ctx.count(300))
        .map(|i| dir.join(format!("{i:04}-{}", "long name ".repeat(19))))
        .collect();
    ctx.seconds("long_create", |_| {
        files.iter().try_for_each(|f| create_empty(f))
    })?;
    ctx.begin("long_list_cold", Unit::Seconds);
    ctx.cold()?;
    let found = ctx.seconds("long_list_cold", list)?;
    same("entries", &found, &files.len())?;
    ctx.seconds("long_unlink", |_| {
        files
            .iter()
            .try_for_each(|f| fs::remove_file(f).at("unlink", f))
    })
}

fn create_empty(path: &Path) -> CaseResult {
    fs::File::create_new(path).map(drop).at("create", path)
}

fn missing(path: &Path) -> CaseResult {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(source).at("stat", path),
        Ok(_) => Err(CaseFailure::Corrupt(
            "a name that was renamed away still exists".into(),
        )),
    }
}

fn list(dir: &Path) -> CaseResult<usize> {
    let mut count = 0;
    for entry in fs::read_dir(dir).at("list", dir)? {
        entry.at("list", dir)?;
        count += 1;
    }
    Ok(count)
}
