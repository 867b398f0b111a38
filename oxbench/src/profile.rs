//! Where CPU time goes while one case runs: `perf` over the whole machine, shown for the target's
//! programs only, because a cold case remounts and its daemon changes its process id.

use std::process::{Command, Stdio};

use crate::cli::ProfileArgs;
use crate::error::{Error, exit};
use crate::mount::{Programs, Target};
use crate::run::{Request, measure, throw_away_password};
use crate::{process, suites};

/// Programs whose time is not the target's.
const OTHERS: [&str; 8] = [
    "swapper",
    "oxbench",
    "perf",
    "kworker",
    "ksoftirqd",
    "rcu_",
    "migration",
    "jbd2",
];
const LINES: usize = 60;

pub(crate) fn profile(args: &ProfileArgs) -> Result<u8, Error> {
    let programs = Programs::discover(args.how.oxcrypt.clone())?;
    let Some(perf) = programs.find("perf") else {
        return Err(Error::BadRequest("perf is not installed".into()));
    };
    let target = Target::parse(&args.target)?;
    if !programs.is_installed(&target.kind) {
        return Err(Error::BadRequest(format!(
            "{} is not installed",
            target.name
        )));
    }
    let cases = suites::select(std::slice::from_ref(&args.case))?;
    let request = Request {
        targets: vec![target],
        cases,
        reference: None,
        password: throw_away_password(),
    };
    let data = std::env::temp_dir().join(format!("oxbench-perf-{}.data", std::process::id()));
    let mut recorder = Command::new(&perf)
        .args(["record", "-q", "-a", "-F", "997", "-g", "-o"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(Error::io("perf record"))?;
    let run = measure(&args.how, &request, &programs);
    process::kill(recorder.id(), rustix::process::Signal::INT);
    let recorded = recorder.wait().map_err(Error::io("perf record"));
    let shown = run.and_then(|_| {
        recorded?;
        show(&perf, &data)
    });
    let _ = std::fs::remove_file(&data);
    shown
}

fn show(perf: &std::path::Path, data: &std::path::Path) -> Result<u8, Error> {
    let output = Command::new(perf)
        .args([
            "report",
            "--stdio",
            "--no-children",
            "-g",
            "none",
            "--sort",
            "comm,dso,symbol",
            "-i",
        ])
        .arg(data)
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io("perf report"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let line = words
            .lines()
            .find(|l| !l.trim().is_empty())
            .unwrap_or("no reason given");
        return Err(Error::Failed(format!("perf report: {line}")));
    }
    crate::print(&select(&String::from_utf8_lossy(&output.stdout)))?;
    Ok(exit::OK)
}

/// The target's lines, with their shares made to add up to 100 %.
fn select(report: &str) -> String {
    let parsed: Vec<(f64, &str)> = report
        .lines()
        .filter_map(|line| {
            let (share, rest) = line.trim().split_once('%')?;
            Some((share.parse().ok()?, rest.trim()))
        })
        .filter(|(_, rest)| !OTHERS.iter().any(|o| rest.starts_with(o)))
        .collect();
    let all: f64 = parsed.iter().map(|(share, _)| share).sum();
    if all <= 0.0 {
        return "no sample of the target's programs\n".into();
    }
    let lines: Vec<String> = parsed
        .iter()
        .take(LINES)
        .map(|(share, rest)| format!("{:>6.2} %  {rest}\n", share / all * 100.0))
        .collect();
    format!(
        "share of the target's own CPU time ({all:.1} % of all samples)\n{}",
        lines.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_target_alone() {
        let report = "# header\n    50.00%  swapper  [k] idle\n    30.00%  oxcrypt  lib  [.] aes\n    10.00%  fuse-1  [k]  copy\n";
        let text = select(report);
        assert!(
            text.contains(" 75.00 %  oxcrypt") && text.contains(" 25.00 %  fuse-1"),
            "{text}"
        );
        assert!(!text.contains("swapper"));
        assert!(select("").contains("no sample"));
    }
}
