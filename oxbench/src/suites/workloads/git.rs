//! Git: clone, status without and with caches, commit, and a full check of the objects.

use crate::error::CaseResult;
use crate::model::Unit;
use crate::suites::ctx::{Ctx, run_tool, same};
use crate::suites::source::git as git_in;

pub(crate) fn git(ctx: &mut Ctx<'_>) -> CaseResult {
    ctx.need_tool("git")?;
    let source = ctx.params.sources.repository()?;
    let clone = ctx.dir().join("clone");
    let guard = ctx.guard();
    ctx.seconds("git_clone", |dir| {
        let mut command = git_in(dir);
        // Over the transport, not by hard links: a clone from elsewhere.
        command
            .args(["clone", "-q", "--no-local"])
            .arg(&source)
            .arg(&clone);
        run_tool(command, &guard).map(drop)
    })?;
    ctx.begin("git_status_cold", Unit::Seconds);
    ctx.cold()?;
    for row in ["git_status_cold", "git_status_warm"] {
        let guard = ctx.guard();
        let changes = ctx.seconds(row, |_| {
            let mut command = git_in(&clone);
            command.args(["status", "--porcelain"]);
            run_tool(command, &guard)
        })?;
        same(
            "changed files",
            &String::from_utf8_lossy(&changes).into_owned(),
            &String::new(),
        )?;
    }
    let guard = ctx.guard();
    ctx.seconds("git_commit", |_| {
        let file = clone.join("new.txt");
        crate::suites::files::write_small(&file, b"one more file\n")?;
        for args in [&["add", "new.txt"][..], &["commit", "-q", "-m", "one more"]] {
            let mut command = git_in(&clone);
            command.args(args);
            run_tool(command, &guard)?;
        }
        Ok(())
    })?;
    // Reads every object and checks its hash.
    ctx.seconds("git_fsck", |_| {
        let mut command = git_in(&clone);
        command.args(["fsck", "--full", "--strict", "--no-progress"]);
        run_tool(command, &guard).map(drop)
    })
}
