//! What another program does to the vault is told to the frontend, and what we do ourselves is not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxcrypt_core::{CipherCombo, Cryptor, DirId, MasterKey};
use oxcrypt_store::{LocalStore, Watcher};
use oxcrypt_vfs::{
    Caller, Changes, Invalidate, JournalOptions, LogEvents, NodeId, RenameFlags, VaultFs,
    VfsOptions, claim,
};

const ROOT: NodeId = NodeId::ROOT;
const CALLER: Caller = Caller { uid: 0, gid: 0 };

/// Remembers what it was told.
#[derive(Default)]
struct Told(RefCell<Vec<String>>);

impl Invalidate for Told {
    fn entry(&self, _: NodeId, name: &[u8]) {
        let name = String::from_utf8_lossy(name).into_owned();
        self.0.borrow_mut().push(name);
    }

    fn doubt(&self, _: NodeId, name: &[u8]) {
        let name = format!("{}?", String::from_utf8_lossy(name));
        self.0.borrow_mut().push(name);
    }

    fn node(&self, _: NodeId) {}
}

/// A vault, a file system that watches it, and another one that does not.
struct Bed {
    ours: VaultFs<LocalStore>,
    theirs: VaultFs<LocalStore>,
    watcher: Arc<Watcher>,
    vault: PathBuf,
    _dir: tempfile::TempDir,
}

fn open(dir: &Path, cryptor: &Arc<Cryptor>) -> VaultFs<LocalStore> {
    let store = Arc::new(LocalStore::open(dir).unwrap());
    let cryptor = Arc::clone(cryptor);
    VaultFs::new(store, cryptor, VfsOptions::default(), Box::new(LogEvents)).unwrap()
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vault = dir.path().join("vault");
        let key = MasterKey::from_raw(&[7; MasterKey::LEN]);
        let cryptor = Arc::new(Cryptor::new(&key, CipherCombo::SivGcm, 220));
        let hash = cryptor.dir_hash(&DirId::ROOT);
        std::fs::create_dir_all(vault.join("d").join(hash.prefix()).join(hash.rest())).unwrap();
        let claimed = claim(&dir.path().join("state"), &vault, true).unwrap();
        let ours = open(&vault, &cryptor)
            .journaled(claimed, JournalOptions::default())
            .unwrap()
            .0;
        let watcher = Arc::new(Watcher::new().unwrap());
        ours.watch(Box::new(Arc::clone(&watcher)));
        let theirs = open(&vault, &cryptor);
        Self {
            ours,
            theirs,
            watcher,
            vault,
            _dir: dir,
        }
    }

    /// Looks at what happened; the names that the frontend must ask for again.
    fn told(&self) -> Vec<String> {
        self.told_of(Changes::default())
    }

    fn told_of(&self, mut changes: Changes) -> Vec<String> {
        self.watcher.drain(|event| changes.add(event)).unwrap();
        let told = Told::default();
        self.ours.changed_behind(&changes, &told);
        let mut names = told.0.into_inner();
        names.sort();
        names.dedup();
        names
    }

    fn make(&self, name: &str, content: &[u8]) -> NodeId {
        let (ours, name) = (&self.ours, name.as_bytes());
        let node = ours.create(CALLER, ROOT, name, 0o600).unwrap().node;
        ours.write(node, 0, content).unwrap();
        ours.fsync(node, false).unwrap();
        node
    }

    /// The names told, when the frontend then lets go of this node.
    fn told_and_forgot(&self, node: NodeId, lookups: u64) -> Vec<String> {
        let told = self.told();
        self.ours.forget(node, lookups);
        told
    }

    fn find(&self, name: &str) -> NodeId {
        let entry = self.ours.lookup(ROOT, name.as_bytes()).unwrap();
        assert!(entry.attr.watched, "{name} is not watched");
        entry.node
    }

    fn read(&self, node: NodeId) -> Vec<u8> {
        let mut buf = vec![0; 1000];
        let got = self.ours.read(node, 0, &mut buf).unwrap();
        buf.truncate(got);
        buf
    }

    /// Another program's changes come later than our own span of time.
    fn pause(&self) {
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(self.told(), [""; 0]);
    }

    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.ours
            .list(ROOT, 0, 1 << 16, &mut |item| {
                names.push(String::from_utf8_lossy(item.name).into_owned());
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        names.retain(|n| n != "." && n != "..");
        names.sort();
        names
    }

    /// The ciphertext file of this kind; there must be one only.
    fn type_file(&self, name: &str) -> PathBuf {
        let mut found = Vec::new();
        let mut open = vec![self.vault.clone()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                } else if entry.file_name() == name {
                    found.push(entry.path());
                }
            }
        }
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

