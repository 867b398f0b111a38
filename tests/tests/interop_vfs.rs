//! The file system and the official implementation read each other's vaults, byte for byte, after
//! every kind of change.
#![allow(clippy::unwrap_used)]

mod tree;

use std::path::Path;
use std::sync::Arc;

use oxcrypt_core::{CipherCombo, Passphrase};
use oxcrypt_store::LocalStore;
use oxcrypt_tests::official::official_check;
use oxcrypt_tests::vaults::{self, Vault};
use oxcrypt_vault::{
    Backups, CreateOptions, KeyCost, Run, change_passphrase, create, migrate, unlock,
};
use oxcrypt_vfs::{LogEvents, VaultFs, VfsOptions};
use serde_json::{Value, json};
use tree::{Node, Tree};

const CHUNK: usize = 32 * 1024;

fn pass(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

fn open(path: &Path, password: &str) -> VaultFs<LocalStore> {
    let store = Arc::new(LocalStore::open(path).unwrap());
    let unlocked = unlock(store, &pass(password), Backups::Skip).unwrap();
    let options = VfsOptions::default();
    VaultFs::new(
        unlocked.store,
        unlocked.cryptor,
        options,
        Box::new(LogEvents),
    )
    .unwrap()
}

fn manifest(combo: &str, threshold: u64, password: &str, tree: &Tree) -> Value {
    json!({
        "cipherCombo": combo, "shorteningThreshold": threshold, "format": 8,
        "password": password, "entries": tree.entries(),
    })
}

/// Everything a manifest lists is seen, and nothing else.
fn reads(vault: &Vault, password: &str) -> Tree {
    let vfs = open(&vault.path, password);
    let tree = Tree::read(&vfs);
    let mut expected = vault.manifest["entries"].as_array().unwrap().clone();
    // The manifest is sorted by UTF-16.
    expected.sort_by(|a, b| a["path"].as_str().cmp(&b["path"].as_str()));
    let found = tree.entries();
    assert_eq!(found.len(), expected.len());
    assert!(!found.is_empty());
    for (found, expected) in found.iter().zip(&expected) {
        for field in ["path", "type", "size", "sha256", "target"] {
            // A directory's size is no part of the format.
            if field == "size" && found["type"] == "dir" {
                continue;
            }
            assert_eq!(
                found[field], expected[field],
                "{field} of {}",
                expected["path"]
            );
        }
    }
    tree
}

macro_rules! reads {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let vault = vaults::v8(stringify!($name));
            reads(&vault, vault.password());
        }
    )*};
}
reads!(v8_gcm v8_ctrmac v8_gcm_t100 v8_default_cost v8_hs384 v8_hs512);

/// Makes a vault of ours, changes it in every way, and lets the official library judge each stage.
fn official_reads_ours(combo: CipherCombo, threshold: u32) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("vault");
    std::fs::create_dir(&path).unwrap();
    let options = CreateOptions {
        combo,
        threshold,
        cost: KeyCost::worthless_for_tests_and_demos(),
    };
    let store = Arc::new(LocalStore::open(&path).unwrap());
    create(store, &pass("first"), options).unwrap();

    let mut tree = Tree::default();
    let vfs = open(&path, "first");
    fill(&vfs, &mut tree);
    judge(&path, vfs, combo.as_str(), threshold, "first", &tree);

    let vfs = open(&path, "first");
    change(&vfs, &mut tree);
    judge(&path, vfs, combo.as_str(), threshold, "first", &tree);

    let store = LocalStore::open(&path).unwrap();
    change_passphrase(&store, &pass("first"), &pass("s\u{e9}cond")).unwrap();
    let vfs = open(&path, "se\u{301}cond");
    tree.write(&vfs, "/after the new passphrase", 0, b"still the same key");
    judge(&path, vfs, combo.as_str(), threshold, "s\u{e9}cond", &tree);
}

/// Ours first, through a fresh mount of the same bytes; then the official library.
fn judge(
    path: &Path,
    vfs: VaultFs<LocalStore>,
    combo: &str,
    threshold: u32,
    password: &str,
    tree: &Tree,
) {
    vfs.stop();
    drop(vfs);
    assert_eq!(Tree::read(&open(path, password)), *tree);
    let manifest = manifest(combo, threshold.into(), password, tree);
    official_check(path, &manifest, &["--strict"]);
}

