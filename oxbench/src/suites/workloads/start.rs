//! Cold Start: from the mounting command to the last of the first twenty files.

use std::time::Instant;

use crate::data::BLOCK;
use crate::error::{CaseFailure, CaseResult};
use crate::model::Unit;
use crate::suites::ctx::Ctx;
use crate::suites::files;

/// A target that is no mount of ours shows the cold reading alone.
pub(crate) fn cold_start(ctx: &mut Ctx<'_>) -> CaseResult {
    let dir = ctx.dir();
    let paths: Vec<_> = (0..20)
        .map(|i| dir.join(format!("document{i:02}.txt")))
        .collect();
    let body = ctx.content(95).bytes(8 * BLOCK);
    let crc = crc32fast::hash(&body);
    for path in &paths {
        files::write_small(path, &body)?;
    }
    ctx.begin("cold_start", Unit::Seconds);
    ctx.instance.unmount()?;
    ctx.instance.cold_method = Some(crate::mount::kernel::drop_caches(&ctx.instance.site.store));
    let started = Instant::now();
    ctx.instance.mount()?;
    let mounted = started.elapsed();
    if files::files_below(&dir)?.len() != paths.len() {
        return Err(CaseFailure::Corrupt("the first listing".into()));
    }
    let mut buf = Vec::with_capacity(8 * BLOCK + 1);
    for path in &paths {
        files::read_small(path, &mut buf, crc)?;
    }
    let all = started.elapsed();
    ctx.push("cold_start", Unit::Seconds, all.as_secs_f64(), None);
    ctx.push(
        "first_20_files",
        Unit::Seconds,
        (all - mounted).as_secs_f64(),
        None,
    );
    Ok(())
}
