//! Names that this mount changed lately, and how it left them.
//!
//! The watch on a directory tells of every change in it, also of ours. A name that is as we left it
//! is no news, and one look at the store shows that: no need to find out what the node is, nor to
//! lock its directory. What is forgotten here costs that second look, never a foreign change.

use std::hash::{BuildHasher, RandomState};

use oxcrypt_store::Identity;
use rustc_hash::FxHashMap;

use crate::sync::Mutex;
use crate::types::NodeId;

/// Names kept before the older half is forgotten.
const GENERATION: usize = 4096;

/// What a ciphertext name led to after our change: an object, or nothing.
type Left = Option<Identity>;
type Key = (NodeId, u64);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct OwnNames {
    /// Names in a vault are chosen by whoever writes to it.
    hasher: RandomState,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    newer: FxHashMap<Key, Left>,
    older: FxHashMap<Key, Left>,
}

impl OwnNames {
    /// Notes how a name in `parent` was left.
    pub(crate) fn note(&self, parent: NodeId, node_name: &[u8], left: Left) {
        let key = (parent, self.hasher.hash_one(node_name));
        let mut recent = self.recent.lock();
        if recent.newer.len() >= GENERATION {
            let full = std::mem::take(&mut recent.newer);
            recent.older = full;
        }
        recent.newer.insert(key, left);
    }

    /// Notes that the frontend is told of a name as it is now. What contradicts that is forgotten:
    /// should the name change and change back, the frontend has to hear of it. Whether something was.
    pub(crate) fn told(&self, parent: NodeId, node_name: &[u8], now: Left) -> bool {
        let key = (parent, self.hasher.hash_one(node_name));
        let mut recent = self.recent.lock();
        let Recent { newer, older } = &mut *recent;
        let mut contradicted = false;
        for generation in [newer, older] {
            if generation.get(&key).is_some_and(|left| *left != now) {
                generation.remove(&key);
                contradicted = true;
            }
        }
        contradicted
    }

    /// Whether `found` is how we left the name.
    pub(crate) fn explains(&self, parent: NodeId, node_name: &[u8], found: Left) -> bool {
        let key = (parent, self.hasher.hash_one(node_name));
        let recent = self.recent.lock();
        let left = recent.newer.get(&key).or_else(|| recent.older.get(&key));
        left == Some(&found)
    }
}

#[cfg(test)]
mod tests {
    use oxcrypt_store::Identity;

    use super::*;

    fn object(ino: u64) -> Left {
        Some(Identity {
            dev: 1,
            ino,
            btime: None,
        })
    }

    #[test]
    fn only_what_we_left_is_explained() {
        let own = OwnNames::default();
        let dir = NodeId(7);
        assert!(!own.explains(dir, b"a", None));
        own.note(dir, b"a", object(3));
        assert!(own.explains(dir, b"a", object(3)));
        assert!(!own.explains(dir, b"a", object(4)));
        assert!(!own.explains(dir, b"a", None));
        assert!(!own.explains(NodeId(8), b"a", object(3)));
        own.note(dir, b"a", None);
        assert!(own.explains(dir, b"a", None));
        assert!(!own.explains(dir, b"a", object(3)));
        assert!(!own.told(dir, b"a", None));
        assert!(own.explains(dir, b"a", None));
        assert!(own.told(dir, b"a", object(5)));
        assert!(!own.explains(dir, b"a", None));
    }

    #[test]
    fn memory_is_bounded_and_the_latest_is_kept() {
        let own = OwnNames::default();
        for n in 0..10 * GENERATION as u64 {
            own.note(NodeId(n), b"name", None);
            assert!(own.explains(NodeId(n), b"name", None));
        }
        let recent = own.recent.lock();
        assert!(recent.newer.len() + recent.older.len() <= 2 * GENERATION);
    }
}