#[test]
fn official_reads_ours_siv_gcm() {
    official_reads_ours(CipherCombo::SivGcm, 220);
}

#[test]
fn official_reads_ours_siv_ctrmac() {
    official_reads_ours(CipherCombo::SivCtrMac, 220);
}

#[test]
fn official_reads_ours_with_every_name_shortened() {
    official_reads_ours(CipherCombo::SivGcm, 36);
}

#[test]
fn official_reads_ours_with_half_of_the_names_shortened() {
    official_reads_ours(CipherCombo::SivCtrMac, 100);
}

/// Opens an official vault, changes it, and lets its maker judge.
fn official_reads_its_own_after_changes(name: &str) {
    let vault = vaults::v8(name);
    let mut tree = reads(&vault, vault.password());
    let vfs = open(&vault.path, vault.password());
    fill(&vfs, &mut tree);
    change(&vfs, &mut tree);
    touch_everything(&vfs, &mut tree);
    vfs.stop();
    drop(vfs);
    assert_eq!(Tree::read(&open(&vault.path, vault.password())), tree);
    let manifest = manifest(
        vault.manifest["cipherCombo"].as_str().unwrap(),
        vault.manifest["shorteningThreshold"].as_u64().unwrap(),
        vault.password(),
        &tree,
    );
    official_check(&vault.path, &manifest, &["--strict"]);
}

#[test]
fn official_reads_its_gcm_vault_after_our_changes() {
    official_reads_its_own_after_changes("v8_gcm");
}

#[test]
fn official_reads_its_ctrmac_vault_after_our_changes() {
    official_reads_its_own_after_changes("v8_ctrmac");
}

#[test]
fn official_reads_its_vault_of_threshold_100_after_our_changes() {
    official_reads_its_own_after_changes("v8_gcm_t100");
}

/// Migrates an old vault, reads all of it, changes it, and lets the official library judge.
fn official_reads_migrated_and_changed(version: u32) {
    let vault = vaults::legacy(version);
    let store = LocalStore::open(&vault.path).unwrap();
    let typed = pass(vault.password());
    migrate(&store, &typed, Run::Real, &mut |_| {}).unwrap();
    let mut tree = reads(&vault, vault.password());
    let vfs = open(&vault.path, vault.password());
    fill(&vfs, &mut tree);
    change(&vfs, &mut tree);
    touch_everything(&vfs, &mut tree);
    vfs.stop();
    drop(vfs);
    let manifest = manifest("SIV_CTRMAC", 220, vault.password(), &tree);
    // Old directories have no dirid.c9r, which is no fault.
    official_check(&vault.path, &manifest, &[]);
}

#[test]
fn official_reads_format_5_after_migration_and_changes() {
    official_reads_migrated_and_changed(5);
}

#[test]
fn official_reads_format_6_after_migration_and_changes() {
    official_reads_migrated_and_changed(6);
}

#[test]
fn official_reads_format_7_after_migration_and_changes() {
    official_reads_migrated_and_changed(7);
}

/// 255 bytes of name: the most Linux takes, shortened at any threshold.
fn longest(letter: &str) -> String {
    letter.repeat(255 / letter.len())
}

/// Sizes at and around chunk borders, all kinds of nodes, long names, a deep tree.
fn fill(vfs: &VaultFs<LocalStore>, tree: &mut Tree) {
    tree.mkdir(vfs, "/ox");
    for size in [
        0,
        1,
        15,
        CHUNK - 1,
        CHUNK,
        CHUNK + 1,
        2 * CHUNK,
        2 * CHUNK + 1,
        10 * CHUNK + 4096,
    ] {
        let path = format!("/ox/{size} bytes");
        tree.write(vfs, &path, 0, &tree::pattern(size, size));
    }
    for (at, letter) in ["n", "\u{e9}", "\u{6f22}", "\u{1f980}"].iter().enumerate() {
        let dir = format!("/ox/{}", longest(letter));
        tree.mkdir(vfs, &dir);
        let file = format!("{dir}/{}", longest("f"));
        tree.write(vfs, &file, 0, &tree::pattern(777, at));
        tree.symlink(vfs, &format!("{dir}/{}", longest("l")), "../elsewhere");
    }
    // Ciphertext names of 216, 220 and 224 characters.
    for len in [143, 144, 146, 147, 148] {
        tree.write(
            vfs,
            &format!("/ox/{}", "b".repeat(len)),
            0,
            b"at the border",
        );
    }
    let mut deep = "/ox".to_owned();
    for level in 0..24 {
        deep = format!("{deep}/level {level}");
        tree.mkdir(vfs, &deep);
    }
    tree.write(vfs, &format!("{deep}/bottom"), 0, b"far down");
    let far = "x/".repeat(1500);
    let targets = [
        "bottom",
        "/absolute/path",
        "..",
        "\u{e4}\u{f6}/\u{fc}",
        &far,
    ];
    for (at, target) in targets.iter().enumerate() {
        tree.symlink(vfs, &format!("/ox/link {at}"), target.trim_end_matches('/'));
    }
    tree.mkdir(vfs, "/ox/empty");
}

