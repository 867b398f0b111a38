//! The same names as in the product, with every step decided by shuttle.
//!
//! Time passes only while somebody waits for it: a wait with a limit ends at once or at its limit, as
//! the scheduler likes, and then the clock stands there. Both outcomes are possible for real too.

use std::cell::Cell;
use std::time::{Duration, Instant};

pub(crate) use shuttle::sync::atomic;
pub(crate) use shuttle::thread_local;
pub(crate) use shuttle_parking_lot::{Mutex, MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// How often a lock that is asked for with a limit is tried.
const TRIES: usize = 5;

std::thread_local! {
    /// All threads of a model are one thread of the host.
    static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The time.
pub(crate) fn now() -> Instant {
    NOW.with(|now| {
        let at = now.get().unwrap_or_else(Instant::now);
        now.set(Some(at));
        at
    })
}

fn pass_until(at: Instant) {
    NOW.set(Some(now().max(at)));
}

/// See [`std::thread`].
pub(crate) mod thread {
    pub(crate) use shuttle::thread::scope;

    /// Starts a thread.
    pub(crate) fn spawn_small<'scope>(
        scope: &'scope shuttle::thread::Scope<'scope, '_>,
        work: impl FnOnce() + Send + 'scope,
    ) -> std::io::Result<()> {
        drop(scope.spawn(work));
        Ok(())
    }

    /// Lets others go on, and the clock too.
    pub(crate) fn sleep(time: std::time::Duration) {
        super::pass_until(super::now() + time);
        shuttle::thread::yield_now();
    }
}

/// A lock for many readers or one writer.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(shuttle_parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(shuttle_parking_lot::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read()
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write()
    }

    pub(crate) fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.0.try_write()
    }

    pub(crate) fn try_read_for(&self, time: Duration) -> Option<RwLockReadGuard<'_, T>> {
        with_patience(time, || self.0.try_read())
    }

    pub(crate) fn try_write_for(&self, time: Duration) -> Option<RwLockWriteGuard<'_, T>> {
        with_patience(time, || self.0.try_write())
    }
}

fn with_patience<G>(time: Duration, mut attempt: impl FnMut() -> Option<G>) -> Option<G> {
    for _ in 0..TRIES {
        if let Some(guard) = attempt() {
            return Some(guard);
        }
        shuttle::thread::yield_now();
    }
    pass_until(now() + time);
    None
}

/// A condition variable.
#[derive(Debug, Default)]
pub(crate) struct Condvar {
    /// Held from before the waiter lets go of its own lock until it waits, and by whoever wakes it.
    gate: shuttle::sync::Mutex<()>,
    changed: shuttle::sync::Condvar,
}

/// How a wait with a limit ended.
pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let gate = self.gate.lock().expect("never poisoned");
        MutexGuard::unlocked(guard, || {
            drop(self.changed.wait(gate).expect("never poisoned"));
        });
    }

    pub(crate) fn wait_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        time: Duration,
    ) -> WaitTimeoutResult {
        self.wait_until(guard, now() + time)
    }

    pub(crate) fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        at: Instant,
    ) -> WaitTimeoutResult {
        use shuttle::rand::Rng;
        MutexGuard::unlocked(guard, shuttle::thread::yield_now);
        let ended = now() >= at || shuttle::rand::thread_rng().r#gen();
        if ended {
            pass_until(at);
        }
        WaitTimeoutResult(ended)
    }

    pub(crate) fn notify_one(&self) {
        let _gate = self.gate.lock().expect("never poisoned");
        self.changed.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        let _gate = self.gate.lock().expect("never poisoned");
        self.changed.notify_all();
    }
}
