//! A check finds what the official one finds, and what that does not look at; fixes lose nothing
//! and leave a vault the official check calls good.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use oxcrypt_core::{CleartextName, Cryptor, DirId, Passphrase};
use oxcrypt_store::{At, Call, Fault, FaultStore, LocalStore, StoreErrorKind};
use oxcrypt_tests::official::official_health;
use oxcrypt_tests::vaults::{self, Vault};
use oxcrypt_vault::check::{
    CheckOptions, CheckSummary, Code, Event, Finding, Severity, check, repair,
};
use oxcrypt_vault::open_key;

fn cryptor_of(vault: &Vault) -> Cryptor {
    let store = LocalStore::open(&vault.path).unwrap();
    let open = open_key(&store, &Passphrase::new(vault.password().to_owned())).unwrap();
    Cryptor::new(&open.key, open.config.combo(), open.config.threshold())
}

fn run_with(
    path: &Path,
    cryptor: &Cryptor,
    options: &CheckOptions,
) -> (Vec<Finding>, CheckSummary) {
    let store = LocalStore::open(path).unwrap();
    let mut findings = Vec::new();
    let summary = check(&store, cryptor, options, &mut |event| {
        if let Event::Finding(finding) = event {
            findings.push(finding);
        }
        ControlFlow::Continue(())
    });
    (findings, summary)
}

fn run(vault: &Vault) -> Vec<Finding> {
    run_with(&vault.path, &cryptor_of(vault), &CheckOptions::default()).0
}

fn codes(findings: &[Finding]) -> Vec<Code> {
    let mut codes: Vec<Code> = findings.iter().map(|finding| finding.code).collect();
    codes.sort_unstable();
    codes
}

#[test]
fn sound_vaults_are_good_and_counted_whole() {
    for name in [
        "v8_gcm",
        "v8_ctrmac",
        "v8_gcm_t100",
        "v8_default_cost",
        "v8_hs384",
        "v8_empty_gcm",
    ] {
        let vault = vaults::v8(name);
        let (findings, summary) =
            run_with(&vault.path, &cryptor_of(&vault), &CheckOptions::default());
        assert_eq!(codes(&findings), [], "{name}: {findings:#?}");
        assert!(summary.is_good());
        let entries = vault.manifest["entries"].as_array().unwrap();
        let sizes: u64 = entries
            .iter()
            .filter_map(|entry| entry["ciphertextSize"].as_u64())
            .sum();
        assert!(
            summary.progress.bytes >= sizes,
            "{name}: every byte of every file is checked"
        );
        assert_eq!(summary.progress.dirs, summary.progress.dirs_total);
    }
}

#[test]
fn migrated_vaults_only_lack_directory_id_copies() {
    for version in [5, 6, 7] {
        let vault = vaults::legacy_migrated(version);
        let found: BTreeSet<Code> = run(&vault).iter().map(|finding| finding.code).collect();
        assert!(
            found.iter().all(|code| *code == Code::MissingDirIdBackup),
            "{found:?}"
        );
    }
}

/// The official name of a result for each of our codes that has one.
fn official_name(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Collision => "DirIdCollision",
        Code::EmptyDirFile => "EmptyDirFile",
        Code::LooseDirFile => "LooseDirFile",
        Code::ObeseDirFile => "ObeseDirFile",
        Code::MissingContentDir => "MissingContentDir",
        Code::MissingDirIdBackup => "MissingDirIdBackup",
        Code::OrphanContentDir => "OrphanContentDir",
        Code::NameMismatch => "LongShortNamesMismatch",
        Code::MissingLongName => "MissingLongName",
        Code::NotDecodable => "NotDecodableLongName",
        Code::ObeseNameFile => "ObeseNameFile",
        Code::TrailingBytes => "TrailingBytesInNameFile",
        Code::AmbiguousType => "AmbiguousType",
        Code::UnknownType => "UnknownType",
        _ => return None,
    })
}

fn official_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "INFO",
        Severity::Warning => "WARN",
        Severity::Critical => "CRITICAL",
    }
}

/// Damaged vaults whose key files are in order.
fn checkable() -> Vec<String> {
    let unlockable = |case: &String| {
        let is_key_case = case.starts_with("config_") || case.starts_with("masterkey_");
        !is_key_case
    };
    vaults::corrupt_cases()
        .into_iter()
        .filter(unlockable)
        .collect()
}

