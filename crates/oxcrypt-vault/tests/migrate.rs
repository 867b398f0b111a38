//! Old vaults become what the official migrators make of them, also after a crash anywhere.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxcrypt_core::Passphrase;
use oxcrypt_store::{At, Fault, FaultStore, LocalStore};
use oxcrypt_tests::official::official_check;
use oxcrypt_tests::vaults::{self, Vault};
use oxcrypt_vault::{
    Backups, Detected, MASTERKEY_FILE, Run, VaultError, change_passphrase, detect, migrate, unlock,
};

fn pass(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

fn local(path: &Path) -> LocalStore {
    LocalStore::open(path).unwrap()
}

/// Everything under `d` and its content: file contents never change in a migration.
fn data(vault: &Vault) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    vault
        .snapshot()
        .into_iter()
        .filter(|(path, _)| path.starts_with("d"))
        .collect()
}

fn migrates_like_the_official_library(version: u32) {
    let (vault, official) = (vaults::legacy(version), vaults::legacy_migrated(version));
    let store = local(&vault.path);
    let mut last = (0, 0);
    let report = migrate(
        &store,
        &pass(vault.password()),
        Run::Real,
        &mut |progress| {
            if progress.step == 6 {
                last = (progress.done, progress.total);
            }
        },
    )
    .unwrap();
    assert_eq!(report.from, version);
    assert_eq!(data(&vault), data(&official));
    if let Some(names) = &report.names {
        assert_eq!(names.skipped, []);
        assert!(names.files > 0 && names.dirs > 0);
        assert_eq!(last, (names.total(), names.total()));
        assert!(!vault.path.join("m").exists());
    }
    assert_eq!(detect(&store).unwrap(), Detected::Vault);
    let again = migrate(&store, &pass(vault.password()), Run::Real, &mut |_| {});
    assert!(matches!(again.unwrap_err(), VaultError::NothingToDo { .. }));
    unlock(Arc::new(store), &pass(vault.password()), Backups::Skip).unwrap();
    let mut manifest = vault.manifest.clone();
    // Our configuration has its own id, and old directories have no dirid.c9r, which is no fault.
    manifest.as_object_mut().unwrap().remove("jti");
    official_check(&vault.path, &manifest, &[]);
}

#[test]
fn format_5() {
    migrates_like_the_official_library(5);
}

#[test]
fn format_6() {
    migrates_like_the_official_library(6);
}

#[test]
fn format_7() {
    migrates_like_the_official_library(7);
}

#[test]
fn a_dry_run_and_a_wrong_passphrase_change_nothing() {
    for version in [5, 6, 7] {
        let vault = vaults::legacy(version);
        let before = vault.snapshot();
        let store = local(&vault.path);
        let report = migrate(&store, &pass(vault.password()), Run::Dry, &mut |_| {}).unwrap();
        assert!(!report.changed);
        let wrong = migrate(&store, &pass("wrong"), Run::Real, &mut |_| {});
        assert_eq!(wrong.unwrap_err(), VaultError::WrongPassphrase);
        assert_eq!(vault.snapshot(), before);
    }
}

