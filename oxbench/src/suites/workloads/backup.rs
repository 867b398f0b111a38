//! Backup/Sync: one large copy, and rsync in, again, and out.

use std::path::Path;
use std::process::Command;

use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::model::Unit;
use crate::suites::ctx::{Ctx, run_tool};
use crate::suites::files;

pub(crate) fn copy(ctx: &mut Ctx<'_>) -> CaseResult {
    let len = ctx.mib(256);
    let content = ctx.content(40);
    let source = ctx.params.scratch.join("large");
    files::write_all(&source, &content.bytes(len as usize), true)?;
    let guard = ctx.guard();
    let result = copies(ctx, &source, &guard).and_then(|()| {
        ctx.begin("verify", Unit::Seconds);
        ctx.cold()?;
        files::verify(&ctx.dir().join("copy"), &content, len)?;
        files::verify(&ctx.dir().join("synced"), &content, len)
    });
    std::fs::remove_file(&source).at("unlink", &source)?;
    result
}

fn copies(ctx: &mut Ctx<'_>, source: &Path, guard: &crate::mount::Guard) -> CaseResult {
    ctx.seconds("cp_256M", |dir| {
        let mut command = Command::new("cp");
        command
            .arg("--reflink=never")
            .arg(source)
            .arg(dir.join("copy"));
        run_tool(command, guard).map(drop)
    })?;
    ctx.seconds("cp_256M_synced", |dir| {
        let copy = dir.join("synced");
        let mut command = Command::new("cp");
        command.arg("--reflink=never").arg(source).arg(&copy);
        run_tool(command, guard)?;
        let file = std::fs::File::open(&copy).at("open", &copy)?;
        file.sync_all().at("fsync", &copy)
    })
}

pub(crate) fn rsync(ctx: &mut Ctx<'_>) -> CaseResult {
    ctx.need_tool("rsync")?;
    let source = ctx.params.sources.bulk()?;
    let run = |ctx: &mut Ctx<'_>, row: &str, from: &Path, to: &Path| {
        let guard = ctx.guard();
        ctx.seconds(row, |_| {
            let mut command = Command::new("rsync");
            command.arg("-a").arg(from.join("")).arg(to);
            run_tool(command, &guard).map(drop)
        })
    };
    let copy = ctx.dir().join("copy");
    run(ctx, "rsync_in_100M", &source.dir, &copy)?;
    ctx.begin("rsync_again_cold", Unit::Seconds);
    ctx.cold()?;
    run(ctx, "rsync_again_cold", &source.dir, &copy)?;
    ctx.begin("rsync_out_100M", Unit::Seconds);
    ctx.cold()?;
    let out = ctx.params.scratch.join("rsync-out");
    let result = run(ctx, "rsync_out_100M", &copy, &out).and_then(|()| {
        if files::tree_hash(&out)? == source.hash {
            return Ok(());
        }
        Err(CaseFailure::Corrupt("the copy's hash".into()))
    });
    std::fs::remove_dir_all(&out).at("remove", &out)?;
    result
}
