//! What only a directory of the host can show: foreign objects, links, permissions.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use oxcrypt_store::StoreErrorKind as K;
use oxcrypt_store::{Cookie, Kind, LocalStore, Node, OpenMode, RenameMode, Store, StoreError};
use rustix::fs::{CWD, FileType, Mode, mknodat};

struct Bed {
    /// Holds the vault and, beside it, what must never be touched.
    outer: tempfile::TempDir,
    store: LocalStore,
}

fn bed() -> Bed {
    let outer = tempfile::tempdir().unwrap();
    std::fs::create_dir(outer.path().join("vault")).unwrap();
    std::fs::create_dir(outer.path().join("outside")).unwrap();
    std::fs::write(outer.path().join("outside/secret"), b"secret").unwrap();
    let store = LocalStore::open(&outer.path().join("vault")).unwrap();
    Bed { outer, store }
}

fn kind<T>(result: Result<T, StoreError>) -> K {
    match result {
        Ok(_) => panic!("unexpected success"),
        Err(error) => error.kind,
    }
}

#[test]
fn links_lead_nowhere() {
    let Bed { outer, store } = bed();
    let root = store.root();
    symlink("../outside", outer.path().join("vault/dirlink")).unwrap();
    symlink("../outside/secret", outer.path().join("vault/filelink")).unwrap();
    assert_eq!(store.stat(&root, b"dirlink").unwrap().kind, Kind::Symlink);
    assert_eq!(
        kind(store.stat_beneath(&root, b"dirlink/secret")),
        K::NotDirectory
    );
    assert!(matches!(
        kind(store.open_dir(&root, b"dirlink")),
        K::NotDirectory | K::Loop
    ));
    assert_eq!(
        kind(store.open(&root, b"filelink", OpenMode::READ)),
        K::Loop
    );
    assert_eq!(
        kind(store.open(&root, b"dirlink/secret", OpenMode::READ)),
        K::Loop
    );
    assert_eq!(
        kind(store.read_small(&root, b"dirlink/secret", 100)),
        K::Loop
    );
    assert_eq!(
        kind(store.open(&root, b"dirlink/new", OpenMode::new_file(0o600))),
        K::Loop
    );
    assert_eq!(
        kind(store.remove_file(&root, b"dirlink/secret")),
        K::NotDirectory
    );
    assert_eq!(
        kind(store.create_dir(&root, b"dirlink/new", 0o700)),
        K::NotDirectory
    );
    let out = store.rename(
        &root,
        b"dirlink/secret",
        &root,
        b"stolen",
        RenameMode::Replace,
    );
    assert_eq!(kind(out), K::NotDirectory);
    assert_eq!(
        kind(store.link(&root, b"dirlink/secret", &root, b"stolen")),
        K::NotDirectory
    );
    assert_eq!(
        kind(store.set_mode(Node::Name(&root, b"dirlink/secret"), 0o777)),
        K::NotDirectory
    );
    assert_eq!(
        kind(store.set_mode(Node::Name(&root, b"filelink"), 0o777)),
        K::Unsupported
    );
    assert_eq!(
        std::fs::read_dir(outer.path().join("outside"))
            .unwrap()
            .count(),
        1
    );
    assert_eq!(
        std::fs::read(outer.path().join("outside/secret")).unwrap(),
        b"secret"
    );
}

#[test]
fn a_pipe_is_refused_without_waiting() {
    let Bed { outer, store } = bed();
    let path = outer.path().join("vault/pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let start = Instant::now();
    assert_eq!(
        kind(store.open(&store.root(), b"pipe", OpenMode::READ)),
        K::NotRegular
    );
    assert_eq!(
        kind(store.read_small(&store.root(), b"pipe", 10)),
        K::NotRegular
    );
    assert_eq!(
        kind(store.open(&store.root(), b"pipe", OpenMode::READ_WRITE)),
        K::NotRegular
    );
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(
        store.stat(&store.root(), b"pipe").unwrap().kind,
        Kind::Other
    );
}

#[test]
fn a_socket_is_refused() {
    let Bed { outer, store } = bed();
    let path = outer.path().join("vault/sock");
    let _listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    assert_eq!(
        kind(store.open(&store.root(), b"sock", OpenMode::READ)),
        K::NotRegular
    );
}

#[test]
fn a_moved_vault_is_still_the_same_vault() {
    let Bed { outer, store } = bed();
    std::fs::rename(outer.path().join("vault"), outer.path().join("moved")).unwrap();
    store.create_dir(&store.root(), b"d", 0o755).unwrap();
    assert!(outer.path().join("moved/d").is_dir());
}

#[test]
fn reading_leaves_access_times_alone() {
    let Bed { outer, store } = bed();
    std::fs::write(outer.path().join("vault/f"), b"x").unwrap();
    let old = oxcrypt_store::Timestamp {
        secs: 1_000_000,
        nanos: 0,
    };
    let node = Node::Name(&store.root(), b"f");
    store
        .set_times(node, Some(oxcrypt_store::TimeSet::At(old)), None)
        .unwrap();
    assert_eq!(store.read_small(&store.root(), b"f", 10).unwrap(), b"x");
    assert_eq!(store.stat(&store.root(), b"f").unwrap().atime, old);
}

#[test]
fn mode_of_an_unreadable_file_can_be_changed() {
    let Bed { outer, store } = bed();
    let path = outer.path().join("vault/f");
    std::fs::write(&path, b"x").unwrap();
    store.set_mode(Node::Name(&store.root(), b"f"), 0).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0
    );
    store
        .set_mode(Node::Name(&store.root(), b"f"), 0o640)
        .unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o640
    );
}

#[test]
fn opening_a_vault_names_what_is_wrong() {
    let Bed { outer, .. } = bed();
    assert_eq!(
        kind(LocalStore::open(&outer.path().join("none"))),
        K::NotFound
    );
    assert_eq!(
        kind(LocalStore::open(&outer.path().join("outside/secret"))),
        K::NotDirectory
    );
    let made = LocalStore::create(&outer.path().join("fresh"), 0o700).unwrap();
    assert_eq!(made.stat_dir(&made.root()).unwrap().mode & 0o077, 0);
    LocalStore::create(&outer.path().join("fresh"), 0o700).unwrap();
}

#[test]
fn listing_shows_bytes_that_are_not_text() {
    let Bed { outer, store } = bed();
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe odd\n");
    std::fs::write(outer.path().join("vault").join(odd), b"").unwrap();
    let mut found = false;
    store
        .list(&store.root(), Cookie::START, 4096, &mut |entry| {
            found |= entry.name == odd.as_bytes();
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(found);
}

#[test]
fn a_listing_that_goes_on_at_the_end_first_does_not_hide_the_next_one() {
    let Bed { outer, store } = bed();
    std::fs::write(outer.path().join("vault/file"), b"").unwrap();
    let names = |dir: &oxcrypt_store::LocalDir, from: Cookie| {
        let (mut seen, mut last) = (Vec::new(), from);
        let visit = &mut |entry: oxcrypt_store::DirEntry<'_>| {
            seen.push(entry.name.to_vec());
            last = entry.next;
            ControlFlow::Continue(())
        };
        store.list(dir, from, 4096, visit).unwrap();
        seen.sort();
        (seen, last)
    };
    let (all, end) = names(&store.root(), Cookie::START);
    assert!(all.contains(&b"file".to_vec()));
    let reopened = LocalStore::open(&outer.path().join("vault"))
        .unwrap()
        .root();
    assert_eq!(names(&reopened, end).0.len(), 0);
    assert_eq!(names(&reopened, Cookie::START).0, all);
}
