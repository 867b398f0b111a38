//! The table of nodes, names, and what forgets them.

use oxcrypt_vfs::{ErrorKind, NodeId, RenameFlags};
use shuttle::thread::scope;

use crate::bed::{Bed, CALLER, Fs, ROOT, explore, interleave, make, make_dir, read, tree};

/// Looks a name up twice; what is held can be used, whatever becomes of its name.
fn look_and_forget(fs: &Fs, name: &[u8], contents: &[&[u8]]) {
    for _ in 0..2 {
        match fs.lookup(ROOT, name) {
            Ok(entry) => {
                let attr = fs.getattr(entry.node).unwrap();
                assert_eq!(attr.ino, entry.attr.ino);
                let content = read(fs, entry.node).unwrap();
                assert!(contents.contains(&&*content), "{content:?}");
                fs.forget(entry.node, 1);
            }
            Err(e) => assert_eq!(e.kind, ErrorKind::NotFound),
        }
    }
}

fn one_name_is_looked_up_removed_and_made_anew() {
    let bed = Bed::new();
    let (fs, faults) = bed.open();
    let at_rest = fs.node_count();
    make(&fs, ROOT, "name", b"first");
    interleave(&faults);
    scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| look_and_forget(&fs, b"name", &[b"first", b"", b"second"]));
        }
        threads.spawn(|| {
            fs.unlink(ROOT, b"name").unwrap();
            make(&fs, ROOT, "name", b"second");
        });
    });
    fs.stop();
    assert_eq!(fs.node_count(), at_rest, "nodes that nobody holds");
    assert_eq!(tree(&fs)["name"].as_deref(), Some(&b"second"[..]));
    drop(fs);
    bed.assert_sound();
}

#[test]
fn a_node_lives_exactly_as_long_as_it_is_held() {
    explore(300, one_name_is_looked_up_removed_and_made_anew);
}

fn directories_move_into_each_other_and_files_change_places() {
    let bed = Bed::new();
    let (fs, faults) = bed.open();
    let (x, y) = (make_dir(&fs, "x"), make_dir(&fs, "y"));
    make(&fs, ROOT, "a", b"content of a");
    make(&fs, ROOT, "b", b"content of b");
    interleave(&faults);
    let mv = |from: NodeId, name: &[u8], to: NodeId, flags| {
        if let Err(e) = fs.rename(from, name, to, name, flags) {
            // Into itself.
            assert_eq!(e.kind, ErrorKind::InvalidArgument);
        }
    };
    scope(|threads| {
        threads.spawn(|| mv(ROOT, b"x", y, RenameFlags::Replace));
        threads.spawn(|| mv(ROOT, b"y", x, RenameFlags::Replace));
        threads.spawn(|| {
            if let Err(e) = fs.rename(ROOT, b"a", ROOT, b"b", RenameFlags::Exchange) {
                assert_eq!(e.kind, ErrorKind::NotFound, "b was moved before");
            }
        });
        threads.spawn(|| mv(ROOT, b"b", x, RenameFlags::NoReplace));
    });
    let seen = tree(&fs);
    let mut dirs: Vec<_> = seen.iter().filter(|(_, body)| body.is_none()).collect();
    dirs.sort_unstable();
    assert_eq!(dirs.len(), 2, "{dirs:?}");
    let mut contents: Vec<_> = seen.values().flatten().collect();
    contents.sort_unstable();
    assert_eq!(contents, [&b"content of a"[..], b"content of b"]);
    drop(fs);
    bed.assert_sound();
}

#[test]
fn renames_make_no_loop_and_lose_nothing() {
    explore(
        300,
        directories_move_into_each_other_and_files_change_places,
    );
}

fn a_file_gets_and_loses_names_while_it_is_read() {
    let bed = Bed::new();
    let (fs, faults) = bed.open();
    let at_rest = fs.node_count();
    make(&fs, ROOT, "a", b"content");
    let held = fs.lookup(ROOT, b"a").unwrap().node;
    interleave(&faults);
    let may_miss = |done: oxcrypt_vfs::Result<()>| {
        if let Err(e) = done {
            assert!(
                matches!(e.kind, ErrorKind::NotFound | ErrorKind::Exists),
                "{e}"
            );
        }
    };
    scope(|threads| {
        threads.spawn(|| {
            may_miss(
                fs.link(held, ROOT, b"l")
                    .map(|entry| fs.forget(entry.node, 1)),
            );
        });
        threads.spawn(|| may_miss(fs.unlink(ROOT, b"a")));
        threads.spawn(|| may_miss(fs.rename(ROOT, b"l", ROOT, b"a", RenameFlags::Replace)));
        threads.spawn(|| {
            for _ in 0..2 {
                assert_eq!(read(&fs, held).unwrap(), b"content");
            }
        });
    });
    assert_eq!(read(&fs, held).unwrap(), b"content");
    let left = tree(&fs);
    assert!(left.values().flatten().all(|content| content == b"content"));
    fs.forget(held, 1);
    fs.stop();
    assert_eq!(fs.node_count(), at_rest, "nodes that nobody holds");
    drop(fs);
    bed.assert_sound();
}

#[test]
fn a_file_that_is_held_stays_readable_whatever_becomes_of_its_names() {
    explore(300, a_file_gets_and_loses_names_while_it_is_read);
}

fn a_directory_is_removed_while_something_is_made_in_it() {
    let bed = Bed::new();
    let (fs, faults) = bed.open();
    let dir = make_dir(&fs, "dir");
    interleave(&faults);
    let (made, removed) = scope(|threads| {
        let make = threads.spawn(|| {
            let made = fs.create(CALLER, dir, b"new", 0o600);
            made.map(|entry| fs.forget(entry.node, 1))
        });
        let remove = threads.spawn(|| fs.rmdir(ROOT, b"dir"));
        threads.spawn(|| {
            if let Ok(entry) = fs.lookup(ROOT, b"dir") {
                fs.forget(entry.node, 1);
            }
        });
        (make.join().unwrap(), remove.join().unwrap())
    });
    match (made, removed) {
        (Ok(()), Err(e)) => assert_eq!(e.kind, ErrorKind::NotEmpty),
        (Err(e), Ok(())) => assert!(
            matches!(e.kind, ErrorKind::NotFound | ErrorKind::Stale),
            "{e}"
        ),
        other => panic!("both, or none: {other:?}"),
    }
    fs.stop();
    drop(fs);
    bed.assert_sound();
}

#[test]
fn a_directory_is_removed_or_gets_something_not_both() {
    explore(300, a_directory_is_removed_while_something_is_made_in_it);
}
