//! Has a vault judged by the official implementation, for the scripts in `tests/mount`.
//!
//!     judge list DIR OUT.json       writes down what a mounted vault shows
//!     judge check VAULT OUT.json PASSWORD COMBO
//!                                   compares that with what the official library sees
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "a broken test bed is best reported by a panic"
)]

use std::io::Read;
use std::path::Path;

use oxcrypt_tests::official;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list", dir, out] => {
            let mut entries = Vec::new();
            list(Path::new(dir), "", &mut entries);
            std::fs::write(out, serde_json::to_vec(&entries).unwrap()).unwrap();
            println!("{} entries", entries.len());
        }
        ["check", vault, entries, password, combo] => {
            let entries: Value = serde_json::from_slice(&std::fs::read(entries).unwrap()).unwrap();
            let manifest = json!({
                "format": 8,
                "cipherCombo": combo,
                "shorteningThreshold": 220,
                "password": password,
                "entries": entries,
            });
            official::official_check(Path::new(vault), &manifest, &["--strict"]);
        }
        _ => panic!("usage: judge list DIR OUT | judge check VAULT OUT PASSWORD COMBO"),
    }
}

/// Everything below a directory, parents before their children.
fn list(dir: &Path, at: &str, entries: &mut Vec<Value>) {
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    found.sort_by_key(std::fs::DirEntry::file_name);
    for entry in found {
        let path = format!("{at}/{}", entry.file_name().into_string().unwrap());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            entries.push(json!({"path": path, "type": "dir"}));
            list(&entry.path(), &path, entries);
        } else if kind.is_symlink() {
            let target = std::fs::read_link(entry.path()).unwrap();
            let target = target.to_str().unwrap();
            let size = target.len();
            entries.push(json!({"path": path, "type": "symlink", "size": size, "target": target}));
        } else {
            let (size, sha256) = digest(&entry.path());
            entries.push(json!({"path": path, "type": "file", "size": size, "sha256": sha256}));
        }
    }
}

/// Length and SHA-256 of a file of any size.
fn digest(path: &Path) -> (usize, String) {
    let mut file = std::fs::File::open(path).unwrap();
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer).unwrap();
        if read == 0 {
            return (size, data_encoding::HEXLOWER.encode(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
        size += read;
    }
}
