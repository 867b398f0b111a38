//! Recovery, checking, mending, migration: drills with real damages.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use oxcrypt_tests::{official, vaults};
use support::schema::check_lines;
use support::{Ox, PASSPHRASE, tree};

const PW: &str = "--password-file pw";

fn with_words() -> Ox {
    let ox = Ox::new();
    ox.vault();
    ox.run(&format!("recovery show v --out words {PW}")).good();
    ox.write("new", "a new passphrase");
    ox
}

#[test]
fn both_files_lost_and_a_sample_damaged() {
    let ox = with_words();
    let place = ox.run(&format!("locate v /docs/hello.txt {PW}")).good().out;
    ox.write("more", support::noise(100_000, 4));
    ox.run(&format!("put v more / {PW}")).good();
    let file = ox.path("v").join(place.split('\t').next().unwrap().trim());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 0xff;
    std::fs::write(&file, bytes).unwrap();
    for entry in std::fs::read_dir(ox.path("v")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::remove_file(path).unwrap();
        }
    }
    ox.run(&format!("ls v {PW}")).ended(4);

    // Wrong words change nothing.
    let before = tree(&ox.path("v"));
    let other = Ox::new();
    other.vault();
    other
        .run(&format!("recovery show v --out words {PW}"))
        .good();
    std::fs::copy(other.path("words"), ox.path("foreign")).unwrap();
    ox.run("recover v --from-words foreign --new-password-file new")
        .ended(3);
    let mut swapped: Vec<String> = std::fs::read_to_string(ox.path("words"))
        .unwrap()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    swapped.swap(3, 17);
    ox.write("swapped", swapped.join(" "));
    ox.run("recover v --from-words swapped --new-password-file new")
        .failed(3, "recovery key");
    ox.run("recover v --from-words words --dry-run").good();
    assert_eq!(before, tree(&ox.path("v")));

    ox.run("recover v --from-words words --new-password-file new")
        .good();
    assert_eq!(
        ox.run("ls v --password-file new").good().out,
        "docs\nmore\n"
    );
    let got = ox.run("cat v /more --password-file new").good();
    assert_eq!(got.raw, support::noise(100_000, 4));
    ox.run("cat v /docs/hello.txt --password-file new")
        .ended(10);
    // Again there is nothing to do.
    ox.run("recover v --from-words words").good();
}

#[test]
fn backups_come_first() {
    let ox = with_words();
    std::fs::remove_file(ox.path("v/vault.cryptomator")).unwrap();
    std::fs::write(ox.path("v/masterkey.cryptomator"), "garbage").unwrap();
    let done = ox.run("recover v").good();
    assert_eq!(
        done.out.matches("restored from backup").count(),
        2,
        "{}",
        done.out
    );
    ox.run(&format!("ls v {PW}")).good();
}

#[test]
fn the_configuration_alone_by_passphrase() {
    let ox = with_words();
    for entry in std::fs::read_dir(ox.path("v")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("vault.cryptomator") {
            std::fs::remove_file(path).unwrap();
        }
    }
    ox.run(&format!("recover v {PW}")).good();
    ox.run(&format!("check v {PW}")).good();
}

#[test]
fn a_forgotten_passphrase() {
    let ox = with_words();
    ox.run("recovery reset v --from-words words --new-password-file new")
        .good();
    ox.run("ls v --password-file new").good();
    ox.run(&format!("ls v {PW}")).ended(3);
    let words = std::fs::read(ox.path("words")).unwrap();
    ox.fed("recovery verify v", &words).good();
    ox.fed("recovery verify v", b"one two three")
        .failed(3, "44 words");
}

#[test]
fn copies_of_the_key_files() {
    let ox = with_words();
    ox.run("backup-config v safe").good();
    ox.run("backup-config v safe").good();
    assert_eq!(std::fs::read_dir(ox.path("safe")).unwrap().count(), 2);
}

