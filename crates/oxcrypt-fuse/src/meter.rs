//! What a mount was asked for. Answered from the kernel's caches, a request does not arrive here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::latency::{Kind, Latencies, Operation};
use crate::options::Transport;

/// Counters of one mount.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
    transport: OnceLock<Transport>,
    foreign: AtomicU64,
    latencies: Latencies,
}

impl Meter {
    /// Requests so far: those that programs cause, not the kernel's own bookkeeping.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of cleartext handed to the kernel.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes of cleartext taken from the kernel.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// How requests come, once the kernel was asked.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        self.transport.get().copied()
    }

    pub(crate) fn serves_by(&self, transport: Transport) {
        // A mount is served once.
        let _ = self.transport.set(transport);
    }

    /// How often names were seen to be changed by other programs than this mount.
    #[must_use]
    pub fn foreign_changes(&self) -> u64 {
        self.foreign.load(Ordering::Relaxed)
    }

    /// How long requests took, kind by kind, until their reply was sent.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.latencies.summary()
    }

    pub(crate) fn took(&self, kind: Kind, time: Duration) {
        self.latencies.note(kind, time);
    }

    pub(crate) fn foreign(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
