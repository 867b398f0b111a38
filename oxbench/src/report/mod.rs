//! What comes out of a run: `run.json`, a table, one self-contained page, charts, Markdown.

pub(crate) mod chart;
pub(crate) mod html;
pub(crate) mod markdown;
pub(crate) mod style;
pub(crate) mod table;

use std::path::Path;

use crate::cli::ReportArgs;
use crate::compare;
use crate::error::{Error, exit};
use crate::model::{Row, Run, Unit};
use crate::stats;

pub(crate) fn report(args: &ReportArgs) -> Result<u8, Error> {
    let run = compare::load(&args.run)?;
    let beside = if args.run.is_dir() {
        Some(args.run.as_path())
    } else {
        args.run.parent()
    };
    let out = args.out.as_deref().or(beside).unwrap_or(Path::new("."));
    write_derived(&run, out)?;
    crate::print(&table::render(&run))?;
    Ok(exit::OK)
}

/// The run and everything made from it.
pub(crate) fn write_all(run: &Run, out: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(out).map_err(Error::io(out.display().to_string()))?;
    let json = serde_json::to_string_pretty(run).map_err(|e| Error::Failed(e.to_string()))?;
    write(out, "run.json", &format!("{json}\n"))?;
    write_derived(run, out)
}

fn write_derived(run: &Run, out: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(out).map_err(Error::io(out.display().to_string()))?;
    write(out, "index.html", &html::page(run))?;
    write(out, "table.txt", &table::render(run))?;
    write(out, "summary.md", &markdown::snippet(run))?;
    write(out, "suites.svg", &chart::suites(run))?;
    for suite in run.suites() {
        write(out, &format!("{suite}.svg"), &chart::rows(run, suite))?;
        if let Some(svg) = chart::latency(run, suite) {
            write(out, &format!("{suite}-latency.svg"), &svg)?;
        }
    }
    Ok(())
}

fn write(out: &Path, name: &str, text: &str) -> Result<(), Error> {
    let path = out.join(name);
    std::fs::write(&path, text).map_err(Error::io(path.display().to_string()))
}

/// Rows of a suite.
pub(crate) fn rows_of<'a>(run: &'a Run, suite: &str) -> Vec<&'a Row> {
    run.rows.iter().filter(|r| r.suite == suite).collect()
}

/// Times better than the reference, over all rows of a suite that both have. None for a target
/// without any; the count says over how many rows.
pub(crate) fn suite_mean(run: &Run, suite: &str, target: &str) -> Option<(f64, usize)> {
    if target == run.reference {
        return Some((
            1.0,
            rows_of(run, suite).iter().filter(|row| counts(row)).count(),
        ));
    }
    let ratios: Vec<f64> = rows_of(run, suite)
        .iter()
        .filter(|row| counts(row))
        .filter_map(|row| row.cells.get(target)?.ratio.map(|r| r.times_better))
        .collect();
    Some((stats::geometric_mean(ratios.iter().copied())?, ratios.len()))
}

/// Memory and wake-ups are no speed, and a ratio of ratios is none either: they have rows, but no
/// part in a suite's mean.
const fn counts(row: &Row) -> bool {
    !matches!(row.unit, Unit::Mib | Unit::PerSecond | Unit::Times)
}

/// Things a reader must know beside a target's figures.
pub(crate) fn caveats(run: &Run) -> Vec<String> {
    let has = |name: &str| run.targets.iter().any(|t| t.name.starts_with(name));
    let mut caveats = Vec::new();
    if has("cryfs") {
        caveats.push(
            "CryFS keeps writes in memory and does not make them durable at fsync; its rows with creation, \
             deletion and fsync are not comparable."
                .to_owned(),
        );
    }
    if has("encfs") {
        caveats.push("EncFS as set up by default does not authenticate content: it would not notice a changed byte.".into());
    }
    if has("rclone") {
        caveats.push("rclone writes to a local cleartext cache first and uploads later; fsync does not wait for it.".into());
    }
    if has("plain") || has("passthrough") {
        caveats.push("plain and passthrough do not encrypt; they show what the disk and FUSE themselves cost.".into());
    }
    caveats
}

/// How "cold" was made, in words.
pub(crate) const fn cold_words(run: &Run) -> &'static str {
    use crate::mount::kernel::ColdMethod;
    match run.cold {
        Some(ColdMethod::DropCaches) => {
            "cold: fresh mount, data written through, page, inode and name caches dropped (drop_caches)"
        }
        Some(ColdMethod::FadviseOnly) => {
            "cold: fresh mount, pages of the store given back (fadvise); dropping all caches was not allowed"
        }
        None => "no cold case was run",
    }
}