#[test]
fn everything_the_official_check_finds_is_found() {
    let cases = checkable();
    assert!(cases.len() > 60);
    for case in cases {
        let vault = vaults::corrupt(&case);
        let mut expect: Vec<String> = vault.manifest["health"]
            .as_array()
            .unwrap()
            .iter()
            .map(|h| {
                format!(
                    "{} {}",
                    h["severity"].as_str().unwrap(),
                    h["result"].as_str().unwrap()
                )
            })
            .collect();
        // The id in these files, valid for a mount, leads nowhere: we say so in addition.
        if matches!(&*case, "dirfile_37_bytes" | "dirfile_newline") {
            expect.push("WARN MissingContentDir".to_owned());
        }
        let findings = run(&vault);
        let mut found: Vec<String> = findings
            .iter()
            .filter_map(|f| {
                Some(format!(
                    "{} {}",
                    official_severity(f.severity()),
                    official_name(f.code)?
                ))
            })
            .collect();
        expect.sort();
        found.sort();
        assert_eq!(found, expect, "{case}: {findings:#?}");
    }
}

/// What the official check does not look at, by case. Cases not listed have none of these.
fn ours_alone(case: &str) -> &'static [Code] {
    match case {
        "dirid_backup_wrong" | "conflict_dir_other_id" => &[Code::WrongDirIdBackup],
        "name_tampered" | "name_moved_to_other_dir" => &[Code::NameAuth],
        "name_not_nfc" => &[Code::NotNfc],
        "name_long_not_shortened" | "name_short_but_shortened" => &[Code::WrongForm],
        "header_tampered" | "header_nonce_tampered" => &[Code::HeaderAuth],
        "header_truncated" | "chunk_truncated_overhead" => &[Code::Truncated],
        "file_zero_bytes" => &[Code::ZeroByteFile],
        "chunk_tampered_first"
        | "chunk_tampered_second"
        | "chunk_tag_tampered"
        | "chunk_truncated"
        | "chunk_from_other_file"
        | "trailing_garbage"
        | "symlink_tampered" => &[Code::ChunkAuth],
        "chunks_swapped" => &[Code::ChunkAuth, Code::ChunkAuth],
        "chunk_empty_trailing" | "chunk_empty_only" => &[Code::EmptyTrailingChunk],
        _ => &[],
    }
}

#[test]
fn damaged_content_and_names_are_found() {
    let authenticity = [
        Code::WrongDirIdBackup,
        Code::NotNfc,
        Code::WrongForm,
        Code::HeaderAuth,
        Code::Truncated,
        Code::ZeroByteFile,
        Code::ChunkAuth,
        Code::EmptyTrailingChunk,
        Code::LinkTarget,
        Code::Unreadable,
    ];
    for case in checkable() {
        let findings = run(&vaults::corrupt(&case));
        let expect = ours_alone(&case);
        let found: Vec<Code> = codes(&findings)
            .into_iter()
            .filter(|code| authenticity.contains(code) || expect.contains(code))
            .collect();
        assert_eq!(found, expect, "{case}: {findings:#?}");
    }
}

#[test]
fn conflict_copies_and_foreign_things_are_told_apart_from_damage() {
    for case in checkable()
        .into_iter()
        .filter(|case| case.starts_with("conflict_"))
    {
        let findings = run(&vaults::corrupt(&case));
        assert!(
            codes(&findings).contains(&Code::ConflictCopy),
            "{case}: {findings:#?}"
        );
        assert!(
            !codes(&findings).contains(&Code::NameAuth),
            "{case}: {findings:#?}"
        );
    }
    assert!(codes(&run(&vaults::corrupt("foreign_files"))).contains(&Code::ForeignFile));
    assert!(codes(&run(&vaults::corrupt("inuse_files"))).contains(&Code::InUseMarker));
    assert!(codes(&run(&vaults::corrupt("c9s_copy"))).contains(&Code::DuplicateName));
}

