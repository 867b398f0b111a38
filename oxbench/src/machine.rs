//! What the figures were measured on, and whether it was quiet.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mount::kernel;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) cpu_flags: Vec<String>,
    pub(crate) governor: String,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) store_fs: String,
    pub(crate) store_options: String,
    pub(crate) load_before: f64,
    pub(crate) load_after: f64,
    /// Tasks that wait for something that does not come (frozen, or stuck in the kernel): the load
    /// counts them, although they take nothing.
    #[serde(default)]
    pub(crate) stuck: usize,
    /// Share of the CPUs that others used, sampled while nothing of ours ran.
    pub(crate) busy_before: f64,
    pub(crate) busy_after: f64,
    /// Share of CPU time that the hypervisor gave to other guests during the run.
    pub(crate) stolen: f64,
}

/// Instructions that decide how fast encryption is.
const FLAGS: [&str; 9] = [
    "aes",
    "pclmulqdq",
    "vaes",
    "vpclmulqdq",
    "avx2",
    "avx512f",
    "sha_ni",
    "pmull",
    "sha2",
];

/// Above this share of busy CPUs while we are idle, figures deserve doubt.
const BUSY_LIMIT: f64 = 0.10;
const LOAD_PER_CPU_LIMIT: f64 = 0.5;
const STOLEN_LIMIT: f64 = 0.03;

pub(crate) fn look(store: &Path) -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |keys: &[&str]| {
        cpuinfo
            .lines()
            .filter_map(|l| l.split_once(':'))
            .find(|(k, _)| keys.contains(&k.trim()))
            .map_or_else(String::new, |(_, v)| v.trim().to_owned())
    };
    let flags = of(&["flags", "Features"]);
    let flags: Vec<&str> = flags.split(' ').collect();
    let uname = rustix::system::uname();
    let mount = kernel::mount_of(store);
    Machine {
        cpu: of(&["model name", "Model"]),
        cpus: std::thread::available_parallelism().map_or(1, Into::into),
        cpu_flags: FLAGS
            .iter()
            .filter(|f| flags.contains(*f))
            .map(|&f| f.to_owned())
            .collect(),
        governor: read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        memory_mib: memory_mib(),
        kernel: format!(
            "{} {}",
            uname.release().to_string_lossy(),
            uname.machine().to_string_lossy()
        ),
        store_fs: mount
            .as_ref()
            .map_or_else(String::new, |m| m.fs_type.clone()),
        store_options: mount.map_or_else(String::new, |m| m.options),
        load_before: load(),
        stuck: stuck(Duration::from_secs(1)),
        busy_before: busy(Duration::from_millis(500)),
        ..Machine::default()
    }
}

/// CPU time given to other guests, and all CPU time, since boot, in ticks.
pub(crate) fn stolen_and_all() -> (u64, u64) {
    let ticks = cpu_ticks();
    (
        ticks.get(7).copied().unwrap_or(0),
        ticks.iter().take(8).sum(),
    )
}

/// Completes the record at the end of a run; returns why the figures deserve doubt.
pub(crate) fn finish(machine: &mut Machine, start: (u64, u64)) -> Vec<String> {
    machine.load_after = load();
    machine.busy_after = busy(Duration::from_millis(500));
    let end = stolen_and_all();
    let all = end.1.saturating_sub(start.1).max(1);
    machine.stolen = end.0.saturating_sub(start.0) as f64 / all as f64;
    reasons(machine)
}

fn reasons(machine: &Machine) -> Vec<String> {
    let mut reasons = Vec::new();
    let load = (machine.load_before - machine.stuck as f64).max(0.0);
    let per_cpu = load / machine.cpus as f64;
    if per_cpu > LOAD_PER_CPU_LIMIT {
        reasons.push(format!("load {per_cpu:.2} per CPU before the run"));
    }
    for (when, busy) in [
        ("before", machine.busy_before),
        ("after", machine.busy_after),
    ] {
        if busy > BUSY_LIMIT {
            reasons.push(format!(
                "CPUs {:.0} % busy with other work {when} the run",
                busy * 100.0
            ));
        }
    }
    if machine.stolen > STOLEN_LIMIT {
        reasons.push(format!(
            "{:.0} % of CPU time taken by other guests",
            machine.stolen * 100.0
        ));
    }
    reasons
}

fn load() -> f64 {
    read_line("/proc/loadavg")
        .split(' ')
        .next()
        .and_then(|l| l.parse().ok())
        .unwrap_or(0.0)
}

fn busy(window: Duration) -> f64 {
    let before = cpu_ticks();
    std::thread::sleep(window);
    let after = cpu_ticks();
    let diff: Vec<u64> = after
        .iter()
        .zip(&before)
        .map(|(a, b)| a.saturating_sub(*b))
        .collect();
    let all: u64 = diff.iter().take(8).sum();
    let idle: u64 = diff.iter().skip(3).take(2).sum();
    if all == 0 {
        0.0
    } else {
        1.0 - idle as f64 / all as f64
    }
}

/// Tasks that wait without a pause for all of `window`.
fn stuck(window: Duration) -> usize {
    let before = waiting();
    std::thread::sleep(window);
    let after = waiting();
    before.iter().filter(|task| after.contains(task)).count()
}

/// Each task that waits uninterruptibly: where it is in /proc, and how often it was given a CPU.
fn waiting() -> Vec<(PathBuf, String)> {
    let dirs = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let tasks = dirs(Path::new("/proc")).flat_map(|process| dirs(&process.path().join("task")));
    tasks
        .map(|task| task.path())
        .filter(|task| {
            let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|s| s.starts_with('D'))
        })
        .map(|task| {
            let turns = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
            (task, turns)
        })
        .collect()
}

/// user nice system idle iowait irq softirq steal …
fn cpu_ticks() -> Vec<u64> {
    read_line("/proc/stat")
        .split_ascii_whitespace()
        .skip(1)
        .filter_map(|n| n.parse().ok())
        .collect()
}

fn memory_mib() -> u64 {
    read_line("/proc/meminfo")
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|n| n.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}

fn read_line(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let machine = look(Path::new("/"));
        assert!(machine.cpus > 0 && machine.memory_mib > 0);
        assert!(!machine.kernel.is_empty() && !machine.store_fs.is_empty());
    }

    #[test]
    fn noise_is_named() {
        let quiet = Machine {
            cpus: 2,
            ..Machine::default()
        };
        assert!(reasons(&quiet).is_empty());
        let frozen = Machine {
            load_before: 3.0,
            stuck: 3,
            ..quiet.clone()
        };
        assert!(reasons(&frozen).is_empty());
        let loud = Machine {
            load_before: 3.0,
            busy_after: 0.5,
            stolen: 0.2,
            ..quiet
        };
        assert_eq!(reasons(&loud).len(), 3);
    }
}
