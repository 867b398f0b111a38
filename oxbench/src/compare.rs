//! Two runs, row by row. A regression is a row that is slower by more than allowed *and* whose
//! confidence interval says so.

use std::path::Path;

use crate::cli::CompareArgs;
use crate::error::{Error, FailureClass, exit};
use crate::model::{Cell, Row, Run};
use crate::report::table::number;
use crate::stats::{self, Ratio, Verdict};

pub(crate) fn load(path: &Path) -> Result<Run, Error> {
    let path = if path.is_dir() {
        path.join("run.json")
    } else {
        path.to_owned()
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|e| Error::BadRequest(format!("{}: {e}", path.display())))?;
    Run::parse(&text).map_err(|e| Error::BadRequest(format!("{}: {e}", path.display())))
}

/// One row of one target in both runs.
#[derive(Debug)]
struct Line {
    id: String,
    target: String,
    before: f64,
    after: f64,
    unit: &'static str,
    ratio: Ratio,
}

pub(crate) fn compare(args: &CompareArgs) -> Result<u8, Error> {
    let (before, after) = (load(&args.before)?, load(&args.after)?);
    if (before.scale - after.scale).abs() > f64::EPSILON || before.seed != after.seed {
        return Err(Error::BadRequest(
            "the runs differ in --scale or --seed; they did different work".into(),
        ));
    }
    let mut text = String::new();
    if before.machine.cpu != after.machine.cpu || before.machine.kernel != after.machine.kernel {
        text.push_str("note: the runs are from different machines or kernels\n");
    }
    for (name, run) in [("before", &before), ("after", &after)] {
        for reason in &run.noisy {
            text.push_str(&format!("NOISY ({name}): {reason}\n"));
        }
    }
    let lines = lines(&before, &after, args.target.as_deref());
    let new_faults = new_faults(&before, &after, args.target.as_deref());
    if lines.is_empty() && new_faults.is_empty() {
        return Err(Error::BadRequest("the runs have no row in common".into()));
    }
    let allowed = args.fail_over.unwrap_or(f64::INFINITY);
    let mut regressions = 0;
    for line in &lines {
        let is_regression = is_regression(&line.ratio, allowed);
        regressions += usize::from(is_regression);
        text.push_str(&shown(line, is_regression));
    }
    for fault in &new_faults {
        text.push_str(&format!("NEW FAULT  {fault}\n"));
    }
    let better = lines
        .iter()
        .filter(|l| l.ratio.verdict == Verdict::Better)
        .count();
    let worse = lines
        .iter()
        .filter(|l| l.ratio.verdict == Verdict::Worse)
        .count();
    let noise = lines.len() - better - worse;
    text.push_str(&format!(
        "{better} faster, {worse} slower, {noise} within noise"
    ));
    if let Some(allowed) = args.fail_over {
        text.push_str(&format!(
            ", {regressions} slower by more than {:.0} %",
            allowed * 100.0
        ));
    }
    text.push('\n');
    crate::print(&text)?;
    let failed = args.fail_over.is_some() && (regressions > 0 || !new_faults.is_empty());
    Ok(if failed { exit::REGRESSION } else { exit::OK })
}

/// Slower than allowed, and not by chance.
fn is_regression(ratio: &Ratio, allowed: f64) -> bool {
    ratio.verdict == Verdict::Worse && 1.0 / ratio.times_better > 1.0 + allowed
}

fn lines(before: &Run, after: &Run, only: Option<&str>) -> Vec<Line> {
    let mut lines = Vec::new();
    for row in &before.rows {
        let Some(other) = after.rows.iter().find(|r| r.id() == row.id()) else {
            continue;
        };
        for (target, cell) in &row.cells {
            if only.is_some_and(|name| name != target) {
                continue;
            }
            if let Some(line) = other
                .cells
                .get(target)
                .and_then(|c| line(row, target, cell, c))
            {
                lines.push(line);
            }
        }
    }
    lines
}

fn line(row: &Row, target: &str, before: &Cell, after: &Cell) -> Option<Line> {
    // Not measured in the same passes: not paired.
    let ratio = stats::ratio(&after.values, &before.values, row.less_is_better, false)?;
    Some(Line {
        id: row.id(),
        target: target.to_owned(),
        before: before.summary?.median,
        after: after.summary?.median,
        unit: row.unit.label(),
        ratio,
    })
}

fn new_faults(before: &Run, after: &Run, only: Option<&str>) -> Vec<String> {
    let had = |id: &str, target: &str| {
        before
            .failures()
            .any(|(row, t, f)| row.id() == id && t == target && f.class != FailureClass::Skipped)
    };
    after
        .failures()
        .filter(|(_, target, f)| {
            f.class != FailureClass::Skipped && only.is_none_or(|o| o == *target)
        })
        .filter(|(row, target, _)| !had(&row.id(), target))
        .map(|(row, target, f)| format!("{} {target}: {}", row.id(), f.message))
        .collect()
}

fn shown(line: &Line, is_regression: bool) -> String {
    let verdict = match line.ratio.verdict {
        _ if is_regression => "REGRESSION",
        Verdict::Better => "faster",
        Verdict::Worse => "slower",
        Verdict::WithinNoise => "noise",
    };
    format!(
        "{verdict:<10} {:<44} {:<14} {:>9} -> {:>9} {:<6} {:.2}x [{:.2}, {:.2}]\n",
        line.id,
        line.target,
        number(line.before),
        number(line.after),
        line.unit,
        line.ratio.times_better,
        line.ratio.low,
        line.ratio.high
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio_of(slow_down: f64) -> Ratio {
        let before = [1.0, 1.01, 0.99, 1.0, 1.02];
        let after = before.map(|v| v * slow_down);
        stats::ratio(&after, &before, true, false).unwrap()
    }

    #[test]
    fn only_sure_and_large_slow_downs_are_regressions() {
        assert!(is_regression(&ratio_of(1.2), 0.05));
        assert!(!is_regression(&ratio_of(1.2), 0.25));
        assert!(!is_regression(&ratio_of(1.0), 0.0));
        assert!(!is_regression(&ratio_of(0.8), 0.05));
    }

    #[test]
    fn missing_files_are_bad_requests() {
        assert!(matches!(
            load(Path::new("/nonesuch")),
            Err(Error::BadRequest(_))
        ));
    }
}
