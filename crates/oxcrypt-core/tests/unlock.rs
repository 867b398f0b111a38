//! The key and configuration files of the official sample vaults, sound and damaged.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use data_encoding::HEXLOWER;
use oxcrypt_core::{
    CipherCombo, ConfigError, Cryptor, DirId, KeySource, MasterKey, MasterKeyFile,
    MasterKeyFileError, Passphrase, ScryptParams, ScryptParamsError, TestRng, UnlockError,
    UnverifiedVaultConfig, VaultConfig, recovery,
};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/unlock.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn passphrase(value: &Value) -> Passphrase {
    Passphrase::new(text(value).to_owned())
}

fn some_key() -> MasterKey {
    MasterKey::from_raw(&[5; 64])
}

#[test]
fn every_sample_vault_is_unlocked() {
    let vectors = vectors();
    let vaults = vectors["vaults"].as_object().unwrap();
    assert_eq!(vaults.len(), 8);
    for (name, vault) in vaults {
        let content = text(&vault["masterkeyFile"]);
        let file = MasterKeyFile::parse(content.as_bytes()).unwrap();
        assert_eq!(file.render(), content, "{name}");
        let key = file.unlock(&passphrase(&vault["password"])).unwrap();
        assert_eq!(
            HEXLOWER.encode(key.raw()),
            text(&vault["masterkeyHex"]),
            "{name}"
        );
        assert!(file.version_mac_matches(&key));
        if vault["passwordNfd"].is_string() {
            assert!(
                file.unlock(&passphrase(&vault["passwordNfd"]))
                    .unwrap()
                    .same_as(&key)
            );
        }
        assert_eq!(
            recovery::encode(&key).as_str(),
            text(&vault["recoveryKey"]),
            "{name}"
        );

        let token = text(&vault["configFile"]);
        let unverified = UnverifiedVaultConfig::parse(token.as_bytes()).unwrap();
        assert_eq!(
            unverified.key_source(),
            Ok(KeySource::MasterKeyFile("masterkey.cryptomator".into()))
        );
        assert_eq!(unverified.alleged_format(), Some(8));
        assert_eq!(
            unverified.verify(&some_key()).err(),
            Some(ConfigError::Signature)
        );
        let config = unverified.verify(&key).unwrap();
        assert_eq!(config.combo().as_str(), text(&vault["cipherCombo"]));
        assert_eq!(
            u64::from(config.threshold()),
            vault["shorteningThreshold"].as_u64().unwrap()
        );
        assert_eq!(config.jti(), text(&vault["jti"]));

        let cryptor = Cryptor::new(&key, config.combo(), config.threshold());
        let root = format!("d/{}", cryptor.dir_hash(&DirId::ROOT));
        assert_eq!(root, text(&vault["rootContentDir"]), "{name}");
    }
}

#[test]
fn legacy_vaults_are_unlocked_before_and_after_migration() {
    let vectors = vectors();
    for (format, vault) in vectors["legacy"].as_object().unwrap() {
        let passphrase = passphrase(&vault["password"]);
        let before = MasterKeyFile::parse(text(&vault["beforeMasterkey"]).as_bytes()).unwrap();
        assert_eq!(format!("v{}", before.version()), *format);
        let key = before.unlock(&passphrase).unwrap();
        assert!(before.version_mac_matches(&key));
        let after = MasterKeyFile::parse(text(&vault["afterMasterkey"]).as_bytes()).unwrap();
        assert_eq!(after.version(), 999);
        assert!(after.unlock(&passphrase).unwrap().same_as(&key));
        let token = text(&vault["afterConfig"]);
        let config = UnverifiedVaultConfig::parse(token.as_bytes())
            .unwrap()
            .verify(&key)
            .unwrap();
        assert_eq!(config.combo(), CipherCombo::SivCtrMac);
    }
}

