//! Secrets of a mounted vault: in the memory of its daemon, and on disk outside the vault.
//!
//! Raw keys are looked for as their bytes. An expanded AES key begins with the raw one, so what
//! ciphers need while a vault is open is found and counted as what it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER;
use oxcrypt_tests::vaults::{self, Vault};
use serde_json::Value;

use crate::daemon::Bed;

const CONTENT: &[u8] = b"plaintext that must not be found outside the vault";
const NAME: &str = "a cleartext name that must not be found outside the vault";
/// Of each raw key: one for names, one for content.
const MAX_KEY_COPIES: usize = 2;

struct Verdict {
    good: bool,
}

impl Verdict {
    fn check(&mut self, what: &str, good: bool, detail: &str) {
        println!(
            "hygiene: {} {what}: {detail}",
            if good { "ok " } else { "BAD" }
        );
        self.good &= good;
    }
}

pub(crate) fn run(program: &Path) -> bool {
    let mut verdict = Verdict { good: true };
    for name in ["v8_gcm", "v8_ctrmac"] {
        with_vault(program, name, &mut verdict);
    }
    verdict.good
}

fn with_vault(program: &Path, name: &str, verdict: &mut Verdict) {
    let place = tempfile::tempdir().unwrap();
    let vault = vaults::v8(name);
    let home = place.path().join("home");
    let bed = Bed::new(program, &vault.path, place.path(), &home, vault.password());
    let daemon = bed.mount().unwrap();
    use_it(&bed.mountpoint);
    std::thread::sleep(Duration::from_secs(1));
    let pid = daemon.pid();
    let needles = needles(&vault);
    let (found, locked) = scan(pid, &needles);
    for (label, bytes) in &needles {
        let places = found.get(label).map_or(&[][..], Vec::as_slice);
        let unlocked = places.iter().filter(|(_, locked)| !locked).count();
        let most = if label.starts_with("raw") {
            MAX_KEY_COPIES
        } else {
            0
        };
        // A key that is in use must be found, or the search does not work.
        let works = most == 0 || !places.is_empty();
        let detail = format!(
            "{} copies of {} bytes, {unlocked} in memory that may be swapped",
            places.len(),
            bytes.len()
        );
        verdict.check(
            &format!("{name}: {label}"),
            works && places.len() <= most && unlocked == 0,
            &detail,
        );
        for (at, _) in places.iter().filter(|(_, locked)| !locked).take(4) {
            println!("  {at}");
        }
    }
    verdict.check(
        &format!("{name}: locked memory"),
        locked > 0,
        &format!("{locked} KiB"),
    );
    limits(pid, name, verdict);
    let leaks = on_disk(
        place.path(),
        &[CONTENT, NAME.as_bytes(), vault.password().as_bytes()],
    );
    verdict.check(
        &format!("{name}: files outside the vault"),
        leaks.is_empty(),
        &format!("{leaks:?}"),
    );
    daemon.unmount();
    let leaks = on_disk(&vault.path, &[CONTENT, NAME.as_bytes()]);
    verdict.check(
        &format!("{name}: the vault itself"),
        leaks.is_empty(),
        &format!("{leaks:?}"),
    );
}

/// Makes the daemon decrypt and encrypt names and content.
fn use_it(root: &Path) {
    let path = root.join(NAME);
    let mut file = File::create(&path).unwrap();
    for _ in 0..5000 {
        file.write_all(CONTENT).unwrap();
    }
    file.sync_all().unwrap();
    drop(file);
    assert_eq!(std::fs::read(&path).unwrap().len(), 5000 * CONTENT.len());
    let seen = crate::walk::walk(root);
    assert!(seen.len() > 50);
}

