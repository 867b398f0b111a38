//! What a case works with: the mount, the amounts of work, and where its figures go.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::source::Sources;
use crate::data::{BLOCK, Content, Dice};
use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::model::Unit;
use crate::mount::{Guard, Instance, Programs, Setup, Watch};
use crate::process::{self, Usage};
use crate::stats;

/// One figure of one pass.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) row: String,
    pub(crate) unit: Unit,
    pub(crate) value: f64,
    pub(crate) daemon_cpu_s: Option<f64>,
    /// Nanoseconds of single operations, where they were timed one by one.
    pub(crate) latency: Vec<u64>,
    pub(crate) remark: Option<String>,
}

/// The same for every case of a run.
#[derive(Debug, Clone)]
pub(crate) struct Params {
    pub(crate) scale: f64,
    pub(crate) seed: u64,
    pub(crate) sources: Arc<Sources>,
    pub(crate) programs: Programs,
    /// For things outside any target, on the backing file system.
    pub(crate) scratch: PathBuf,
    pub(crate) warm_up: Duration,
    pub(crate) watch: Watch,
    pub(crate) clocked: ClockLog,
}

/// Every part that ran on the clock, in order: what a profile cuts its samples by.
pub(crate) type ClockLog = Arc<Mutex<Vec<Clocked>>>;

#[derive(Debug, Clone)]
pub(crate) struct Clocked {
    pub(crate) row: String,
    pub(crate) daemons: BTreeSet<u32>,
    /// From and to, on the monotonic clock.
    pub(crate) time: Range<Duration>,
    pub(crate) cpu_s: f64,
    pub(crate) faults: u64,
}

impl Params {
    pub(crate) const fn setup<'a>(&'a self, base: &'a Path, password: &'a str) -> Setup<'a> {
        Setup {
            base,
            password,
            warm_up: self.warm_up,
            watch: &self.watch,
        }
    }
}

pub(crate) struct Ctx<'a> {
    pub(crate) instance: &'a mut Instance,
    pub(crate) params: &'a Params,
    dir: PathBuf,
    case: String,
    pub(crate) samples: Vec<Sample>,
    /// The row being measured: a failure is written there.
    current: Current,
    peak_rss_mib: f64,
}

/// Row and unit in work, readable while the worker is stuck.
pub(crate) type Current = Arc<Mutex<(String, Unit)>>;

/// What one measured part took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    pub(crate) cpu_s: f64,
    pub(crate) reads: u64,
}

impl<'a> Ctx<'a> {
    /// The case gets a directory of its own inside the mount.
    pub(crate) fn new(
        instance: &'a mut Instance,
        params: &'a Params,
        case: &str,
        current: Current,
    ) -> CaseResult<Self> {
        let dir = instance.root().join(format!("oxbench-{case}"));
        std::fs::create_dir(&dir).at("mkdir", &dir)?;
        process::reset_peak(&instance.guard().daemons());
        Ok(Self {
            instance,
            params,
            dir,
            case: case.to_owned(),
            samples: Vec::new(),
            current,
            peak_rss_mib: 0.0,
        })
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    /// A number of files or operations, scaled; never so few that the row means nothing.
    pub(crate) fn count(&self, standard: usize) -> usize {
        ((standard as f64 * self.params.scale).round() as usize).max(standard.min(20))
    }

    /// A file size in bytes, scaled to whole MiB.
    pub(crate) fn mib(&self, standard: u64) -> u64 {
        (((standard as f64 * self.params.scale).round() as u64).max(1)) << 20
    }

    pub(crate) const fn content(&self, file: u64) -> Content {
        Content::new(self.params.seed, file)
    }

    pub(crate) const fn dice(&self, purpose: u64) -> Dice {
        Dice::new(self.params.seed ^ (purpose << 32))
    }

    /// Names the row that is now prepared and measured.
    pub(crate) fn begin(&self, row: &str, unit: Unit) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = (row.to_owned(), unit);
    }