/// What becomes of a damaged vault's two files, as one line.
fn outcome(vectors: &Value, case: &str) -> String {
    let files = &vectors["damaged"][case];
    let base = &vectors["damaged"]["base"];
    let content = |field: &str| match files.get(field) {
        Some(content) => content.as_str().map(str::to_owned),
        None => Some(text(&base[field]).to_owned()),
    };
    let (Some(masterkey), Some(config)) = (content("masterkeyFile"), content("configFile")) else {
        return "missing".into();
    };
    let unverified = match UnverifiedVaultConfig::parse(config.as_bytes()) {
        Ok(unverified) => unverified,
        Err(error) => return format!("{error:?}"),
    };
    if let Err(error) = unverified.key_source() {
        return format!("{error:?}");
    }
    let file = match MasterKeyFile::parse(masterkey.as_bytes()) {
        Ok(file) => file,
        Err(error) => return format!("{error:?}"),
    };
    let key = match file.unlock(&passphrase(&vectors["damagedPassword"])) {
        Ok(key) => key,
        Err(error) => return format!("{error:?}"),
    };
    match unverified.verify(&key) {
        Ok(_) if file.version_mac_matches(&key) => "opens".into(),
        Ok(_) => "opens, version MAC differs".into(),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn every_damaged_vault_is_told_apart() {
    let vectors = vectors();
    let expected = [
        ("base", "opens"),
        ("config_alg_none", "Algorithm"),
        ("config_format_9", "Format(Some(9))"),
        ("config_garbage", "NotAToken"),
        ("config_hub", "Hub"),
        ("config_kid_path", "KeyFilePath"),
        ("config_missing", "missing"),
        ("config_no_threshold", "Threshold(None)"),
        ("config_of_other_vault", "Signature"),
        ("config_tampered", "Signature"),
        ("config_unknown_combo", "Combo(Some(\"XYZ\"))"),
        ("config_wrong_combo", "opens"),
        ("masterkey_bad_version_mac", "opens, version MAC differs"),
        ("masterkey_cost_not_power_of_two", "Cost(Cost)"),
        ("masterkey_extra_fields", "opens"),
        ("masterkey_huge_cost", "Cost(TooMuchMemory)"),
        ("masterkey_missing", "missing"),
        ("masterkey_no_hmac_key", "Field(\"hmacMasterKey\")"),
        ("masterkey_version_0", "Field(\"version\")"),
        ("masterkey_wrapped_damaged", "WrongPassphrase"),
    ];
    assert_eq!(
        vectors["damaged"].as_object().unwrap().len(),
        expected.len()
    );
    for (case, expect) in expected {
        assert_eq!(outcome(&vectors, case), expect, "{case}");
    }
}

#[test]
fn a_tampered_version_of_a_legacy_vault_is_noticed() {
    let vectors = vectors();
    let vault = &vectors["legacy"]["v7"];
    let content = text(&vault["beforeMasterkey"]).replace("\"version\": 7", "\"version\": 6");
    let file = MasterKeyFile::parse(content.as_bytes()).unwrap();
    assert_eq!(file.version(), 6);
    assert_eq!(
        file.unlock(&passphrase(&vault["password"])).err(),
        Some(UnlockError::VersionMac)
    );
}

#[test]
fn a_key_locked_here_is_unlocked_here() {
    let cost = ScryptParams::new(2, 8).unwrap();
    let mut rng = TestRng::new(1);
    let key = MasterKey::random(&mut rng);
    let (nfc, nfd) = ("p\u{e4}ss", "pa\u{308}ss");
    let lock = |passphrase: &str, version| {
        MasterKeyFile::lock(
            &key,
            &Passphrase::new(passphrase.into()),
            cost,
            version,
            &mut TestRng::new(2),
        )
    };
    // From format 6 on the spelling does not matter.
    assert_eq!(lock(nfc, 999), lock(nfd, 999));
    assert_ne!(lock(nfc, 5), lock(nfd, 5));
    for version in [5, 6, 7, 999] {
        for written in [nfc, nfd] {
            let file = lock(written, version);
            assert_eq!(
                MasterKeyFile::parse(file.render().as_bytes()),
                Ok(file.clone())
            );
            for typed in [nfc, nfd] {
                let unlocked = file.unlock(&Passphrase::new(typed.into())).unwrap();
                assert!(unlocked.same_as(&key));
            }
        }
    }
    let changed = lock("old", 999).relock(&key, &Passphrase::new("new".into()), &mut rng);
    assert_eq!(changed.params(), cost);
    assert!(
        changed
            .unlock(&Passphrase::new("new".into()))
            .unwrap()
            .same_as(&key)
    );
    assert!(changed.unlock(&Passphrase::new("old".into())).is_err());
}

#[test]
fn fields_of_a_master_key_file_are_checked() {
    let vectors = vectors();
    let content = text(&vectors["damaged"]["base"]["masterkeyFile"]);
    let sound: Value = serde_json::from_str(content).unwrap();
    let with = |field: &str, value: Value| {
        let mut changed = sound.clone();
        changed[field] = value;
        MasterKeyFile::parse(changed.to_string().as_bytes()).err()
    };
    use MasterKeyFileError::{Cost, Field, Json, TooLong};
    for (field, value, expect) in [
        ("version", Value::from(1_u64 << 40), Some(Field("version"))),
        ("version", Value::from(-1), Some(Field("version"))),
        ("version", Value::from("999"), Some(Json)),
        (
            "scryptBlockSize",
            Value::Null,
            Some(Field("scryptBlockSize")),
        ),
        (
            "scryptBlockSize",
            Value::from(i32::MAX),
            Some(Cost(ScryptParamsError::TooMuchMemory)),
        ),
        (
            "scryptCostParam",
            Value::from(0),
            Some(Field("scryptCostParam")),
        ),
        ("scryptSalt", Value::from("***"), Some(Field("scryptSalt"))),
        ("scryptSalt", Value::from(""), None),
        (
            "primaryMasterKey",
            Value::from("AAAA"),
            Some(Field("primaryMasterKey")),
        ),
        ("versionMac", Value::Null, Some(Field("versionMac"))),
        ("versionMac", Value::from("AAAA"), None),
        ("comment", Value::from("x".repeat(65536)), Some(TooLong)),
    ] {
        assert_eq!(with(field, value.clone()), expect, "{field} {value}");
    }
    for garbage in ["", "null", "[]", "{", &"[".repeat(60_000)] {
        assert_eq!(MasterKeyFile::parse(garbage.as_bytes()).err(), Some(Json));
    }
}

#[test]
fn a_new_configuration_is_accepted_with_its_key_only() {
    use oxcrypt_core::Algorithm;
    let mut rng = TestRng::new(3);
    for combo in [CipherCombo::SivGcm, CipherCombo::SivCtrMac] {
        for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
            let config = VaultConfig::new(combo, 100, &mut rng).unwrap();
            let token = config.render_with(&some_key(), algorithm);
            let parsed = UnverifiedVaultConfig::parse(token.as_bytes()).unwrap();
            assert_eq!(parsed.verify(&some_key()), Ok(config.clone()));
            assert_eq!(
                parsed.verify(&MasterKey::from_raw(&[6; 64])),
                Err(ConfigError::Signature)
            );
            for at in 0..token.len() {
                let mut changed = token.clone().into_bytes();
                changed[at] ^= 1;
                let result = UnverifiedVaultConfig::parse(&changed)
                    .and_then(|changed| changed.verify(&some_key()));
                assert!(result.is_err(), "byte {at} of {token}");
            }
        }
    }
}

/// A token with this header and payload, rightly signed with [`some_key`].
fn signed(header: &str, payload: &str) -> String {
    use data_encoding::BASE64URL_NOPAD as BASE64;
    use hmac::{Hmac, KeyInit, Mac};
    let input = format!(
        "{}.{}",
        BASE64.encode(header.as_bytes()),
        BASE64.encode(payload.as_bytes())
    );
    let mac = Hmac::<sha2::Sha256>::new_from_slice(some_key().raw()).unwrap();
    let signature = mac.chain_update(&input).finalize().into_bytes();
    format!("{input}.{}", BASE64.encode(&signature))
}

#[test]
fn thresholds_are_bounded() {
    for (threshold, accepted) in [
        ("-1", false),
        ("0", false),
        ("1", true),
        ("36", true),
        ("220", true),
        ("10240", true),
        ("10241", false),
        ("4294967516", false),
        ("9223372036854775807", false),
    ] {
        let payload =
            format!(r#"{{"format":8,"cipherCombo":"SIV_GCM","shorteningThreshold":{threshold}}}"#);
        let token = signed(r#"{"alg":"HS256"}"#, &payload);
        let result = UnverifiedVaultConfig::parse(token.as_bytes())
            .unwrap()
            .verify(&some_key());
        let expect = threshold.parse().ok();
        match result {
            Ok(config) => {
                assert!(accepted, "{threshold}");
                assert_eq!(Some(i64::from(config.threshold())), expect);
                assert_eq!(config.jti(), "");
            }
            Err(error) => {
                assert!(!accepted, "{threshold}");
                assert_eq!(error, ConfigError::Threshold(expect));
            }
        }
        let new = VaultConfig::new(
            CipherCombo::SivGcm,
            threshold.parse().unwrap_or(u32::MAX),
            &mut TestRng::new(1),
        );
        assert_eq!(new.is_ok(), accepted);
    }
}

#[test]
fn key_ids_are_told_apart() {
    let source = |key_id: &str| {
        let header = serde_json::json!({"alg": "HS256", "kid": key_id}).to_string();
        UnverifiedVaultConfig::parse(signed(&header, "{}").as_bytes())
            .unwrap()
            .key_source()
    };
    for name in ["masterkey.cryptomator", "other", "..."] {
        let expect = Ok(KeySource::MasterKeyFile(name.into()));
        assert_eq!(source(&format!("masterkeyfile:{name}")), expect);
        assert_eq!(source(&format!("MasterKeyFile:{name}")), expect);
    }
    for path in [
        "",
        ".",
        "..",
        "/etc/passwd",
        "a/b",
        "..\\x",
        "C:x",
        "a\0b",
        &"x".repeat(256),
    ] {
        assert_eq!(
            source(&format!("masterkeyfile:{path}")),
            Err(ConfigError::KeyFilePath)
        );
    }
    for hub in ["hub+https://x/y", "hub+http:x", "HUB+x:"] {
        assert_eq!(source(hub), Err(ConfigError::Hub));
    }
    for other in ["", "masterkeyfile", "file:x", "\u{e9}\u{e9}\u{e9}:x"] {
        assert_eq!(source(other), Err(ConfigError::KeySource));
    }
    let none = UnverifiedVaultConfig::parse(signed(r#"{"alg":"HS256"}"#, "{}").as_bytes());
    assert_eq!(none.unwrap().key_source(), Err(ConfigError::KeySource));
}

#[test]
fn other_algorithms_are_refused_before_anything_else() {
    for alg in [r#""none""#, r#""None""#, r#""RS256""#, r#""hs256""#, "null"] {
        let token = signed(&format!(r#"{{"alg":{alg}}}"#), "{}");
        let error = UnverifiedVaultConfig::parse(token.as_bytes()).unwrap_err();
        assert_eq!(error, ConfigError::Algorithm, "{alg}");
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let sound = signed(r#"{"alg":"HS256"}"#, "{}");
    assert!(UnverifiedVaultConfig::parse(format!("{sound}\n").as_bytes()).is_ok());
    let padded = sound.replacen('.', "=.", 1);
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        padded.as_str(),
        &format!("{sound}.x"),
    ] {
        let error = UnverifiedVaultConfig::parse(text.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ConfigError::NotAToken | ConfigError::Json(_)),
            "{text} {error}"
        );
    }
    let long = format!("{sound}{}", "A".repeat(65536));
    assert_eq!(
        UnverifiedVaultConfig::parse(long.as_bytes()).err(),
        Some(ConfigError::TooLong)
    );
}
