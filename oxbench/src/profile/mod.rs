//! Where the daemon's CPU time goes: `perf` samples the whole machine, and what fell on the
//! daemon's process inside a measured part is sorted into kinds of work, a line for each part.

mod kind;
mod samples;

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::PoisonError;

use crate::cli::ProfileArgs;
use crate::error::{Error, exit};
use crate::mount::{Programs, Target};
use crate::run::{Request, measure_into, throw_away_password};
use crate::suites::ctx::{ClockLog, Clocked};
use crate::{process, suites};
use kind::Kind;
use samples::{Frame, Sample};

/// Samples a second and CPU. Odd, so as not to beat with what the kernel does each millisecond.
const RATE: &str = "1999";
/// A part with fewer samples in all passes says nothing.
const FEWEST: usize = 50;

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
    let request = Request {
        targets: vec![target],
        cases: suites::select(&args.suite)?,
        reference: None,
        password: throw_away_password(),
    };
    let data = std::env::temp_dir().join(format!("oxbench-perf-{}.data", std::process::id()));
    let mut recorder = Command::new(&perf)
        .args(["record", "-q", "-a", "-g", "-k", "CLOCK_MONOTONIC"])
        .args(["-F", RATE, "-o"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(Error::io("perf record"))?;
    let clocked = ClockLog::default();
    let run = measure_into(&args.how, &request, &programs, clocked.clone());
    process::kill(recorder.id(), rustix::process::Signal::INT);
    let recorded = recorder.wait().map_err(Error::io("perf record"));
    let shown = run.and_then(|run| {
        recorded?;
        let parts = std::mem::take(&mut *clocked.lock().unwrap_or_else(PoisonError::into_inner));
        show(&perf, &data, Profile::new(parts), args.symbols)?;
        Ok(if run.has_faults() {
            exit::FAILURES
        } else {
            exit::OK
        })
    });
    let _ = std::fs::remove_file(&data);
    shown
}

fn show(perf: &Path, data: &Path, mut profile: Profile, symbols: usize) -> Result<(), Error> {
    let mut script = Command::new(perf)
        .args(["script", "--ns", "--no-inline"])
        .args(["-F", "pid,time,ip,sym,dso", "-i"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::io("perf script"))?;
    if let Some(output) = script.stdout.take() {
        samples::read(BufReader::new(output), |sample| profile.add(&sample))
            .map_err(Error::io("perf script"))?;
    }
    let ended = script.wait().map_err(Error::io("perf script"))?;
    if !ended.success() {
        return Err(Error::Failed(format!("perf script: {ended}")));
    }
    crate::print(&profile.table())?;
    crate::print(&profile.symbols(symbols))
}

/// All passes of one measured part.
#[derive(Debug, Default)]
struct Part {
    cpu_s: f64,
    faults: u64,
    samples: [usize; Kind::ALL.len()],
}

impl Part {
    fn all(&self) -> usize {
        self.samples.iter().sum()
    }
}

#[derive(Debug)]
struct Profile {
    clocked: Vec<Clocked>,
    /// In the order in which they were first measured.
    names: Vec<String>,
    parts: BTreeMap<String, Part>,
    symbols: BTreeMap<(Kind, String), usize>,
}

impl Profile {
    fn new(clocked: Vec<Clocked>) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut parts: BTreeMap<String, Part> = BTreeMap::new();
        for one in &clocked {
            if !names.contains(&one.row) {
                names.push(one.row.clone());
            }
            let part = parts.entry(one.row.clone()).or_default();
            part.cpu_s += one.cpu_s;
            part.faults += one.faults;
        }
        Self {
            clocked,
            names,
            parts,
            symbols: BTreeMap::new(),
        }
    }

    fn add(&mut self, sample: &Sample) {
        // Parts follow each other, and so do samples, but for those of different CPUs.
        let after = self
            .clocked
            .partition_point(|one| one.time.start <= sample.time);
        let Some(one) = after.checked_sub(1).and_then(|i| self.clocked.get(i)) else {
            return;
        };
        if !one.time.contains(&sample.time) || !one.daemons.contains(&sample.pid) {
            return;
        }
        let kind = Kind::of(&sample.frames);
        if let Some(part) = self.parts.get_mut(&one.row) {
            part.samples[kind as usize] += 1;
        }
        let leaf = sample.frames.first().map_or("?", Frame::name);
        *self.symbols.entry((kind, leaf.to_owned())).or_default() += 1;
    }

    fn table(&self) -> String {
        let wide = self.names.iter().map(String::len).max().unwrap_or(0);
        let mut text = format!("{:wide$}", "share of the daemon's CPU time, %");
        for kind in Kind::ALL {
            text += &format!(" {:>9}", kind.title());
        }
        text += &format!(" {:>9} {:>9} {:>9}\n", "CPU s", "samples", "faults");
        for name in &self.names {
            let Some(part) = self.parts.get(name) else {
                continue;
            };
            let all = part.all();
            text += &format!("{name:wide$}");
            for count in part.samples {
                text += &if all < FEWEST {
                    format!(" {:>9}", "-")
                } else {
                    format!(" {:>9.2}", count as f64 / all as f64 * 100.0)
                };
            }
            text += &format!(" {:>9.3} {all:>9} {:>9}\n", part.cpu_s, part.faults);
        }
        text
    }

    fn symbols(&self, most: usize) -> String {
        let all: usize = self.symbols.values().sum();
        let mut sorted: Vec<_> = self.symbols.iter().collect();
        sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        sorted
            .iter()
            .take(most)
            .map(|((kind, name), count)| {
                let share = **count as f64 / all as f64 * 100.0;
                format!("{share:>6.2} %  {:9}  {name}\n", kind.title())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn part(row: &str, from: u64, to: u64) -> Clocked {
        Clocked {
            row: row.into(),
            daemons: [7].into(),
            time: Duration::from_secs(from)..Duration::from_secs(to),
            cpu_s: 0.5,
            faults: 3,
        }
    }

    #[test]
    fn samples_go_to_the_part_in_which_the_daemon_ran() {
        let mut profile = Profile::new(vec![
            part("stream/write", 10, 12),
            part("stream/read", 20, 22),
            part("stream/write", 30, 32),
        ]);
        let sample = |pid, seconds| Sample {
            pid,
            time: Duration::from_secs(seconds),
            frames: vec![Frame::user("aws_lc_0_1_aes_gcm_encrypt", "/bin/oxcrypt")],
        };
        for (pid, seconds) in [(7, 9), (7, 11), (8, 11), (7, 12), (7, 21), (7, 31), (7, 99)] {
            profile.add(&sample(pid, seconds));
        }
        let cipher = |row: &str| profile.parts[row].samples[Kind::Cipher as usize];
        assert_eq!((cipher("stream/write"), cipher("stream/read")), (2, 1));
        assert_eq!(profile.parts["stream/write"].faults, 6);
        assert!(profile.table().contains("stream/write"));
        assert!(profile.symbols(1).starts_with("100.00 %  cipher"));
    }
}
