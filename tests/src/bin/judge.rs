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

use std::path::Path;

use oxcrypt_tests::official;
use serde_json::{Value, json};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list", dir, out] => {
            let entries = official::entries(Path::new(dir));
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
