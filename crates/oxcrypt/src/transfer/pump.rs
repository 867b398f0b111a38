//! Moves one file, block by block; a large one on several threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::ends::{Sink, Source};
use crate::ctx::Ctx;
use crate::failure::{Failure, Result};

/// Bytes moved at a time: a multiple of a chunk, small enough for the processor's cache.
pub(super) const BLOCK: usize = 1 << 20;

struct State {
    /// The block whose turn to be written it is.
    turn: u64,
    end: u64,
    failure: Option<Failure>,
}

struct Pump<'a, A, B> {
    ctx: &'a Ctx,
    from: &'a A,
    to: &'a B,
    start: u64,
    next: AtomicU64,
    stop: AtomicBool,
    state: Mutex<State>,
    turned: Condvar,
    moved: &'a (dyn Fn(u64) + Sync),
}

/// Copies everything from `start` on; the position behind the last byte.
pub(super) fn pump<A: Source, B: Sink>(
    ctx: &Ctx,
    from: &A,
    to: &B,
    start: u64,
    threads: usize,
    moved: &(dyn Fn(u64) + Sync),
) -> Result<u64> {
    let pump = Pump {
        ctx,
        from,
        to,
        start,
        next: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        state: Mutex::new(State {
            turn: 0,
            end: start,
            failure: None,
        }),
        turned: Condvar::new(),
        moved,
    };
    if threads <= 1 {
        pump.work();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| pump.work());
            }
        });
    }
    let state = pump
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    state.failure.map_or(Ok(state.end), Err)
}

impl<A: Source, B: Sink> Pump<'_, A, B> {
    fn work(&self) {
        let mut buffer = Zeroizing::new(vec![0; BLOCK]);
        while !self.stop.load(Ordering::Acquire) {
            let block = self.next.fetch_add(1, Ordering::Relaxed);
            if let Err(e) = self.block(block, &mut buffer) {
                self.end(|state| _ = state.failure.get_or_insert(e));
            }
        }
    }

    fn block(&self, block: u64, buffer: &mut [u8]) -> Result<()> {
        self.ctx.go_on()?;
        let at = self.start + block * BLOCK as u64;
        let len = self.from.read_at(buffer, at)?;
        if B::ORDERED && !self.wait_for_turn(block) {
            return Ok(());
        }
        if len > 0 {
            self.to.write_at(&buffer[..len], at)?;
            (self.moved)(len as u64);
        }
        let mut state = self.state();
        state.turn = block + 1;
        if len > 0 {
            state.end = state.end.max(at + len as u64);
        }
        drop(state);
        if len < buffer.len() {
            self.end(|_| {});
        }
        if B::ORDERED {
            self.turned.notify_all();
        }
        Ok(())
    }

    /// False if the work has ended meanwhile.
    fn wait_for_turn(&self, block: u64) -> bool {
        let mut state = self.state();
        while state.turn != block {
            if self.stop.load(Ordering::Acquire) {
                return false;
            }
            state = self
                .turned
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.failure.is_none()
    }

    fn end(&self, note: impl FnOnce(&mut State)) {
        // Under the lock, so that nobody begins to wait between the test and the call.
        let mut state = self.state();
        note(&mut state);
        self.stop.store(true, Ordering::Release);
        drop(state);
        self.turned.notify_all();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the two agree, rounded down to a block.
pub(super) fn agreement<A: Source, B: Source>(ctx: &Ctx, a: &A, b: &B) -> Result<u64> {
    let mut left = Zeroizing::new(vec![0; BLOCK]);
    let mut right = Zeroizing::new(vec![0; BLOCK]);
    let mut at = 0;
    loop {
        ctx.go_on()?;
        let len = a.read_at(&mut left, at)?;
        // A partial file may end in something unreadable: then it is written anew from there.
        let other = b.read_at(&mut right, at).unwrap_or(0);
        if len < BLOCK || other < BLOCK || left[..] != right[..] {
            return Ok(at);
        }
        at += BLOCK as u64;
    }
}
