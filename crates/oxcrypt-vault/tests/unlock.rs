//! Vaults of the official implementation open here; whatever is wrong with one has its own error.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use oxcrypt_core::{
    ConfigError, MasterKey, MasterKeyFileError, Passphrase, ScryptParamsError, recovery,
};
use oxcrypt_store::LocalStore;
use oxcrypt_tests::vaults::{self, Vault};
use oxcrypt_vault::{
    Backups, Damage, Detected, MASTERKEY_FILE, VaultError, detect, open_key, unlock,
    unlock_with_key,
};
use serde_json::{Value, json};

fn store(vault: &Vault) -> Arc<LocalStore> {
    Arc::new(LocalStore::open(&vault.path).unwrap())
}

fn pass(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

fn raw_key(vault: &Vault) -> MasterKey {
    let hex = vault.manifest["masterkeyHex"].as_str().unwrap();
    MasterKey::from_raw(&HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap())
}

/// Opens a vault in every way its manifest allows and compares what the manifest tells.
fn opens(name: &str) {
    let vault = vaults::v8(name);
    let store = store(&vault);
    assert_eq!(detect(&*store).unwrap(), Detected::Vault);
    let open = open_key(&*store, &pass(vault.password())).unwrap();
    assert!(open.key.same_as(&raw_key(&vault)));
    assert_eq!(
        open.config.combo().as_str(),
        vault.manifest["cipherCombo"].as_str().unwrap()
    );
    assert_eq!(
        u64::from(open.config.threshold()),
        vault.manifest["shorteningThreshold"].as_u64().unwrap()
    );
    assert_eq!(open.config.jti(), vault.manifest["jti"].as_str().unwrap());
    let words = recovery::encode(&open.key);
    assert_eq!(&*words, vault.manifest["recoveryKey"].as_str().unwrap());
    if let Some(nfd) = vault.manifest["passwordNfd"].as_str() {
        open_key(&*store, &pass(nfd)).unwrap();
    }
    let wrong = format!("{}x", vault.password());
    assert_eq!(
        open_key(&*store, &pass(&wrong)).unwrap_err(),
        VaultError::WrongPassphrase
    );

    let before = vault.snapshot();
    let unlocked = unlock(Arc::clone(&store), &pass(vault.password()), Backups::Skip).unwrap();
    assert_eq!(unlocked.warnings, [""; 0]);
    assert_eq!(
        vault.snapshot(),
        before,
        "unlocking without backups changes nothing"
    );
    let key = recovery::decode(&words).unwrap();
    unlock_with_key(Arc::clone(&store), key, Backups::Keep).unwrap();
    let unlocked = unlock(store, &pass(vault.password()), Backups::Keep).unwrap();
    assert_eq!(unlocked.warnings, [""; 0]);
    let backups: Vec<_> = std::fs::read_dir(&vault.path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".bkup"))
        .collect();
    assert_eq!(
        backups.len(),
        2,
        "one copy of each key file, named as others name it: {backups:?}"
    );
}

macro_rules! opens {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            opens(stringify!($name));
        }
    )*};
}
opens!(v8_gcm v8_ctrmac v8_gcm_t100 v8_default_cost v8_hs384 v8_hs512 v8_empty_gcm v8_empty_ctrmac);

/// What unlocking a damaged vault gives; its one line must name the file and what to do.
fn refusal(vault: &Vault) -> VaultError {
    let before = vault.snapshot();
    let password = pass(vault.password());
    let error = unlock(store(vault), &password, Backups::Keep).unwrap_err();
    assert_eq!(vault.snapshot(), before, "a refused vault is left alone");
    let line = error.to_string();
    assert!(!line.contains('\n') && line.len() < 300, "{line}");
    error
}

fn config_refusal(case: &str) -> ConfigError {
    match refusal(&vaults::corrupt(case)) {
        VaultError::Config { error } => error,
        other => panic!("{case}: {other}"),
    }
}

fn key_file_refusal(case: &str) -> MasterKeyFileError {
    match refusal(&vaults::corrupt(case)) {
        VaultError::MasterKey { file, error } if file == MASTERKEY_FILE => error,
        other => panic!("{case}: {other}"),
    }
}

