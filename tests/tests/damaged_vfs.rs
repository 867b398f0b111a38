//! Every damaged vault through the file system: what is read is right or an error, never other
//! bytes, and what cannot be read is never written over.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use oxcrypt_core::Passphrase;
use oxcrypt_store::LocalStore;
use oxcrypt_tests::vaults::{self, Vault};
use oxcrypt_vault::{Backups, unlock};
use oxcrypt_vfs::{ErrorKind, LogEvents, NodeId, NodeKind, VaultFs, VfsOptions};

type Vfs = VaultFs<LocalStore>;

/// A file's bytes, a link's target, or why there is neither; `Ok(None)` for a directory.
type Seen = BTreeMap<String, Result<Option<Vec<u8>>, ErrorKind>>;

/// The format cannot tell these from what somebody wrote: cut at a chunk border, cut to the
/// header, emptied, or rightly written under a name of its own.
const UNDETECTABLE: [&str; 3] = [
    "chunk_truncated_border",
    "file_header_only",
    "file_zero_bytes",
];

fn open(path: &Path, password: &str) -> Option<Vfs> {
    let store = Arc::new(LocalStore::open(path).unwrap());
    let passphrase = Passphrase::new(password.to_owned());
    let unlocked = unlock(store, &passphrase, Backups::Skip).ok()?;
    let options = VfsOptions::default();
    VaultFs::new(
        unlocked.store,
        unlocked.cryptor,
        options,
        Box::new(LogEvents),
    )
    .ok()
}

fn look(vfs: &Vfs) -> Seen {
    let mut seen = Seen::new();
    look_into(vfs, NodeId::ROOT, "", 0, &mut seen);
    seen
}

fn look_into(vfs: &Vfs, dir: NodeId, at: &str, depth: usize, seen: &mut Seen) {
    assert!(depth < 50, "{at}: a walk must end");
    let mut names = Vec::new();
    let listed = vfs.list(dir, 0, 1 << 20, &mut |item| {
        if !matches!(item.name, b"." | b"..") {
            names.push(item.name.to_vec());
        }
        ControlFlow::Continue(())
    });
    if let Err(error) = listed {
        seen.insert(format!("{at}/"), Err(error.kind));
    }
    for name in names {
        let path = format!("{at}/{}", String::from_utf8(name.clone()).unwrap());
        let entry = match vfs.lookup(dir, &name) {
            Ok(entry) => entry,
            Err(error) => {
                seen.insert(path, Err(error.kind));
                continue;
            }
        };
        let what = match entry.attr.kind {
            NodeKind::Directory => {
                look_into(vfs, entry.node, &path, depth + 1, seen);
                Ok(None)
            }
            NodeKind::Symlink => vfs.readlink(entry.node).map(Some).map_err(|e| e.kind),
            NodeKind::File => read_all(vfs, entry.node).map(Some),
        };
        seen.insert(path, what);
    }
}

