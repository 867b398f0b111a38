//! One request in so many is looked at closely, and a line tells where its time went.
//!
//! The line is written when the reply is gone, by the thread that sent it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oxcrypt_store::timing::{self, Spent};

use crate::latency::Kind;

/// Chooses the requests.
#[derive(Debug)]
pub(crate) struct Tracer {
    /// Every so many; 0 is none.
    rate: u64,
    seen: AtomicU64,
}

/// A request whose reply is about to be sent.
#[derive(Clone, Copy, Debug)]
struct Done {
    kind: Kind,
    queue: Duration,
    work: Duration,
    spent: Spent,
    at: Instant,
}

thread_local! {
    static DONE: Cell<Option<Done>> = const { Cell::new(None) };
}

impl Tracer {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            rate,
            seen: AtomicU64::new(0),
        }
    }

    /// Whether this request is one of those.
    pub(crate) fn chooses_next(&self) -> bool {
        self.rate > 0
            && self
                .seen
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(self.rate)
    }
}

/// A chosen request that is being answered.
#[derive(Debug)]
pub(crate) struct Watch {
    asked: Instant,
    begun: Instant,
}

impl Watch {
    /// This thread begins with what it was asked for then.
    pub(crate) fn begin(asked: Instant) -> Self {
        timing::start();
        Self {
            asked,
            begun: Instant::now(),
        }
    }

    /// Another thread will answer it.
    pub(crate) fn leave(self) {
        timing::stop();
    }

    /// The reply is ready.
    pub(crate) fn end(self, kind: Kind) {
        let at = Instant::now();
        DONE.set(Some(Done {
            kind,
            queue: self.begun - self.asked,
            work: at - self.begun,
            spent: timing::stop(),
            at,
        }));
    }
}

/// The reply of what this thread did last is gone.
pub(crate) fn replied() {
    if let Some(done) = DONE.take() {
        let reply = done.at.elapsed();
        let micros = |d: Duration| d.as_nanos() as f64 / 1000.0;
        tracing::info!(
            target: "oxcrypt_trace",
            op = done.kind.name(),
            total_us = micros(done.queue + done.work + reply),
            queue_us = micros(done.queue),
            lock_us = micros(done.spent.lock),
            io_us = micros(done.spent.io),
            crypt_us = micros(done.spent.crypt),
            reply_us = micros(reply),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_so_many_requests_are_chosen() {
        let none = Tracer::new(0);
        assert!((0..100).all(|_| !none.chooses_next()));
        let some = Tracer::new(10);
        assert_eq!((0..100).filter(|_| some.chooses_next()).count(), 10);
    }
}
