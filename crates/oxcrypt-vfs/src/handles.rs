//! Bounded sets of open descriptors.
//!
//! Files and content directories stay open between requests, because opening costs more than the
//! request itself. Each set is a clock: the oldest entry goes unless it was used since the hand
//! passed last.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use oxcrypt_store::Store;

use crate::node::{Body, Node};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Entries looked at when one is added. Many new files at once cannot be closed before their headers
/// are written, and must not be looked at all over again for each of them.
const STEPS: usize = 8;

/// The clock over all nodes with an open descriptor of one kind.
pub(crate) struct HandleClock<S: Store> {
    ring: Mutex<VecDeque<Weak<Node<S>>>>,
    capacity: usize,
}

impl<S: Store> HandleClock<S> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            ring: Mutex::new(VecDeque::new()),
            capacity: capacity.max(1),
        }
    }

    /// Notes that `node` was just opened, and closes others beyond the capacity.
    ///
    /// Must be called without the lock of any *other* node's descriptor. Descriptors in use (their
    /// lock is held) and those that cannot be reopened are passed over.
    pub(crate) fn opened(&self, node: &Arc<Node<S>>) {
        let mut ring = self.ring.lock();
        ring.push_back(Arc::downgrade(node));
        self.turn(&mut ring, STEPS, Some(node));
    }

    /// Closes what is beyond the capacity and could not be closed when others were opened.
    pub(crate) fn trim(&self) {
        let mut ring = self.ring.lock();
        let twice_round = 2 * ring.len();
        self.turn(&mut ring, twice_round, None);
    }

    fn turn(&self, ring: &mut VecDeque<Weak<Node<S>>>, steps: usize, spare: Option<&Arc<Node<S>>>) {
        for _ in 0..steps {
            if ring.len() <= self.capacity {
                break;
            }
            let Some(weak) = ring.pop_front() else { break };
            let Some(old) = weak.upgrade() else { continue };
            let is_spared = spare.is_some_and(|node| Arc::ptr_eq(&old, node));
            if is_spared || used(&old).swap(false, Ordering::Relaxed) || !close(&old) {
                ring.push_back(weak);
            }
        }
    }

    /// Entries in the ring, for statistics.
    pub(crate) fn len(&self) -> usize {
        self.ring.lock().len()
    }
}

fn used<S: Store>(node: &Node<S>) -> &AtomicBool {
    static NEVER: AtomicBool = AtomicBool::new(false);
    match &node.body {
        Body::File(f) => &f.used,
        Body::Dir(d) => &d.used,
        Body::Symlink => &NEVER,
    }
}

/// Closes the descriptor; false when it is busy or the only way to the content.
fn close<S: Store>(node: &Node<S>) -> bool {
    match &node.body {
        Body::File(f) => match f.io.try_write() {
            Some(io) if io.pinned || io.header_pending || io.logged.is_some() => false,
            Some(mut io) => {
                io.backing = None;
                io.header = None;
                true
            }
            None => false,
        },
        // Asked under the lock: whoever keeps the handle says so first and then puts it there.
        Body::Dir(d) => match d.handle.try_lock() {
            Some(mut handle) if !d.is_removed.load(Ordering::Acquire) => {
                *handle = None;
                true
            }
            Some(_) | None => false,
        },
        Body::Symlink => true,
    }
}