fn long(letter: &str) -> String {
    letter.repeat(200)
}

#[test]
fn a_file_with_a_long_name_is_watched_inside_its_wrapper() {
    let bed = Bed::new();
    let name = long("L");
    let node = bed.make(&name, b"old");
    bed.pause();
    // In place, as a program does that keeps the file open.
    let theirs = bed.theirs.lookup(ROOT, name.as_bytes()).unwrap().node;
    bed.theirs.write(theirs, 0, b"new and longer").unwrap();
    assert_eq!(bed.told_and_forgot(node, 1), [&*name]);
    let node = bed.find(&name);
    assert_eq!(bed.read(node), b"new and longer");
    bed.pause();
    // Beside it and renamed over it, as sync clients do.
    let file = bed.type_file("contents.c9r");
    let other = file.with_file_name("incoming");
    std::fs::copy(&file, &other).unwrap();
    std::fs::rename(&other, &file).unwrap();
    assert_eq!(bed.told_and_forgot(node, 1), [&*name]);
    let node = bed.find(&name);
    assert_eq!(bed.read(node), b"new and longer");
    // Also after it has got another long name.
    let moved = long("M");
    bed.ours
        .rename(
            ROOT,
            name.as_bytes(),
            ROOT,
            moved.as_bytes(),
            RenameFlags::Replace,
        )
        .unwrap();
    bed.pause();
    std::fs::write(bed.type_file("contents.c9r"), b"damaged").unwrap();
    assert_eq!(bed.told(), [moved]);
}

#[test]
fn asking_for_attributes_first_hides_no_change() {
    let bed = Bed::new();
    for name in ["short", &long("L")] {
        let node = bed.make(name, b"old");
        bed.pause();
        let theirs = bed.theirs.lookup(ROOT, name.as_bytes()).unwrap().node;
        bed.theirs.write(theirs, 0, b"new").unwrap();
        // A program was faster than the notice. What the kernel has of the content is old all the same.
        bed.ours.getattr(node).unwrap();
        bed.ours.lookup(ROOT, name.as_bytes()).unwrap();
        assert_eq!(bed.told_and_forgot(node, 2), [name]);
        assert_eq!(bed.read(bed.find(name)), b"new");
    }
}

#[test]
fn a_symbolic_link_that_gets_another_target_is_told() {
    let bed = Bed::new();
    bed.ours.symlink(CALLER, ROOT, b"link", b"first").unwrap();
    bed.find("link");
    bed.pause();
    // Another device made it anew; a sync client brings the new content into the same wrapper.
    bed.theirs.unlink(ROOT, b"link").unwrap();
    bed.theirs
        .symlink(CALLER, ROOT, b"link", b"second")
        .unwrap();
    let second = std::fs::read(bed.type_file("symlink.c9r")).unwrap();
    assert_eq!(bed.told(), ["link"]);
    let node = bed.find("link");
    assert_eq!(bed.ours.readlink(node).unwrap(), b"second");
    bed.theirs.unlink(ROOT, b"link").unwrap();
    bed.theirs.symlink(CALLER, ROOT, b"link", b"third").unwrap();
    assert_eq!(bed.told(), ["link"]);
    let node = bed.find("link");
    assert_eq!(bed.ours.readlink(node).unwrap(), b"third");
    bed.pause();
    std::fs::write(bed.type_file("symlink.c9r"), second).unwrap();
    assert_eq!(bed.told(), ["link"]);
    let node = bed.find("link");
    assert_eq!(bed.ours.readlink(node).unwrap(), b"second");
}

