//! Every entry of `vectors/primitives.json`, made by the official library, with every backend.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use data_encoding::{BASE64, HEXLOWER};
use oxcrypt_core::siv::Siv;
use oxcrypt_core::{
    Backend, CHUNK_LEN, ChunkIndex, CipherCombo, CleartextName, Cryptor, DirId, MasterKey,
    MasterKeyFile, NameBuf, NameError, Passphrase, RecoveryError, Rng, ShortName, UnlockError,
    UnverifiedVaultConfig, recovery,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/primitives.json")).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(text(value).as_bytes()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn entries<'v>(vectors: &'v Value, section: &str) -> &'v [Value] {
    let entries = vectors[section].as_array().unwrap();
    assert!(!entries.is_empty());
    entries
}

fn key_of(value: &Value) -> MasterKey {
    MasterKey::from_raw(&hex(value).try_into().unwrap())
}

fn combo_of(entry: &Value) -> CipherCombo {
    CipherCombo::parse(text(&entry["cipherCombo"])).unwrap()
}

fn dir_id(text: &str) -> DirId {
    if text.is_empty() {
        DirId::ROOT
    } else {
        DirId::parse(text.as_bytes()).unwrap()
    }
}

fn cryptors(vectors: &Value, combo: CipherCombo) -> impl Iterator<Item = Cryptor> {
    let key = key_of(&vectors["masterkeyHex"]);
    Backend::ALL
        .iter()
        .map(move |backend| Cryptor::with_backend(&key, combo, 220, *backend))
}

fn any_cryptor(vectors: &Value) -> Cryptor {
    cryptors(vectors, CipherCombo::SivGcm).next().unwrap()
}

/// Hands out given bytes, once.
struct Scripted(Vec<u8>);

impl Rng for Scripted {
    fn fill(&mut self, out: &mut [u8]) {
        out.copy_from_slice(&self.0[..out.len()]);
        self.0.drain(..out.len());
    }
}

#[test]
fn master_key_halves() {
    let vectors = vectors();
    let key = key_of(&vectors["masterkeyHex"]);
    assert_eq!(key.enc()[..], hex(&vectors["encKeyHex"])[..]);
    assert_eq!(key.mac()[..], hex(&vectors["macKeyHex"])[..]);
    assert_eq!(key.raw()[..], hex(&vectors["masterkeyHex"])[..]);
    assert!(key.same_as(&MasterKey::from_halves(key.enc(), key.mac())));
}

#[test]
fn directory_ids() {
    let vectors = vectors();
    let cryptor = any_cryptor(&vectors);
    for entry in entries(&vectors, "directoryIds") {
        let hash = cryptor.dir_hash(&dir_id(text(&entry["dirId"])));
        assert_eq!(hash.as_str(), text(&entry["hash"]));
        assert_eq!(format!("d/{hash}"), text(&entry["path"]));
        assert_eq!(
            oxcrypt_core::DirHash::parse(hash.prefix().as_bytes(), hash.rest().as_bytes()),
            Some(hash)
        );
    }
}

