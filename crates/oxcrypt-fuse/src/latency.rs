//! How long requests take, kind by kind: counts in buckets, from which percentiles follow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::wire::request::Request;

/// Kinds of requests that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Lookup,
    GetAttr,
    SetAttr,
    ReadLink,
    Create,
    MkDir,
    Symlink,
    Link,
    Unlink,
    RmDir,
    Rename,
    List,
    Read,
    Write,
    Sync,
    Allocate,
    Copy,
}

impl Kind {
    const ALL: [Self; 17] = [
        Self::Lookup,
        Self::GetAttr,
        Self::SetAttr,
        Self::ReadLink,
        Self::Create,
        Self::MkDir,
        Self::Symlink,
        Self::Link,
        Self::Unlink,
        Self::RmDir,
        Self::Rename,
        Self::List,
        Self::Read,
        Self::Write,
        Self::Sync,
        Self::Allocate,
        Self::Copy,
    ];

    /// `None` for what takes no time worth knowing.
    pub(crate) fn of(request: &Request<'_>) -> Option<Self> {
        Some(match request {
            Request::Lookup { .. } => Self::Lookup,
            Request::GetAttr | Request::Statx => Self::GetAttr,
            Request::SetAttr(_) => Self::SetAttr,
            Request::ReadLink => Self::ReadLink,
            Request::Create { .. } | Request::MkNod { .. } => Self::Create,
            Request::MkDir { .. } => Self::MkDir,
            Request::Symlink { .. } => Self::Symlink,
            Request::Link { .. } => Self::Link,
            Request::Unlink { .. } => Self::Unlink,
            Request::RmDir { .. } => Self::RmDir,
            Request::Rename { .. } => Self::Rename,
            Request::ReadDir(_) | Request::ReadDirPlus(_) => Self::List,
            Request::Read(_) => Self::Read,
            Request::Write(_) => Self::Write,
            Request::FSync { .. } | Request::FSyncDir => Self::Sync,
            Request::Fallocate { .. } => Self::Allocate,
            Request::Copy(_) => Self::Copy,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::GetAttr => "getattr",
            Self::SetAttr => "setattr",
            Self::ReadLink => "readlink",
            Self::Create => "create",
            Self::MkDir => "mkdir",
            Self::Symlink => "symlink",
            Self::Link => "link",
            Self::Unlink => "unlink",
            Self::RmDir => "rmdir",
            Self::Rename => "rename",
            Self::List => "list",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Allocate => "allocate",
            Self::Copy => "copy",
        }
    }
}

/// What one kind of request took so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The kind.
    pub name: &'static str,
    /// Requests of it.
    pub count: u64,
    /// Half of them took no longer than this.
    pub p50: Duration,
    /// All but one in twenty.
    pub p95: Duration,
    /// All but one in a hundred.
    pub p99: Duration,
}

/// Buckets for each doubling of time: a percentile is at most an eighth too high.
const FINE: u32 = 8;
/// The first bucket ends here; 2^8 ns.
const FIRST: u32 = 8;
const BUCKETS: usize = 27 * FINE as usize;

/// The times of one kind.
#[derive(Debug)]
struct Histogram([AtomicU64; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

fn bucket(nanos: u64) -> usize {
    let power = nanos.max(1).ilog2();
    if power < FIRST {
        return 0;
    }
    let fine = (nanos >> (power - FINE.ilog2())) & u64::from(FINE - 1);
    let index = u64::from(power - FIRST) * u64::from(FINE) + fine;
    usize::try_from(index).map_or(BUCKETS - 1, |i| i.min(BUCKETS - 1))
}

/// The longest time that a bucket holds.
fn end_of(bucket: usize) -> Duration {
    let (power, fine) = (
        bucket as u32 / FINE + FIRST,
        bucket as u64 % u64::from(FINE),
    );
    let step = 1 << (power - FINE.ilog2());
    Duration::from_nanos((1 << power) + (fine + 1) * step)
}

impl Histogram {
    fn note(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
    }

    fn summary(&self, name: &'static str) -> Option<Operation> {
        let counts: Vec<u64> = self.0.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let percentile = |hundredths: u64| {
            let mut left = (count * hundredths).div_ceil(100).max(1);
            let at = counts.iter().position(|n| {
                let there = *n >= left;
                left = left.saturating_sub(*n);
                there
            });
            end_of(at.unwrap_or(0))
        };
        (count > 0).then(|| Operation {
            name,
            count,
            p50: percentile(50),
            p95: percentile(95),
            p99: percentile(99),
        })
    }
}

/// The times of all kinds of one mount.
#[derive(Debug, Default)]
pub(crate) struct Latencies([Histogram; Kind::ALL.len()]);

impl Latencies {
    pub(crate) fn note(&self, kind: Kind, time: Duration) {
        self.0[kind as usize].note(time);
    }

    /// Kinds that were asked for.
    pub(crate) fn summary(&self) -> Vec<Operation> {
        let all = Kind::ALL.iter().zip(&self.0);
        all.filter_map(|(kind, times)| times.summary(kind.name()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_hold_what_they_say() {
        let mut last = 0;
        for nanos in (0..1 << 16).chain((16..60).map(|p| 1_u64 << p)) {
            let at = bucket(nanos);
            assert!(at == last || at == last + 1 || nanos > 1 << 16, "{nanos}");
            if at + 1 < BUCKETS {
                let end = end_of(at).as_nanos() as u64;
                assert!(nanos < end, "{nanos} beyond {end}");
                assert!(
                    nanos < 256 || end - nanos <= nanos / 8 + 1,
                    "{nanos} far from {end}"
                );
            }
            last = at;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_of_what_was_noted() {
        let times = Latencies::default();
        assert!(times.summary().is_empty());
        for micros in 1..=100 {
            times.note(Kind::Rename, Duration::from_micros(micros));
        }
        let [rename] = times.summary()[..] else {
            panic!("one kind was noted");
        };
        assert_eq!((rename.name, rename.count), ("rename", 100));
        for (is, should) in [(rename.p50, 50), (rename.p95, 95), (rename.p99, 99)] {
            let should = Duration::from_micros(should);
            assert!(
                is >= should && is <= should.mul_f64(1.126),
                "{is:?} for {should:?}"
            );
        }
    }

    #[test]
    fn kinds_are_in_their_place() {
        for (i, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, i, "{}", kind.name());
        }
    }
}