#[test]
fn directories_that_change_places_are_told() {
    let bed = Bed::new();
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        bed.ours
            .mkdir(CALLER, ROOT, name.as_bytes(), 0o755)
            .unwrap();
        ids.push(bed.find(name));
    }
    bed.pause();
    // Only the type files in the wrappers move.
    bed.theirs
        .rename(ROOT, b"a", ROOT, b"b", RenameFlags::Exchange)
        .unwrap();
    assert_eq!(bed.told(), ["a", "b"]);
    let now = ["b", "a"].map(|name| bed.ours.lookup(ROOT, name.as_bytes()).unwrap().attr.btime);
    let before = ids
        .into_iter()
        .map(|id| bed.ours.getattr(id).map(|a| a.btime));
    for (before, now) in before.zip(now) {
        assert!(before.is_err() || before.unwrap() == now);
    }
}

#[test]
fn our_own_changes_are_not_told() {
    let bed = Bed::new();
    let (a, b) = (long("A"), long("B"));
    for name in ["short", "other", &a, &b] {
        bed.make(name, b"first");
        let node = bed.find(name);
        bed.ours.write(node, 0, b"overwritten").unwrap();
    }
    bed.pause();
    let swap = |one: &str, two: &str| {
        let (one, two) = (one.as_bytes(), two.as_bytes());
        bed.ours
            .rename(ROOT, one, ROOT, two, RenameFlags::Exchange)
            .unwrap();
    };
    for (one, two) in [("short", "other"), (&a, &b), ("short", &a)] {
        for name in [one, two] {
            bed.ours.write(bed.find(name), 0, b"just written").unwrap();
        }
        swap(one, two);
        assert_eq!(bed.told(), [""; 0], "{one} and {two}");
        // Nothing was taken for somebody else's, and no copy was made.
        assert_eq!(bed.names().len(), 4, "{:?}", bed.names());
        bed.pause();
    }
    bed.ours.symlink(CALLER, ROOT, b"link", b"x").unwrap();
    bed.ours.mkdir(CALLER, ROOT, b"dir", 0o755).unwrap();
    bed.ours.unlink(ROOT, b"link").unwrap();
    bed.ours.unlink(ROOT, a.as_bytes()).unwrap();
    bed.ours.rmdir(ROOT, b"dir").unwrap();
    assert_eq!(bed.told(), [""; 0]);
}

#[test]
fn lost_events_throw_nobody_out_of_a_directory() {
    let bed = Bed::new();
    bed.make("file", b"x");
    bed.ours.mkdir(CALLER, ROOT, b"dir", 0o755).unwrap();
    let lost = Changes {
        lost: true,
        ..Changes::default()
    };
    assert_eq!(bed.told_of(lost), ["dir?", "file"]);
}

/// What we leave behind ourselves is recognised by how it was left. Another program that brings a
/// name back to just that state in between must be noticed all the same.
#[test]
fn a_name_that_changed_and_changed_back_is_told() {
    let bed = Bed::new();
    let (ours, theirs) = (&bed.ours, &bed.theirs);
    bed.make("gone", b"ours");
    ours.mkdir(CALLER, ROOT, b"kept", 0o755).unwrap();
    bed.told();

    // Gone, there again, seen so, gone again.
    ours.unlink(ROOT, b"gone").unwrap();
    theirs.create(CALLER, ROOT, b"gone", 0o600).unwrap();
    bed.find("gone");
    theirs.unlink(ROOT, b"gone").unwrap();
    assert_eq!(bed.told(), ["gone"]);

    // There, gone, seen so, the same one there again.
    ours.rename(ROOT, b"kept", ROOT, b"dir", RenameFlags::Replace)
        .unwrap();
    theirs
        .rename(ROOT, b"dir", ROOT, b"aside", RenameFlags::Replace)
        .unwrap();
    assert!(ours.lookup(ROOT, b"dir").is_err());
    theirs
        .rename(ROOT, b"aside", ROOT, b"dir", RenameFlags::Replace)
        .unwrap();
    assert!(bed.told().contains(&"dir?".to_owned()));
}