#[test]
fn names() {
    let vectors = vectors();
    let cryptor = any_cryptor(&vectors);
    let siv = Siv::new(&key_of(&vectors["masterkeyHex"]));
    for entry in entries(&vectors, "names") {
        let plain = hex(&entry["nameUtf8Hex"]);
        let id = dir_id(text(&entry["dirId"]));
        let expect = text(&entry["ciphertextName"]);
        let shortened = text(&entry["shortenedName"]);
        assert_eq!(expect.len() as u64, number(&entry["length"]));
        assert_eq!(ShortName::of(expect.as_bytes()).as_str(), shortened);

        let mut sealed = vec![0; plain.len() + 16];
        siv.seal(siv.prefix(id.as_bytes()), &plain, &mut sealed);
        assert_eq!(data_encoding::BASE64URL.encode(&sealed) + ".c9r", expect);

        let dir = cryptor.dir_names(&id);
        let mut buf = NameBuf::new();
        let Ok(name) = CleartextName::parse(&plain) else {
            // The official library encrypts the empty name; no file system has one.
            assert!(plain.is_empty());
            assert_eq!(
                cryptor.open_name(&dir, expect.as_bytes(), &mut buf),
                Err(NameError::Invalid)
            );
            continue;
        };
        if name.as_bytes() != plain {
            // The official library normalises before it encrypts; this entry skipped that.
            assert_eq!(
                cryptor.open_name(&dir, expect.as_bytes(), &mut buf),
                Ok(text(&entry["name"]))
            );
            assert_ne!(cryptor.seal_name(&dir, &name).full(), expect.as_bytes());
            continue;
        }
        assert_eq!(name.as_str(), text(&entry["name"]));
        let cipher_name = cryptor.seal_name(&dir, &name);
        let is_long = entry["shortenedAt220"].as_bool().unwrap();
        assert_eq!(cipher_name.full(), expect.as_bytes());
        assert_eq!(cipher_name.is_long(), is_long);
        assert_eq!(
            cipher_name.node_str(),
            if is_long { shortened } else { expect }
        );
        assert_eq!(
            cryptor.open_name(&dir, expect.as_bytes(), &mut buf),
            Ok(text(&entry["name"]))
        );
    }
}

#[test]
fn names_that_must_fail() {
    let vectors = vectors();
    let cryptor = any_cryptor(&vectors);
    for entry in entries(&vectors, "namesThatMustFail") {
        let dir = cryptor.dir_names(&dir_id(text(&entry["dirId"])));
        let name = text(&entry["ciphertextName"]);
        assert_eq!(
            cryptor.open_name(&dir, name.as_bytes(), &mut NameBuf::new()),
            Err(NameError::Authentication),
            "{}",
            entry["why"]
        );
    }
}

#[test]
fn file_headers_and_chunks() {
    let vectors = vectors();
    for entry in entries(&vectors, "fileHeadersAndChunks") {
        let stored = hex(&entry["headerHex"]);
        for cryptor in cryptors(&vectors, combo_of(entry)) {
            let header = cryptor.open_header(&stored).unwrap();
            assert_eq!(header.sealed(), stored);
            let written = text(&entry["reservedHex"]) == "ffffffffffffffff";
            if written {
                let random = [hex(&entry["nonceHex"]), hex(&entry["contentKeyHex"])].concat();
                let again = cryptor.create_header(&mut Scripted(random));
                let mut out = vec![0; cryptor.layout().header_len()];
                cryptor.seal_header(&again, &mut out);
                assert_eq!(out, stored);
            }
            for chunk in entry["chunks"].as_array().unwrap() {
                let index = ChunkIndex(number(&chunk["chunkNumber"]));
                let (plain, cipher) = (hex(&chunk["cleartextHex"]), hex(&chunk["ciphertextHex"]));
                let mut opened = vec![0; CHUNK_LEN];
                let len = cryptor
                    .open_chunk(&header, index, &cipher, &mut opened)
                    .unwrap();
                assert_eq!(opened[..len], plain);

                let nonce_len = stored.len()
                    - 40
                    - if cryptor.combo() == CipherCombo::SivGcm {
                        16
                    } else {
                        32
                    };
                let mut rng = Scripted(cipher[..nonce_len].to_vec());
                let mut sealed = vec![0; cipher.len()];
                let len = cryptor.seal_chunk(&header, index, &mut rng, &plain, &mut sealed);
                assert_eq!(sealed[..len], cipher);
            }
        }
    }
}