    /// Runs a part on the clock.
    pub(crate) fn clock<T>(
        &mut self,
        work: impl FnOnce() -> CaseResult<T>,
    ) -> CaseResult<(T, Took)> {
        let before = self.instance.usage();
        let from = monotonic();
        let result = work()?;
        let to = monotonic();
        let after = self.instance.usage();
        self.peak_rss_mib = self.peak_rss_mib.max(after.peak_rss_mib);
        let took = difference(before, after, to.saturating_sub(from));
        self.params
            .clocked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Clocked {
                row: format!(
                    "{}/{}",
                    self.case,
                    self.current
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                ),
                daemons: self.instance.guard().daemons(),
                time: from..to,
                cpu_s: took.cpu_s,
                faults: after.faults.saturating_sub(before.faults),
            });
        Ok((result, took))
    }

    /// A row in seconds.
    pub(crate) fn seconds<T>(
        &mut self,
        row: &str,
        work: impl FnOnce(&Path) -> CaseResult<T>,
    ) -> CaseResult<T> {
        self.begin(row, Unit::Seconds);
        let dir = self.dir();
        let (result, took) = self.clock(|| work(&dir))?;
        self.push(
            row,
            Unit::Seconds,
            took.wall.as_secs_f64(),
            Some(took.cpu_s),
        );
        Ok(result)
    }

    pub(crate) fn push(&mut self, row: &str, unit: Unit, value: f64, daemon_cpu_s: Option<f64>) {
        self.samples.push(Sample {
            row: row.to_owned(),
            unit,
            value,
            daemon_cpu_s,
            latency: Vec::new(),
            remark: None,
        });
    }

    /// A rate row and the 99th percentile of the single operations behind it.
    pub(crate) fn push_operations(&mut self, row: &str, mut nanos: Vec<u64>, took: Took) {
        let rate = nanos.len() as f64 / took.wall.as_secs_f64();
        let p99 = stats::share_us(&mut nanos, 0.99);
        self.push(&format!("{row}_iops"), Unit::Iops, rate, Some(took.cpu_s));
        if let Some(sample) = self.samples.last_mut() {
            sample.latency = nanos;
        }
        self.push(&format!("{row}_p99"), Unit::Micros, p99, None);
    }

    /// Unmounts, empties the caches, mounts again and warms up.
    pub(crate) fn cold(&mut self) -> CaseResult<()> {
        self.note_peak();
        self.instance.go_cold()?;
        process::reset_peak(&self.instance.guard().daemons());
        Ok(())
    }

    fn note_peak(&mut self) {
        self.peak_rss_mib = self.peak_rss_mib.max(self.instance.usage().peak_rss_mib);
    }

    /// Closes the case: removes its files, and notes the daemon's peak memory.
    pub(crate) fn finish(&mut self) -> CaseResult {
        self.note_peak();
        self.begin("clean-up", Unit::Seconds);
        std::fs::remove_dir_all(&self.dir).at("remove", &self.dir)?;
        if !self.instance.guard().daemons().is_empty() {
            let peak = self.peak_rss_mib;
            self.push("peak_rss", Unit::Mib, peak, None);
        }
        Ok(())
    }

    /// Runs a real program to its end; anything but success is the case's failure.
    pub(crate) fn tool(&self, command: Command) -> CaseResult<Vec<u8>> {
        run_tool(command, &self.instance.guard())
    }

    pub(crate) fn need_tool(&self, name: &str) -> CaseResult<()> {
        self.params.programs.need(name).map(drop)
    }

    pub(crate) fn guard(&self) -> Guard {
        self.instance.guard()
    }
}

fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

const fn difference(before: Usage, after: Usage, wall: Duration) -> Took {
    Took {
        wall,
        cpu_s: (after.cpu_s - before.cpu_s).max(0.0),
        reads: after.reads.saturating_sub(before.reads),
    }
}

pub(crate) fn run_tool(mut command: Command, guard: &Guard) -> CaseResult<Vec<u8>> {
    use std::os::unix::process::CommandExt;
    let tool = command.get_program().to_string_lossy().into_owned();
    let tool = tool.rsplit('/').next().unwrap_or_default().to_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let child = command.spawn().map_err(CaseFailure::io(tool.clone()))?;
    let pid = child.id();
    guard.add_tool(pid);
    let output = child
        .wait_with_output()
        .map_err(CaseFailure::io(tool.clone()))?;
    guard.remove_tool(pid);
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    // The first line names the file; what follows are consequences.
    let line = words
        .lines()
        .find(|l| !l.trim().is_empty())
        .unwrap_or_default();
    let message = format!(
        "{}: {}",
        output.status,
        line.chars().take(200).collect::<String>()
    );
    Err(CaseFailure::Tool { tool, message })
}

/// Fails the case as corrupt unless both are equal.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    expected: &T,
) -> CaseResult {
    if found == expected {
        return Ok(());
    }
    Err(CaseFailure::Corrupt(format!(
        "{what}: found {found:?}, expected {expected:?}"
    )))
}

/// Blocks in a file of this many bytes.
pub(crate) const fn blocks_in(bytes: u64) -> u64 {
    bytes / BLOCK as u64
}
