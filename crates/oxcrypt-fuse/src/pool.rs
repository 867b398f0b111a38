//! Threads for what really waits: fsync above all.
//!
//! A burst of fsyncs runs side by side, so that the disk's journal commits them together, while the
//! readers go on answering. The threads belong to a tokio runtime that starts them on demand and
//! lets them go when idle.

use tokio::runtime::{Builder, Runtime};

/// More than this many syncs in flight bring nothing: they share commits already.
const MAX_THREADS: usize = 32;

/// The pool of one mount.
#[derive(Debug)]
pub(crate) struct Pool(Runtime);

impl Pool {
    pub(crate) fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(MAX_THREADS)
            .thread_name("oxcrypt-sync")
            .thread_stack_size(256 * 1024)
            .build()?;
        Ok(Self(runtime))
    }

    /// Runs `work` on a thread that may block.
    pub(crate) fn run(&self, work: impl FnOnce() + Send + 'static) {
        drop(self.0.spawn_blocking(work));
    }
}