#[test]
fn streamed_files() {
    let vectors = vectors();
    for entry in entries(&vectors, "streamedFiles") {
        let file = BASE64
            .decode(text(&entry["ciphertextBase64"]).as_bytes())
            .unwrap();
        assert_eq!(file.len() as u64, number(&entry["ciphertextSize"]));
        for cryptor in cryptors(&vectors, combo_of(entry)) {
            let layout = cryptor.layout();
            let header = cryptor.open_header(&file[..layout.header_len()]).unwrap();
            let mut plain = Vec::new();
            let mut chunk = vec![0; CHUNK_LEN];
            let pieces = file[layout.header_len()..].chunks(layout.cipher_chunk_len());
            for (index, piece) in (0..).zip(pieces) {
                let len = cryptor
                    .open_chunk(&header, ChunkIndex(index), piece, &mut chunk)
                    .unwrap();
                plain.extend_from_slice(&chunk[..len]);
            }
            assert_eq!(plain.len() as u64, number(&entry["cleartextSize"]));
            assert_eq!(
                HEXLOWER.encode(&Sha256::digest(&plain)),
                text(&entry["cleartextSha256"])
            );
        }
    }
}

#[test]
fn sizes() {
    let vectors = vectors();
    for entry in entries(&vectors, "sizes") {
        let layout = combo_of(entry).layout();
        let cipher = number(&entry["ciphertextSize"]);
        if let Some(plain) = entry["cleartextSize"].as_u64() {
            assert_eq!(layout.cipher_len(plain), Some(cipher), "{entry}");
            assert_eq!(layout.plain_len(cipher), Ok(plain), "{entry}");
            continue;
        }
        let plain = &entry["cleartextSizeOrInvalid"];
        match plain.as_u64() {
            Some(plain) => assert_eq!(layout.plain_len(cipher), Ok(plain), "{entry}"),
            None => {
                assert_eq!(plain, "invalid");
                assert!(layout.plain_len(cipher).is_err(), "{entry}");
            }
        }
    }
}

#[test]
fn masterkey_files() {
    let vectors = vectors();
    for entry in entries(&vectors, "masterkeyFiles") {
        let content = text(&entry["file"]);
        let file = MasterKeyFile::parse(content.as_bytes()).unwrap();
        assert_eq!(file.render(), content);
        assert_eq!(u64::from(file.version()), number(&entry["version"]));
        let password = text(&entry["password"]);
        assert_eq!(password.as_bytes(), hex(&entry["passwordUtf8Hex"]));
        let key = file.unlock(&Passphrase::new(password.into())).unwrap();
        assert!(key.same_as(&key_of(&entry["masterkeyHex"])));
        assert!(file.version_mac_matches(&key));
        let wrong = Passphrase::new(text(&entry["wrongPassword"]).into());
        assert_eq!(
            file.unlock(&wrong).err(),
            Some(UnlockError::WrongPassphrase)
        );
    }
}

/// The library lets applications add to the salt; as no application does, the salt of the file
/// is salt and addition together here.
#[test]
fn kek_with_pepper() {
    let vectors = vectors();
    let entry = &vectors["kekWithPepper"];
    let salt = [hex(&entry["saltHex"]), hex(&entry["pepperHex"])].concat();
    let content = serde_json::json!({
        "version": 999,
        "scryptSalt": BASE64.encode(&salt),
        "scryptCostParam": entry["N"],
        "scryptBlockSize": entry["r"],
        "primaryMasterKey": BASE64.encode(&hex(&entry["wrappedEncKeyHex"])),
        "hmacMasterKey": BASE64.encode(&hex(&entry["wrappedMacKeyHex"])),
        "versionMac": "",
    });
    let file = MasterKeyFile::parse(content.to_string().as_bytes()).unwrap();
    let key = file
        .unlock(&Passphrase::new(text(&entry["password"]).into()))
        .unwrap();
    assert!(key.same_as(&key_of(&vectors["masterkeyHex"])));
    assert!(!file.version_mac_matches(&key));
}