/// Ten damages of different kinds, in vaults of the official implementation: the check names each,
/// mending finds nothing left that it could mend, and the official checker agrees.
#[test]
fn damages_are_found_and_mended() {
    for (case, code) in [
        ("dirid_backup_missing", "missing_dirid_backup"),
        ("dirfile_missing", "orphan_content_dir"),
        ("content_dir_missing", "missing_content_dir"),
        ("c9s_name_mismatch", "mismatch"),
        ("c9s_name_trailing", "trailing_bytes"),
        ("chunk_tampered_first", "chunk_auth"),
        ("chunks_swapped", "chunk_auth"),
        ("chunk_truncated_overhead", "truncated"),
        ("c9s_name_missing", "missing_long_name"),
        ("dirfile_loose", "loose_dirfile"),
    ] {
        let vault = vaults::corrupt(case);
        let password = vault.manifest["password"].as_str().map_or_else(
            || {
                vaults::corrupt("base").manifest["password"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            },
            str::to_owned,
        );
        let ox = Ox::new();
        ox.write("pw", &password);
        let path = vault.path.display().to_string();
        let found = ox.words(&["--json", "check", &path, "--password-file", "pw"]);
        let lines = check_lines(&found.out);
        assert!(
            lines.iter().any(|l| l["code"] == code),
            "{case}: {}",
            found.out
        );
        let unfixable = |lines: &[serde_json::Value]| {
            lines
                .iter()
                .filter(|l| l["severity"] == "error" && l["fix"].is_null())
                .count()
        };
        let before = unfixable(&lines);
        ox.words(&["check", &path, "--fix-safe", "--password-file", "pw"]);
        let after = ox.words(&["--json", "check", &path, "--password-file", "pw"]);
        let lines = check_lines(&after.out);
        assert!(
            lines.iter().all(|l| l["fix"].is_null()),
            "{case}: {}",
            after.out
        );
        assert!(unfixable(&lines) <= before, "{case}: {}", after.out);
        if after.code == 0
            && let Some(verdict) = official::official_health(&vault.path, &password)
        {
            assert!(verdict.good, "{case}: {}", verdict.report);
        }
    }
}

/// Ten damages in one vault: the check finds exactly these, each in its place; mending takes what can
/// be mended, loses nothing that can be read, and the official checker agrees.
#[test]
fn ten_damages_in_one_vault() {
    use std::fs;
    let vault = vaults::v8("v8_gcm");
    let ox = Ox::new();
    ox.write("pw", vault.password());
    let path = vault.path.display().to_string();
    let entries = vault.manifest["entries"].as_array().unwrap();
    let nodes = |test: &dyn Fn(&serde_json::Value, &str) -> bool| -> Vec<String> {
        entries
            .iter()
            .filter_map(|entry| {
                let node = entry["ciphertextPath"].as_str()?;
                test(entry, node).then(|| node.to_owned())
            })
            .collect()
    };
    let files = nodes(&|entry, node| {
        let len = entry["ciphertextSize"].as_u64().unwrap_or(0);
        entry["type"] == "file" && node.ends_with(".c9r") && len > 100
    });
    let long = nodes(&|entry, node| entry["type"] == "file" && node.ends_with(".c9s"));
    let links = nodes(&|entry, node| entry["type"] == "symlink" && node.ends_with(".c9r"));
    let entry_of = |path: &str| entries.iter().find(|e| e["path"] == path).unwrap();
    let at = |inside: &str| vault.path.join(inside);
    let mut damaged: Vec<(&str, String)> = Vec::new();
    let mut lost = std::collections::BTreeSet::new();
    let mut damage = |code, place: &str| damaged.push((code, place.to_owned()));
    let mut spoil = |file: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(at(file)).unwrap();
        change(&mut bytes);
        fs::write(at(file), bytes).unwrap();
        lost.insert(file.to_owned());
    };
    // What cannot be read any more.
    spoil(&files[0], &|bytes| *bytes.last_mut().unwrap() ^= 1);
    damage("chunk_auth", &files[0]);
    spoil(&files[1], &|bytes| bytes[20] ^= 1);
    damage("header_auth", &files[1]);
    spoil(&files[2], &|bytes| bytes.truncate(68 + 10));
    damage("truncated", &files[2]);
    spoil(&files[3], &|bytes| bytes.clear());
    damage("zero_byte_file", &files[3]);
    let link = format!("{}/symlink.c9r", links[0]);
    spoil(&link, &|bytes| bytes.resize(40_000, 0));
    damage("link_target", &link);
    // What is out of place.
    let empty = entry_of("/empty-jat");
    fs::remove_dir_all(at(empty["contentDir"].as_str().unwrap())).unwrap();
    let dir_file = format!("{}/dir.c9r", empty["ciphertextPath"].as_str().unwrap());
    damage("missing_content_dir", &dir_file);
    let moved = long[0].replace(
        long[0].rsplit('/').next().unwrap(),
        &format!("{}.c9s", "A".repeat(28)),
    );
    fs::rename(at(&long[0]), at(&moved)).unwrap();
    damage("mismatch", &moved);
    let name = format!("{}/name.c9s", long[1]);
    let text = fs::read_to_string(at(&name)).unwrap();
    fs::write(at(&name), text + "and more").unwrap();
    damage("trailing_bytes", &name);
    let content = entry_of("/deep-rilep")["contentDir"].as_str().unwrap();
    fs::remove_file(at(content).join("dirid.c9r")).unwrap();
    damage("missing_dirid_backup", content);
    let strange = format!("{content}/{}", files[4].rsplit('/').next().unwrap());
    fs::rename(at(&files[4]), at(&strange)).unwrap();
    damage("name_auth", &strange);

    let found = ox
        .words(&["--json", "check", "--data", &path, "--password-file", "pw"])
        .ended(11);
    let mut told: Vec<(String, String)> = check_lines(&found.out)
        .iter()
        .filter_map(|line| {
            let text = |key: &str| Some(line[key].as_str()?.to_owned());
            Some((text("code")?, text("cipher_path")?))
        })
        .collect();
    told.sort();
    let mut expect: Vec<(String, String)> = damaged
        .into_iter()
        .map(|(code, place)| (code.to_owned(), place))
        .collect();
    expect.sort();
    assert_eq!(told, expect);

    ox.words(&["check", "--fix-safe", &path, "--password-file", "pw"])
        .ended(11);
    let left = ox.words(&["--json", "check", &path, "--password-file", "pw"]);
    let left: Vec<_> = check_lines(&left.out)
        .iter()
        .filter_map(|line| Some(line["code"].as_str()?.to_owned()))
        .collect();
    let unmendable = [
        "chunk_auth",
        "header_auth",
        "truncated",
        "zero_byte_file",
        "link_target",
    ];
    assert_eq!(left.len(), unmendable.len(), "{left:?}");
    assert!(
        unmendable.iter().all(|code| left.iter().any(|l| l == code)),
        "{left:?}"
    );
    if let Some(verdict) = official::official_health(&vault.path, vault.password()) {
        assert!(verdict.good, "{}", verdict.report);
    }
    // Everything else is there, in its place or in LOST+FOUND.
    ox.words(&["get", "-r", &path, "/", "out", "--password-file", "pw"])
        .ended(10);
    let have: std::collections::BTreeSet<String> = tree(&ox.path("out"))
        .into_iter()
        .map(|(_, content)| sha256(&content))
        .collect();
    for entry in entries.iter().filter(|e| e["type"] == "file") {
        let node = entry["ciphertextPath"].as_str().unwrap();
        let is_lost = lost.contains(node);
        let is_there = have.contains(entry["sha256"].as_str().unwrap());
        assert!(is_lost || is_there, "{}", entry["path"]);
    }
}

