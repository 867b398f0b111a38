//! New files whose header is not on disk yet.
//!
//! A new file starts as an empty ciphertext file; its header joins the first data in one write. A
//! file that stays empty gets its header from a background pass a moment later, or at fsync, forget
//! or unmount, whichever comes first. Until then other readers of the vault see an empty file.

use std::sync::{Arc, Weak};
use std::time::Duration;

use oxcrypt_store::Store;

use crate::node::{Body, Node};
use crate::sync::{Condvar, Mutex};
use crate::vault_fs::VaultFs;

struct State<S: Store> {
    nodes: Vec<Weak<Node<S>>>,
    stopping: bool,
}

/// Each of them keeps a descriptor: with so many times as many as may be kept open otherwise, those
/// that have no header yet get it without waiting for data.
const MANY: usize = 4;

/// The set of such files.
pub(crate) struct PendingHeaders<S: Store> {
    state: Mutex<State<S>>,
    changed: Condvar,
    many: usize,
}

impl<S: Store> PendingHeaders<S> {
    pub(crate) fn new(max_open_files: usize) -> Self {
        Self {
            state: Mutex::new(State {
                nodes: Vec::new(),
                stopping: false,
            }),
            changed: Condvar::new(),
            many: (MANY * max_open_files).max(1),
        }
    }

    pub(crate) fn add(&self, node: &Arc<Node<S>>) {
        let mut state = self.state.lock();
        state.nodes.push(Arc::downgrade(node));
        if state.nodes.len() == 1 || state.nodes.len() == self.many {
            self.changed.notify_one();
        }
    }

    fn take(&self) -> Vec<Weak<Node<S>>> {
        std::mem::take(&mut self.state.lock().nodes)
    }
}

impl<S: Store> VaultFs<S> {
    /// Writes the headers of new files as they fall due and works the journal off; returns after
    /// [`VaultFs::stop`].
    ///
    /// Sleeps without waking while there is nothing to do. Run it on a thread of its own.
    pub fn run_background(&self) {
        crate::sync::thread::scope(|threads| {
            threads.spawn(|| self.run_journal());
            self.run_headers();
        });
    }

    fn run_headers(&self) {
        loop {
            let mut state = self.pending.state.lock();
            while state.nodes.is_empty() && !state.stopping {
                self.pending.changed.wait(&mut state);
            }
            if !state.stopping && state.nodes.len() < self.pending.many {
                // Let the first data arrive; a stop ends the wait early, and so does a burst.
                let _ = self.pending.changed.wait_for(&mut state, self.delay());
            }
            let stopping = state.stopping;
            drop(state);
            self.flush_headers();
            if stopping {
                return;
            }
        }
    }

    fn delay(&self) -> Duration {
        self.options.header_delay
    }

    /// Ends [`VaultFs::run_background`], writes what is still pending and works the journal off.
    pub fn stop(&self) {
        self.pending.state.lock().stopping = true;
        self.pending.changed.notify_all();
        self.nodes.surplus.stop();
        self.flush_headers();
        if let Some(journal) = &self.journal {
            journal.stop();
        }
        self.close_journal();
    }

    /// Writes every pending header now.
    pub fn flush_headers(&self) {
        for node in self.pending.take() {
            let Some(node) = node.upgrade() else { continue };
            let Body::File(file) = &node.body else {
                continue;
            };
            let _own = node.own.begin();
            let mut io = file.io.write();
            if let Err(e) = self.write_pending_header(&node, &mut io) {
                tracing::error!(error = %e, "cannot write the header of a new file");
                io.failed = Some(e.kind);
            }
        }
        self.open_files.trim();
    }
}