#[test]
fn findings_tell_place_path_and_chunk() {
    let vault = vaults::corrupt("chunk_tampered_second");
    let findings = run(&vault);
    let [finding] = &findings[..] else {
        panic!("{findings:#?}")
    };
    assert_eq!((finding.code, finding.chunk), (Code::ChunkAuth, Some(1)));
    assert_eq!(
        finding.cipher_path,
        vault.manifest["touched"].as_str().unwrap()
    );
    assert_eq!(finding.path.as_deref(), Some("/big-mel.bin"));
    assert_eq!(finding.severity().as_str(), "error");
}

#[test]
fn codes_are_unique_texts() {
    let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(texts.len(), Code::ALL.len());
}

/// Contents of all files but the small ones that fixes rewrite, with their number.
fn payloads(vault: &Vault) -> BTreeMap<Vec<u8>, usize> {
    let mut all = BTreeMap::new();
    for (path, content) in vault.snapshot() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if let Some(content) = content.filter(|_| name != "dirid.c9r" && name != "name.c9s") {
            *all.entry(content).or_default() += 1;
        }
    }
    all
}

fn fix_everything(vault: &Vault, cryptor: &Cryptor) -> Vec<String> {
    let store = LocalStore::open(&vault.path).unwrap();
    let (findings, _) = run_with(&vault.path, cryptor, &CheckOptions::default());
    // A missing top directory first: the others need it for LOST+FOUND.
    let mut fixes: Vec<_> = findings
        .into_iter()
        .filter_map(|finding| finding.fix)
        .collect();
    fixes.sort_by_key(|fix| fix.as_str() != "create_content_dir");
    fixes.dedup();
    fixes
        .iter()
        .filter_map(|fix| {
            repair(&store, cryptor, fix)
                .err()
                .map(|error| error.to_string())
        })
        .collect()
}

#[test]
fn fixes_lose_nothing_and_satisfy_the_official_check() {
    for case in checkable() {
        let vault = vaults::corrupt(&case);
        let cryptor = cryptor_of(&vault);
        let (before, _) = run_with(&vault.path, &cryptor, &CheckOptions::default());
        if before.iter().all(|finding| finding.fix.is_none()) {
            continue;
        }
        let data = payloads(&vault);
        assert_eq!(fix_everything(&vault, &cryptor), [""; 0], "{case}");
        let after_data = payloads(&vault);
        let lost = data
            .iter()
            .filter(|(c, n)| after_data.get(*c).is_none_or(|have| have < n))
            .count();
        assert_eq!(lost, 0, "{case}: every file is still somewhere");

        let (after, _) = run_with(&vault.path, &cryptor, &CheckOptions::default());
        let left: Vec<_> = after
            .iter()
            .filter(|finding| finding.fix.is_some())
            .collect();
        assert!(left.is_empty(), "{case}: {left:#?}");
        let unfixable: Vec<_> = before
            .iter()
            .filter(|f| f.fix.is_none())
            .map(|f| f.code)
            .collect();
        let worse: Vec<_> = after
            .iter()
            .filter(|f| f.severity() > Severity::Info && !unfixable.contains(&f.code))
            .collect();
        assert!(worse.is_empty(), "{case}: {worse:#?}");
        let all_fixable = before
            .iter()
            .all(|f| f.fix.is_some() || f.severity() == Severity::Info);
        if all_fixable && let Some(verdict) = official_health(&vault.path, vault.password()) {
            assert!(verdict.good, "{case}: {}", verdict.report);
        }
    }
}

#[test]
fn orphans_keep_their_names() {
    let vault = vaults::corrupt("orphan_content_dir");
    let cryptor = cryptor_of(&vault);
    let orphan = run(&vault)
        .into_iter()
        .find(|f| f.code == Code::OrphanContentDir)
        .unwrap();
    let hash: String = orphan.cipher_path.replace("d/", "").replace('/', "");
    assert_eq!(fix_everything(&vault, &cryptor), [""; 0]);
    // Damage a file there: the finding tells its cleartext path.
    let mut paths = BTreeSet::new();
    for (path, content) in vault.snapshot() {
        let is_node = path.extension().is_some_and(|e| e == "c9r") && path.starts_with("d");
        if let Some(mut content) = content.filter(|content| is_node && content.len() > 68) {
            content[20] ^= 1;
            std::fs::write(vault.path.join(path), content).unwrap();
        }
    }
    for finding in run_with(&vault.path, &cryptor, &CheckOptions::default()).0 {
        paths.extend(finding.path);
    }
    let start = format!("/LOST+FOUND/{hash}/");
    assert!(
        paths.iter().any(|path| path.starts_with(&start)),
        "{paths:?}"
    );
    assert!(
        !paths.iter().any(|path| path.contains("file1_")),
        "no name was lost: {paths:?}"
    );
}

