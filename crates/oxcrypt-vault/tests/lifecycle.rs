//! Creating, new passphrases and recovery: also with a crash at every step, and judged by the
//! official library.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use oxcrypt_core::{CipherCombo, MasterKey, OsRng, Passphrase, recovery};
use oxcrypt_store::{At, Fault, FaultStore, LocalStore, MemStore, OpenMode, RenameMode, Store};
use oxcrypt_tests::official::official_check;
use oxcrypt_tests::vaults;
use oxcrypt_vault::{
    Backups, CONFIG_FILE, CreateOptions, Detected, KeyCost, MASTERKEY_FILE, RebuildOptions,
    Restorable, VaultError, change_passphrase, create, detect, detect_combo, open_key,
    open_key_file, rebuild_config, reset_passphrase, restore_backup, unlock,
};
use serde_json::{Value, json};

const OLD: &str = "old pass phrase";
const NEW: &str = "neue Passphräse";

fn pass(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

fn options(combo: CipherCombo, threshold: u32) -> CreateOptions {
    CreateOptions {
        combo,
        threshold,
        cost: KeyCost::worthless_for_tests_and_demos(),
    }
}

fn fast() -> CreateOptions {
    options(CipherCombo::SivGcm, 220)
}

fn local(path: &Path) -> Arc<LocalStore> {
    Arc::new(LocalStore::create(path, 0o755).unwrap())
}

fn empty_manifest(combo: CipherCombo, threshold: u32, password: &str) -> Value {
    json!({
        "cipherCombo": combo.as_str(), "shorteningThreshold": threshold, "format": 8,
        "password": password, "entries": [],
    })
}

#[test]
fn official_library_opens_what_we_create() {
    for (combo, threshold) in [
        (CipherCombo::SivGcm, 220),
        (CipherCombo::SivCtrMac, 220),
        (CipherCombo::SivGcm, 36),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault");
        create(local(&path), &pass(OLD), options(combo, threshold)).unwrap();
        assert_eq!(detect(&*local(&path)).unwrap(), Detected::Vault);
        let unlocked = unlock(local(&path), &pass(OLD), Backups::Skip).unwrap();
        assert_eq!(unlocked.config.combo(), combo);
        official_check(&path, &empty_manifest(combo, threshold, OLD), &["--strict"]);
    }
}

#[test]
fn official_library_opens_ours_after_a_new_passphrase() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(dir.path());
    create(Arc::clone(&store), &pass(OLD), fast()).unwrap();
    change_passphrase(&*store, &pass(OLD), &pass(NEW)).unwrap();
    assert_eq!(
        open_key(&*store, &pass(OLD)).unwrap_err(),
        VaultError::WrongPassphrase
    );
    official_check(
        dir.path(),
        &empty_manifest(CipherCombo::SivGcm, 220, NEW),
        &["--strict"],
    );
}

#[test]
fn official_library_opens_its_vaults_after_our_changes() {
    for name in ["v8_gcm", "v8_ctrmac", "v8_gcm_t100"] {
        let vault = vaults::v8(name);
        let store = local(&vault.path);
        change_passphrase(&*store, &pass(vault.password()), &pass(NEW)).unwrap();
        let key = open_key_file(&*store, &pass(NEW)).unwrap();
        std::fs::remove_file(vault.path.join(CONFIG_FILE)).unwrap();
        let threshold = vault.manifest["shorteningThreshold"]
            .as_u64()
            .map(|t| t as u32);
        let how = RebuildOptions {
            threshold,
            ..RebuildOptions::default()
        };
        let rebuilt = rebuild_config(&*store, &key, how).unwrap();
        assert_eq!(
            rebuilt.config.combo().as_str(),
            vault.manifest["cipherCombo"]
        );
        std::fs::remove_file(vault.path.join(MASTERKEY_FILE)).unwrap();
        let words = vault.manifest["recoveryKey"]
            .as_str()
            .unwrap()
            .to_uppercase();
        let key = recovery::decode(&words).unwrap();
        let cost = KeyCost::worthless_for_tests_and_demos();
        reset_passphrase(&*store, key, &pass(OLD), cost).unwrap();
        let mut manifest = vault.manifest.clone();
        manifest["password"] = json!(OLD);
        official_check(&vault.path, &manifest, &["--strict"]);
    }
}

