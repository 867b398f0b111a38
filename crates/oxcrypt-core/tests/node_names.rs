//! Names of nodes as sync programs, old formats and damaged vaults leave them.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::cell::Cell;

use oxcrypt_core::legacy::{LegacyKind, LegacyName, legacy_node, long_name_hash, long_name_path};
use oxcrypt_core::name::conflict::{conflict_names, extract};
use oxcrypt_core::name::{self, NameFile, NameFileError};
use oxcrypt_core::{
    CipherCombo, CleartextName, Cryptor, DirId, MasterKey, NameBuf, NameError, NodeKind,
};
use serde_json::Value;

fn cryptor() -> Cryptor {
    Cryptor::new(&MasterKey::from_raw(&[3; 64]), CipherCombo::SivGcm, 220)
}

fn sealed(cryptor: &Cryptor, name: &str) -> String {
    let dir = cryptor.dir_names(&DirId::ROOT);
    let name = CleartextName::from_text(name).unwrap();
    let sealed = cryptor.seal_name(&dir, &name);
    sealed.node_str().strip_suffix(".c9r").unwrap().to_owned()
}

/// The parts found in `prefix NAME suffix .c9r`, for names of all paddings.
fn check_found(prefix: &str, suffix: &str) {
    let cryptor = cryptor();
    let dir = cryptor.dir_names(&DirId::ROOT);
    for i in 0..200 {
        let text = sealed(&cryptor, &format!("{}{i}", "x".repeat(i % 7)));
        let node = format!("{prefix}{text}{suffix}.c9r");
        let opens = |text: &[u8]| {
            let full = [text, b".c9r"].concat();
            cryptor.open_name(&dir, &full, &mut NameBuf::new()).is_ok()
        };
        let found = extract(node.as_bytes(), opens).unwrap_or_else(|| panic!("in {node}"));
        assert_eq!(found.text, text.as_bytes());
        assert_eq!(found.prefix, prefix.as_bytes());
        assert_eq!(found.suffix, suffix.as_bytes());
        assert_eq!(found.is_whole(), prefix.is_empty() && suffix.is_empty());
    }
}

#[test]
fn an_encrypted_name_is_found_between_what_sync_programs_add() {
    check_found("", "");
    check_found("", " (1)");
    check_found("", " (Created by Alice)");
    check_found("", "_conflict-20240102-030405");
    check_found("", "-LAPTOP_2024-01-02_03-04-05");
    check_found("conflict_", "");
    check_found("._", "");
    check_found("copy of ", " - copy");
    check_found("conflict-1-", "_2");
}

#[test]
fn junk_costs_a_bounded_number_of_tries() {
    let junk = [
        "-".repeat(200),
        "_-".repeat(4000),
        "A-".repeat(120),
        format!("{}=", "-".repeat(199)),
        "=".repeat(200),
        String::new(),
    ];
    for junk in junk {
        let tries = Cell::new(0);
        let node = format!("{junk}.c9r");
        let found = extract(node.as_bytes(), |_| {
            tries.set(tries.get() + 1);
            false
        });
        assert_eq!(found, None);
        assert!(tries.get() <= 128, "{} tries", tries.get());
    }
    assert_eq!(extract(b"AAAAAAAAAAAAAAAAAAAAAAAA", |_| true), None);
}