#[test]
fn a_crash_while_adopting_an_orphan_loses_nothing() {
    let probe = vaults::corrupt("orphan_with_long_names");
    let cryptor = cryptor_of(&probe);
    let expect = payloads(&probe);
    let fix = |vault: &Vault| {
        run(vault)
            .into_iter()
            .find(|f| f.code == Code::OrphanContentDir)
            .unwrap()
            .fix
            .unwrap()
    };
    let (store, faults) = FaultStore::new(LocalStore::open(&probe.path).unwrap());
    let orphan_fix = fix(&probe);
    faults.disarm();
    repair(&store, &cryptor, &orphan_fix).unwrap();
    for step in 1..=faults.mutations() {
        let vault = vaults::corrupt("orphan_with_long_names");
        let (store, faults) = FaultStore::new(LocalStore::open(&vault.path).unwrap());
        faults.arm(At::Mutation(step), Fault::Stop);
        repair(&store, &cryptor, &orphan_fix).unwrap_err();
        // Twice: what the first finds may have been hidden by what it mends.
        fix_everything(&vault, &cryptor);
        fix_everything(&vault, &cryptor);
        let have = payloads(&vault);
        for (content, count) in &expect {
            let what = format!("step {step} {:?}", faults.struck());
            assert!(have.get(content).is_some_and(|n| n >= count), "{what}");
        }
        let left: Vec<_> = run_with(&vault.path, &cryptor, &CheckOptions::default())
            .0
            .into_iter()
            .filter(|f| f.severity() > Severity::Info)
            .collect();
        assert!(left.is_empty(), "step {step}: {left:#?}");
    }
}