#[test]
fn each_damaged_config_has_its_own_error() {
    assert_eq!(config_refusal("config_alg_none"), ConfigError::Algorithm);
    assert_eq!(
        config_refusal("config_format_9"),
        ConfigError::Format(Some(9))
    );
    assert_eq!(config_refusal("config_garbage"), ConfigError::NotAToken);
    assert_eq!(config_refusal("config_hub"), ConfigError::Hub);
    assert_eq!(config_refusal("config_kid_path"), ConfigError::KeyFilePath);
    assert_eq!(
        config_refusal("config_no_threshold"),
        ConfigError::Threshold(None)
    );
    assert_eq!(
        config_refusal("config_of_other_vault"),
        ConfigError::Signature
    );
    assert_eq!(config_refusal("config_tampered"), ConfigError::Signature);
    assert!(matches!(
        config_refusal("config_unknown_combo"),
        ConfigError::Combo(Some(_))
    ));
    let missing = vaults::corrupt("config_missing");
    assert_eq!(refusal(&missing), VaultError::ConfigMissing);
    assert_eq!(
        detect(&*store(&missing)).unwrap(),
        Detected::Damaged(Damage::ConfigMissing)
    );
}

#[test]
fn each_damaged_key_file_has_its_own_error() {
    assert_eq!(
        key_file_refusal("masterkey_cost_not_power_of_two"),
        MasterKeyFileError::Cost(ScryptParamsError::Cost)
    );
    assert_eq!(
        key_file_refusal("masterkey_huge_cost"),
        MasterKeyFileError::Cost(ScryptParamsError::TooMuchMemory)
    );
    assert_eq!(
        key_file_refusal("masterkey_no_hmac_key"),
        MasterKeyFileError::Field("hmacMasterKey")
    );
    assert_eq!(
        key_file_refusal("masterkey_version_0"),
        MasterKeyFileError::Field("version")
    );
    assert_eq!(
        refusal(&vaults::corrupt("masterkey_wrapped_damaged")),
        VaultError::WrongPassphrase
    );
    assert_eq!(
        refusal(&vaults::corrupt("masterkey_missing")),
        VaultError::MasterKeyMissing {
            file: MASTERKEY_FILE.to_owned()
        }
    );
}

#[test]
fn harmless_oddities_of_the_key_file_open() {
    let extra = vaults::corrupt("masterkey_extra_fields");
    unlock(store(&extra), &pass(extra.password()), Backups::Skip).unwrap();
    let mac = vaults::corrupt("masterkey_bad_version_mac");
    let unlocked = unlock(store(&mac), &pass(mac.password()), Backups::Skip).unwrap();
    assert_eq!(unlocked.warnings.len(), 1, "opens, but says so");
}

#[test]
fn a_missing_top_directory_is_named() {
    let vault = vaults::corrupt("root_content_dir_missing");
    let VaultError::RootMissing { path } = refusal(&vault) else {
        panic!("not RootMissing")
    };
    assert!(path.starts_with("d/") && path.len() == 35, "{path}");
    let vault = vaults::v8("v8_empty_gcm");
    std::fs::rename(vault.path.join("d"), vault.path.join("e")).unwrap();
    assert_eq!(refusal(&vault), VaultError::DataMissing);
    assert_eq!(
        detect(&*store(&vault)).unwrap(),
        Detected::Damaged(Damage::DataMissing)
    );
}

/// A token signed with the vault's own key.
fn signed(vault: &Vault, header: &Value, payload: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let input = format!("{}.{}", part(header), part(payload));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(raw_key(vault).raw()).unwrap();
    mac.update(input.as_bytes());
    format!(
        "{input}.{}",
        BASE64URL_NOPAD.encode(&mac.finalize().into_bytes())
    )
}

fn with_token(header: &Value, payload: &Value) -> VaultError {
    let vault = vaults::v8("v8_empty_gcm");
    let token = signed(&vault, header, payload);
    std::fs::write(vault.path.join("vault.cryptomator"), token).unwrap();
    refusal(&vault)
}

fn header() -> Value {
    json!({"kid": "masterkeyfile:masterkey.cryptomator", "typ": "JWT", "alg": "HS256"})
}

