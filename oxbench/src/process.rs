//! What `/proc` says of the daemons under test: who they are, CPU time, memory, system calls.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Resource use of a set of processes at one moment. Counters only grow while the set is the same.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_s: f64,
    pub(crate) peak_rss_mib: f64,
    pub(crate) rss_mib: f64,
    /// `read`-like system calls: each FUSE request taken from the kernel by /dev/fuse costs one.
    pub(crate) reads: u64,
    /// Voluntary context switches: how often it went to sleep and was woken.
    pub(crate) wakeups: u64,
    /// Page faults, with and without a read from disk.
    pub(crate) faults: u64,
}

/// Process ids whose parent is `pid`.
pub(crate) fn children_of(pid: u32) -> BTreeSet<u32> {
    all_parents()
        .into_iter()
        .filter(|&(_, parent)| parent == pid)
        .map(|(child, _)| child)
        .collect()
}

/// `roots` and everything below them.
pub(crate) fn with_descendants(roots: &BTreeSet<u32>) -> BTreeSet<u32> {
    let parents = all_parents();
    let mut found = roots.clone();
    loop {
        let before = found.len();
        for &(child, parent) in &parents {
            if found.contains(&parent) {
                found.insert(child);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn all_parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let (state, parent) = state_and_parent(pid)?;
            (state != 'Z').then_some((pid, parent))
        })
        .collect()
}

fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let stat = stat_from_state(&PathBuf::from(format!("/proc/{pid}")))?;
    let mut fields = stat.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

pub(crate) fn is_alive(pid: u32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != 'Z')
}

/// Whether one of them takes requests through io_uring, which no system call of its own tells.
pub(crate) fn uses_rings(pids: &BTreeSet<u32>) -> bool {
    pids.iter().any(|pid| {
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            return false;
        };
        open.flatten().any(|fd| {
            fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:[io_uring]")
        })
    })
}

pub(crate) fn usage(pids: &BTreeSet<u32>) -> Usage {
    let mut sum = Usage::default();
    for &pid in pids {
        let base = PathBuf::from(format!("/proc/{pid}"));
        let status = fs::read_to_string(base.join("status")).unwrap_or_default();
        sum.peak_rss_mib += field(&status, "VmHWM:") as f64 / 1024.0;
        sum.rss_mib += field(&status, "VmRSS:") as f64 / 1024.0;
        let io = fs::read_to_string(base.join("io")).unwrap_or_default();
        sum.reads += field(&io, "syscr:");
        let (cpu_s, wakeups) = of_threads(&base);
        let stat = Stat::read(&base);
        sum.cpu_s += cpu_s.max(stat.cpu_s());
        sum.wakeups += wakeups;
        sum.faults += stat.faults();
    }
    sum
}

/// Nanosecond clocks of the living threads: the process-wide counters tick in steps of 10 ms.
fn of_threads(base: &Path) -> (f64, u64) {
    let Ok(tasks) = fs::read_dir(base.join("task")) else {
        return (0.0, 0);
    };
    let (mut nanos, mut wakeups) = (0, 0);
    for task in tasks.flatten() {
        let schedstat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += schedstat
            .split(' ')
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(0);
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        wakeups += field(&status, "voluntary_ctxt_switches:");
    }
    (nanos as f64 / 1e9, wakeups)
}

/// `stat` in a process's directory of `/proc`, from the state on: the program's name before it is in
/// parentheses, and may itself hold spaces and parentheses.
fn stat_from_state(base: &Path) -> Option<String> {
    let mut stat = fs::read_to_string(base.join("stat")).ok()?;
    Some(stat.split_off(stat.rfind(')')? + 1))
}

/// The fields of [`stat_from_state`] as numbers. Counts threads that have ended, which the per-thread clocks
/// forget.
struct Stat(Vec<u64>);

impl Stat {
    fn read(base: &Path) -> Self {
        Self(
            stat_from_state(base)
                .unwrap_or_default()
                .split_ascii_whitespace()
                .map(|field| field.parse().unwrap_or(0))
                .collect(),
        )
    }

    fn field(&self, number: usize) -> u64 {
        self.0.get(number).copied().unwrap_or(0)
    }

    fn cpu_s(&self) -> f64 {
        let ticks = self.field(11) + self.field(12);
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// Minor and major.
    fn faults(&self) -> u64 {
        self.field(7) + self.field(9)
    }
}

/// The number after `key` at the start of a line.
fn field(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// Lets the peak memory be measured per case: sets the high-water mark back to the present size.
pub(crate) fn reset_peak(pids: &BTreeSet<u32>) {
    for pid in pids {
        // Refused for processes of other users; then the peak is that of the whole life.
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
}

pub(crate) fn kill(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Collects ended children, so that daemons which were handed to us do not stay as zombies.
/// Only for ids that no `std::process::Child` will wait for.
pub(crate) fn reap(pid: u32) {
    if let Some(pid) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_child_its_use_and_its_end() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(children_of(std::process::id()).contains(&child.id()));
        assert!(usage(&BTreeSet::from([child.id()])).rss_mib > 0.0);
        assert!(with_descendants(&BTreeSet::from([std::process::id()])).contains(&child.id()));
        kill(child.id(), rustix::process::Signal::KILL);
        child.wait().unwrap();
        assert!(!is_alive(child.id()));
    }

    #[test]
    fn own_cpu_time_grows_with_work() {
        let me = BTreeSet::from([std::process::id()]);
        let before = usage(&me).cpu_s;
        let mut sum = 0u64;
        for i in 0..50_000_000u64 {
            sum = std::hint::black_box(sum.wrapping_add(i));
        }
        assert!(usage(&me).cpu_s > before);
    }
}
