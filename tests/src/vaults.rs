//! The sample vaults of `tests/data`, unpacked once per test run into a temporary directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// `tests/data` of the checkout.
#[must_use]
pub fn data_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

/// A private copy of one vault, gone when dropped.
#[derive(Debug)]
pub struct Vault {
    /// Holds the directory alive.
    pub temp: TempDir,
    /// The vault directory.
    pub path: PathBuf,
    /// What its maker wrote into it; `Null` where there is no such list.
    pub manifest: Value,
}

impl Vault {
    /// The password of the manifest.
    ///
    /// # Panics
    /// If there is no manifest.
    #[must_use]
    pub fn password(&self) -> &str {
        self.manifest["password"].as_str().unwrap()
    }

    /// The bytes of a file of the vault directory.
    ///
    /// # Panics
    /// If it is missing.
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// All files and directories below the vault with their contents, for comparing two states.
    ///
    /// # Panics
    /// If the vault cannot be read.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let mut all = Vec::new();
        let mut pending = vec![self.path.clone()];
        while let Some(dir) = pending.pop() {
            for entry in std::fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                let relative = path.strip_prefix(&self.path).unwrap().to_path_buf();
                if path.is_dir() {
                    all.push((relative, None));
                    pending.push(path);
                } else {
                    all.push((relative, Some(std::fs::read(&path).unwrap())));
                }
            }
        }
        all.sort();
        all
    }
}

/// A copy of a format 8 vault: `v8_gcm`, `v8_ctrmac`, `v8_gcm_t100`, `v8_default_cost`, `v8_hs384`,
/// `v8_hs512`, `v8_empty_gcm`, `v8_empty_ctrmac`.
#[must_use]
pub fn v8(name: &str) -> Vault {
    copy(
        &unpacked().join(name).join("vault"),
        json(&data_dir().join(name).join("manifest.json")),
    )
}

/// A copy of an old vault before its migration; `version` is 5, 6 or 7.
#[must_use]
pub fn legacy(version: u32) -> Vault {
    let name = format!("legacy/v{version}");
    let manifest = json(&data_dir().join(&name).join("manifest.json"));
    copy(&unpacked().join(name).join("before"), manifest)
}

/// The same vault as the official migrators left it.
#[must_use]
pub fn legacy_migrated(version: u32) -> Vault {
    let name = format!("legacy/v{version}");
    let manifest = json(&data_dir().join(&name).join("manifest.json"));
    copy(&unpacked().join(name).join("after"), manifest)
}

/// A copy of a damaged vault; `base` is the undamaged one. The manifest is the `expected.json` of
/// the case.
#[must_use]
pub fn corrupt(case: &str) -> Vault {
    let expected = data_dir().join("corrupt").join(case).join("expected.json");
    let manifest = if expected.exists() {
        json(&expected)
    } else {
        json(&corrupt_results())
    };
    copy(
        &unpacked().join("corrupt").join(case).join("vault"),
        manifest,
    )
}

/// The names of all damaged vaults.
///
/// # Panics
/// If the test data are incomplete.
#[must_use]
pub fn corrupt_cases() -> Vec<String> {
    let cases = json(&corrupt_results());
    let cases = cases["cases"].as_array().unwrap();
    cases
        .iter()
        .map(|case| case["case"].as_str().unwrap().to_owned())
        .collect()
}

fn corrupt_results() -> PathBuf {
    data_dir().join("corrupt/results.json")
}

fn json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

fn copy(from: &Path, manifest: Value) -> Vault {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("vault");
    // cp -a keeps the file times, which some manifests list.
    run(Command::new("cp").arg("-a").arg(from).arg(&path));
    Vault {
        temp,
        path,
        manifest,
    }
}

/// Unpacks the archives once per process.
fn unpacked() -> &'static Path {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let corrupt = dir.path().join("corrupt");
        std::fs::create_dir(&corrupt).unwrap();
        for (archive, target) in [
            ("vaults.tar.gz", dir.path()),
            ("corrupt/vaults.tar.gz", &corrupt),
        ] {
            run(Command::new("tar")
                .arg("-xzf")
                .arg(data_dir().join(archive))
                .arg("-C")
                .arg(target));
        }
        dir
    })
    .path()
}

fn run(command: &mut Command) {
    let done = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}