#[test]
fn a_check_can_be_broken_off_and_resumed() {
    let vault = vaults::v8("v8_gcm");
    let cryptor = cryptor_of(&vault);
    let store = LocalStore::open(&vault.path).unwrap();
    let mut done = BTreeSet::new();
    let options = CheckOptions {
        jobs: 1,
        ..CheckOptions::default()
    };
    let first = check(&store, &cryptor, &options, &mut |event| {
        if let Event::DirDone(dir) = event {
            done.insert(dir);
        }
        if done.len() < 5 {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    assert!(first.stopped && !first.is_good());
    let (_, whole) = run_with(&vault.path, &cryptor, &CheckOptions::default());
    let rest = CheckOptions {
        done,
        ..CheckOptions::default()
    };
    let (findings, second) = run_with(&vault.path, &cryptor, &rest);
    assert_eq!(codes(&findings), []);
    assert!(second.progress.bytes < whole.progress.bytes);
    assert!(first.progress.bytes + second.progress.bytes >= whole.progress.bytes);
}

#[test]
fn any_number_of_threads_finds_the_same() {
    for case in ["chunks_swapped", "orphan_content_dir", "conflict_file_many"] {
        let vault = vaults::corrupt(case);
        let cryptor = cryptor_of(&vault);
        let told = |jobs| {
            let options = CheckOptions {
                jobs,
                ..CheckOptions::default()
            };
            let (findings, _) = run_with(&vault.path, &cryptor, &options);
            let line =
                |f: &Finding| format!("{:?} {} {:?} {:?}", f.code, f.cipher_path, f.path, f.chunk);
            findings.iter().map(line).collect::<BTreeSet<_>>()
        };
        let one = told(1);
        assert!(!one.is_empty());
        assert_eq!(told(2), one);
        assert_eq!(told(9), one);
    }
}

#[test]
fn without_content_only_headers_are_read() {
    let options = CheckOptions {
        content: false,
        ..CheckOptions::default()
    };
    let found = |case| {
        let vault = vaults::corrupt(case);
        codes(&run_with(&vault.path, &cryptor_of(&vault), &options).0)
    };
    assert_eq!(found("header_tampered"), [Code::HeaderAuth]);
    assert_eq!(found("chunk_tampered_first"), []);
}

#[test]
fn a_failing_disk_is_a_finding_and_not_the_end() {
    let vault = vaults::v8("v8_gcm");
    let cryptor = cryptor_of(&vault);
    let (store, faults) = FaultStore::new(LocalStore::open(&vault.path).unwrap());
    let mut total = 0;
    let options = CheckOptions {
        jobs: 1,
        ..CheckOptions::default()
    };
    let whole = check(&store, &cryptor, &options, &mut |_| {
        ControlFlow::Continue(())
    });
    let calls = faults.calls().len() as u64;
    for call in (1..=calls).step_by(211) {
        faults.arm(At::Call(call), Fault::Error(StoreErrorKind::Io));
        let mut findings = Vec::new();
        let summary = check(&store, &cryptor, &options, &mut |event| {
            if let Event::Finding(finding) = event {
                findings.push(finding);
            }
            ControlFlow::Continue(())
        });
        assert!(!summary.stopped);
        // A name that only serves to tell the path of its children may fail unnoticed; it is
        // checked in its own place.
        let only_a_path = matches!(faults.struck(), Some(Call::ReadSmall | Call::OpenDir))
            && summary.progress == whole.progress;
        assert!(
            !findings.is_empty() || only_a_path,
            "call {call}, {:?}",
            faults.struck()
        );
        total += findings.len();
    }
    assert!(total > 0);
}

#[test]
fn changing_nothing_is_what_a_check_does() {
    for case in ["conflict_dir_same_id", "orphan_content_dir", "base"] {
        let vault = vaults::corrupt(case);
        let before = vault.snapshot();
        run(&vault);
        assert_eq!(vault.snapshot(), before);
    }
}

#[test]
fn a_directory_below_itself_is_found_and_brought_back() {
    let vault = vaults::v8("v8_gcm");
    let cryptor = cryptor_of(&vault);
    let dirs: Vec<_> = vault.manifest["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["type"] == "dir" && entry["path"] != "/")
        .collect();
    let path = |entry: &serde_json::Value| entry["path"].as_str().unwrap().to_owned();
    let (outer, inner) = dirs
        .iter()
        .flat_map(|a| dirs.iter().map(move |b| (a, b)))
        .find(|(a, b)| path(b).starts_with(&format!("{}/", path(a))))
        .unwrap();
    // The outer directory's only node moves into the inner one: both are cut off, in a ring.
    let node = vault.path.join(outer["ciphertextPath"].as_str().unwrap());
    let id = DirId::parse(inner["dirId"].as_str().unwrap().as_bytes()).unwrap();
    let name = path(outer).rsplit('/').next().unwrap().to_owned();
    let name = CleartextName::from_text(&name).unwrap();
    let sealed = cryptor.seal_name(&cryptor.dir_names(&id), &name);
    assert!(!sealed.is_long());
    let into = vault.path.join(inner["contentDir"].as_str().unwrap());
    std::fs::rename(&node, into.join(sealed.node_str())).unwrap();
    let data = payloads(&vault);
    let (findings, _) = run_with(&vault.path, &cryptor, &CheckOptions::default());
    assert_eq!(codes(&findings), [Code::Unreachable], "{findings:#?}");
    assert_eq!(fix_everything(&vault, &cryptor), [""; 0]);
    let (findings, summary) = run_with(&vault.path, &cryptor, &CheckOptions::default());
    assert!(summary.is_good(), "{findings:#?}");
    assert!(
        data.iter()
            .all(|(content, count)| payloads(&vault)[content] >= *count)
    );
}

/// A directory of a sample vault: its path, its node, its id and its content directory.
fn dirs_of(vault: &Vault) -> Vec<(String, std::path::PathBuf, String, std::path::PathBuf)> {
    let entries = vault.manifest["entries"].as_array().unwrap();
    let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap().to_owned();
    entries
        .iter()
        .filter(|entry| entry["type"] == "dir" && entry["path"] != "/")
        .map(|entry| {
            let node = vault.path.join(text(entry, "ciphertextPath"));
            let content = vault.path.join(text(entry, "contentDir"));
            (text(entry, "path"), node, text(entry, "dirId"), content)
        })
        .collect()
}

#[test]
fn a_directory_inside_itself_is_told_and_the_second_way_goes() {
    let vault = vaults::v8("v8_gcm");
    let cryptor = cryptor_of(&vault);
    let dirs = dirs_of(&vault);
    let deep: Vec<_> = dirs
        .iter()
        .filter(|dir| dir.0.starts_with("/deep-rilep"))
        .collect();
    // The third level leads back to the first; what was below is lost, and found as an orphan.
    let (top, back) = (deep[0], deep[3]);
    std::fs::write(back.1.join("dir.c9r"), &top.2).unwrap();
    let data = payloads(&vault);
    let (findings, _) = run_with(&vault.path, &cryptor, &CheckOptions::default());
    assert_eq!(
        codes(&findings),
        [Code::Collision, Code::OrphanContentDir],
        "{findings:#?}"
    );
    let told = findings.iter().find(|f| f.code == Code::Collision).unwrap();
    assert!(told.detail.contains("inside itself"), "{told:?}");
    assert!(
        vault.path.join(&told.cipher_path) == back.1.join("dir.c9r"),
        "the way from the root is not the second one: {told:?}"
    );
    assert_eq!(fix_everything(&vault, &cryptor), [""; 0]);
    let (findings, summary) = run_with(&vault.path, &cryptor, &CheckOptions::default());
    assert!(summary.is_good(), "{findings:#?}");
    let after = payloads(&vault);
    let lost: Vec<_> = data
        .iter()
        .filter(|(content, count)| after.get(*content).is_none_or(|have| have < count))
        .collect();
    assert_eq!(lost.len(), 1, "only the second way");
    assert_eq!(lost[0].0, top.2.as_bytes());
    if let Some(verdict) = official_health(&vault.path, vault.password()) {
        assert!(verdict.good, "{}", verdict.report);
    }
}

#[test]
fn a_second_way_is_removed_only_while_the_other_stands() {
    let vault = vaults::v8("v8_gcm");
    let cryptor = cryptor_of(&vault);
    let dirs = dirs_of(&vault);
    let (top, below) = (&dirs[1], &dirs[2]);
    assert!(below.0.starts_with(&top.0));
    std::fs::write(below.1.join("dir.c9r"), &top.2).unwrap();
    let fix = run(&vault)
        .into_iter()
        .find_map(|finding| {
            finding
                .fix
                .filter(|fix| fix.as_str() == "remove_second_way")
        })
        .unwrap();
    let store = LocalStore::open(&vault.path).unwrap();
    std::fs::write(top.1.join("dir.c9r"), "another").unwrap();
    repair(&store, &cryptor, &fix).unwrap_err();
    assert!(below.1.join("dir.c9r").exists());
    std::fs::write(top.1.join("dir.c9r"), &top.2).unwrap();
    std::fs::write(below.1.join("notes.txt"), "mine").unwrap();
    repair(&store, &cryptor, &fix).unwrap_err();
    assert!(below.1.join("notes.txt").exists());
}

/// Some node of a sample vault that is a plain file.
fn plain_file(vault: &Vault) -> std::path::PathBuf {
    let entries = vault.manifest["entries"].as_array().unwrap();
    let entry = entries
        .iter()
        .find(|e| {
            let path = e["ciphertextPath"].as_str().unwrap_or_default();
            e["type"] == "file" && path.ends_with(".c9r")
        })
        .unwrap();
    vault.path.join(entry["ciphertextPath"].as_str().unwrap())
}

#[test]
fn what_no_reader_takes_for_a_file_is_damage() {
    for kind in ["link", "pipe"] {
        let vault = vaults::v8("v8_gcm");
        let file = plain_file(&vault);
        std::fs::remove_file(&file).unwrap();
        if kind == "link" {
            std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
        } else {
            let made = std::process::Command::new("mkfifo").arg(&file).status();
            assert!(made.unwrap().success());
        }
        let findings = run(&vault);
        assert_eq!(codes(&findings), [Code::UnknownType], "{findings:#?}");
        assert!(findings[0].detail.contains(kind), "{findings:#?}");
        assert!(findings[0].path.is_some(), "{findings:#?}");
    }
}

#[test]
fn a_node_with_an_undecodable_name_is_damage_and_brought_back() {
    let vault = vaults::v8("v8_gcm");
    let cryptor = cryptor_of(&vault);
    let file = plain_file(&vault);
    std::fs::rename(&file, file.with_file_name("cut-off.c9r")).unwrap();
    // A conflict copy of the copy of an id is none.
    let dirid = file.with_file_name("dirid.c9r");
    std::fs::copy(&dirid, file.with_file_name("dirid (1).c9r")).unwrap();
    let findings = run(&vault);
    assert_eq!(
        codes(&findings),
        [Code::NameAuth, Code::ForeignFile],
        "{findings:#?}"
    );
    let data = payloads(&vault);
    assert_eq!(fix_everything(&vault, &cryptor), [""; 0]);
    assert_eq!(
        payloads(&vault).len(),
        data.len() + 1,
        "and LOST+FOUND's id"
    );
    let (findings, summary) = run_with(&vault.path, &cryptor, &CheckOptions::default());
    assert!(summary.is_good(), "{findings:#?}");
}

#[test]
fn forged_lengths_cost_no_time() {
    let vault = vaults::v8("v8_gcm");
    let entries = vault.manifest["entries"].as_array().unwrap();
    let link = entries
        .iter()
        .find(|e| e["type"] == "symlink" && e["path"] != "/")
        .unwrap();
    let link = vault.path.join(link["ciphertextPath"].as_str().unwrap());
    let cryptor = cryptor_of(&vault);
    let start = std::time::Instant::now();
    for file in [plain_file(&vault), link.join("symlink.c9r")] {
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.set_len(1 << 43).unwrap();
    }
    for content in [false, true] {
        let options = CheckOptions {
            content,
            ..CheckOptions::default()
        };
        let (findings, summary) = run_with(&vault.path, &cryptor, &options);
        let links = findings.iter().filter(|f| f.code == Code::LinkTarget);
        assert_eq!(links.count(), 1, "{findings:#?}");
        let chunks = findings.iter().filter(|f| f.code == Code::ChunkAuth);
        assert_eq!(chunks.count() > 0, content, "{findings:#?}");
        assert!(summary.progress.bytes < 1 << 30);
    }
    assert!(start.elapsed() < std::time::Duration::from_mins(2));
}

#[test]
fn damage_behind_damage_is_still_told() {
    let vault = vaults::v8("v8_gcm");
    let cryptor = cryptor_of(&vault);
    let entries = vault.manifest["entries"].as_array().unwrap();
    let big = entries
        .iter()
        .filter(|e| e["type"] == "file")
        .max_by_key(|e| e["ciphertextSize"].as_u64())
        .unwrap();
    let file = vault.path.join(big["ciphertextPath"].as_str().unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    let (header, chunk) = (68, 32_796);
    let chunks = (bytes.len() - header).div_ceil(chunk);
    assert!(chunks >= 3);
    let bad = [0, chunks - 1];
    for index in bad {
        bytes[header + index * chunk + 20] ^= 1;
    }
    std::fs::write(&file, bytes).unwrap();
    let (findings, _) = run_with(&vault.path, &cryptor, &CheckOptions::default());
    let told: Vec<_> = findings.iter().filter_map(|f| f.chunk).collect();
    assert_eq!(told, bad.map(|index| index as u64), "{findings:#?}");
}

#[test]
fn an_emptied_directory_is_more_than_a_remark() {
    let vault = vaults::v8("v8_gcm");
    let cryptor = cryptor_of(&vault);
    let (_, _, _, content) = dirs_of(&vault)
        .into_iter()
        .find(|dir| dir.0.starts_with("/empty"))
        .unwrap();
    std::fs::remove_file(content.join("dirid.c9r")).unwrap();
    assert_eq!(std::fs::read_dir(&content).unwrap().count(), 0);
    let (findings, summary) = run_with(&vault.path, &cryptor, &CheckOptions::default());
    assert_eq!(
        codes(&findings),
        [Code::MissingDirIdBackup, Code::Emptied],
        "{findings:#?}"
    );
    assert!(!summary.is_good());
    assert_eq!(fix_everything(&vault, &cryptor), [""; 0]);
    let (findings, _) = run_with(&vault.path, &cryptor, &CheckOptions::default());
    assert_eq!(codes(&findings), []);
}

#[test]
fn what_interrupted_work_left_is_named_and_goes_only_without_content() {
    let vault = vaults::v8("v8_gcm");
    let cryptor = cryptor_of(&vault);
    let root = vault
        .path
        .join(vault.manifest["rootContentDir"].as_str().unwrap());
    let file = plain_file(&vault);
    let content = std::fs::read(&file).unwrap();
    let leftover = |number: u32, parts: &[(&str, &[u8])]| {
        let dir = root.join(format!(".oxcrypt-{number:016x}"));
        std::fs::create_dir(&dir).unwrap();
        for (name, bytes) in parts {
            std::fs::write(dir.join(name), bytes).unwrap();
        }
        dir
    };
    let gone = [
        leftover(1, &[]),
        leftover(2, &[("name.c9s", b"x"), ("name.c9s.new", b"y")]),
        leftover(3, &[("dir.c9r", b"an id that leads nowhere")]),
        leftover(4, &[("symlink.c9r", &content)]),
        leftover(5, &[("contents.c9r", b"")]),
    ];
    // A second name of a file, in the middle of a rename.
    let linked = leftover(6, &[]);
    std::fs::hard_link(&file, linked.join("contents.c9r")).unwrap();
    // A removed or moved file with its name, and one without.
    let id = DirId::ROOT;
    let long = "long ".repeat(40);
    let name = CleartextName::from_text(&long).unwrap();
    let sealed = cryptor.seal_name(&cryptor.dir_names(&id), &name);
    let named = leftover(
        7,
        &[("contents.c9r", &content), ("name.c9s", sealed.full())],
    );
    let bare = root.join(".oxcrypt-0000000000000008");
    std::fs::write(&bare, &content).unwrap();
    // Not ours.
    let foreign = leftover(9, &[("contents.c9r", b""), ("notes.txt", b"mine")]);
    let alike = root.join(".oxcrypt-notes");
    std::fs::create_dir(&alike).unwrap();

    let findings = run(&vault);
    let mut expect = vec![Code::Leftover; 6];
    expect.extend([Code::LeftoverData; 2]);
    expect.extend([Code::ForeignFile; 2]);
    assert_eq!(codes(&findings), expect, "{findings:#?}");
    assert_eq!(fix_everything(&vault, &cryptor), [""; 0]);
    for path in gone.iter().chain([&linked, &named, &bare]) {
        assert!(!path.exists(), "{}", path.display());
    }
    assert!(foreign.join("notes.txt").exists() && alike.exists());
    assert_eq!(
        payloads(&vault)[&content],
        3,
        "the file itself, and what the two leftovers held"
    );
    let findings = run(&vault);
    assert_eq!(codes(&findings), [Code::ForeignFile; 2], "{findings:#?}");
    if let Some(verdict) = official_health(&vault.path, vault.password()) {
        assert!(verdict.good, "{}", verdict.report);
    }
}

#[test]
fn what_stands_in_the_way_of_a_directory_is_told_and_not_touched() {
    for (path, up) in [("/", 0), ("/deep-rilep", 0), ("/deep-rilep", 1)] {
        let vault = vaults::v8("v8_gcm");
        let cryptor = cryptor_of(&vault);
        let content = if path == "/" {
            vault.manifest["rootContentDir"].as_str().unwrap().into()
        } else {
            dirs_of(&vault).into_iter().find(|d| d.0 == path).unwrap().3
        };
        let content = vault.path.join(content);
        let place = content.ancestors().nth(up).unwrap();
        std::fs::rename(place, vault.temp.path().join("kept")).unwrap();
        std::os::unix::fs::symlink("..", place).unwrap();
        let (findings, _) = run_with(&vault.path, &cryptor, &CheckOptions::default());
        let told = findings
            .iter()
            .find(|f| f.code == Code::MissingContentDir)
            .unwrap();
        assert!(
            told.fix.is_none() && told.detail.contains("no directory"),
            "{told:?}"
        );
        assert_eq!(std::fs::read_link(place).unwrap().to_str(), Some(".."));
    }
}
