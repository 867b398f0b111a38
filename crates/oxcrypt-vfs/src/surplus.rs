//! Nodes beyond the number that is to be kept.
//!
//! A frontend such as the kernel holds a node as long as it remembers the file, and with memory to
//! spare that is for ever. When it holds too many it is asked to let go of a part; those in use it
//! keeps, and what it let go of it looks up again when it is needed.

use std::time::Duration;

use oxcrypt_store::Store;

use crate::node::{Body, Node, NodeTable};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::types::NodeId;
use crate::vault_fs::VaultFs;

/// The frontend is asked for one part in so many of the number to be kept, and as many more as there
/// are too many.
const SHARE: usize = 16;
/// When a frontend that kept most of them is asked again: soon, as it may only have been late to tell,
/// and at longer and longer intervals while they are in use.
const SOON: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(60);

pub(crate) struct Surplus {
    limit: usize,
    /// So many nodes are too many.
    threshold: AtomicUsize,
    state: Mutex<State>,
    changed: Condvar,
    /// The part of the table that is looked at next.
    part: AtomicUsize,
}

struct State {
    exceeded: bool,
    stopping: bool,
    /// How many nodes there were when the frontend was asked last, and how many of them it was to
    /// let go of.
    nodes: usize,
    wanted: usize,
    /// How long to wait before asking again for what was kept.
    patience: Duration,
}

impl State {
    /// From how many nodes on it helps to ask again: not at each new one while the frontend keeps
    /// most of what it is asked for.
    fn worth_asking(&self, nodes: usize) -> usize {
        let most = self.wanted.div_ceil(2);
        if nodes + most <= self.nodes {
            return 0;
        }
        nodes + most
    }
}

