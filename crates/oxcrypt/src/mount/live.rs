//! What the process of a mount knows about itself.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oxcrypt_fuse::Meter;
use oxcrypt_vfs::{Event, EventKind, EventSink};
use serde::{Deserialize, Serialize};

use super::table;
use crate::open::Fs;

/// Events kept for those who ask later.
const KEPT: usize = 256;

/// One event as others see it. Never a cleartext name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) schema: String,
    pub(crate) seq: u64,
    pub(crate) time: String,
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cipher_path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

/// The latest events of a mount.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    state: Mutex<Log>,
    added: Condvar,
}

#[derive(Debug, Default)]
struct Log {
    records: VecDeque<Record>,
    next: u64,
    ended: bool,
}

impl EventLog {
    /// Adds an event that is not about a file.
    pub(crate) fn say(&self, kind: &str, text: Option<String>) {
        tracing::info!(kind, text, "mount event");
        self.push(kind, None, text);
    }

    fn push(&self, kind: &str, cipher_path: Option<String>, text: Option<String>) {
        let mut log = self.log();
        let record = Record {
            schema: "oxcrypt.event/1".into(),
            seq: log.next,
            time: jiff::Timestamp::now().to_string(),
            kind: kind.to_owned(),
            cipher_path,
            text,
        };
        log.next += 1;
        if log.records.len() == KEPT {
            log.records.pop_front();
        }
        log.records.push_back(record);
        drop(log);
        self.added.notify_all();
    }

    /// The events from `seq` on.
    pub(crate) fn since(&self, seq: u64) -> Vec<Record> {
        self.log()
            .records
            .iter()
            .filter(|r| r.seq >= seq)
            .cloned()
            .collect()
    }

    /// As [`Self::since`], waiting for the first; `None` when the mount has ended, empty after
    /// `patience`.
    pub(crate) fn wait(&self, seq: u64, patience: Duration) -> Option<Vec<Record>> {
        let mut log = self.log();
        if log.next <= seq && !log.ended {
            log = self
                .added
                .wait_timeout(log, patience)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if log.next <= seq && log.ended {
            return None;
        }
        Some(
            log.records
                .iter()
                .filter(|r| r.seq >= seq)
                .cloned()
                .collect(),
        )
    }

    pub(crate) fn end(&self) {
        self.log().ended = true;
        self.added.notify_all();
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file system's door to the log.
#[derive(Debug)]
pub(crate) struct Sink(pub(crate) Arc<EventLog>);

impl EventSink for Sink {
    fn emit(&self, event: Event) {
        tracing::warn!(kind = ?event.kind, path = %event.path, "vault event");
        self.0.push(kind_name(event.kind), Some(event.path), None);
    }
}

fn kind_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::DecryptionFailed => "decryption_failed",
        EventKind::ConflictResolved => "conflict_resolved",
        EventKind::ConflictResolutionFailed => "conflict_resolution_failed",
        EventKind::BrokenFileNode => "broken_file_node",
        EventKind::BrokenDirFile => "broken_dir_file",
        EventKind::ForeignFile => "foreign_file",
        EventKind::ForeignChange => "foreign_change",
    }
}

/// A mount from inside.
pub(crate) struct Live {
    pub(crate) point: PathBuf,
    pub(crate) vault: PathBuf,
    pub(crate) idle_limit: Option<Duration>,
    pub(crate) before_lock: Option<String>,
    pub(crate) fs: Arc<Fs>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) since: String,
    /// The mount has been ended, and its process is about to.
    pub(crate) ending: AtomicBool,
    /// Why it is about to be ended. Told when it has ended, by the thread that serves: who unmounts
    /// may not get to it any more.
    reason: Mutex<Option<String>>,
    /// Requests at the last look, and when they were seen to have grown.
    seen: Mutex<(u64, Instant)>,
}

