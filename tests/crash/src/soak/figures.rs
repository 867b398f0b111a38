//! What a process uses, over time.

use std::fmt;

/// More than this between the first third and the last is growth: a leak of a page in a few
/// thousand operations shows after minutes, and no cache that fills up takes hours for it.
const MEMORY_MAY_GROW: u64 = 4 << 10;
/// Files that are open now and then among them.
const OTHERS_MAY_GROW: u64 = 32;

/// Samples of one process at even distances.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    resident_kib: Vec<u64>,
    descriptors: Vec<u64>,
    threads: Vec<u64>,
}

impl Figures {
    /// Nothing is added when the process is gone.
    pub(crate) fn sample(&mut self, pid: u32) {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
            return;
        };
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
            return;
        };
        let number = |key: &str| {
            let rest = status.lines().find_map(|line| line.strip_prefix(key))?;
            rest.split_whitespace().next()?.parse().ok()
        };
        if let (Some(resident), Some(threads)) = (number("VmRSS:"), number("Threads:")) {
            self.resident_kib.push(resident);
            self.threads.push(threads);
            self.descriptors.push(descriptors.count() as u64);
        }
    }

    /// What is higher in the last third of the time than it was in the first.
    pub(crate) fn grown(&self) -> Vec<String> {
        let mut grown = Vec::new();
        for (what, samples, may_grow) in [
            ("resident KiB", &self.resident_kib, MEMORY_MAY_GROW),
            ("descriptors", &self.descriptors, OTHERS_MAY_GROW),
            ("threads", &self.threads, OTHERS_MAY_GROW),
        ] {
            let Some([first, _, last]) = thirds(samples) else {
                grown.push(format!("{what}: not measured"));
                continue;
            };
            if last > first + may_grow {
                grown.push(format!("{what} grew from {first} to {last}"));
            }
        }
        grown
    }
}

/// The median of each third; `None` for fewer than three samples.
fn thirds(samples: &[u64]) -> Option<[u64; 3]> {
    let size = samples.len() / 3;
    let median = |i: usize| {
        let mut part = samples.get(i * size..(i + 1) * size)?.to_vec();
        part.sort_unstable();
        part.get(size / 2).copied()
    };
    Some([median(0)?, median(1)?, median(2)?])
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples", self.threads.len())?;
        for (what, samples) in [
            ("resident KiB", &self.resident_kib),
            ("descriptors", &self.descriptors),
            ("threads", &self.threads),
        ] {
            let thirds = thirds(samples).unwrap_or_default();
            let most = samples.iter().max().copied().unwrap_or_default();
            write!(f, "; {what} {thirds:?} in each third, {most} at most")?;
        }
        Ok(())
    }
}
