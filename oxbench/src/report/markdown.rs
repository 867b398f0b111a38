//! A few lines for a README: date, machine, one table. No claim without the figures beside it.

use super::style::label;
use super::{caveats, suite_mean};
use crate::model::Run;

pub(crate) fn snippet(run: &Run) -> String {
    let date = run.started.split('T').next().unwrap_or_default();
    let m = &run.machine;
    let mut text = format!(
        "Geometric mean of each suite's rows, times better than {} (more is better). {} runs, {date}; {}, {} CPUs, {} MiB, Linux {}, {}.\n\n",
        label(run, &run.reference),
        run.iterations,
        m.cpu,
        m.cpus,
        m.memory_mib,
        m.kernel,
        m.store_fs
    );
    for reason in &run.noisy {
        text.push_str(&format!("**NOISY**: {reason}\n\n"));
    }
    text.push_str("| suite |");
    for target in &run.targets {
        text.push_str(&format!(" {} |", cell(&label(run, &target.name))));
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(run.targets.len()));
    text.push('\n');
    for suite in run.suites() {
        text.push_str(&format!("| {suite} |"));
        for target in &run.targets {
            let mean = suite_mean(run, suite, &target.name)
                .map_or_else(|| "–".into(), |(m, _)| format!("{m:.2}"));
            text.push_str(&format!(" {mean} |"));
        }
        text.push('\n');
    }
    text.push('\n');
    for caveat in caveats(run) {
        text.push_str(&format!("- {caveat}\n"));
    }
    for target in &run.targets {
        text.push_str(&format!(
            "- {}: {}\n",
            cell(&label(run, &target.name)),
            cell(&target.version)
        ));
    }
    text
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
