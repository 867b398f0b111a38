//! A directory that is about to be removed: nobody else may be at work in it.
//!
//! A kernel sees to this for its own programs; other callers and our own threads have none between.
//!
//! LOCK: the lock of the directory is only tried, never waited for, because the order of a rename's
//! two directories knows nothing of a third. Whoever finds it taken gives back all that it holds and
//! comes again.

use std::sync::Arc;
use std::time::Duration;

use oxcrypt_store::Store;

use crate::error::{ErrorKind, Result};
use crate::node::{Body, Node};
use crate::sync::{RwLockWriteGuard, thread};

/// How long somebody is waited for, at most, in all: a second.
const TRIES: usize = 5000;
const PAUSE: Duration = Duration::from_micros(200);

/// Repeats `step` until it is not in the way of somebody who works in a directory that is to go.
pub(super) fn when_left<R>(mut step: impl FnMut() -> Result<Option<R>>) -> Result<R> {
    for _ in 0..TRIES {
        if let Some(done) = step()? {
            return Ok(done);
        }
        thread::sleep(PAUSE);
    }
    Err(ErrorKind::Busy.into())
}

/// Keeps everybody else out of `victim`, if it is a directory.
pub(super) enum Closed<'a> {
    /// Somebody is in it.
    InUse,
    /// Nobody is, and nobody comes in while this is kept.
    Empty {
        _lock: Option<RwLockWriteGuard<'a, ()>>,
    },
}

impl<'a> Closed<'a> {
    pub(super) fn of<S: Store>(victim: Option<&'a Arc<Node<S>>>) -> Self {
        let dir = match victim.map(|node| &node.body) {
            Some(Body::Dir(dir)) => dir,
            Some(Body::File(_) | Body::Symlink) | None => return Self::Empty { _lock: None },
        };
        match dir.lock.try_write() {
            Some(lock) => Self::Empty { _lock: Some(lock) },
            None => Self::InUse,
        }
    }
}
