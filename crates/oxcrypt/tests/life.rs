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
        ox.words(&["migrate", &path, "--password-file", "pw"])
            .good();
        ox.words(&["migrate", &path, "--password-file", "pw"])
            .good();
        ox.words(&["get", "-r", &path, "/", "out", "--password-file", "pw"])
            .good();
        compare(&ox, &vault.manifest);
        ox.words(&["check", &path, "--password-file", "pw"]).good();
    }
}

/// What was got against what the maker of the vault wrote down.
fn compare(ox: &Ox, manifest: &serde_json::Value) {
    use sha2::{Digest, Sha256};
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
                let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&content));
                assert_eq!(Some(hash.as_str()), entry["sha256"].as_str(), "{path:?}");
            }
        }
    }
}