#[test]
fn a_placeholder_of_a_file_in_the_cloud_stops_before_anything_changes() {
    let vault = vaults::legacy(6);
    let dir = std::fs::read_dir(vault.path.join("d"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let dir = std::fs::read_dir(dir)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::write(dir.join(".SOMETHING.icloud"), b"").unwrap();
    let before = vault.snapshot();
    let store = local(&vault.path);
    let refused = migrate(&store, &pass(vault.password()), Run::Real, &mut |_| {});
    assert!(matches!(
        refused.unwrap_err(),
        VaultError::NotDownloaded { .. }
    ));
    assert_eq!(vault.snapshot(), before);
}

#[test]
fn a_changed_version_is_noticed() {
    let vault = vaults::legacy(7);
    let text = String::from_utf8(vault.read(MASTERKEY_FILE)).unwrap();
    let changed = text.replacen("\"version\": 7", "\"version\": 6", 1);
    let changed = if changed == text {
        text.replacen("\"version\":7", "\"version\":6", 1)
    } else {
        changed
    };
    assert_ne!(changed, text);
    std::fs::write(vault.path.join(MASTERKEY_FILE), changed).unwrap();
    let refused = migrate(
        &local(&vault.path),
        &pass(vault.password()),
        Run::Real,
        &mut |_| {},
    );
    assert_eq!(
        refused.unwrap_err(),
        VaultError::VersionMac {
            file: MASTERKEY_FILE.to_owned()
        }
    );
}

/// Crashes at spread-out steps; migrating again must complete the work with nothing lost.
fn survives_crashes(version: u32, every: usize) {
    let expect = data(&vaults::legacy_migrated(version));
    let probe = vaults::legacy(version);
    let (store, faults) = FaultStore::new(local(&probe.path));
    faults.disarm();
    migrate(&store, &pass(probe.password()), Run::Real, &mut |_| {}).unwrap();
    for step in (1..=faults.mutations()).step_by(every) {
        let vault = vaults::legacy(version);
        let (store, faults) = FaultStore::new(local(&vault.path));
        faults.arm(
            At::Mutation(step),
            if step % 2 == 0 {
                Fault::Stop
            } else {
                Fault::TornWrite(9)
            },
        );
        let first = migrate(&store, &pass(vault.password()), Run::Real, &mut |_| {});
        let what = format!("format {version}, step {step}, {:?}", faults.struck());
        assert!(first.is_err(), "{what}");
        faults.disarm();
        match migrate(&store, &pass(vault.password()), Run::Real, &mut |_| {}) {
            Ok(_) | Err(VaultError::NothingToDo { .. }) => {}
            Err(error) => panic!("{what}: {error}"),
        }
        assert_eq!(detect(&store).unwrap(), Detected::Vault, "{what}");
        assert_eq!(data(&vault), expect, "{what}");
    }
}

#[test]
fn a_crash_in_format_5_is_resumed() {
    survives_crashes(5, 23);
}

#[test]
fn a_crash_in_format_6_is_resumed() {
    survives_crashes(6, 23);
}

#[test]
fn a_crash_in_format_7_is_resumed() {
    survives_crashes(7, 1);
}

#[test]
fn conflict_copies_of_old_names_become_conflict_copies() {
    let vault = vaults::legacy(6);
    let (path, content) = data(&vault)
        .into_iter()
        .find(|(path, content)| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            content.is_some() && !name.starts_with(['0', '1']) && !name.ends_with(".lng")
        })
        .unwrap();
    let old_name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let dir = vault.path.join(path.parent().unwrap());
    std::fs::write(dir.join(format!("{old_name} (conflict)")), b"other").unwrap();
    let store = local(&vault.path);
    migrate(&store, &pass(vault.password()), Run::Real, &mut |_| {}).unwrap();
    let names: BTreeSet<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let copy = names.iter().find(|name| name.ends_with("_1.c9r")).unwrap();
    let original = copy.replace("_1.c9r", ".c9r");
    assert_eq!(std::fs::read(dir.join(original)).unwrap(), content.unwrap());
    assert_eq!(std::fs::read(dir.join(copy)).unwrap(), b"other");
}

#[test]
fn a_lost_long_name_keeps_the_file_and_the_other_names() {
    let vault = vaults::legacy(6);
    let lost = vault
        .snapshot()
        .into_iter()
        .map(|(path, _)| path)
        .find(|path| path.starts_with("m") && path.to_string_lossy().ends_with(".lng"))
        .unwrap();
    std::fs::remove_file(vault.path.join(&lost)).unwrap();
    let store = local(&vault.path);
    let report = migrate(&store, &pass(vault.password()), Run::Real, &mut |_| {}).unwrap();
    let skipped = report.names.unwrap().skipped;
    assert_eq!(skipped.len(), 1);
    assert!(vault.path.join(&skipped[0].path).exists());
    assert!(vault.path.join("m").exists(), "names may still be needed");
}

#[test]
fn migrating_renews_the_cost_but_never_lowers_it() {
    let vault = vaults::legacy(7);
    let store = local(&vault.path);
    change_passphrase(&store, &pass(vault.password()), &pass("new")).unwrap();
    migrate(&store, &pass("new"), Run::Real, &mut |_| {}).unwrap();
    let text: serde_json::Value = serde_json::from_slice(&vault.read(MASTERKEY_FILE)).unwrap();
    assert!(text["scryptCostParam"].as_u64().unwrap() >= 32768);
    assert_eq!(text["version"], 999);
}