/// Away and back between two looks at the events, when the frontend asked in between: it holds that
/// there is nothing, whatever it knows about the object.
#[test]
fn a_name_that_was_away_for_a_moment_is_told() {
    let long = "n".repeat(200);
    for name in ["file", "link", &long] {
        let bed = Bed::new();
        let ours = &bed.ours;
        match name {
            "link" => ours.symlink(CALLER, ROOT, b"link", b"target").unwrap().node,
            name => bed.make(name, b"content"),
        };
        let [path] = &nodes_below(&bed.vault.join("d"))[..] else {
            panic!("one node was made")
        };
        assert_eq!(bed.told(), [""; 0]);
        let aside = path.with_extension("aside");
        std::fs::rename(path, &aside).unwrap();
        assert!(ours.lookup(ROOT, name.as_bytes()).is_err());
        std::fs::rename(&aside, path).unwrap();
        assert_eq!(bed.told(), [name]);
    }
}

/// All nodes in the content directories below `d`.
fn nodes_below(data: &Path) -> Vec<PathBuf> {
    let within = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let contents = within(data).into_iter().flat_map(|dir| within(&dir));
    let nodes = contents.flat_map(|dir| within(&dir));
    nodes.filter(|path| !path.ends_with("dirid.c9r")).collect()
}

/// A directory that was away comes back as another node, while the one before may be in use.
#[test]
fn a_directory_that_was_away_is_watched_as_before() {
    let bed = Bed::new();
    let (ours, theirs) = (&bed.ours, &bed.theirs);
    let before = ours.mkdir(CALLER, ROOT, b"dir", 0o755).unwrap().node;
    let sub = ours.mkdir(CALLER, before, b"sub", 0o755).unwrap().node;
    let inner = ours.create(CALLER, before, b"inner", 0o600).unwrap().node;
    bed.told();
    for (from, to) in [(b"dir".as_slice(), b"aside".as_slice()), (b"aside", b"dir")] {
        theirs
            .rename(ROOT, from, ROOT, to, RenameFlags::Replace)
            .unwrap();
        let told = bed.told();
        assert!(told.iter().any(|told| told.starts_with("dir")), "{told:?}");
    }
    let dir = ours.lookup(ROOT, b"dir").unwrap().node;
    assert_ne!(dir, before);
    assert_eq!(ours.lookup(dir, b"sub").unwrap().node, sub);
    assert_eq!(ours.lookup(dir, b"inner").unwrap().node, inner);
    ours.forget(before, 1);
    assert!(ours.watches(dir));
    let theirs_dir = theirs.lookup(ROOT, b"dir").unwrap().node;
    theirs.create(CALLER, theirs_dir, b"new", 0o600).unwrap();
    theirs.unlink(theirs_dir, b"inner").unwrap();
    assert_eq!(bed.told(), ["inner", "new"]);
    // What was known by way of the one before is removed by way of the other.
    ours.rmdir(dir, b"sub").unwrap();
    assert!(ours.lookup(dir, b"sub").is_err());
}

#[test]
fn what_we_remove_make_and_move_is_not_told() {
    let bed = Bed::new();
    let ours = &bed.ours;
    let long = "n".repeat(200);
    for name in ["file", &long] {
        bed.make(name, b"content");
    }
    for name in [b"dir1", b"dir2"] {
        ours.mkdir(CALLER, ROOT, name, 0o755).unwrap();
    }
    ours.symlink(CALLER, ROOT, b"link", b"target").unwrap();
    assert_eq!(bed.told(), [""; 0]);
    for (from, to) in [
        ("file", "moved"),
        ("dir1", "dir3"),
        ("link", "link2"),
        (&*long, "short"),
    ] {
        ours.rename(
            ROOT,
            from.as_bytes(),
            ROOT,
            to.as_bytes(),
            RenameFlags::Replace,
        )
        .unwrap();
    }
    assert_eq!(bed.told(), [""; 0]);
    for name in ["moved", "link2", "short"] {
        ours.unlink(ROOT, name.as_bytes()).unwrap();
    }
    for name in [b"dir2", b"dir3"] {
        ours.rmdir(ROOT, name).unwrap();
    }
    assert_eq!(bed.told(), [""; 0]);
}
