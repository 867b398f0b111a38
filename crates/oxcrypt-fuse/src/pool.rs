//! Threads for what really waits: fsync above all.
//!
//! A burst of fsyncs runs side by side, so that the disk's journal commits them together, while the
//! serving threads go on answering. The threads belong to a tokio runtime that starts them on demand
//! and lets them go when idle.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use tokio::runtime::{Builder, Runtime};

use crate::ops::Work;
use crate::wire::reply::Reply;

/// More than this many syncs in flight bring nothing: they share commits already.
const MAX_THREADS: usize = 32;

/// The pool of one mount.
#[derive(Debug)]
pub(crate) struct Pool {
    runtime: Runtime,
    /// Work that waits for the disk, begun or not.
    waiting: Arc<AtomicUsize>,
}

impl Pool {
    pub(crate) fn new() -> std::io::Result<Self> {
        let everywhere = rustix::thread::sched_getaffinity(None)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(MAX_THREADS)
            .thread_name("oxcrypt-sync")
            .thread_stack_size(512 * 1024)
            // Started by a serving thread, which may be bound to one processor.
            .on_thread_start(move || {
                let _ = rustix::thread::sched_setaffinity(None, &everywhere);
            })
            .build()?;
        Ok(Self {
            runtime,
            waiting: Arc::default(),
        })
    }

    /// Whether work begins soon: not when every thread waits for the disk.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < MAX_THREADS / 2
    }

    /// Does `work`, which does not panic, on a thread that may block.
    pub(crate) fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        drop(self.runtime.spawn_blocking(work));
    }

    /// Does `work` on a thread that may block, and hands its reply on. There always is one.
    pub(crate) fn run(&self, work: Work, deliver: impl FnOnce(&Reply) + Send + 'static) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Arc::clone(&self.waiting);
        self.spawn(move || {
            let reply = std::panic::catch_unwind(AssertUnwindSafe(work));
            waiting.fetch_sub(1, Ordering::Relaxed);
            deliver(&reply.unwrap_or_else(|_| Reply::error(Errno::IO)));
            crate::trace::replied();
        });
    }
}
