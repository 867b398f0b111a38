//! Another program replaces a file that was just written here: both versions are kept.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use oxcrypt_core::{CipherCombo, Cryptor, DirId, MasterKey};
use oxcrypt_store::{LocalStore, Store, Watcher};
use oxcrypt_vfs::{
    Caller, Changes, Invalidate, JournalOptions, LogEvents, NodeId, RenameFlags, VaultFs,
    VfsOptions, claim,
};

const ROOT: NodeId = NodeId::ROOT;
const CALLER: Caller = Caller { uid: 0, gid: 0 };

/// A frontend without caches.
struct Nobody;

impl Invalidate for Nobody {
    fn entry(&self, _: NodeId, _: &[u8]) {}
    fn doubt(&self, _: NodeId, _: &[u8]) {}
    fn node(&self, _: NodeId) {}
}

fn cryptor() -> Arc<Cryptor> {
    let key = MasterKey::from_raw(&[7; MasterKey::LEN]);
    Arc::new(Cryptor::new(&key, CipherCombo::SivGcm, 220))
}

fn vault(dir: &Path) {
    let hash = cryptor().dir_hash(&DirId::ROOT);
    let content = dir.join("d").join(hash.prefix()).join(hash.rest());
    std::fs::create_dir_all(content).unwrap();
}

fn open(dir: &Path) -> VaultFs<LocalStore> {
    let store = Arc::new(LocalStore::open(dir).unwrap());
    VaultFs::new(store, cryptor(), VfsOptions::default(), Box::new(LogEvents)).unwrap()
}

fn changes(watcher: &Watcher) -> Changes {
    let mut changes = Changes::default();
    watcher.drain(|event| changes.add(event)).unwrap();
    changes
}

fn content<S: Store>(fs: &VaultFs<S>, name: &str) -> String {
    let node = fs.lookup(ROOT, name.as_bytes()).unwrap().node;
    let mut buf = vec![0; 1000];
    let got = fs.read(node, 0, &mut buf).unwrap();
    String::from_utf8(buf[..got].to_vec()).unwrap()
}

fn replace_while_written(journaled: bool, name: &str, copy: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (vault_dir, state) = (dir.path().join("vault"), dir.path().join("state"));
    vault(&vault_dir);
    let mut ours = open(&vault_dir);
    if journaled {
        let claimed = claim(&state, &vault_dir, true).unwrap();
        ours = ours
            .journaled(claimed, JournalOptions::default())
            .unwrap()
            .0;
    }
    let watcher = Arc::new(Watcher::new().unwrap());
    ours.watch(Box::new(Arc::clone(&watcher)));
    let file = ours.create(CALLER, ROOT, name.as_bytes(), 0o600).unwrap();
    ours.write(file.node, 0, b"ours").unwrap();
    ours.append(file.node, b" and more").unwrap();
    ours.changed_behind(&changes(&watcher), &Nobody);

    let theirs = open(&vault_dir);
    let other = theirs.create(CALLER, ROOT, b"new", 0o600).unwrap();
    theirs.write(other.node, 0, b"theirs").unwrap();
    theirs
        .rename(ROOT, b"new", ROOT, name.as_bytes(), RenameFlags::Replace)
        .unwrap();
    theirs.stop();

    ours.changed_behind(&changes(&watcher), &Nobody);
    assert_eq!(content(&ours, name), "theirs");
    assert_eq!(content(&ours, copy), "ours and more");
    // Who has it open goes on in the copy.
    ours.append(file.node, b"!").unwrap();
    assert_eq!(content(&ours, copy), "ours and more!");
    ours.stop();
    let again = open(&vault_dir);
    assert_eq!(content(&again, name), "theirs");
    assert_eq!(content(&again, copy), "ours and more!");
}

#[test]
fn both_versions_are_kept() {
    replace_while_written(false, "f.txt", "f (conflict copy).txt");
}

#[test]
fn both_versions_are_kept_of_a_file_with_a_long_name() {
    let stem = "L".repeat(190);
    let (name, copy) = (format!("{stem}.txt"), format!("{stem} (conflict copy).txt"));
    for journaled in [false, true] {
        replace_while_written(journaled, &name, &copy);
    }
}

#[test]
fn changes_in_the_journal_are_kept_too() {
    replace_while_written(true, "f.txt", "f (conflict copy).txt");
}