#[test]
fn creating_refuses_what_is_not_empty_and_bad_options() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".hidden"), b"").unwrap();
    let refused = create(local(dir.path()), &pass(OLD), fast()).unwrap_err();
    assert_eq!(refused, VaultError::NotEmpty);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    for threshold in [0, 35, 221, u32::MAX] {
        let store = Arc::new(MemStore::new());
        let refused = create(store, &pass(OLD), options(CipherCombo::SivGcm, threshold));
        assert_eq!(refused.unwrap_err(), VaultError::Threshold { threshold });
    }
    for n in [0, 1, 1024, 16384, 32769, 1 << 21, u64::MAX] {
        assert_eq!(KeyCost::new(n).unwrap_err(), VaultError::Cost { n });
    }
    KeyCost::new(1 << 15).unwrap();
    KeyCost::new(1 << 20).unwrap();
}

#[test]
fn a_new_vault_is_written_as_others_write_it() {
    let dir = tempfile::tempdir().unwrap();
    create(local(dir.path()), &pass(OLD), CreateOptions::default()).unwrap();
    let key_file = std::fs::read_to_string(dir.path().join(MASTERKEY_FILE)).unwrap();
    let fields: Value = serde_json::from_str(&key_file).unwrap();
    assert_eq!(fields["version"], 999);
    assert_eq!(fields["scryptCostParam"], 32768);
    assert_eq!(fields["scryptBlockSize"], 8);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(dir.path().join(MASTERKEY_FILE))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "nobody else may guess at the key file");
    let names: std::collections::BTreeSet<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expect = ["d", MASTERKEY_FILE, CONFIG_FILE];
    assert_eq!(
        names,
        expect.map(str::to_owned).into(),
        "and nothing else is left behind"
    );
}

/// Runs `act` with a crash before each of its changes, and inside each write; `judge` sees what
/// is left, then the outcome of the same thing done once more by `repeat`.
fn crash_everywhere(
    prepare: impl Fn() -> MemStore,
    act: impl Fn(Arc<FaultStore<MemStore>>) -> Result<(), VaultError>,
    judge: impl Fn(&MemStore, &str),
) {
    let (probe, faults) = FaultStore::new(prepare());
    faults.disarm();
    act(Arc::new(probe)).unwrap();
    let steps = faults.mutations();
    assert!(steps > 3);
    for step in 1..=steps {
        for fault in [Fault::Stop, Fault::TornWrite(7), Fault::NoSpace] {
            let memory = prepare();
            let (store, faults) = FaultStore::new(memory.clone());
            faults.arm(At::Mutation(step), fault);
            let outcome = act(Arc::new(store));
            let what = format!("step {step} {:?} {fault:?} {outcome:?}", faults.struck());
            judge(&memory, &what);
            // Only what was synced survives a power cut.
            judge(
                &memory.after_power_cut(&mut || false),
                &format!("{what}, power cut"),
            );
            let mut coin = 0x9E37_79B9_u64;
            let mut toss = || {
                coin = coin.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                coin >> 63 == 0
            };
            for _ in 0..4 {
                let cut = memory.after_power_cut(&mut toss);
                judge(&cut, &format!("{what}, partial power cut"));
            }
        }
    }
}

