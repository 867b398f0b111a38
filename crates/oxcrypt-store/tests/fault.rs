//! The fault injector fails where it was told, and atomic writes survive every such place.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use oxcrypt_store::StoreErrorKind as K;
use oxcrypt_store::{
    At, Call, Fault, FaultStore, Kind, MemStore, OpenMode, RenameMode, Store, durable,
};

fn rewrite<S: Store>(store: &S) -> oxcrypt_store::Result<()> {
    durable::write_small_atomic(store, &store.root(), b"f", b"new content", 0o600, true)
}

fn with_old_content() -> MemStore {
    let store = MemStore::new();
    durable::write_small_atomic(&store, &store.root(), b"f", b"old", 0o600, false).unwrap();
    store
}

fn content(store: &MemStore) -> Vec<u8> {
    store.read_small(&store.root(), b"f", 100).unwrap()
}

#[test]
fn atomic_write_is_old_or_new_at_every_stop() {
    let (probe, faults) = FaultStore::new(with_old_content());
    faults.disarm();
    rewrite(&probe).unwrap();
    let steps = faults.mutations();
    assert!(
        steps >= 5,
        "create, write, sync, rename, sync: {:?}",
        faults.calls()
    );
    for step in 1..=steps {
        for fault in [
            Fault::Stop,
            Fault::TornWrite(3),
            Fault::Error(K::Io),
            Fault::NoSpace,
        ] {
            let memory = with_old_content();
            let (store, faults) = FaultStore::new(memory.clone());
            faults.arm(At::Mutation(step), fault);
            let outcome = rewrite(&store);
            let seen = content(&memory);
            assert!(seen == b"old" || seen == b"new content", "{step} {fault:?}");
            if outcome.is_ok() {
                assert_eq!(seen, b"new content");
            }
            // A power cut right after success must not bring the old content back, nor half of the
            // new.
            let cut = memory.after_power_cut(&mut || false);
            let left = content(&cut);
            assert!(
                left == b"old" || left == b"new content",
                "{step} {fault:?}: {left:?}"
            );
            if outcome.is_ok() {
                assert_eq!(left, b"new content");
            }
            faults.disarm();
            rewrite(&store).unwrap();
            assert_eq!(content(&memory), b"new content");
        }
    }
}

#[test]
fn a_torn_write_leaves_a_prefix_and_a_dead_store() {
    let memory = MemStore::new();
    let (store, faults) = FaultStore::new(memory.clone());
    let file = store
        .open(&store.root(), b"f", OpenMode::new_file(0o600))
        .unwrap();
    faults.arm(At::Kind(Call::WriteAt, 2), Fault::TornWrite(2));
    store.write_at(&file, b"aaaa", 0).unwrap();
    assert_eq!(store.write_at(&file, b"bbbb", 0).unwrap_err().kind, K::Io);
    assert_eq!(faults.struck(), Some(Call::WriteAt));
    assert_eq!(store.stat(&store.root(), b"f").unwrap_err().kind, K::Io);
    assert_eq!(content(&memory), b"bbaa");
}

#[test]
fn a_short_write_leaves_a_prefix_and_a_living_store() {
    let (store, faults) = FaultStore::new(MemStore::new());
    let file = store
        .open(&store.root(), b"f", OpenMode::new_file(0o600))
        .unwrap();
    faults.arm(At::Call(1), Fault::ShortWrite(1));
    assert_eq!(store.write_at(&file, b"xy", 0).unwrap_err().kind, K::Io);
    assert_eq!(store.stat(&store.root(), b"f").unwrap().size, 1);
    assert_eq!(faults.calls(), [Call::WriteAt, Call::Stat]);
}

#[test]
fn a_full_disk_stays_full_but_can_be_read_and_emptied() {
    let (store, faults) = FaultStore::new(with_old_content());
    let root = store.root();
    faults.arm(At::Mutation(1), Fault::NoSpace);
    assert_eq!(
        store.create_dir(&root, b"d", 0o755).unwrap_err().kind,
        K::NoSpace
    );
    let made = store.open(&root, b"g", OpenMode::new_file(0o600));
    assert_eq!(made.err().map(|error| error.kind), Some(K::NoSpace));
    assert_eq!(store.read_small(&root, b"f", 10).unwrap(), b"old");
    store
        .rename(&root, b"f", &root, b"g", RenameMode::Replace)
        .unwrap();
    store.remove_file(&root, b"g").unwrap();
}

#[test]
fn a_power_cut_forgets_what_was_not_synced() {
    let store = MemStore::new();
    let root = store.root();
    let file = store.open(&root, b"f", OpenMode::new_file(0o600)).unwrap();
    store.write_at(&file, b"synced", 0).unwrap();
    store.sync_data(&file).unwrap();
    let lost = store.after_power_cut(&mut || false);
    assert_eq!(lost.stat(&lost.root(), b"f").unwrap_err().kind, K::NotFound);
    store.sync_dir(&root).unwrap();
    store.write_at(&file, b"SY", 0).unwrap();
    store.link(&root, b"f", &root, b"g").unwrap();
    let cut = store.after_power_cut(&mut || false);
    assert_eq!(content(&cut), b"synced");
    assert_eq!(cut.stat(&cut.root(), b"f").unwrap().nlink, 1);
    let kept = store.after_power_cut(&mut || true);
    assert_eq!(content(&kept), b"SYnced");
    assert_eq!(kept.stat(&kept.root(), b"g").unwrap().nlink, 2);
}

#[test]
fn foreign_things_can_be_planted() {
    let store = MemStore::new();
    let root = store.root();
    store.plant(&root, b"pipe", Kind::Other).unwrap();
    store.plant(&root, b"link", Kind::Symlink).unwrap();
    let open = |name: &[u8]| {
        store
            .open(&root, name, OpenMode::READ)
            .err()
            .map(|e| e.kind)
    };
    assert_eq!(open(b"pipe"), Some(K::NotRegular));
    assert_eq!(open(b"link"), Some(K::Loop));
    store.remove_file(&root, b"link").unwrap();
}

#[test]
fn something_else_happens_beside_each_call() {
    let (store, faults) = FaultStore::new(MemStore::new());
    let neighbour = store.inner().clone();
    faults.beside(move |call| {
        if call == Call::Stat {
            let _ = neighbour.create_dir(&neighbour.root(), b"made beside", 0o700);
        }
    });
    store.create_dir(&store.root(), b"ours", 0o700).unwrap();
    assert!(store.inner().stat(&store.root(), b"made beside").is_err());
    store.stat(&store.root(), b"made beside").unwrap();
    faults.disarm();
    store.remove_dir(&store.root(), b"made beside").unwrap();
    assert!(store.stat(&store.root(), b"made beside").is_err());
}