#[test]
fn version_macs() {
    let vectors = vectors();
    let key = key_of(&vectors["masterkeyHex"]);
    for entry in entries(&vectors, "versionMacs") {
        let version = number(&entry["version"]) as u32;
        let cost = oxcrypt_core::ScryptParams::new(2, 8).unwrap();
        let passphrase = Passphrase::new("x".into());
        let file = MasterKeyFile::lock(&key, &passphrase, cost, version, &mut Scripted(vec![1; 8]));
        assert!(file.version_mac_matches(&key));
        let rendered: Value = serde_json::from_str(&file.render()).unwrap();
        assert_eq!(rendered["versionMac"], entry["versionMacBase64"]);
        assert!(file.unlock(&passphrase).unwrap().same_as(&key));
    }
}

#[test]
fn recovery_keys() {
    let vectors = vectors();
    for entry in entries(&vectors, "recoveryKeys") {
        let key = key_of(&entry["masterkeyHex"]);
        let words = text(&entry["words"]);
        assert_eq!(recovery::encode(&key).as_str(), words);
        assert!(recovery::decode(words).unwrap().same_as(&key));
        let typed = words.to_uppercase().replace(' ', " \n\t");
        assert!(recovery::decode(&typed).unwrap().same_as(&key));
    }
}

#[test]
fn recovery_keys_that_must_fail() {
    let vectors = vectors();
    for entry in entries(&vectors, "recoveryKeysThatMustFail") {
        let error = recovery::decode(text(&entry["words"])).unwrap_err();
        match text(&entry["why"]) {
            "43 words" => assert_eq!(error, RecoveryError::WordCount(43)),
            "42 words" => assert_eq!(error, RecoveryError::WordCount(42)),
            "46 words" => assert_eq!(error, RecoveryError::WordCount(46)),
            "two words swapped (checksum)" => assert_eq!(error, RecoveryError::Checksum),
            "unknown word" => {
                assert!(matches!(
                    error,
                    RecoveryError::UnknownWord { position: 8, .. }
                ));
            }
            other => panic!("a new case: {other}"),
        }
    }
}

#[test]
fn vault_configs() {
    use oxcrypt_core::ConfigError;
    let vectors = vectors();
    let key = key_of(&vectors["masterkeyHex"]);
    for entry in entries(&vectors, "vaultConfigs") {
        let result = UnverifiedVaultConfig::parse(text(&entry["token"]).as_bytes())
            .and_then(|config| Ok((config.algorithm(), config.verify(&key)?)));
        if entry["valid"] == true {
            let (algorithm, config) = result.unwrap();
            assert_eq!(algorithm.as_str(), text(&entry["alg"]));
            assert_eq!(config.combo(), CipherCombo::SivGcm);
            assert_eq!(config.threshold(), 220);
            continue;
        }
        let expect = match text(&entry["why"]) {
            "body changed" => ConfigError::Signature,
            "alg none" => ConfigError::Algorithm,
            "format 9, signature right" => ConfigError::Format(Some(9)),
            "unknown cipherCombo, signature right" => ConfigError::Combo(Some("UVF_DRAFT".into())),
            other => panic!("a new case: {other}"),
        };
        assert_eq!(result.unwrap_err(), expect);
    }
}

#[test]
fn backup_names() {
    let vectors = vectors();
    for entry in entries(&vectors, "backupNames") {
        let name = oxcrypt_core::backup_name("x.y", text(&entry["content"]).as_bytes());
        assert_eq!(name, format!("x.y{}", text(&entry["suffix"])));
        assert!(oxcrypt_core::is_backup_of(&name, "x.y"));
        assert!(!oxcrypt_core::is_backup_of(&name, "x"));
    }
}

#[test]
fn no_section_is_left_out() {
    let vectors = vectors();
    let sections: Vec<_> = vectors
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let tested = [
        "backupNames",
        "directoryIds",
        "encKeyHex",
        "fileHeadersAndChunks",
        "kekWithPepper",
        "macKeyHex",
        "masterkeyFiles",
        "masterkeyHex",
        "names",
        "namesThatMustFail",
        "note",
        "recoveryKeys",
        "recoveryKeysThatMustFail",
        "sizes",
        "streamedFiles",
        "vaultConfigs",
        "versionMacs",
    ];
    let mut sorted = sections.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, tested);
}