#[test]
fn a_report_and_only_the_chosen_fix() {
    let vault = vaults::corrupt("dirid_backup_missing");
    let ox = Ox::new();
    ox.write(
        "pw",
        vault.manifest["password"].as_str().unwrap_or(PASSPHRASE),
    );
    let password = vaults::corrupt("base").manifest["password"]
        .as_str()
        .map(str::to_owned);
    if let Some(password) = password {
        ox.write("pw", password);
    }
    let path = vault.path.display().to_string();
    ox.words(&[
        "check",
        &path,
        "--report",
        "report",
        "--password-file",
        "pw",
    ]);
    let report = std::fs::read_to_string(ox.path("report")).unwrap();
    assert!(report.contains("missing_dirid_backup"), "{report}");
    check_lines(&report);
    ox.words(&["check", &path, "--fix", "mismatch", "--password-file", "pw"]);
    let still = ox
        .words(&["--json", "check", &path, "--password-file", "pw"])
        .out;
    assert!(still.contains("missing_dirid_backup"), "{still}");
    ox.words(&[
        "check",
        &path,
        "--fix",
        "missing_dirid_backup",
        "--password-file",
        "pw",
    ])
    .good();
    let after = ox
        .words(&["--json", "check", &path, "--password-file", "pw"])
        .good()
        .out;
    assert!(!after.contains("missing_dirid_backup"), "{after}");
}