#[test]
fn a_crash_while_creating_leaves_no_half_vault() {
    let act = |store| create(store, &pass(OLD), fast()).map(|_| ());
    crash_everywhere(MemStore::new, act, |left, what| {
        match detect(left).unwrap() {
            Detected::Vault => {
                unlock(Arc::new(left.clone()), &pass(OLD), Backups::Skip)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            Detected::Unrelated | Detected::Damaged(oxcrypt_vault::Damage::ConfigMissing) => {}
            other => panic!("{what}: {other:?}"),
        }
    });
}

fn new_vault() -> MemStore {
    let store = MemStore::new();
    create(Arc::new(store.clone()), &pass(OLD), fast()).unwrap();
    store
}

#[test]
fn a_crash_while_changing_the_passphrase_leaves_one_that_works() {
    let act = |store: Arc<FaultStore<MemStore>>| change_passphrase(&*store, &pass(OLD), &pass(NEW));
    crash_everywhere(new_vault, act, |left, what| {
        let opens = |text| open_key(left, &pass(text)).is_ok();
        assert!(opens(OLD) || opens(NEW), "{what}");
    });
}

#[test]
fn a_crash_while_resetting_leaves_a_vault_that_can_be_reset() {
    let act = |store: Arc<FaultStore<MemStore>>| {
        let key = open_key(store.inner(), &pass(OLD)).unwrap().key;
        reset_passphrase(
            &*store,
            key,
            &pass(NEW),
            KeyCost::worthless_for_tests_and_demos(),
        )
    };
    crash_everywhere(new_vault, act, |left, what| {
        let opens = |text| open_key(left, &pass(text)).is_ok();
        assert!(opens(OLD) || opens(NEW), "{what}");
    });
}

#[test]
fn changing_the_passphrase_keeps_key_cost_version_and_a_copy() {
    let vault = vaults::v8("v8_default_cost");
    let store = local(&vault.path);
    let old_bytes = vault.read(MASTERKEY_FILE);
    let old = open_key(&*store, &pass(vault.password())).unwrap();
    let wrong = change_passphrase(&*store, &pass("wrong"), &pass(NEW));
    assert_eq!(wrong.unwrap_err(), VaultError::WrongPassphrase);
    assert_eq!(vault.read(MASTERKEY_FILE), old_bytes);
    change_passphrase(&*store, &pass(vault.password()), &pass(NEW)).unwrap();
    let new = open_key(&*store, &pass(NEW)).unwrap();
    assert!(new.key.same_as(&old.key));
    assert_eq!(
        new.key_file().unwrap().params(),
        old.key_file().unwrap().params()
    );
    assert_eq!(new.key_file().unwrap().version(), 999);
    let copy = oxcrypt_core::backup_name(MASTERKEY_FILE, &old_bytes);
    assert_eq!(vault.read(&copy), old_bytes);
}

#[test]
fn a_new_passphrase_for_an_old_vault_keeps_its_format() {
    let vault = vaults::legacy(7);
    let store = local(&vault.path);
    change_passphrase(&*store, &pass(vault.password()), &pass(NEW)).unwrap();
    assert_eq!(detect(&*store).unwrap(), Detected::Legacy { version: 7 });
    open_key_file(&*store, &pass(NEW)).unwrap();
}

#[test]
fn recovery_words_of_another_vault_are_refused() {
    let store = new_vault();
    let before = store
        .read_small(&store.root(), MASTERKEY_FILE.as_bytes(), 1000)
        .unwrap();
    let foreign = MasterKey::random(&mut OsRng);
    let refused = reset_passphrase(&store, foreign, &pass(NEW), KeyCost::DEFAULT);
    assert_eq!(refused.unwrap_err(), VaultError::ForeignRecoveryKey);
    let after = store
        .read_small(&store.root(), MASTERKEY_FILE.as_bytes(), 1000)
        .unwrap();
    assert_eq!(after, before);
    let foreign = MasterKey::random(&mut OsRng);
    store
        .remove_file(&store.root(), CONFIG_FILE.as_bytes())
        .unwrap();
    let refused = rebuild_config(&store, &foreign, RebuildOptions::default());
    assert_eq!(refused.unwrap_err(), VaultError::CipherUnknown);
    let how = RebuildOptions {
        combo: Some(CipherCombo::SivGcm),
        ..RebuildOptions::default()
    };
    let refused = rebuild_config(&store, &foreign, how);
    assert_eq!(
        refused.unwrap_err(),
        VaultError::CipherUnknown,
        "even if told the cipher"
    );
}

#[test]
fn the_cipher_is_found_although_files_are_damaged() {
    for (name, combo) in [
        ("v8_gcm", CipherCombo::SivGcm),
        ("v8_ctrmac", CipherCombo::SivCtrMac),
    ] {
        let vault = vaults::v8(name);
        let mut seen = 0;
        for (path, content) in vault.snapshot() {
            let is_content = path.starts_with("d") && path.to_string_lossy().ends_with(".c9r");
            if let Some(mut content) = content.filter(|content| is_content && content.len() > 68) {
                seen += 1;
                if seen % 4 != 0 {
                    content[20] ^= 1;
                    std::fs::write(vault.path.join(path), content).unwrap();
                }
            }
        }
        assert!(seen > 20);
        let store = local(&vault.path);
        let key = open_key_file(&*store, &pass(vault.password())).unwrap();
        assert_eq!(detect_combo(&*store, &key).unwrap(), combo);
    }
}

#[test]
fn a_config_with_the_wrong_cipher_is_seen_through() {
    let vault = vaults::corrupt("config_wrong_combo");
    let store = local(&vault.path);
    let open = open_key(&*store, &pass(vault.password())).unwrap();
    assert_ne!(
        detect_combo(&*store, &open.key).unwrap(),
        open.config.combo()
    );
}

#[test]
fn a_threshold_against_the_names_is_refused() {
    let vault = vaults::v8("v8_gcm_t100");
    let store = local(&vault.path);
    let key = open_key_file(&*store, &pass(vault.password())).unwrap();
    let right = rebuild_config(&*store, &key, RebuildOptions::default());
    assert_eq!(
        right.unwrap_err(),
        VaultError::NothingToDo { file: CONFIG_FILE }
    );
    std::fs::remove_file(vault.path.join(CONFIG_FILE)).unwrap();
    let refused = rebuild_config(&*store, &key, RebuildOptions::default()).unwrap_err();
    let VaultError::ThresholdContradicted {
        threshold: 220,
        least,
        most,
    } = refused
    else {
        panic!("{refused}");
    };
    assert_eq!(
        (least, most),
        (100, 103),
        "the vault has names of 100 and of 104 characters"
    );
    let how = RebuildOptions {
        threshold: Some(100),
        dry_run: true,
        ..RebuildOptions::default()
    };
    assert_eq!(
        rebuild_config(&*store, &key, how)
            .unwrap()
            .config
            .threshold(),
        100
    );
    assert!(
        !vault.path.join(CONFIG_FILE).exists(),
        "a dry run writes nothing"
    );
}

#[test]
fn a_broken_config_is_rebuilt_and_kept_aside() {
    let vault = vaults::corrupt("config_garbage");
    let store = local(&vault.path);
    let garbage = vault.read(CONFIG_FILE);
    let key = open_key_file(&*store, &pass(vault.password())).unwrap();
    rebuild_config(&*store, &key, RebuildOptions::default()).unwrap();
    open_key(&*store, &pass(vault.password())).unwrap();
    assert_eq!(
        vault.read(&oxcrypt_core::backup_name(CONFIG_FILE, &garbage)),
        garbage
    );
    let hub = vaults::corrupt("config_hub");
    let store = local(&hub.path);
    let key = open_key_file(&*store, &pass(hub.password())).unwrap();
    let refused = rebuild_config(&*store, &key, RebuildOptions::default()).unwrap_err();
    assert!(matches!(
        refused,
        VaultError::Config {
            error: oxcrypt_core::ConfigError::Hub
        }
    ));
}

#[test]
fn the_newest_usable_backup_is_restored() {
    let store = new_vault();
    unlock(Arc::new(store.clone()), &pass(OLD), Backups::Keep).unwrap();
    change_passphrase(&store, &pass(OLD), &pass(NEW)).unwrap();
    unlock(Arc::new(store.clone()), &pass(NEW), Backups::Keep).unwrap();
    let root = store.root();
    // Newest of all, but no key file.
    let name = format!("{MASTERKEY_FILE}.00000000.bkup");
    let file = store
        .open(&root, name.as_bytes(), OpenMode::new_file(0o600))
        .unwrap();
    store.write_at(&file, b"junk", 0).unwrap();
    let refused = restore_backup(&store, Restorable::MasterKey).unwrap_err();
    assert_eq!(
        refused,
        VaultError::NothingToDo {
            file: MASTERKEY_FILE
        }
    );
    for (which, file) in [
        (Restorable::MasterKey, MASTERKEY_FILE),
        (Restorable::Config, CONFIG_FILE),
    ] {
        store
            .rename(&root, file.as_bytes(), &root, b"gone", RenameMode::Replace)
            .unwrap();
        restore_backup(&store, which).unwrap();
    }
    open_key(&store, &pass(NEW)).unwrap();
    let bare = MemStore::new();
    let none = restore_backup(&bare, Restorable::Config).unwrap_err();
    assert_eq!(none, VaultError::NoBackup { file: CONFIG_FILE });
}