#[test]
fn conflicting_copies_get_names_that_fit() {
    let names = |clear: &str, suffix: &str, threshold| {
        conflict_names(clear, suffix.as_bytes(), threshold)
            .map(|name| name.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let plain = names("businessPitch.odp", " (Created by Alice)", 220);
    assert_eq!(plain[0], "businessPitch (Created by Alice).odp");
    assert_eq!(plain[1], "businessPitch (1).odp");
    assert_eq!(plain[9], "businessPitch (9).odp");
    assert_eq!(plain.len(), 10);
    assert_eq!(names(".hidden", "", 220)[..2], [".hidden", ".hidden (1)"]);
    for threshold in [28, 36, 100, 220, 10_240] {
        let room = name::max_cleartext_len(threshold).min(255);
        for clear in [
            "x".repeat(255),
            "\u{20ac}".repeat(85),
            format!("{}.tar.gz", "\u{e9}".repeat(120)),
        ] {
            for suffix in ["", " (1)", &"\u{20ac}".repeat(80)] {
                let all = names(&clear, suffix, threshold);
                assert_eq!(all.len(), 10, "{clear} {suffix} {threshold}");
                for name in all {
                    assert!(
                        !name.starts_with(' ') && !name.starts_with(".tar"),
                        "{name}"
                    );
                    // Where nothing of the name would be left, it becomes a shortened one.
                    assert!(
                        name.len() <= room || room < 20,
                        "{} > {room}: {name}",
                        name.len()
                    );
                }
            }
        }
    }
    assert_eq!(name::max_cleartext_len(220), 146);
    // Not even UTF-8.
    let first = conflict_names("a.txt", b"\xff", 220).next().unwrap();
    assert_eq!(first.as_str(), "a.txt");
}

#[test]
fn only_the_canonical_spelling_of_a_name_is_opened() {
    let cryptor = cryptor();
    let dir = cryptor.dir_names(&DirId::ROOT);
    let open = |name: &str| {
        cryptor
            .open_name(&dir, name.as_bytes(), &mut NameBuf::new())
            .map(str::to_owned)
    };
    let text = sealed(&cryptor, "a");
    assert_eq!(open(&format!("{text}.c9r")), Ok("a".into()));
    let (start, "=") = text.split_at(text.len() - 1) else {
        panic!("17 bytes end in one =")
    };
    let (start, last) = start.split_at(start.len() - 1);
    // 17 bytes leave two unused bits in the last character.
    let next = char::from(last.as_bytes()[0] + 1);
    if next.is_ascii_alphanumeric() {
        assert_eq!(
            open(&format!("{start}{next}=.c9r")),
            Err(NameError::NotCanonical)
        );
    }
    for other in [
        format!("{start}{last}.c9r"),
        format!("{text}.c9s"),
        text.clone(),
        format!("{text} (1).c9r"),
        ".c9r".into(),
        String::new(),
        "AAAA.c9r".into(),
        // Two padded texts in a row: 15 and 17 bytes, if they were one.
        "pfX1nb35vtkGwyUT5dQ=dQ==.c9r".into(),
        "pfX1nb35vtkGwyUT5dQ=dQE=dQE=.c9r".into(),
    ] {
        assert_eq!(open(&other), Err(NameError::NotEncrypted), "{other}");
    }
    assert_eq!(
        open(&format!("{}.c9r", "A".repeat(10_000))),
        Err(NameError::TooLong)
    );
    assert_eq!(
        open(&format!("{}.c9r", "A".repeat(364))),
        Err(NameError::TooLong)
    );
    assert_eq!(
        open(&format!("{}.c9r", "A".repeat(360))),
        Err(NameError::Authentication)
    );
}

#[test]
fn names_no_file_system_can_hold_are_refused() {
    for (name, expect) in [
        ("", NameError::Invalid),
        (".", NameError::Invalid),
        ("..", NameError::Invalid),
        ("a/b", NameError::Invalid),
        ("a\0", NameError::Invalid),
        (&"x".repeat(256), NameError::TooLong),
        (&"x".repeat(1 << 20), NameError::TooLong),
        // U+0958 becomes two characters in NFC.
        (&"\u{958}".repeat(85), NameError::TooLong),
    ] {
        assert_eq!(CleartextName::from_text(name).err(), Some(expect));
    }
    assert_eq!(
        CleartextName::parse(b"\xff").err(),
        Some(NameError::NotUtf8)
    );
    // 384 bytes as given, 128 in NFC.
    assert!(CleartextName::from_text(&"a\u{308}".repeat(127)).is_ok());
    assert!(CleartextName::from_text(&"x".repeat(255)).is_ok());
    assert!(CleartextName::from_text("...").is_ok());
}

/// Decomposing makes names up to three times as long; what comes back must fit a file system.
#[test]
fn a_name_too_long_when_decomposed_has_no_such_spelling() {
    for (letter, count, decomposes) in [
        ("\u{e9}", 85, true),
        ("\u{e9}", 127, false),
        ("\u{390}", 127, false),
    ] {
        let name = letter.repeat(count);
        let name = CleartextName::parse(name.as_bytes()).unwrap();
        let decomposed = name.decomposed();
        assert_eq!(decomposed.is_some(), decomposes, "{count}");
        if let Some(decomposed) = decomposed {
            assert_eq!(decomposed.as_str().len(), 255);
            let cryptor = cryptor();
            let sealed = cryptor.seal_name(&cryptor.dir_names(&DirId::ROOT), &decomposed);
            assert!(sealed.is_long());
        }
    }
}

#[test]
fn kinds_of_entries() {
    let long = "A".repeat(24);
    for (entry, kind) in [
        (format!("{long}.c9r"), NodeKind::Regular),
        (format!("{long}.c9s"), NodeKind::Shortened),
        (format!("{long}.c9u"), NodeKind::InUse),
        (format!("{long}.tmp"), NodeKind::Foreign),
        ("dirid.c9r".into(), NodeKind::Foreign),
        (String::new(), NodeKind::Foreign),
    ] {
        assert_eq!(NodeKind::of(entry.as_bytes()), kind, "{entry}");
    }
}

#[test]
fn name_files() {
    let cryptor = cryptor();
    let name = CleartextName::from_text("x").unwrap();
    let full = cryptor.seal_name(&cryptor.dir_names(&DirId::ROOT), &name);
    let short = oxcrypt_core::ShortName::of(full.full());
    let file = NameFile::parse(full.full()).unwrap();
    assert_eq!((file.full(), file.trailing_len()), (full.full(), 0));
    assert!(file.belongs_to(short.as_bytes()));
    assert!(!file.belongs_to(b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=.c9s"));
    let longer = [full.full(), b"rest.c9r"].concat();
    let file = NameFile::parse(&longer).unwrap();
    assert_eq!((file.full(), file.trailing_len()), (full.full(), 8));
    for (content, expect) in [
        (&b""[..], NameFileError::NoName),
        (b".c9r", NameFileError::NotBase64),
        (b"a b.c9r", NameFileError::NotBase64),
        (b"AAAA", NameFileError::NoName),
        (&[b'A'; 10_241], NameFileError::TooLong),
    ] {
        assert_eq!(NameFile::parse(content), Err(expect));
    }
}

/// Directories of the official sample vaults of formats 5 and 6, before and after the official
/// migration.
#[test]
fn legacy_names_migrate_as_the_official_migration_does() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/legacy_names.json")).unwrap();
    let strings = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_str().unwrap().to_owned())
            .collect()
    };
    for (format, vault) in vectors.as_object().unwrap() {
        let version = format[1..].parse().unwrap();
        let mut migrated_count = 0;
        let (long_names, name_files) = (&vault["longNames"], &vault["nameFiles"]);
        for (dir, names) in vault["dirs"].as_object().unwrap() {
            let mut migrated = Vec::new();
            for node in strings(&names["before"]) {
                let inflated = long_name_hash(&node).map(|hash| {
                    let [.., file] = long_name_path(hash);
                    long_names[file].as_str().unwrap()
                });
                let name = LegacyName::find(inflated.unwrap_or(&node)).unwrap();
                let (new, full) = name.migrated_node(220);
                if let Some(full) = full {
                    assert_eq!(name_files[&new].as_str(), Some(full.as_str()), "{format}");
                }
                if inflated.is_none() {
                    let sealed = name.as_str().strip_prefix(name.kind().prefix()).unwrap();
                    let sealed = data_encoding::BASE32.decode(sealed.as_bytes()).unwrap();
                    assert_eq!(
                        legacy_node(version, name.kind(), &sealed),
                        (node.clone(), None)
                    );
                }
                if let Some(inflated) = inflated {
                    let prefix = name.kind().prefix();
                    let sealed = data_encoding::BASE32
                        .decode(inflated.strip_prefix(prefix).unwrap().as_bytes())
                        .unwrap();
                    let expect = (node, Some(inflated.to_owned()));
                    assert_eq!(legacy_node(version, name.kind(), &sealed), expect);
                }
                migrated.push(new);
            }
            migrated.sort();
            let mut after = strings(&names["after"]);
            after.sort();
            migrated_count += after.len();
            assert_eq!(migrated, after, "{format} {dir}");
        }
        assert!(migrated_count > 50, "{format}");
    }
}

#[test]
fn legacy_names_are_found_in_what_sync_programs_make_of_them() {
    let base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEF==";
    let sealed = data_encoding::BASE32.decode(base32.as_bytes());
    assert!(sealed.is_err(), "trailing bits");
    let base32 = data_encoding::BASE32.encode(&[0xa5; 17]);
    for (prefix, kind) in [
        ("", LegacyKind::File),
        ("0", LegacyKind::Directory),
        ("1S", LegacyKind::Symlink),
    ] {
        for (before, after) in [
            ("", ""),
            ("", " (1)"),
            ("copy of ", ""),
            ("x ", "_conflict"),
        ] {
            let node = format!("{before}{prefix}{base32}{after}");
            let name = LegacyName::find(&node).unwrap();
            assert_eq!(name.kind(), kind, "{node}");
            assert_eq!(name.as_str(), format!("{prefix}{base32}"));
        }
    }
    for junk in ["", "0", "1S", "readme.txt", "dirid.c9r", &"=".repeat(300)] {
        assert_eq!(LegacyName::find(junk).map(|n| n.migrated()), None, "{junk}");
    }
    assert_eq!(LegacyName::find(&"A".repeat(10_241)), None);
    assert_eq!(long_name_hash("ABC.lng"), None);
    assert_eq!(LegacyKind::File.migrated_payload(false), None);
    assert_eq!(
        LegacyKind::File.migrated_payload(true),
        Some("contents.c9r")
    );
}