/// What `status` answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) pid: u32,
    pub(crate) since: String,
    pub(crate) idle_s: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idle_limit_s: Option<u64>,
    /// Processes that use the mount.
    pub(crate) users: u64,
    /// Ciphertext files and directories held open.
    pub(crate) open_files: u64,
    /// Nodes the kernel knows.
    pub(crate) nodes: u64,
    pub(crate) requests: u64,
    pub(crate) rx: u64,
    pub(crate) tx: u64,
    pub(crate) rss: u64,
    pub(crate) cpu_s: f64,
    pub(crate) events: u64,
    /// How requests come: `ring` or `dev`.
    #[serde(default)]
    pub(crate) transport: String,
    /// How often other programs were seen to change the vault.
    #[serde(default)]
    pub(crate) foreign_changes: u64,
    /// How long requests took, kind by kind.
    #[serde(default)]
    pub(crate) operations: Vec<Operation>,
}

/// One kind of requests.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) count: u64,
    pub(crate) p50_us: f64,
    pub(crate) p95_us: f64,
    pub(crate) p99_us: f64,
}

impl From<oxcrypt_fuse::Operation> for Operation {
    fn from(o: oxcrypt_fuse::Operation) -> Self {
        let micros = |d: Duration| d.as_nanos() as f64 / 1000.0;
        Self {
            name: o.name.to_owned(),
            count: o.count,
            p50_us: micros(o.p50),
            p95_us: micros(o.p95),
            p99_us: micros(o.p99),
        }
    }
}

impl Live {
    /// Sets why the mount is about to be ended, and returns what was set before.
    pub(crate) fn set_reason(&self, reason: Option<String>) -> Option<String> {
        let mut set = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *set, reason)
    }

    pub(crate) fn new(
        point: PathBuf,
        vault: PathBuf,
        options: &super::args::Options,
        fs: Arc<Fs>,
        meter: Arc<Meter>,
        events: Arc<EventLog>,
    ) -> Self {
        Self {
            point,
            vault,
            idle_limit: options.idle.filter(|t| !t.is_zero()),
            before_lock: options.before_lock.clone(),
            fs,
            meter,
            events,
            since: jiff::Timestamp::now().to_string(),
            ending: AtomicBool::new(false),
            reason: Mutex::new(None),
            seen: Mutex::new((0, Instant::now())),
        }
    }

    /// For how long nothing was asked, as far as anybody looked.
    pub(crate) fn idle(&self) -> Duration {
        let requests = self.meter.requests();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0 != requests {
            *seen = (requests, Instant::now());
        }
        seen.1.elapsed()
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    pub(crate) fn status(&self) -> Status {
        let idle = self.idle();
        let users = table::at(&self.point).ok().flatten().map_or(0, |mount| {
            super::busy::holders(&mount, super::busy::Look::Quick).len() as u64
        });
        let (rss, cpu_s) = usage();
        Status {
            pid: std::process::id(),
            since: self.since.clone(),
            idle_s: idle.as_secs(),
            idle_limit_s: self.idle_limit.map(|t| t.as_secs()),
            users,
            open_files: self.fs.open_handles() as u64,
            nodes: self.fs.node_count() as u64,
            requests: self.meter.requests(),
            rx: self.meter.bytes_read(),
            tx: self.meter.bytes_written(),
            rss,
            cpu_s,
            events: self.events.log().next,
            transport: self.meter.transport().map_or("", |t| t.word()).to_owned(),
            foreign_changes: self.meter.foreign_changes(),
            operations: self
                .meter
                .operations()
                .into_iter()
                .map(Into::into)
                .collect(),
        }
    }
}

/// Resident memory in bytes and processor time in seconds of this process.
fn usage() -> (u64, f64) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name may hold anything; the numbers begin behind its last parenthesis.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |i: usize| {
        fields
            .get(i)
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let hz = rustix::param::clock_ticks_per_second().max(1);
    let cpu = (ticks(11) + ticks(12)) as f64 / hz as f64;
    (pages * rustix::param::page_size() as u64, cpu)
}