impl Surplus {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            threshold: AtomicUsize::new(limit),
            state: Mutex::new(State {
                exceeded: false,
                stopping: false,
                nodes: 0,
                wanted: 0,
                patience: SOON,
            }),
            changed: Condvar::new(),
            part: AtomicUsize::new(0),
        }
    }

    /// Notes that there are so many nodes.
    pub(crate) fn consider(&self, nodes: usize) {
        if nodes > self.threshold.load(Ordering::Relaxed) {
            // Not again before somebody has looked.
            self.threshold.store(usize::MAX, Ordering::Relaxed);
            self.state.lock().exceeded = true;
            self.changed.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Looks out for what is too many from now on.
    fn watch(&self, state: &mut State, nodes: usize) {
        let threshold = self.limit.max(state.worth_asking(nodes));
        self.threshold.store(threshold, Ordering::Relaxed);
        state.exceeded |= nodes > threshold;
    }

    /// Waits until the bound is exceeded, and says how many of `nodes` are wanted back; `None` at the
    /// end.
    fn wait(&self, nodes: impl Fn() -> usize) -> Option<usize> {
        let mut state = self.state.lock();
        self.watch(&mut state, nodes());
        while !state.exceeded && !state.stopping {
            if self.threshold.load(Ordering::Relaxed) <= self.limit {
                self.changed.wait(&mut state);
                state.patience = SOON;
                continue;
            }
            let patience = state.patience;
            if self.changed.wait_for(&mut state, patience).timed_out() {
                // Those that were in use may not be any more.
                state.exceeded = true;
                state.patience = (2 * patience).min(LATEST);
            }
        }
        if state.stopping {
            return None;
        }
        state.exceeded = false;
        state.nodes = nodes();
        state.wanted = state.nodes.saturating_sub(self.limit - self.limit / SHARE);
        Some(state.wanted)
    }
}

impl<S: Store> VaultFs<S> {
    /// Waits until there are more nodes than are to be kept, and gives those that the frontend should
    /// let go of if it has no use for them; `None` after [`VaultFs::stop`].
    ///
    /// For one thread. Ask again once the frontend has let go of them.
    pub fn surplus(&self) -> Option<Vec<NodeId>> {
        let surplus = &self.nodes.surplus;
        let wanted = surplus.wait(|| self.nodes.len())?;
        let mut idle = Vec::new();
        for _ in 0..NodeTable::<S>::PARTS {
            if idle.len() >= wanted {
                break;
            }
            let part = surplus.part.fetch_add(1, Ordering::Relaxed);
            self.nodes.visit_part(part, |node| {
                if is_idle(node) {
                    idle.push(node.id);
                }
            });
        }
        Some(idle)
    }
}

/// What is open was used lately. What the frontend needs beyond that it knows itself; a directory it
/// may forget with the last node below it.
fn is_idle<S: Store>(node: &Node<S>) -> bool {
    match &node.body {
        Body::File(file) => file.io.try_write().is_some_and(|io| io.backing.is_none()),
        Body::Dir(dir) => dir.handle.try_lock().is_some_and(|handle| handle.is_none()),
        Body::Symlink => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::thread;

    use oxcrypt_store::MemStore;

    use super::*;
    use crate::VfsOptions;
    use crate::testing::{ROOT, fresh};

    fn bounded(max_nodes: usize) -> VaultFs<MemStore> {
        fresh(VfsOptions {
            max_nodes,
            max_open_files: 8,
            ..VfsOptions::default()
        })
    }

    fn make(fs: &VaultFs<MemStore>, from: usize, to: usize) -> Vec<NodeId> {
        (from..to)
            .map(|n| {
                let name = format!("{n}");
                let made = fs.create(ROOT, NodeId::ROOT, name.as_bytes(), 0o644);
                // Headers are not waited for here.
                fs.flush_headers();
                made.unwrap().node
            })
            .collect()
    }

    /// Whether the frontend would be asked now.
    fn is_due(fs: &VaultFs<MemStore>) -> bool {
        fs.nodes.surplus.state.lock().exceeded
    }

    /// Makes 2,000 nodes, ten at a time, for a frontend that never lets go of some. Returns how often
    /// it was asked, and how many nodes there were at most.
    fn grow(fs: &VaultFs<MemStore>, keeps: impl Fn(NodeId) -> bool) -> (usize, usize) {
        let (mut rounds, mut most) = (0, 0);
        for n in (0..2000).step_by(10) {
            make(fs, n, n + 10);
            most = most.max(fs.node_count());
            while is_due(fs) {
                rounds += 1;
                for node in fs.surplus().unwrap() {
                    if !keeps(node) {
                        fs.forget(node, 1);
                    }
                }
                // What the next call does before it waits.
                let surplus = &fs.nodes.surplus;
                surplus.watch(&mut surplus.state.lock(), fs.node_count());
            }
        }
        (rounds, most)
    }

    #[test]
    fn the_table_stays_near_its_bound() {
        let fs = bounded(160);
        let used = make(&fs, 2000, 2020);
        let (rounds, most) = grow(&fs, |node| used.contains(&node));
        assert!(most <= 160 + used.len() + 2 * (160 / SHARE), "{most}");
        assert!(rounds > 50, "{rounds}");
        for node in used {
            fs.getattr(node).unwrap();
        }
    }

    #[test]
    fn a_frontend_that_uses_all_is_not_asked_at_each_node() {
        let fs = bounded(160);
        let (rounds, most) = grow(&fs, |_| true);
        assert_eq!(most, 2001);
        assert!((1..20).contains(&rounds), "{rounds}");
    }

    #[test]
    fn nobody_is_asked_below_the_bound_or_after_the_end() {
        let fs = bounded(160);
        make(&fs, 0, 150);
        thread::scope(|threads| {
            let asked = threads.spawn(|| fs.surplus());
            fs.stop();
            assert_eq!(asked.join().unwrap(), None);
        });
        assert_eq!(fs.node_count(), 151);
        assert_eq!(fs.surplus(), None);
    }
}