fn read_all(vfs: &Vfs, node: NodeId) -> Result<Vec<u8>, ErrorKind> {
    let mut bytes = vec![0; 1 << 20];
    let mut len = 0;
    loop {
        match vfs.read(node, len as u64, &mut bytes[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) => return Err(error.kind),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// The chunk that cannot be read: others of the file are sound, and may be written.
fn first_failure(vfs: &Vfs, node: NodeId) -> u64 {
    const CHUNK: u64 = 32 * 1024;
    let mut byte = [0];
    let fails = |at: &u64| vfs.read(node, *at, &mut byte).is_err();
    (0..100)
        .map(|chunk| chunk * CHUNK)
        .find(fails)
        .expect("a chunk that cannot be read")
}

fn base() -> Seen {
    let vault = vaults::corrupt("base");
    look(&open(&vault.path, vault.password()).unwrap())
}

/// What differs from the undamaged vault. Anything read must be what was written, by its name or,
/// for copies in conflict, by any name.
fn check(case: &str, vault: &Vault, base: &Seen) -> Option<Vec<(String, ErrorKind)>> {
    let vfs = open(&vault.path, vault.password())?;
    let mut errors = Vec::new();
    for (path, what) in look(&vfs) {
        match what {
            Ok(bytes) => {
                let as_written = base.get(&path).is_none_or(|was| *was == Ok(bytes));
                let excused = UNDETECTABLE.contains(&case) || case.starts_with("conflict_");
                assert!(as_written || excused, "{case}: {path} has other bytes");
            }
            Err(kind) => errors.push((path, kind)),
        }
    }
    Some(errors)
}

#[test]
fn damage_is_an_error_or_nothing_never_other_bytes() {
    let base = base();
    assert!(base.values().all(Result::is_ok) && base.len() > 5);
    let (mut opened, mut with_errors) = (0, 0);
    for case in vaults::corrupt_cases() {
        let vault = vaults::corrupt(&case);
        let Some(errors) = check(&case, &vault, &base) else {
            continue;
        };
        opened += 1;
        with_errors += usize::from(!errors.is_empty());
        for (path, kind) in errors {
            let known = matches!(
                kind,
                ErrorKind::Corrupt | ErrorKind::Damaged | ErrorKind::Loop
            );
            assert!(known, "{case}: {path} gives {kind:?}");
        }
    }
    assert!(opened > 60 && with_errors > 10, "{opened}, {with_errors}");
}

/// What the official library shows as empty, and destroys with the next write.
#[test]
fn what_cannot_be_read_is_not_written_over() {
    for case in [
        "chunk_tampered_first",
        "chunk_tag_tampered",
        "chunk_truncated_overhead",
        "chunk_empty_only",
        "chunk_empty_trailing",
        "header_tampered",
        "header_nonce_tampered",
        "header_truncated",
        "trailing_garbage",
    ] {
        let vault = vaults::corrupt(case);
        let vfs = open(&vault.path, vault.password()).unwrap();
        let before = vault.snapshot();
        let broken: Vec<_> = look(&vfs)
            .into_iter()
            .filter(|(_, what)| what.is_err())
            .collect();
        // One empty chunk at the end holds no byte that could be wrong.
        if broken.is_empty() {
            assert!(case.starts_with("chunk_empty"), "{case}");
            continue;
        }
        for (path, what) in broken {
            let mut node = NodeId::ROOT;
            for name in path.split('/').skip(1) {
                node = vfs.lookup(node, name.as_bytes()).unwrap().node;
            }
            let written = vfs.write(node, first_failure(&vfs, node) + 1, b"new");
            let synced = vfs.fsync(node, false);
            assert!(
                written.is_err() || synced.is_err(),
                "{case}: {path} takes a write although {what:?}"
            );
        }
        vfs.stop();
        drop(vfs);
        assert_eq!(vault.snapshot(), before, "{case}");
    }
}

/// The node and the id of a directory of a sample vault.
fn dir_of(vault: &Vault, path: &str) -> (std::path::PathBuf, String) {
    let entries = vault.manifest["entries"].as_array().unwrap();
    let entry = entries.iter().find(|e| e["path"] == path).unwrap();
    let node = vault.path.join(entry["ciphertextPath"].as_str().unwrap());
    (node, entry["dirId"].as_str().unwrap().to_owned())
}

/// Two directories each lead into the other one: whoever comes by whatever way at the same time, no
/// directory is shown inside itself, and no way upwards is endless.
#[test]
fn directories_that_lead_into_each_other_stay_a_tree() {
    let vault = vaults::v8("v8_gcm");
    let outer = ["deep-rilep", "koost-names"];
    let inner = ["nimnim", "Ordner-ÄÖÜ-san"];
    let nodes = [0, 1].map(|i| dir_of(&vault, &format!("/{}/{}", outer[i], inner[i])).0);
    let ids = [0, 1].map(|i| dir_of(&vault, &format!("/{}", outer[i])).1);
    for i in [0, 1] {
        std::fs::write(nodes[i].join("dir.c9r"), &ids[1 - i]).unwrap();
    }
    let vfs = open(&vault.path, vault.password()).unwrap();
    let loops = AtomicUsize::new(0);
    let start = Instant::now();
    // A busy machine may run the threads one after the other for long.
    let goes_on = |round| {
        let has_met = loops.load(Ordering::Relaxed) > 0;
        round < 1000 || (!has_met && start.elapsed() < Duration::from_secs(60))
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (vfs, loops, goes_on) = (&vfs, &loops, &goes_on);
            scope.spawn(move || {
                for round in (0..).take_while(|round| goes_on(*round)) {
                    let i = (thread + round) % 2;
                    let top = vfs.lookup(NodeId::ROOT, outer[i].as_bytes());
                    let top = match top {
                        Ok(top) => top.node,
                        Err(e) => {
                            assert_eq!(e.kind, ErrorKind::Loop);
                            continue;
                        }
                    };
                    match vfs.lookup(top, inner[i].as_bytes()) {
                        Ok(below) => {
                            vfs.fsync_dir(below.node).unwrap();
                            let again = vfs.lookup(below.node, inner[1 - i].as_bytes());
                            assert_eq!(again.unwrap_err().kind, ErrorKind::Loop);
                            vfs.forget(below.node, 1);
                        }
                        Err(e) => {
                            assert_eq!(e.kind, ErrorKind::Loop);
                            loops.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    vfs.forget(top, 1);
                }
            });
        }
    });
    assert!(loops.into_inner() > 0, "no thread was in another's way");
    assert_eq!(vfs.node_count(), 1, "only the root is held");
    let names = vault.manifest["entries"].as_array().unwrap().len();
    let seen = look(&vfs);
    assert!(seen.len() <= names, "{} of {names}", seen.len());
}

#[test]
fn a_second_way_goes_alone() {
    let vault = vaults::v8("v8_gcm");
    let (node, _) = dir_of(&vault, "/deep-rilep/nimnim/zuljat");
    let (_, id) = dir_of(&vault, "/deep-rilep");
    std::fs::write(node.join("dir.c9r"), id).unwrap();
    let vfs = open(&vault.path, vault.password()).unwrap();
    let top = vfs.lookup(NodeId::ROOT, b"deep-rilep").unwrap().node;
    let below = vfs.lookup(top, b"nimnim").unwrap().node;
    let refused = |e: oxcrypt_vfs::Error| assert_eq!(e.kind, ErrorKind::Loop);
    refused(vfs.lookup(below, b"zuljat").unwrap_err());
    refused(vfs.rmdir(below, b"zuljat").unwrap_err());
    let first = vfs.unlink(top, b"nimnim").unwrap_err();
    assert_eq!(first.kind, ErrorKind::IsDirectory);
    vfs.unlink(below, b"zuljat").unwrap();
    assert!(!node.exists());
    assert_eq!(
        vfs.lookup(below, b"zuljat").unwrap_err().kind,
        ErrorKind::NotFound
    );
    vfs.lookup(top, b"level0").unwrap();
}
