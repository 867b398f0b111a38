//! What a mount is asked for most needs no heap once warm: looking up, attributes, listing, reading.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;

use oxcrypt_core::{CipherCombo, Cryptor, DirId, MasterKey};
use oxcrypt_store::{LocalStore, Watcher};
use oxcrypt_vfs::{Caller, LogEvents, NodeId, VaultFs, VfsOptions};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every request goes to the system's allocator unchanged; the counter is a plain cell
// of the thread, needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 100;

/// Allocations of this thread while `work` runs many times, after it has run once.
fn allocations(mut work: impl FnMut()) -> usize {
    work();
    let before = COUNT.get();
    for _ in 0..ROUNDS {
        work();
    }
    COUNT.get() - before
}

/// As [`allocations`], the least of several times: a listing that was interrupted for a moment takes its
/// directory for one on a slow disk, and looks ahead.
fn undisturbed(mut work: impl FnMut()) -> usize {
    let times = (0..20).map(|_| allocations(&mut work));
    times.min().expect("twenty")
}

const CALLER: Caller = Caller { uid: 0, gid: 0 };

struct Bed {
    fs: VaultFs<LocalStore>,
    file: NodeId,
    _dir: tempfile::TempDir,
}

impl Bed {
    fn new(combo: CipherCombo) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = MasterKey::from_raw(&[7; MasterKey::LEN]);
        let cryptor = Arc::new(Cryptor::new(&key, combo, 220));
        let hash = cryptor.dir_hash(&DirId::ROOT);
        let content = dir.path().join("d").join(hash.prefix()).join(hash.rest());
        std::fs::create_dir_all(content).unwrap();
        let store = Arc::new(LocalStore::open(dir.path()).unwrap());
        let fs = VaultFs::new(store, cryptor, VfsOptions::default(), Box::new(LogEvents)).unwrap();
        fs.watch(Box::new(Arc::new(Watcher::new().unwrap())));
        let made = fs.create(CALLER, NodeId::ROOT, b"file", 0o600).unwrap();
        fs.write(made.node, 0, &vec![5; 200_000]).unwrap();
        fs.mkdir(CALLER, NodeId::ROOT, b"dir", 0o700).unwrap();
        fs.symlink(CALLER, NodeId::ROOT, b"link", b"target")
            .unwrap();
        Self {
            fs,
            file: made.node,
            _dir: dir,
        }
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(
        allocations(|| drop(std::hint::black_box(Box::new(1)))),
        ROUNDS
    );
}

#[test]
fn looking_up_what_is_known_allocates_nothing() {
    let bed = Bed::new(CipherCombo::SivGcm);
    for name in ["file", "link"] {
        let count = allocations(|| {
            let entry = bed.fs.lookup(NodeId::ROOT, name.as_bytes()).unwrap();
            bed.fs.forget(entry.node, 1);
        });
        assert_eq!(count, 0, "{name}");
    }
    let count = allocations(|| assert!(bed.fs.lookup(NodeId::ROOT, b"missing").is_err()));
    assert_eq!(count, 0, "a missing name");
}

#[test]
fn attributes_allocate_nothing() {
    let bed = Bed::new(CipherCombo::SivGcm);
    for node in [bed.file, NodeId::ROOT] {
        let count = allocations(|| {
            bed.fs.getattr(node).unwrap();
        });
        assert_eq!(count, 0);
    }
}

#[test]
fn listing_allocates_one_buffer_and_nothing_for_an_entry() {
    let bed = Bed::new(CipherCombo::SivGcm);
    for n in 0..50 {
        bed.fs
            .create(CALLER, NodeId::ROOT, format!("more{n}").as_bytes(), 0o600)
            .unwrap();
    }
    let mut seen = 0;
    let count = undisturbed(|| {
        bed.fs
            .list(NodeId::ROOT, 0, 8192, &mut |_| {
                seen += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
    });
    assert_eq!(count, ROUNDS, "names");
    // A directory among the entries would be opened, and a handle is one more.
    bed.fs.rmdir(NodeId::ROOT, b"dir").unwrap();
    let count = undisturbed(|| {
        bed.fs
            .list_plus(NodeId::ROOT, 0, 8192, &mut |_, entry| {
                seen += 1;
                if let Some(entry) = entry {
                    bed.fs.forget(entry.node, 1);
                }
                ControlFlow::Continue(())
            })
            .unwrap();
    });
    assert_eq!(count, ROUNDS, "names and attributes");
    assert!(seen >= 2 * 50 * ROUNDS);
}

#[test]
fn reading_allocates_nothing() {
    for combo in [CipherCombo::SivGcm, CipherCombo::SivCtrMac] {
        let bed = Bed::new(combo);
        let mut buf = vec![0; 64 * 1024];
        for (offset, len) in [(0, 4096), (32_000, 4096), (0, 65_536), (131_072, 65_536)] {
            let count = allocations(|| {
                assert_eq!(bed.fs.read(bed.file, offset, &mut buf[..len]).unwrap(), len);
            });
            assert_eq!(count, 0, "{len} bytes at {offset}, {combo:?}");
        }
    }
}

#[test]
fn overwriting_a_page_allocates_nothing() {
    let bed = Bed::new(CipherCombo::SivGcm);
    let page = [9; 4096];
    let count = allocations(|| bed.fs.write(bed.file, 40_960, &page).unwrap());
    assert_eq!(count, 0);
}
