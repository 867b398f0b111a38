//! The table for a terminal.

use crate::error::FailureClass;
use crate::model::{Cell, Run};
use crate::stats::Verdict;

use super::style::label;
use super::{caveats, cold_words, rows_of, suite_mean};

const NAME_WIDTH: usize = 40;

/// Three significant digits, no more than a benchmark knows.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "-".into();
    }
    if size >= 1000.0 {
        let whole = format!("{:.0}", value);
        let (sign, digits) = whole
            .strip_prefix('-')
            .map_or(("", whole.as_str()), |d| ("-", d));
        let groups: Vec<&str> = digits
            .as_bytes()
            .rchunks(3)
            .rev()
            .map(|group| std::str::from_utf8(group).unwrap_or_default())
            .collect();
        return format!("{sign}{}", groups.join(","));
    }
    match size {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        0.1.. => format!("{value:.3}"),
        0.01.. => format!("{value:.4}"),
        0.0 => "0".into(),
        _ => format!("{value:.2e}"),
    }
}

pub(crate) const fn class_word(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Error => "ERROR",
        FailureClass::Corrupt => "CORRUPT",
        FailureClass::Hung => "HUNG",
        FailureClass::Died => "DIED",
        FailureClass::NotMounted => "NO MOUNT",
        FailureClass::Skipped => "skipped",
    }
}

/// `0.373 1.24x`; `~` before a ratio within noise; the failure's class where there is no figure.
fn cell_text(cell: Option<&Cell>) -> String {
    let Some(cell) = cell else {
        return String::new();
    };
    let failed = cell.failures.first().map(|f| class_word(f.class));
    let Some(summary) = cell.summary else {
        return failed.unwrap_or_default().to_owned();
    };
    let mut text = number(summary.median);
    if let Some(ratio) = cell.ratio {
        let noise = if ratio.verdict == Verdict::WithinNoise {
            "~"
        } else {
            ""
        };
        text.push_str(&format!(" {noise}{:.2}x", ratio.times_better));
    }
    if let Some(failed) = failed {
        text.push_str(&format!(" {failed}"));
    }
    text
}

pub(crate) fn render(run: &Run) -> String {
    let mut text = String::new();
    let targets: Vec<&str> = run.targets.iter().map(|t| t.name.as_str()).collect();
    for suite in run.suites() {
        let rows = rows_of(run, suite);
        let cells: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                targets
                    .iter()
                    .map(|t| cell_text(row.cells.get(*t)))
                    .collect()
            })
            .collect();
        let widths: Vec<usize> = targets
            .iter()
            .enumerate()
            .map(|(i, name)| {
                cells
                    .iter()
                    .map(|c| c[i].chars().count())
                    .max()
                    .unwrap_or(0)
                    .max(label(run, name).chars().count())
                    + 2
            })
            .collect();
        let heads: String = targets
            .iter()
            .zip(&widths)
            .map(|(t, w)| format!("{:>w$}", label(run, t)))
            .collect();
        text.push_str(&format!("{suite:<NAME_WIDTH$}{heads}\n"));
        for (row, cells) in rows.iter().zip(&cells) {
            let name = format!("  {} [{}]", row.row, row.unit.label());
            let line: String = cells
                .iter()
                .zip(&widths)
                .map(|(c, w)| format!("{c:>w$}"))
                .collect();
            text.push_str(&format!("{name:<NAME_WIDTH$}{line}\n"));
        }
        let means: String = targets
            .iter()
            .zip(&widths)
            .map(|(t, w)| {
                let mean =
                    suite_mean(run, suite, t).map_or_else(String::new, |(m, _)| format!("{m:.2}x"));
                format!("{mean:>w$}")
            })
            .collect();
        text.push_str(&format!("{:<NAME_WIDTH$}{means}\n\n", "  geometric mean"));
    }
    text.push_str(&footer(run));
    text
}

fn footer(run: &Run) -> String {
    let mut text = format!(
        "median of up to {} runs; 2.00x = twice as good as {}; ~ = within noise\n{}\n",
        run.iterations,
        label(run, &run.reference),
        cold_words(run)
    );
    let m = &run.machine;
    text.push_str(&format!(
        "{}, {} CPUs, {}, {}\n",
        m.cpu, m.cpus, m.kernel, m.store_fs
    ));
    for reason in &run.noisy {
        text.push_str(&format!("NOISY: {reason}\n"));
    }
    if run.cut_short {
        text.push_str("cut short by the time limit\n");
    }
    for caveat in caveats(run) {
        text.push_str(&format!("note: {caveat}\n"));
    }
    for row in &run.rows {
        for (target, cell) in &row.cells {
            for remark in cell.remarks.iter().filter(|r| r.starts_with("NOT ")) {
                text.push_str(&format!("check: {} {target}: {remark}\n", row.id()));
            }
        }
    }
    for (row, target, failure) in run.failures() {
        text.push_str(&format!(
            "{target} {} (pass {}): {}\n",
            row.id(),
            failure.pass + 1,
            failure.message
        ));
    }
    text
}

/// For `ablate`: what each switch costs, in percent of time, on each row.
pub(crate) fn gains(run: &Run, full: &str) -> String {
    let mut text = String::from("\nchange when switched off (positive: the optimisation helps)\n");
    for row in &run.rows {
        for (target, cell) in row.cells.iter().filter(|(t, _)| *t != full) {
            let Some(ratio) = cell.ratio else { continue };
            let percent = |times: f64| (1.0 / times - 1.0) * 100.0;
            let noise = if ratio.verdict == Verdict::WithinNoise {
                " within noise"
            } else {
                ""
            };
            text.push_str(&format!(
                "{:<44} {target:<18} {:+6.1} % [{:+.1}, {:+.1}]{noise}\n",
                row.id(),
                percent(ratio.times_better),
                percent(ratio.high),
                percent(ratio.low)
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.001234, "1.23e-3"),
            (0.01234, "0.0123"),
            (0.1234, "0.123"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
