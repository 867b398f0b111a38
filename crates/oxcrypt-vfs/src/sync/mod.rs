//! Locks, atomics, threads and the clock of this crate. All of it comes from here, so that under the
//! feature `shuttle` a scheduler of the tests decides about every step: see `tests/interleaved.rs`.

#[cfg(feature = "shuttle")]
mod modelled;
#[cfg(feature = "shuttle")]
pub(crate) use modelled::*;

#[cfg(not(feature = "shuttle"))]
mod real {
    pub(crate) use std::sync::atomic;
    pub(crate) use std::thread_local;

    pub(crate) use parking_lot::{
        Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    };

    pub(crate) mod thread {
        pub(crate) use std::thread::{scope, sleep};

        /// Starts a thread for work that needs little stack.
        pub(crate) fn spawn_small<'scope>(
            scope: &'scope std::thread::Scope<'scope, '_>,
            work: impl FnOnce() + Send + 'scope,
        ) -> std::io::Result<()> {
            let thread = std::thread::Builder::new().stack_size(256 * 1024);
            thread.spawn_scoped(scope, work).map(drop)
        }
    }

    /// The time.
    pub(crate) fn now() -> std::time::Instant {
        std::time::Instant::now()
    }
}
#[cfg(not(feature = "shuttle"))]
pub(crate) use real::*;
