//! Room that is about to become free, and descriptors.
//!
//! The kernel tells a moment after a file lost its last name that nobody has it open. Until then its
//! blocks are taken, and a program that removes a file to make room for another one would be refused.

use std::time::Duration;

use oxcrypt_store::Store;

use crate::error::{ErrorKind, Result};
use crate::node::{Body, Node};
use crate::vault_fs::VaultFs;

/// Tries before a full store is believed to stay full, and the pause between them.
const TRIES: usize = 40;
const PAUSE: Duration = Duration::from_millis(5);
/// After this long the blocks of a file that is gone are free.
const FREED: Duration = Duration::from_secs(1);

impl<S: Store> VaultFs<S> {
    /// Runs `act`, again if there was no room and files without a name are still there, or no
    /// descriptor. The caller holds no lock.
    pub(crate) fn with_room<T>(&self, mut act: impl FnMut() -> Result<T>) -> Result<T> {
        for _ in 0..TRIES {
            match act() {
                Err(e) if e.kind == ErrorKind::NoSpace && self.someone_departs() => {
                    crate::sync::thread::sleep(PAUSE);
                }
                // A burst of new files keeps descriptors until their headers are written.
                Err(e) if e.kind == ErrorKind::TooManyOpenFiles => {
                    self.flush_headers();
                    crate::sync::thread::sleep(PAUSE);
                }
                other => return other,
            }
        }
        act()
    }

    /// Notes that a node is gone. The host frees the blocks of a removed file when its descriptor is
    /// closed, which takes as long as the file is large.
    pub(crate) fn note_departure(&self, node: &Node<S>) {
        if is_departing(node) {
            *self.departed.lock() = Some(crate::sync::now());
        }
    }

    fn someone_departs(&self) -> bool {
        let just_now = self
            .departed
            .lock()
            .is_some_and(|at| crate::sync::now().saturating_duration_since(at) < FREED);
        just_now || self.nodes.all().iter().any(|node| is_departing(node))
    }
}

fn is_departing<S: Store>(node: &Node<S>) -> bool {
    matches!(node.body, Body::File(_)) && node.is_nameless()
}
