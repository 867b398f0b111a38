//! One set of rules, held by every store.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use oxcrypt_store::StoreErrorKind as K;
use oxcrypt_store::{
    Cookie, Create, Kind, LocalStore, MemStore, Node, OpenMode, RenameMode, Store, TimeSet,
    Timestamp, durable,
};

/// Runs a rule against a fresh directory of the host and against memory.
macro_rules! rules {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            fn local() {
                let dir = tempfile::tempdir().unwrap();
                super::rule::$name(&super::LocalStore::open(dir.path()).unwrap());
            }
            #[test]
            fn memory() {
                super::rule::$name(&super::MemStore::new());
            }
        }
    )*};
}

rules! {
    missing_names_are_not_found
    files_hold_what_was_written
    writing_past_the_end_leaves_zeros
    cutting_and_extending_shows_zeros
    create_new_refuses_an_existing_name
    wrong_kinds_are_told_apart
    two_components_reach_into_a_directory
    climbing_names_are_refused_everywhere
    directories_must_be_empty_to_go
    rename_replaces_a_file_and_keeps_its_identity
    rename_no_replace_refuses
    rename_exchange_swaps
    rename_over_directories_follows_posix
    rename_onto_another_name_of_the_same_file_keeps_both
    a_directory_cannot_move_below_itself
    hard_links_share_content_and_count
    an_open_file_outlives_its_name
    times_modes_and_owners_are_kept
    listing_meets_every_entry_once
    listing_resumes_from_any_cookie
    listing_is_stable_while_entries_come_and_go
    listing_may_be_nested_and_concurrent
    small_reads_are_bounded
    atomic_write_replaces_or_refuses
    atomic_write_clears_a_stale_temporary_file
    identity_outlives_rename_but_not_recreation
    long_names_are_refused_by_kind
    huge_offsets_are_errors_not_panics
    read_only_handles_refuse_writes
    space_is_plausible
}

fn put<S: Store>(store: &S, name: &[u8], bytes: &[u8]) {
    let mode = OpenMode {
        read: true,
        write: true,
        create: Create::IfMissing,
        mode: 0o644,
    };
    let file = store.open(&store.root(), name, mode).unwrap();
    store.set_len(&file, 0).unwrap();
    store.write_at(&file, bytes, 0).unwrap();
}

fn get<S: Store>(store: &S, name: &[u8]) -> Vec<u8> {
    store.read_small(&store.root(), name, 1 << 20).unwrap()
}

