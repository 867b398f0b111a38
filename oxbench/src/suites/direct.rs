//! Our product without a mount: put, ls, get and check, each a process of its own.

use std::ffi::OsStr;
use std::process::Command;

use super::ctx::{Ctx, run_tool};
use super::files;
use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::model::Unit;

pub(crate) fn direct(ctx: &mut Ctx<'_>) -> CaseResult {
    if !ctx.instance.target.is_oxcrypt() {
        return Err(CaseFailure::Skipped(
            "only our own program works without a mount".into(),
        ));
    }
    let oxcrypt = ctx.params.programs.need("oxcrypt")?;
    let source = ctx.params.sources.bulk()?;
    let site = ctx.instance.site.clone();
    // The vault's own command must not meet a mount that still holds data back.
    ctx.instance.unmount()?;
    let guard = ctx.guard();
    let run = |ctx: &mut Ctx<'_>, row: &str, command: &str, args: &[&OsStr]| {
        crate::mount::kernel::drop_caches(&site.store);
        ctx.seconds(row, |_| {
            let mut process = Command::new(&oxcrypt);
            process.arg(command).arg(&site.store).args(args);
            process.arg("--password-file").arg(&site.password_file);
            run_tool(process, &guard).map(drop)
        })
    };
    run(
        ctx,
        "put_100M",
        "put",
        &[
            "-r".as_ref(),
            source.dir.as_os_str(),
            "/oxbench-direct".as_ref(),
        ],
    )?;
    run(
        ctx,
        "ls_recursive",
        "ls",
        &["-R".as_ref(), "/oxbench-direct".as_ref()],
    )?;
    let out = ctx.params.scratch.join("direct-out");
    std::fs::create_dir_all(&out).at("mkdir", &out)?;
    run(
        ctx,
        "get_100M",
        "get",
        &[
            "-r".as_ref(),
            "/oxbench-direct/bulk".as_ref(),
            out.as_os_str(),
        ],
    )?;
    let found = files::tree_hash(&out.join("bulk"));
    std::fs::remove_dir_all(&out).at("remove", &out)?;
    if found? != source.hash {
        return Err(CaseFailure::Corrupt("the copy's hash".into()));
    }
    run(ctx, "check_data", "check", &["--data".as_ref()])?;
    ctx.begin("clean-up", Unit::Seconds);
    ctx.instance.mount()?;
    Ok(())
}
