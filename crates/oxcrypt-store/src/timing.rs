//! Where the time of one piece of work goes, on the thread that does it, while somebody wants to know.
//!
//! The clock runs between [`start`] and [`stop`]; otherwise a [`Span`] costs one look at a flag.
//! Spans of one kind are not nested; a span inside one of another kind counts for both.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// What time is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for locks.
    Lock,
    /// Calls of the store.
    Io,
    /// Ciphers.
    Crypt,
}

/// Time spent on each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// See [`Phase::Lock`].
    pub lock: Duration,
    /// See [`Phase::Io`].
    pub io: Duration,
    /// See [`Phase::Crypt`].
    pub crypt: Duration,
}

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    static SPENT: Cell<Spent> = const {
        Cell::new(Spent { lock: Duration::ZERO, io: Duration::ZERO, crypt: Duration::ZERO })
    };
}

/// Starts the clock of this thread from nothing.
pub fn start() {
    SPENT.set(Spent::default());
    RUNNING.set(true);
}

/// Stops it, and tells what was spent.
pub fn stop() -> Spent {
    RUNNING.set(false);
    SPENT.take()
}

/// Counts for its phase until it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Span(Option<(Phase, Instant)>);

impl Span {
    /// Begins a span.
    pub fn of(phase: Phase) -> Self {
        Self(RUNNING.get().then(|| (phase, Instant::now())))
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some((phase, begun)) = self.0 {
            let mut spent = SPENT.get();
            *match phase {
                Phase::Lock => &mut spent.lock,
                Phase::Io => &mut spent.io,
                Phase::Crypt => &mut spent.crypt,
            } += begun.elapsed();
            SPENT.set(spent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_for_its_phase_while_the_clock_runs() {
        let pause = Duration::from_millis(3);
        let work = |phase| {
            let _span = Span::of(phase);
            std::thread::sleep(pause);
        };
        work(Phase::Io);
        start();
        work(Phase::Io);
        work(Phase::Io);
        work(Phase::Crypt);
        let spent = stop();
        assert!(spent.io >= 2 * pause && spent.crypt >= pause);
        assert_eq!(spent.lock, Duration::ZERO);
        work(Phase::Lock);
        assert_eq!(stop(), Spent::default());
    }
}