/// Overwrites, truncations, renames of every kind, links, removals.
fn change(vfs: &VaultFs<LocalStore>, tree: &mut Tree) {
    let big = format!("/ox/{} bytes", 10 * CHUNK + 4096);
    tree.write(vfs, &big, 0, b"a new beginning");
    tree.write(vfs, &big, CHUNK as u64 - 3, b"across a border");
    tree.write(vfs, &big, 2 * CHUNK as u64, &tree::pattern(CHUNK, 5));
    tree.write(vfs, &big, 10 * CHUNK as u64 + 4090, b"beyond the end");
    tree.write(vfs, &big, 12 * CHUNK as u64 + 5, b"after a gap");
    tree.truncate(vfs, &big, 12 * CHUNK as u64);
    tree.truncate(vfs, &big, 5 * CHUNK as u64 + 17);
    tree.truncate(vfs, &big, 7 * CHUNK as u64 + 1);
    let small = format!("/ox/{CHUNK} bytes");
    tree.truncate(vfs, &small, 0);
    tree.write(vfs, &small, 0, b"begun again");
    tree.truncate(vfs, &format!("/ox/{} bytes", 2 * CHUNK), CHUNK as u64);
    tree.truncate(vfs, &format!("/ox/{} bytes", CHUNK + 1), 0);

    tree.mkdir(vfs, "/ox/moved");
    tree.rename(vfs, "/ox/1 bytes", "/ox/one byte");
    tree.rename(vfs, "/ox/15 bytes", "/ox/moved/15");
    tree.rename(vfs, &format!("/ox/{} bytes", CHUNK - 1), "/ox/one byte");
    tree.rename(vfs, "/ox/moved/15", &format!("/ox/{}", longest("r")));
    tree.rename(vfs, &format!("/ox/{}", "b".repeat(148)), "/ox/moved/short");
    let swapped = format!("/ox/{}", longest("n"));
    tree.rename(vfs, &swapped, "/ox/moved/directory");
    tree.rename(vfs, "/ox/level 0/level 1", &format!("/ox/{}", longest("d")));
    tree.rename(vfs, "/ox/moved", "/ox/empty");
    tree.rename(vfs, "/ox/link 2", &format!("/ox/{}", longest("s")));
    tree.symlink(vfs, "/ox/another", "target");
    tree.rename(vfs, "/ox/another", &format!("/ox/{}", longest("s")));
    tree.link(vfs, "/ox/one byte", "/ox/empty/the same");
    tree.write(vfs, "/ox/empty/the same", 3, b"seen by both names");
    tree.adopt(vfs, "/ox/one byte");

    tree.unlink(vfs, &format!("/ox/{}", "b".repeat(147)));
    tree.unlink(vfs, "/ox/0 bytes");
    tree.rmdir(vfs, "/ox/level 0");
    let dir = format!("/ox/{}", longest("\u{e9}"));
    tree.unlink(vfs, &format!("{dir}/{}", longest("f")));
    tree.unlink(vfs, &format!("{dir}/{}", longest("l")));
    tree.rmdir(vfs, &dir);
}

/// One byte of each file is overwritten, and each name gets a tail.
fn touch_everything(vfs: &VaultFs<LocalStore>, tree: &mut Tree) {
    for (path, node) in tree.nodes() {
        if let Node::File(bytes) = node {
            let at = bytes.len() / 2;
            tree.write(vfs, &path, at as u64, b"!");
        }
    }
    // Children first: a renamed directory would take the listed paths along.
    for (path, node) in tree.nodes().into_iter().rev() {
        if !matches!(node, Node::Dir) && path.rsplit('/').next().unwrap().len() < 200 {
            tree.rename(vfs, &path, &format!("{path} touched"));
        }
    }
}