#[test]
fn official_vaults_of_format_8() {
    for name in [
        "v8_gcm",
        "v8_ctrmac",
        "v8_gcm_t100",
        "v8_default_cost",
        "v8_hs384",
        "v8_hs512",
    ] {
        let vault = vaults::v8(name);
        let ox = Ox::new();
        ox.write("pw", vault.password());
        let path = vault.path.display().to_string();
        let got = ox.words(&["get", "-r", &path, "/", "out", "--password-file", "pw"]);
        // One link is longer than Linux can hold.
        let too_long = got.err.matches("File name too long").count();
        assert!(
            got.code == 0 || (got.code == 15 && too_long == 1),
            "{}",
            got.err
        );
        compare(&ox, &vault.manifest);
        ox.words(&["check", &path, "--password-file", "pw"]).good();
        ox.write("new", "another passphrase");
        ox.words(&[
            "passwd",
            &path,
            "--password-file",
            "pw",
            "--new-password-file",
            "new",
        ])
        .good();
        ox.words(&["ls", &path, "--password-file", "new"]).good();
        if let Some(verdict) = official::official_health(&vault.path, "another passphrase") {
            assert!(verdict.good, "{name}: {}", verdict.report);
        }
    }
}

#[test]
fn official_vaults_of_old_formats() {
    for version in [5, 6, 7] {
        let vault = vaults::legacy(version);
        let ox = Ox::new();
        ox.write("pw", vault.password());
        let path = vault.path.display().to_string();
        let before = vault.snapshot();
        ox.words(&["migrate", &path, "--dry-run", "--password-file", "pw"])
            .good();
        ox.write("wrong", "wrong");
        ox.words(&["migrate", &path, "--password-file", "wrong"])
            .ended(3);
        assert_eq!(before, vault.snapshot(), "format {version}");
        for command in ["ls", "get", "check"] {
            let words: &[&str] = if command == "get" {
                &["get", "-r", &path, "/", "out", "--password-file", "pw"]
            } else {
                &[command, &path, "--password-file", "pw"]
            };
            ox.words(words).failed(12, "oxcrypt migrate");
        }
        // A new passphrase before the migration, and the same key after it.
        ox.write("new", "another one");
        let passwd = ["passwd", &path, "--password-file", "pw"];
        ox.words(&[&passwd[..], &["--new-password-file", "new"]].concat())
            .good();
        ox.words(&["migrate", &path, "--password-file", "pw"])
            .ended(3);
        ox.write("pw", "another one");
        ox.words(&["migrate", &path, "--password-file", "pw"])
            .good();
        ox.words(&["migrate", &path, "--password-file", "pw"])
            .good();
        ox.words(&["get", "-r", &path, "/", "out", "--password-file", "pw"])
            .good();
        compare(&ox, &vault.manifest);
        ox.words(&["check", &path, "--password-file", "pw"]).good();
        if let Some(verdict) = official::official_health(&vault.path, "another one") {
            assert!(verdict.good, "format {version}: {}", verdict.report);
        }
    }
}

fn sha256(content: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    data_encoding::HEXLOWER.encode(&Sha256::digest(content))
}

/// What was got against what the maker of the vault wrote down.
fn compare(ox: &Ox, manifest: &serde_json::Value) {
    for entry in manifest["entries"].as_array().unwrap() {
        if entry["target"].as_str().is_some_and(|t| t.len() > 4094) {
            continue;
        }
        let path = ox.path("out").join(&entry["path"].as_str().unwrap()[1..]);
        let meta = std::fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        match entry["type"].as_str().unwrap() {
            "dir" => assert!(meta.is_dir(), "{path:?}"),
            "symlink" => {
                let target = std::fs::read_link(&path).unwrap();
                assert_eq!(target.to_str(), entry["target"].as_str(), "{path:?}");
            }
            _ => {
                let content = std::fs::read(&path).unwrap();
                assert_eq!(
                    Some(sha256(&content).as_str()),
                    entry["sha256"].as_str(),
                    "{path:?}"
                );
            }
        }
    }
}