fn payload() -> Value {
    json!({"format": 8, "cipherCombo": "SIV_GCM", "shorteningThreshold": 220, "jti": "x"})
}

#[test]
fn hostile_tokens_are_refused_by_kind() {
    let cases = [
        ("alg", json!("RS256"), ConfigError::Algorithm),
        ("alg", json!("none"), ConfigError::Algorithm),
        ("alg", json!("hs256"), ConfigError::Algorithm),
        ("alg", json!("HS384"), ConfigError::Signature),
        (
            "kid",
            json!("masterkeyfile:/etc/passwd"),
            ConfigError::KeyFilePath,
        ),
        ("kid", json!("masterkeyfile:.."), ConfigError::KeyFilePath),
        (
            "kid",
            json!("masterkeyfile:../masterkey.cryptomator"),
            ConfigError::KeyFilePath,
        ),
        ("kid", json!("hub+http://example.com/api"), ConfigError::Hub),
        (
            "kid",
            json!("https://example.com/key"),
            ConfigError::KeySource,
        ),
        ("kid", json!("nonsense"), ConfigError::KeySource),
        ("kid", Value::Null, ConfigError::KeySource),
    ];
    for (field, value, expect) in cases {
        let mut header = header();
        header[field] = value.clone();
        let error = with_token(&header, &payload());
        assert_eq!(
            error,
            VaultError::Config { error: expect },
            "{field} = {value}"
        );
    }
}

#[test]
fn signed_nonsense_is_refused_by_kind() {
    let cases = [
        (
            "shorteningThreshold",
            json!(0),
            ConfigError::Threshold(Some(0)),
        ),
        (
            "shorteningThreshold",
            json!(-5),
            ConfigError::Threshold(Some(-5)),
        ),
        (
            "shorteningThreshold",
            json!(i64::MAX),
            ConfigError::Threshold(Some(i64::MAX)),
        ),
        (
            "shorteningThreshold",
            Value::Null,
            ConfigError::Threshold(None),
        ),
        (
            "shorteningThreshold",
            json!("220"),
            ConfigError::Json("payload"),
        ),
        (
            "cipherCombo",
            json!("SIV_ROT13"),
            ConfigError::Combo(Some("SIV_ROT13".to_owned())),
        ),
        ("cipherCombo", Value::Null, ConfigError::Combo(None)),
        ("format", json!(9), ConfigError::Format(Some(9))),
        ("format", json!(-1), ConfigError::Format(Some(-1))),
        ("format", Value::Null, ConfigError::Format(None)),
    ];
    for (field, value, expect) in cases {
        let mut payload = payload();
        payload[field] = value.clone();
        let error = with_token(&header(), &payload);
        assert_eq!(
            error,
            VaultError::Config { error: expect },
            "{field} = {value}"
        );
    }
    let mut old = payload();
    old["format"] = json!(7);
    assert_eq!(
        with_token(&header(), &old),
        VaultError::Legacy { version: 7 }
    );
}

fn with_key_file(text: &[u8]) -> VaultError {
    let vault = vaults::v8("v8_empty_gcm");
    std::fs::write(vault.path.join(MASTERKEY_FILE), text).unwrap();
    refusal(&vault)
}

