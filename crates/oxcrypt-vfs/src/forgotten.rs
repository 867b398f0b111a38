//! New directories that the frontend forgot before anything made them durable.
//!
//! That a directory is new stands in its node, and `fsync` of what is below goes by it. The node goes
//! when the frontend forgets it, and comes back without a mark.

use oxcrypt_store::Identity;
use rustc_hash::FxHashSet;

use crate::sync::Mutex;

/// Beyond so many, every directory that comes back is taken for a new one.
const MOST: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Forgotten(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    new: FxHashSet<Identity>,
    too_many: bool,
}

impl Forgotten {
    /// Notes that a new directory is about to be forgotten.
    pub(crate) fn note(&self, dir: Identity) {
        let mut state = self.0.lock();
        if state.new.len() < MOST {
            state.new.insert(dir);
        } else {
            state.too_many = true;
        }
    }

    /// Whether a directory that comes back may be new still.
    pub(crate) fn take(&self, dir: &Identity) -> bool {
        let mut state = self.0.lock();
        state.new.remove(dir) || state.too_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_taken_for_new() {
        let forgotten = Forgotten::default();
        let dir = |ino| Identity {
            dev: 1,
            ino,
            btime: None,
        };
        forgotten.note(dir(1));
        assert!(!forgotten.take(&dir(2)));
        assert!(forgotten.take(&dir(1)));
        assert!(!forgotten.take(&dir(1)), "it has its mark again");
        for ino in 0..=MOST as u64 {
            forgotten.note(dir(ino));
        }
        assert!(forgotten.take(&dir(MOST as u64)));
    }
}
