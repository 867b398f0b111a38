//! Work waiting for the threads of the second pass.
//!
//! A worker takes a directory and puts its files on the common pile for all workers, unless that
//! is high already: then it examines them itself. So one huge directory keeps all busy, and the
//! pile stays bounded.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Files waiting at most.
const HIGH: usize = 4096;

/// One content directory under examination.
pub(super) struct DirJob<D> {
    pub(super) index: usize,
    pub(super) dir: D,
    /// Cleartext path, if known.
    pub(super) path: Option<String>,
    /// Files of it not examined yet, plus one while it is listed.
    pub(super) open: AtomicUsize,
}

pub(super) struct FileJob<D> {
    pub(super) owner: Arc<DirJob<D>>,
    pub(super) name: Vec<u8>,
    pub(super) path: Option<String>,
    pub(super) is_link: bool,
}

pub(super) struct Pile<D> {
    state: Mutex<PileState<D>>,
    changed: Condvar,
    stop: AtomicBool,
}

struct PileState<D> {
    files: VecDeque<FileJob<D>>,
    next_dir: usize,
    /// Workers that may still add files.
    listing: usize,
}

pub(super) enum Job<D> {
    Dir(usize),
    File(FileJob<D>),
}

impl<D> Pile<D> {
    pub(super) fn new() -> Self {
        let state = PileState {
            files: VecDeque::new(),
            next_dir: 0,
            listing: 0,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, PileState<D>> {
        // A worker that panicked ends the check by itself; the pile is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next thing to do; `None` when all is done.
    pub(super) fn take(&self, dirs: usize) -> Option<Job<D>> {
        let mut state = self.lock();
        loop {
            if self.is_stopped() {
                return None;
            }
            if let Some(file) = state.files.pop_front() {
                return Some(Job::File(file));
            }
            if state.next_dir < dirs {
                state.next_dir += 1;
                state.listing += 1;
                return Some(Job::Dir(state.next_dir - 1));
            }
            if state.listing == 0 {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives the job back if the pile is high.
    pub(super) fn put(&self, job: FileJob<D>) -> Option<FileJob<D>> {
        let mut state = self.lock();
        if state.files.len() >= HIGH {
            return Some(job);
        }
        state.files.push_back(job);
        self.changed.notify_one();
        None
    }

    pub(super) fn listed(&self) {
        self.lock().listing -= 1;
        self.changed.notify_all();
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let _state = self.lock();
        self.changed.notify_all();
    }
}

/// Wakes the others when a worker leaves, also by a panic.
pub(super) struct Listing<'a, D>(pub(super) &'a Pile<D>);

impl<D> Drop for Listing<'_, D> {
    fn drop(&mut self) {
        self.0.listed();
    }
}