fn needles(vault: &Vault) -> Vec<(String, Vec<u8>)> {
    let hex = vault.manifest["masterkeyHex"].as_str().unwrap();
    let key = HEXLOWER.decode(hex.as_bytes()).unwrap();
    // As the key derivation takes it.
    let nfc = vault.manifest["passwordNfcUtf8Hex"].as_str().unwrap();
    let passphrase = HEXLOWER.decode(nfc.as_bytes()).unwrap();
    let file: Value = serde_json::from_slice(&vault.read("masterkey.cryptomator")).unwrap();
    let salt = data_encoding::BASE64
        .decode(file["scryptSalt"].as_str().unwrap().as_bytes())
        .unwrap();
    let n = file["scryptCostParam"].as_u64().unwrap();
    let r = file["scryptBlockSize"].as_u64().unwrap() as u32;
    let params = scrypt::Params::new(n.trailing_zeros() as u8, r, 1).unwrap();
    let mut kek = vec![0; 32];
    scrypt::scrypt(&passphrase, &salt, &params, &mut kek).unwrap();
    vec![
        ("passphrase".into(), passphrase),
        ("key of the passphrase".into(), kek),
        ("raw encryption key".into(), key[..32].to_vec()),
        ("raw MAC key".into(), key[32..].to_vec()),
    ]
}

type Places = BTreeMap<String, Vec<(String, bool)>>;

/// Where each needle is, and whether that memory is locked; KiB locked in all.
fn scan(pid: u32, needles: &[(String, Vec<u8>)]) -> (Places, u64) {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut places = Places::new();
    let mut locked_in_all = 0;
    let mut scanned = 0;
    for (range, name, fields) in mappings(&maps) {
        let locked = fields.get("Locked").copied().unwrap_or(0);
        locked_in_all += locked;
        if fields.get("Rss").copied().unwrap_or(0) == 0 || name.starts_with("[v") {
            continue;
        }
        let mut bytes = vec![0; (range.1 - range.0) as usize];
        let mut got = 0;
        // Guard pages end a read early.
        for at in (0..bytes.len()).step_by(4096) {
            if memory
                .read_at(&mut bytes[at..at + 4096], range.0 + at as u64)
                .is_ok()
            {
                got += 4096;
            }
        }
        scanned += got;
        for (label, needle) in needles {
            for at in find(&bytes, needle) {
                let place = format!("{:x} in {name:?}", range.0 + at as u64);
                places
                    .entry(label.clone())
                    .or_default()
                    .push((place, locked > 0));
            }
        }
    }
    assert!(scanned > 1 << 20, "the memory of the daemon can be read");
    (places, locked_in_all)
}

type Mapping<'a> = ((u64, u64), &'a str, BTreeMap<&'a str, u64>);

fn mappings(smaps: &str) -> Vec<Mapping<'_>> {
    let mut all: Vec<Mapping<'_>> = Vec::new();
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        if let Some(field) = first.strip_suffix(':') {
            let value = words.next().and_then(|word| word.parse().ok());
            if let (Some(last), Some(value)) = (all.last_mut(), value) {
                last.2.insert(field, value);
            }
        } else if let Some((from, to)) = first.split_once('-') {
            let parse = |text| u64::from_str_radix(text, 16).unwrap();
            let name = words.nth(4).unwrap_or("");
            all.push(((parse(from), parse(to)), name, BTreeMap::new()));
        }
    }
    all
}

fn find<'a>(bytes: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = needle[0];
    bytes
        .iter()
        .enumerate()
        .filter(move |(at, byte)| **byte == first && bytes[*at..].starts_with(needle))
        .map(|(at, _)| at)
}

fn limits(pid: u32, name: &str, verdict: &mut Verdict) {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap_or("");
    let numbers: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    verdict.check(&format!("{name}: core files"), numbers == ["0", "0"], core);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for (field, wanted) in [("NoNewPrivs:", "1"), ("Seccomp:", "2")] {
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .unwrap_or("")
            .trim();
        verdict.check(&format!("{name}: {field}"), value == wanted, value);
    }
}

/// Files below `dir` that hold one of the needles; the file with the passphrase is ours.
fn on_disk(dir: &Path, needles: &[&[u8]]) -> Vec<String> {
    let mut leaks = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().flatten() {
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                if !path.ends_with("mount") {
                    pending.push(path);
                }
                continue;
            }
            let name = path.to_string_lossy().into_owned();
            let bytes = if kind.is_file() {
                std::fs::read(&path).unwrap_or_default()
            } else {
                Vec::new()
            };
            let hit = |needle: &&[u8]| {
                find(&bytes, needle).next().is_some()
                    || find(name.as_bytes(), needle).next().is_some()
            };
            if !path.ends_with("passphrase") && needles.iter().any(hit) {
                leaks.push(name);
            }
        }
    }
    leaks
}