#[test]
fn hostile_key_files_are_refused_by_kind() {
    let vault = vaults::v8("v8_empty_gcm");
    let good: Value = serde_json::from_slice(&vault.read(MASTERKEY_FILE)).unwrap();
    let cost = MasterKeyFileError::Cost;
    let cases = [
        ("scryptCostParam", json!(1), cost(ScryptParamsError::Cost)),
        ("scryptCostParam", json!(3), cost(ScryptParamsError::Cost)),
        (
            "scryptCostParam",
            json!(-2),
            MasterKeyFileError::Field("scryptCostParam"),
        ),
        (
            "scryptCostParam",
            json!(1_u64 << 40),
            MasterKeyFileError::Field("scryptCostParam"),
        ),
        (
            "scryptCostParam",
            json!(1 << 30),
            cost(ScryptParamsError::TooMuchMemory),
        ),
        ("scryptCostParam", json!("2"), MasterKeyFileError::Json),
        (
            "scryptBlockSize",
            json!(0),
            MasterKeyFileError::Field("scryptBlockSize"),
        ),
        (
            "scryptBlockSize",
            json!(i32::MAX),
            cost(ScryptParamsError::TooMuchMemory),
        ),
        (
            "primaryMasterKey",
            json!("AAAA"),
            MasterKeyFileError::Field("primaryMasterKey"),
        ),
        (
            "hmacMasterKey",
            json!("!"),
            MasterKeyFileError::Field("hmacMasterKey"),
        ),
        (
            "scryptSalt",
            Value::Null,
            MasterKeyFileError::Field("scryptSalt"),
        ),
        (
            "versionMac",
            Value::Null,
            MasterKeyFileError::Field("versionMac"),
        ),
    ];
    for (field, value, expect) in cases {
        let mut file = good.clone();
        file[field] = value.clone();
        let error = with_key_file(file.to_string().as_bytes());
        let expect = VaultError::MasterKey {
            file: MASTERKEY_FILE.to_owned(),
            error: expect,
        };
        assert_eq!(error, expect, "{field} = {value}");
    }
    let text = vault.read(MASTERKEY_FILE);
    let kinds = [
        (text[..text.len() / 2].to_vec(), MasterKeyFileError::Json),
        (Vec::new(), MasterKeyFileError::Json),
        (b"[]".to_vec(), MasterKeyFileError::Json),
        (vec![b'['; 60_000], MasterKeyFileError::Json),
        (vec![b' '; 70_000], MasterKeyFileError::TooLong),
    ];
    for (text, error) in kinds {
        let expect = VaultError::MasterKey {
            file: MASTERKEY_FILE.to_owned(),
            error,
        };
        assert_eq!(with_key_file(&text), expect);
    }
}

#[test]
fn huge_files_are_not_read() {
    for name in ["vault.cryptomator", MASTERKEY_FILE] {
        let vault = vaults::v8("v8_empty_gcm");
        let file = std::fs::File::create(vault.path.join(name)).unwrap();
        file.set_len(1 << 40).unwrap();
        let error = unlock(store(&vault), &pass(vault.password()), Backups::Skip).unwrap_err();
        let line = error.to_string();
        assert!(line.starts_with(name) && line.contains("64 KiB"), "{line}");
    }
}

#[test]
fn other_directories_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let empty = LocalStore::open(dir.path()).unwrap();
    assert_eq!(detect(&empty).unwrap(), Detected::Unrelated);
    assert_eq!(
        open_key(&empty, &pass("x")).unwrap_err(),
        VaultError::NotAVault
    );
    for version in [5, 6, 7] {
        let vault = vaults::legacy(version);
        assert_eq!(
            detect(&*store(&vault)).unwrap(),
            Detected::Legacy { version }
        );
        assert_eq!(refusal(&vault), VaultError::Legacy { version });
    }
    let hub = vaults::corrupt("config_hub");
    assert_eq!(detect(&*store(&hub)).unwrap(), Detected::Hub);
    let newer = vaults::corrupt("config_format_9");
    assert_eq!(
        detect(&*store(&newer)).unwrap(),
        Detected::Newer {
            file: "vault.cryptomator",
            version: 9
        }
    );
    let broken = vaults::corrupt("masterkey_huge_cost");
    assert!(matches!(
        detect(&*store(&broken)).unwrap(),
        Detected::Damaged(Damage::MasterKey(MasterKeyFileError::Cost(_)))
    ));
    let lost = vaults::corrupt("masterkey_missing");
    assert_eq!(
        detect(&*store(&lost)).unwrap(),
        Detected::Damaged(Damage::MasterKeyMissing)
    );
}

#[test]
fn a_backup_of_other_content_is_left_alone_and_mentioned() {
    let vault = vaults::v8("v8_empty_gcm");
    let content = vault.read("vault.cryptomator");
    let name = oxcrypt_core::backup_name("vault.cryptomator", &content);
    std::fs::write(vault.path.join(&name), b"mine").unwrap();
    let unlocked = unlock(store(&vault), &pass(vault.password()), Backups::Keep).unwrap();
    assert!(
        unlocked.warnings[0].starts_with(&name),
        "{:?}",
        unlocked.warnings
    );
    assert_eq!(vault.read(&name), b"mine");
}
