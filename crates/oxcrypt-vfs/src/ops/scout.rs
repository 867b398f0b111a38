//! Looking ahead in a directory whose nodes come from a slow disk.
//!
//! What a wrapper is stands in a small file inside it, and a directory's attributes are those of its
//! content directory, elsewhere. From a cold disk that is four reads for each, one after the other. When
//! a listing meets one that took as long, the next ones are read by several threads at once, only so
//! that the host has them in memory when the listing comes to them.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use oxcrypt_core::DirId;
use oxcrypt_store::{Cookie, Kind, OpenMode, Store};

use crate::resolve::{CONTENTS_FILE, DIR_FILE, LONG_SUFFIX, NAME_FILE, SYMLINK_FILE};
use crate::sync;
use crate::vault_fs::{VaultFs, hash_path};

/// A wrapper that takes longer was read from a disk.
const SLOW: Duration = Duration::from_micros(100);
/// Wrappers looked at ahead: more would be forgotten again, or never asked for.
const AHEAD: usize = 256;
/// Fewer are not worth starting threads for.
const WORTH: usize = 2;
/// Disks answer several requests together; on one processor too.
const THREADS: usize = 8;

/// Decides for one listing when to look ahead.
#[derive(Debug, Default)]
pub(super) struct Scout {
    begun: Option<Instant>,
    /// Wrappers that were looked at already.
    ahead: usize,
}

impl Scout {
    /// Before an entry is looked at.
    pub(super) fn begin(&mut self, kind: Option<Kind>) {
        let is_wrapper = kind == Some(Kind::Dir);
        let known = is_wrapper && self.ahead > 0;
        self.ahead -= usize::from(known);
        self.begun = (is_wrapper && !known).then(sync::now);
    }

    /// After it: looks at those from `next` on if this one came from a disk.
    pub(super) fn end<S: Store>(&mut self, fs: &VaultFs<S>, content: &S::Dir, next: Cookie) {
        if self
            .begun
            .is_some_and(|begun| sync::now().saturating_duration_since(begun) > SLOW)
        {
            self.ahead = fs.look_ahead(content, next);
        }
    }
}

impl<S: Store> VaultFs<S> {
    /// Has the host read what the next wrappers are; returns how many. Says nothing about damage: that
    /// is for whoever asks for the node.
    fn look_ahead(&self, content: &S::Dir, from: Cookie) -> usize {
        let mut wrappers: Vec<Vec<u8>> = Vec::new();
        let listed = self.store.list(content, from, AHEAD * 64, &mut |entry| {
            if entry.kind == Some(Kind::Dir) && !matches!(entry.name, b"." | b"..") {
                wrappers.push(entry.name.to_vec());
            }
            if wrappers.len() < AHEAD {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        if listed.is_err() || wrappers.len() < WORTH {
            return 0;
        }
        sync::thread::scope(|scope| {
            let share = wrappers.len().div_ceil(THREADS);
            for names in wrappers.chunks(share) {
                let look = move || {
                    for name in names {
                        self.read_wrapper(content, name);
                    }
                };
                // Without threads the listing is as slow as it was.
                let _ = sync::thread::spawn_small(scope, look);
            }
        });
        wrappers.len()
    }

    fn read_wrapper(&self, content: &S::Dir, name: &[u8]) {
        let inner = |file: &[u8]| [name, b"/", file].concat();
        if name.ends_with(LONG_SUFFIX) {
            let _ = self.read_first(content, &inner(NAME_FILE));
        }
        match self.read_first(content, &inner(DIR_FILE)) {
            Some(id) => {
                let Ok(id) = DirId::parse(&id) else { return };
                let path = hash_path(&self.cryptor.dir_hash(&id));
                if let Ok(dir) = self.store.open_dir(&self.data_dir, &path) {
                    let first = &mut |_: oxcrypt_store::DirEntry<'_>| ControlFlow::Break(());
                    let _ = self.store.list(&dir, Cookie::START, 4096, first);
                }
            }
            None => {
                for file in [SYMLINK_FILE, CONTENTS_FILE] {
                    let _ = self.store.stat_beneath(content, &inner(file));
                }
            }
        }
    }

    /// The beginning of a small file.
    fn read_first(&self, content: &S::Dir, path: &[u8]) -> Option<Vec<u8>> {
        let file = self.store.open(content, path, OpenMode::READ).ok()?;
        let mut bytes = vec![0; 1024];
        let len = self.store.read_at(&file, &mut bytes, 0).ok()?;
        bytes.truncate(len);
        Some(bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::testing::{ROOT, fresh};
    use crate::{NodeId, VfsOptions};

    #[test]
    fn every_wrapper_is_looked_at_and_none_twice() {
        let fs = fresh(VfsOptions::default());
        for n in 0..30 {
            let name = format!("{n}{}", "x".repeat(if n % 3 == 0 { 200 } else { 1 }));
            let name = name.as_bytes();
            match n % 2 {
                0 => fs.mkdir(ROOT, NodeId::ROOT, name, 0o755).unwrap(),
                _ => fs.symlink(ROOT, NodeId::ROOT, name, b"to").unwrap(),
            };
            fs.create(ROOT, NodeId::ROOT, &[name, b"f"].concat(), 0o644)
                .unwrap();
        }
        let content = fs.content_dir(&fs.node(NodeId::ROOT).unwrap()).unwrap();
        // Ten files have long names, and a wrapper for that.
        assert_eq!(fs.look_ahead(&content, Cookie::START), 40);

        let mut scout = Scout::default();
        scout.begin(Some(Kind::Dir));
        scout.begun = sync::now().checked_sub(2 * SLOW);
        scout.end(&fs, &content, Cookie::START);
        for left in (0..40).rev() {
            scout.begin(Some(Kind::File));
            scout.begin(Some(Kind::Dir));
            assert!(scout.begun.is_none(), "looked at already");
            assert_eq!(scout.ahead, left);
        }
        scout.begin(Some(Kind::Dir));
        assert!(scout.begun.is_some());
    }
}
