//! Archive and Directory Tree: an archive unpacked, walked, read, packed again and deleted.

use std::process::Command;

use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::model::Unit;
use crate::suites::ctx::{Ctx, same};
use crate::suites::files;

pub(crate) fn archive(ctx: &mut Ctx<'_>) -> CaseResult {
    ctx.need_tool("tar")?;
    let source = ctx.params.sources.tree()?;
    let guard = ctx.guard();
    ctx.seconds("untar", |dir| {
        let mut command = Command::new("tar");
        command.arg("-C").arg(dir).arg("-xf").arg(&source.tar);
        crate::suites::ctx::run_tool(command, &guard).map(drop)
    })?;
    ctx.begin("tar_cold", Unit::Seconds);
    ctx.cold()?;
    let guard = ctx.guard();
    let packed = ctx.params.scratch.join("packed.tar");
    ctx.seconds("tar_cold", |dir| {
        let mut command = Command::new("tar");
        command.arg("-C").arg(dir).arg("-cf").arg(&packed).arg(".");
        crate::suites::ctx::run_tool(command, &guard).map(drop)
    })?;
    std::fs::remove_file(&packed).at("unlink", &packed)?;
    unchanged(ctx, source.hash)
}

fn unchanged(ctx: &Ctx<'_>, hash: [u8; 32]) -> CaseResult {
    if files::tree_hash(&ctx.dir())? == hash {
        return Ok(());
    }
    Err(CaseFailure::Corrupt("the tree's hash".into()))
}

pub(crate) fn tree(ctx: &mut Ctx<'_>) -> CaseResult {
    let source = ctx.params.sources.tree()?;
    let mut command = Command::new("cp");
    command
        .arg("-r")
        .arg(&source.dir)
        .arg(ctx.dir().join("tree"));
    ctx.tool(command)?;
    let tree = ctx.dir().join("tree");
    ctx.begin("tree_walk_cold", Unit::Seconds);
    ctx.cold()?;
    let seen = ctx.seconds("tree_walk_cold", |_| files::walk(&tree))?;
    same("files", &seen.files, &source.files)?;
    let seen = ctx.seconds("tree_walk_warm", |_| files::walk(&tree))?;
    same("files", &seen.files, &source.files)?;
    let list = files::files_below(&tree)?;
    let bytes = ctx.seconds("tree_read_all", |_| {
        let mut bytes = 0;
        for file in &list {
            bytes += std::fs::read(file).at("read", file)?.len() as u64;
        }
        Ok(bytes)
    })?;
    same("bytes", &bytes, &seen.bytes)?;
    if files::tree_hash(&tree)? != source.hash {
        return Err(CaseFailure::Corrupt("the tree's hash".into()));
    }
    ctx.seconds("tree_delete", |_| {
        std::fs::remove_dir_all(&tree).at("remove", &tree)
    })
}