fn names<S: Store>(store: &S, dir: &S::Dir, from: Cookie) -> Vec<(Vec<u8>, Cookie)> {
    let mut found = Vec::new();
    store
        .list(dir, from, 4096, &mut |entry| {
            if entry.name != b"." && entry.name != b".." {
                found.push((entry.name.to_vec(), entry.next));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

fn kind<T: std::fmt::Debug>(result: oxcrypt_store::Result<T>) -> K {
    result
        .map(|value| panic!("unexpected success: {value:?}"))
        .unwrap_err()
        .kind
}

fn refused<T>(result: oxcrypt_store::Result<T>) -> K {
    match result {
        Ok(_) => panic!("unexpected success"),
        Err(error) => error.kind,
    }
}

mod rule {
    use super::*;

    pub(super) fn missing_names_are_not_found<S: Store>(s: &S) {
        let root = s.root();
        assert_eq!(kind(s.stat(&root, b"x")), K::NotFound);
        assert_eq!(kind(s.stat_beneath(&root, b"x/y")), K::NotFound);
        assert_eq!(refused(s.open_dir(&root, b"x")), K::NotFound);
        assert_eq!(refused(s.open(&root, b"x", OpenMode::READ)), K::NotFound);
        assert_eq!(kind(s.remove_file(&root, b"x")), K::NotFound);
        assert_eq!(kind(s.remove_dir(&root, b"x")), K::NotFound);
        assert_eq!(
            kind(s.rename(&root, b"x", &root, b"y", RenameMode::Replace)),
            K::NotFound
        );
        assert_eq!(kind(s.link(&root, b"x", &root, b"y")), K::NotFound);
        assert_eq!(kind(s.read_small(&root, b"x", 10)), K::NotFound);
        assert_eq!(
            kind(s.set_mode(Node::Name(&root, b"x"), 0o600)),
            K::NotFound
        );
    }

    pub(super) fn files_hold_what_was_written<S: Store>(s: &S) {
        let data: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        put(s, b"f", &data);
        let file = s.open(&s.root(), b"f", OpenMode::READ_WRITE).unwrap();
        s.write_at(&file, b"HELLO", 4094).unwrap();
        let mut expect = data;
        expect[4094..4099].copy_from_slice(b"HELLO");
        assert_eq!(get(s, b"f"), expect);
        let mut part = vec![7; 50];
        assert_eq!(s.read_at(&file, &mut part, 399_980).unwrap(), 20);
        assert_eq!(&part[..20], &expect[399_980..]);
        assert_eq!(&part[20..], [7; 30]);
        assert_eq!(s.read_at(&file, &mut part, 400_000).unwrap(), 0);
        let stat = s.stat_file(&file).unwrap();
        assert_eq!((stat.size, stat.kind, stat.nlink), (400_000, Kind::File, 1));
        assert_eq!(s.stat(&s.root(), b"f").unwrap().id, stat.id);
        s.sync_data(&file).unwrap();
        s.sync_all(&file).unwrap();
        s.sync_dir(&s.root()).unwrap();
    }

    pub(super) fn writing_past_the_end_leaves_zeros<S: Store>(s: &S) {
        put(s, b"f", b"ab");
        let file = s.open(&s.root(), b"f", OpenMode::READ_WRITE).unwrap();
        s.write_at(&file, b"z", 9000).unwrap();
        let all = get(s, b"f");
        assert_eq!(all.len(), 9001);
        assert_eq!(&all[..2], b"ab");
        assert!(all[2..9000].iter().all(|&byte| byte == 0));
        s.write_at(&file, b"", 1 << 40).unwrap();
        assert_eq!(s.stat_file(&file).unwrap().size, 9001);
    }

    pub(super) fn cutting_and_extending_shows_zeros<S: Store>(s: &S) {
        put(s, b"f", &[0xff; 10_000]);
        let file = s.open(&s.root(), b"f", OpenMode::READ_WRITE).unwrap();
        s.set_len(&file, 5000).unwrap();
        s.set_len(&file, 1 << 40).unwrap();
        assert_eq!(s.stat_file(&file).unwrap().size, 1 << 40);
        let mut bytes = vec![1; 6000];
        assert_eq!(s.read_at(&file, &mut bytes, 4000).unwrap(), 6000);
        assert!(bytes[..1000].iter().all(|&byte| byte == 0xff));
        assert!(bytes[1000..].iter().all(|&byte| byte == 0));
        s.set_len(&file, 0).unwrap();
        s.allocate(&file, 0, 4096, true).unwrap();
        assert_eq!(s.stat_file(&file).unwrap().size, 0);
        s.allocate(&file, 0, 4096, false).unwrap();
        assert_eq!(s.stat_file(&file).unwrap().size, 4096);
    }

    pub(super) fn create_new_refuses_an_existing_name<S: Store>(s: &S) {
        let root = s.root();
        s.open(&root, b"f", OpenMode::new_file(0o600)).unwrap();
        assert_eq!(
            refused(s.open(&root, b"f", OpenMode::new_file(0o600))),
            K::Exists
        );
        s.create_dir(&root, b"d", 0o755).unwrap();
        assert_eq!(kind(s.create_dir(&root, b"d", 0o755)), K::Exists);
        assert_eq!(kind(s.create_dir(&root, b"f", 0o755)), K::Exists);
        assert_eq!(
            refused(s.open(&root, b"d", OpenMode::new_file(0o600))),
            K::Exists
        );
        assert_eq!(s.stat(&root, b"f").unwrap().mode, 0o600);
    }

    pub(super) fn wrong_kinds_are_told_apart<S: Store>(s: &S) {
        let root = s.root();
        put(s, b"f", b"x");
        s.create_dir(&root, b"d", 0o755).unwrap();
        assert_eq!(refused(s.open_dir(&root, b"f")), K::NotDirectory);
        assert_eq!(refused(s.open(&root, b"d", OpenMode::READ)), K::IsDirectory);
        assert_eq!(
            refused(s.open(&root, b"d", OpenMode::READ_WRITE)),
            K::IsDirectory
        );
        assert_eq!(kind(s.read_small(&root, b"d", 10)), K::IsDirectory);
        assert_eq!(kind(s.stat_beneath(&root, b"f/x")), K::NotDirectory);
        assert_eq!(
            refused(s.open(&root, b"f/x", OpenMode::READ)),
            K::NotDirectory
        );
        assert_eq!(kind(s.remove_dir(&root, b"f")), K::NotDirectory);
        assert_eq!(kind(s.remove_file(&root, b"d")), K::IsDirectory);
    }

    pub(super) fn two_components_reach_into_a_directory<S: Store>(s: &S) {
        let root = s.root();
        s.create_dir(&root, b"a", 0o755).unwrap();
        s.create_dir(&root, b"a/b", 0o755).unwrap();
        put(s, b"a/f", b"inside");
        assert_eq!(s.stat_beneath(&root, b"a/f").unwrap().size, 6);
        assert_eq!(s.stat_beneath(&root, b"a").unwrap().kind, Kind::Dir);
        assert_eq!(get(s, b"a/f"), b"inside");
        let b = s.open_dir(&root, b"a/b").unwrap();
        s.rename(&root, b"a/f", &b, b"g", RenameMode::Replace)
            .unwrap();
        assert_eq!(names(s, &b, Cookie::START).len(), 1);
        s.remove_file(&b, b"g").unwrap();
        s.remove_dir(&root, b"a/b").unwrap();
        assert_eq!(
            s.stat_dir(&s.open_dir(&root, b"a").unwrap()).unwrap().nlink,
            2
        );
    }

    pub(super) fn climbing_names_are_refused_everywhere<S: Store>(s: &S) {
        let root = s.root();
        s.create_dir(&root, b"a", 0o755).unwrap();
        for bad in [
            &b".."[..],
            b"a/..",
            b"../etc",
            b"/etc",
            b".",
            b"",
            b"a//b",
            b"a/b/c",
            b"n\0",
        ] {
            let allowed = |k: K| matches!(k, K::InvalidInput | K::Escape);
            assert!(allowed(kind(s.stat(&root, bad))), "{bad:?}");
            assert!(allowed(kind(s.stat_beneath(&root, bad))), "{bad:?}");
            assert!(allowed(refused(s.open_dir(&root, bad))), "{bad:?}");
            assert!(
                allowed(refused(s.open(&root, bad, OpenMode::new_file(0o600)))),
                "{bad:?}"
            );
            assert!(allowed(kind(s.create_dir(&root, bad, 0o700))), "{bad:?}");
            assert!(allowed(kind(s.remove_dir(&root, bad))), "{bad:?}");
            assert!(allowed(kind(s.remove_file(&root, bad))), "{bad:?}");
            assert!(allowed(kind(s.link(&root, b"a", &root, bad))), "{bad:?}");
            let moved = s.rename(&root, bad, &root, b"y", RenameMode::Replace);
            assert!(allowed(kind(moved)), "{bad:?}");
            assert!(
                allowed(kind(s.set_times(Node::Name(&root, bad), None, None))),
                "{bad:?}"
            );
        }
        assert_eq!(kind(s.stat(&root, b"a/b")), K::InvalidInput);
    }

    pub(super) fn directories_must_be_empty_to_go<S: Store>(s: &S) {
        let root = s.root();
        s.create_dir(&root, b"d", 0o755).unwrap();
        put(s, b"d/f", b"");
        assert_eq!(kind(s.remove_dir(&root, b"d")), K::NotEmpty);
        let held = s.open_dir(&root, b"d").unwrap();
        s.remove_file(&held, b"f").unwrap();
        s.remove_dir(&root, b"d").unwrap();
        assert_eq!(kind(s.create_dir(&held, b"x", 0o755)), K::NotFound);
        assert_eq!(names(s, &held, Cookie::START), []);
    }

    pub(super) fn rename_replaces_a_file_and_keeps_its_identity<S: Store>(s: &S) {
        let root = s.root();
        put(s, b"new", b"new");
        put(s, b"old", b"old");
        let id = s.stat(&root, b"new").unwrap().id;
        s.rename(&root, b"new", &root, b"old", RenameMode::Replace)
            .unwrap();
        assert_eq!(get(s, b"old"), b"new");
        assert_eq!(s.stat(&root, b"old").unwrap().id, id);
        assert_eq!(kind(s.stat(&root, b"new")), K::NotFound);
    }

    pub(super) fn rename_no_replace_refuses<S: Store>(s: &S) {
        let root = s.root();
        put(s, b"a", b"a");
        put(s, b"b", b"b");
        assert_eq!(
            kind(s.rename(&root, b"a", &root, b"b", RenameMode::NoReplace)),
            K::Exists
        );
        assert_eq!((get(s, b"a"), get(s, b"b")), (b"a".to_vec(), b"b".to_vec()));
        s.rename(&root, b"a", &root, b"c", RenameMode::NoReplace)
            .unwrap();
        assert_eq!(get(s, b"c"), b"a");
    }

    pub(super) fn rename_exchange_swaps<S: Store>(s: &S) {
        let root = s.root();
        put(s, b"f", b"file");
        s.create_dir(&root, b"d", 0o755).unwrap();
        s.create_dir(&root, b"e", 0o755).unwrap();
        put(s, b"d/x", b"x");
        let e = s.open_dir(&root, b"e").unwrap();
        put(s, b"e/g", b"other");
        s.rename(&root, b"d", &e, b"g", RenameMode::Exchange)
            .unwrap();
        assert_eq!(get(s, b"d"), b"other");
        assert_eq!(
            names(s, &s.open_dir(&e, b"g").unwrap(), Cookie::START)[0].0,
            b"x"
        );
        assert_eq!(s.stat_dir(&e).unwrap().nlink, 3);
        assert_eq!(
            kind(s.rename(&root, b"f", &root, b"no", RenameMode::Exchange)),
            K::NotFound
        );
    }

    pub(super) fn rename_over_directories_follows_posix<S: Store>(s: &S) {
        let root = s.root();
        for dir in [&b"empty"[..], b"full", b"d"] {
            s.create_dir(&root, dir, 0o755).unwrap();
        }
        put(s, b"full/x", b"");
        put(s, b"f", b"");
        let go = |from: &[u8], to: &[u8]| s.rename(&root, from, &root, to, RenameMode::Replace);
        assert_eq!(kind(go(b"f", b"empty")), K::IsDirectory);
        assert_eq!(kind(go(b"d", b"f")), K::NotDirectory);
        assert_eq!(kind(go(b"d", b"full")), K::NotEmpty);
        go(b"full", b"empty").unwrap();
        assert_eq!(s.stat_beneath(&root, b"empty/x").unwrap().size, 0);
    }

    pub(super) fn rename_onto_another_name_of_the_same_file_keeps_both<S: Store>(s: &S) {
        let root = s.root();
        put(s, b"a", b"x");
        s.link(&root, b"a", &root, b"b").unwrap();
        s.rename(&root, b"a", &root, b"b", RenameMode::Replace)
            .unwrap();
        assert_eq!(s.stat(&root, b"a").unwrap().nlink, 2);
        s.rename(&root, b"a", &root, b"a", RenameMode::Replace)
            .unwrap();
        assert_eq!(get(s, b"b"), b"x");
    }

    pub(super) fn a_directory_cannot_move_below_itself<S: Store>(s: &S) {
        let root = s.root();
        s.create_dir(&root, b"a", 0o755).unwrap();
        s.create_dir(&root, b"a/b", 0o755).unwrap();
        let b = s.open_dir(&root, b"a/b").unwrap();
        assert_eq!(
            kind(s.rename(&root, b"a", &b, b"c", RenameMode::Replace)),
            K::InvalidInput
        );
    }

    pub(super) fn hard_links_share_content_and_count<S: Store>(s: &S) {
        let root = s.root();
        put(s, b"a", b"one");
        s.link(&root, b"a", &root, b"b").unwrap();
        put(s, b"a", b"two");
        let (a, b) = (s.stat(&root, b"a").unwrap(), s.stat(&root, b"b").unwrap());
        assert_eq!((a.nlink, b.nlink, a.id), (2, 2, b.id));
        assert_eq!(kind(s.link(&root, b"a", &root, b"b")), K::Exists);
        s.remove_file(&root, b"a").unwrap();
        assert_eq!(s.stat(&root, b"b").unwrap().nlink, 1);
        assert_eq!(get(s, b"b"), b"two");
        s.create_dir(&root, b"d", 0o755).unwrap();
        assert_eq!(kind(s.link(&root, b"d", &root, b"e")), K::PermissionDenied);
    }

    pub(super) fn an_open_file_outlives_its_name<S: Store>(s: &S) {
        put(s, b"f", b"still here");
        let file = s.open(&s.root(), b"f", OpenMode::READ_WRITE).unwrap();
        s.remove_file(&s.root(), b"f").unwrap();
        s.write_at(&file, b"S", 0).unwrap();
        let mut bytes = [0; 10];
        assert_eq!(s.read_at(&file, &mut bytes, 0).unwrap(), 10);
        assert_eq!(&bytes, b"Still here");
        assert_eq!(s.stat_file(&file).unwrap().nlink, 0);
    }

    pub(super) fn times_modes_and_owners_are_kept<S: Store>(s: &S) {
        let root = s.root();
        put(s, b"f", b"");
        s.create_dir(&root, b"d", 0o755).unwrap();
        put(s, b"d/g", b"");
        let (dir, file) = (
            s.open_dir(&root, b"d").unwrap(),
            s.open(&root, b"f", OpenMode::READ).unwrap(),
        );
        let time = |secs| Timestamp {
            secs,
            nanos: 123_456_789,
        };
        let nodes = [
            Node::<S>::File(&file),
            Node::Dir(&dir),
            Node::Name(&root, b"f"),
            Node::Name(&root, b"d/g"),
        ];
        for (secs, node) in (1000..).zip(nodes) {
            s.set_times(
                node,
                Some(TimeSet::At(time(secs))),
                Some(TimeSet::At(time(-secs))),
            )
            .unwrap();
            s.set_times(node, None, None).unwrap();
            s.set_mode(node, 0o710).unwrap();
            let stat = match node {
                Node::File(file) => s.stat_file(file),
                Node::Dir(dir) => s.stat_dir(dir),
                Node::Name(at, name) => s.stat_beneath(at, name),
            }
            .unwrap();
            assert_eq!(
                (stat.atime, stat.mtime, stat.mode),
                (time(secs), time(-secs), 0o710)
            );
            s.set_owner(node, Some(stat.uid), None).unwrap();
            assert_eq!(
                kind(s.set_owner(node, Some(u32::MAX), None)),
                K::InvalidInput
            );
            s.set_times(node, None, Some(TimeSet::Now)).unwrap();
        }
        let stat = s.stat(&root, b"f").unwrap();
        assert_eq!(stat.atime, time(1002));
        assert!(stat.mtime.secs > 1_500_000_000);
    }

    fn fill<S: Store>(s: &S, count: u32) -> S::Dir {
        s.create_dir(&s.root(), b"many", 0o755).unwrap();
        let dir = s.open_dir(&s.root(), b"many").unwrap();
        for n in 0..count {
            let name = format!("{n:04}-{}", "n".repeat(40));
            s.open(&dir, name.as_bytes(), OpenMode::new_file(0o600))
                .unwrap();
        }
        dir
    }

    pub(super) fn listing_meets_every_entry_once<S: Store>(s: &S) {
        let dir = fill(s, 1000);
        let mut dots = 0;
        let mut seen = BTreeSet::new();
        s.list(&dir, Cookie::START, 1, &mut |entry| {
            if entry.name.starts_with(b".") {
                dots += 1;
            } else {
                assert!(seen.insert(entry.name.to_vec()), "met twice");
                let stat = s.stat(&dir, entry.name).unwrap();
                assert_eq!(entry.ino, stat.id.ino);
                assert!(entry.kind.is_none_or(|kind| kind == stat.kind));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((seen.len(), dots), (1000, 2));
    }

    pub(super) fn listing_resumes_from_any_cookie<S: Store>(s: &S) {
        let dir = fill(s, 100);
        let all = names(s, &dir, Cookie::START);
        for (index, (_, next)) in all.iter().enumerate() {
            let rest = names(s, &dir, *next);
            assert_eq!(rest, all[index + 1..]);
        }
    }

    pub(super) fn listing_is_stable_while_entries_come_and_go<S: Store>(s: &S) {
        let dir = fill(s, 400);
        let first = names(s, &dir, Cookie::START);
        let (met, rest) = first.split_at(100);
        for (index, (name, _)) in first.iter().enumerate() {
            if index % 3 == 0 {
                s.remove_file(&dir, name).unwrap();
            }
        }
        for n in 0..50 {
            s.create_dir(&dir, format!("added{n}").as_bytes(), 0o755)
                .unwrap();
        }
        let later: Vec<Vec<u8>> = names(s, &dir, met[99].1)
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| !name.starts_with(b"added"))
            .collect();
        let expect: Vec<Vec<u8>> = rest
            .iter()
            .zip(100..)
            .filter(|(_, index)| index % 3 != 0)
            .map(|((name, _), _)| name.clone())
            .collect();
        assert_eq!(later, expect);
    }

    pub(super) fn listing_may_be_nested_and_concurrent<S: Store>(s: &S) {
        let dir = fill(s, 300);
        let mut inner = 0;
        s.list(&dir, Cookie::START, 4096, &mut |entry| {
            if entry.name.starts_with(b"0000") {
                inner = names(s, &dir, Cookie::START).len();
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(inner, 300);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        assert_eq!(names(s, &dir, Cookie::START).len(), 300);
                    }
                });
            }
        });
    }

    pub(super) fn small_reads_are_bounded<S: Store>(s: &S) {
        let root = s.root();
        put(s, b"f", b"12345");
        assert_eq!(s.read_small(&root, b"f", 5).unwrap(), b"12345");
        assert_eq!(kind(s.read_small(&root, b"f", 4)), K::TooLarge);
        put(s, b"empty", b"");
        assert_eq!(s.read_small(&root, b"empty", 0).unwrap(), b"");
        let file = s.open(&root, b"f", OpenMode::READ_WRITE).unwrap();
        s.set_len(&file, 1 << 42).unwrap();
        assert_eq!(kind(s.read_small(&root, b"f", 1000)), K::TooLarge);
    }

    pub(super) fn atomic_write_replaces_or_refuses<S: Store>(s: &S) {
        let root = s.root();
        durable::write_small_atomic(s, &root, b"f", b"one", 0o600, false).unwrap();
        let again = durable::write_small_atomic(s, &root, b"f", b"two", 0o600, false);
        assert_eq!(kind(again), K::Exists);
        assert_eq!(get(s, b"f"), b"one");
        durable::write_small_atomic(s, &root, b"f", b"two", 0o640, true).unwrap();
        assert_eq!(get(s, b"f"), b"two");
        assert_eq!(s.stat(&root, b"f").unwrap().mode, 0o640);
        assert_eq!(names(s, &root, Cookie::START).len(), 1);
    }

    pub(super) fn atomic_write_clears_a_stale_temporary_file<S: Store>(s: &S) {
        put(
            s,
            b"f.oxtmp",
            b"left by a crash, and longer than the new content",
        );
        durable::write_small_atomic(s, &s.root(), b"f", b"new", 0o600, true).unwrap();
        assert_eq!(get(s, b"f"), b"new");
        assert_eq!(names(s, &s.root(), Cookie::START).len(), 1);
    }

    pub(super) fn identity_outlives_rename_but_not_recreation<S: Store>(s: &S) {
        let root = s.root();
        put(s, b"f", b"");
        let id = s.stat(&root, b"f").unwrap().id;
        s.rename(&root, b"f", &root, b"g", RenameMode::Replace)
            .unwrap();
        assert_eq!(s.stat(&root, b"g").unwrap().id, id);
        s.remove_file(&root, b"g").unwrap();
        // Hosts stamp births by the timer tick.
        std::thread::sleep(std::time::Duration::from_millis(20));
        put(s, b"g", b"");
        assert_ne!(s.stat(&root, b"g").unwrap().id, id);
    }

    pub(super) fn long_names_are_refused_by_kind<S: Store>(s: &S) {
        let root = s.root();
        put(s, &[b'a'; 255], b"fits");
        let long = [b'a'; 256];
        assert_eq!(kind(s.stat(&root, &long)), K::NameTooLong);
        assert_eq!(
            refused(s.open(&root, &long, OpenMode::new_file(0o600))),
            K::NameTooLong
        );
        assert_eq!(kind(s.create_dir(&root, &long, 0o700)), K::NameTooLong);
    }

    pub(super) fn huge_offsets_are_errors_not_panics<S: Store>(s: &S) {
        put(s, b"f", b"x");
        let file = s.open(&s.root(), b"f", OpenMode::READ_WRITE).unwrap();
        for offset in [i64::MAX as u64, u64::MAX - 1, u64::MAX] {
            s.write_at(&file, b"12", offset).unwrap_err();
            // Reading beyond what can exist is either nothing or an error.
            assert!(
                s.read_at(&file, &mut [0; 2], offset)
                    .map_or(true, |read| read == 0)
            );
        }
        s.set_len(&file, u64::MAX).unwrap_err();
        s.allocate(&file, u64::MAX, 2, true).unwrap_err();
        assert_eq!(s.stat_file(&file).unwrap().size, 1);
    }

    pub(super) fn read_only_handles_refuse_writes<S: Store>(s: &S) {
        put(s, b"f", b"x");
        let file = s.open(&s.root(), b"f", OpenMode::READ).unwrap();
        assert_eq!(kind(s.write_at(&file, b"y", 0)), K::InvalidInput);
        assert_eq!(kind(s.set_len(&file, 0)), K::InvalidInput);
        assert_eq!(get(s, b"f"), b"x");
    }

    pub(super) fn space_is_plausible<S: Store>(s: &S) {
        let space = s.space().unwrap();
        assert!(space.block_size >= 512 && space.blocks >= space.free && space.free >= space.avail);
        assert_eq!(space.name_max, 255);
    }
}

#[test]
fn stores_can_be_shared_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Arc<LocalStore>>();
    check::<Arc<MemStore>>();
}
