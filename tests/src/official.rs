//! The official Java library as a judge of our vaults.
//!
//! `tests/interop/official-checker` is built on first use with Maven and a JDK 25. Without them the
//! tests that need it say so and pass, except where `CI` is set: there they fail.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What the checker said.
#[derive(Debug)]
pub struct Verdict {
    /// Everything agreed.
    pub good: bool,
    /// Its full report.
    pub report: String,
}

/// Whether the checker can be run; prints the reason if not.
///
/// # Panics
/// If it cannot and `CI` is set, or if building it fails.
#[must_use]
pub fn available() -> bool {
    match checker() {
        Ok(_) => true,
        Err(reason) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "the official checker must run here: {reason}"
            );
            eprintln!("skipped: {reason}");
            false
        }
    }
}

/// Opens `vault` with the official library and compares it with `manifest`: entries, types, sizes,
/// SHA-256, links, key files, and health. See the checker's README for the manifest.
///
/// # Panics
/// With the checker's report if anything differs. Does nothing where the checker is [not
/// available](available).
pub fn official_check(vault: &Path, manifest: &Value, options: &[&str]) {
    if let Some(verdict) = official_verdict(vault, manifest, options) {
        assert!(
            verdict.good,
            "the official library disagrees about {}:\n{}",
            vault.display(),
            verdict.report
        );
    }
}

/// As [`official_check`], for those who go on whatever it says. `None` where it is not available.
///
/// # Panics
/// If the checker cannot be run.
#[must_use]
pub fn official_verdict(vault: &Path, manifest: &Value, options: &[&str]) -> Option<Verdict> {
    available().then(|| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("manifest.json");
        std::fs::write(&file, serde_json::to_vec(manifest).unwrap()).unwrap();
        let mut arguments = vec!["verify".as_ref(), vault.as_os_str(), file.as_os_str()];
        arguments.extend(options.iter().map(AsRef::<std::ffi::OsStr>::as_ref));
        run(&arguments)
    })
}

/// The `entries` of a manifest for all that a directory shows, parents before their children.
///
/// # Panics
/// If something there cannot be read.
#[must_use]
pub fn entries(dir: &Path) -> Vec<Value> {
    let mut all = Vec::new();
    list(dir, "", &mut all);
    all
}

fn list(dir: &Path, at: &str, all: &mut Vec<Value>) {
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    found.sort_by_key(std::fs::DirEntry::file_name);
    for entry in found {
        let path = format!("{at}/{}", entry.file_name().into_string().unwrap());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            all.push(json!({"path": path, "type": "dir"}));
            list(&entry.path(), &path, all);
        } else if kind.is_symlink() {
            let target = std::fs::read_link(entry.path()).unwrap();
            let target = target.to_str().unwrap();
            let size = target.len();
            all.push(json!({"path": path, "type": "symlink", "size": size, "target": target}));
        } else {
            let (size, sha256) = digest(&entry.path());
            all.push(json!({"path": path, "type": "file", "size": size, "sha256": sha256}));
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

/// The official health check; `good` means neither warnings nor worse. `None` where it is not
/// available.
#[must_use]
pub fn official_health(vault: &Path, password: &str) -> Option<Verdict> {
    available().then(|| {
        let password = format!("--password={password}");
        run(&["health".as_ref(), vault.as_os_str(), password.as_ref()])
    })
}

fn run(arguments: &[&std::ffi::OsStr]) -> Verdict {
    let Ok(Checker { java, class_path }) = checker() else {
        panic!("asked after available()")
    };
    let done = Command::new(java)
        .args(["-XX:+UseSerialGC", "-Xmx512m", "-XX:TieredStopAtLevel=1"])
        .args([
            "-Dfile.encoding=UTF-8",
            "-Dstdout.encoding=UTF-8",
            "-Dsun.jnu.encoding=UTF-8",
        ])
        .args([
            "--enable-native-access=ALL-UNNAMED",
            "-cp",
            class_path,
            "vec.Main",
        ])
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let report = [done.stdout, done.stderr].concat();
    Verdict {
        good: done.status.success(),
        report: String::from_utf8_lossy(&report).into_owned(),
    }
}

struct Checker {
    java: PathBuf,
    class_path: String,
}

fn checker() -> &'static Result<Checker, String> {
    static CHECKER: OnceLock<Result<Checker, String>> = OnceLock::new();
    CHECKER.get_or_init(build)
}

fn build() -> Result<Checker, String> {
    let home = java_home().ok_or("no JDK 25: set JAVA_HOME")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/official-checker");
    let out = std::env::temp_dir().join(format!(
        "oxcrypt-official-checker-{}",
        source_stamp(&source)
    ));
    let jar = out.join("cryptofs-verify-1.jar");
    if !(jar.exists() && out.join("lib").exists()) {
        // Built aside and moved into place, so that concurrent test processes never see half of it.
        let fresh = tempfile::tempdir().map_err(|error| error.to_string())?;
        let made = fresh.path().join("target");
        let done = Command::new("mvn")
            .args(["-q", "-B", "-DskipTests", "package", "-f"])
            .arg(source.join("pom.xml"))
            .arg(format!("-Dchecker.out={}", made.display()))
            .env("JAVA_HOME", &home)
            .output()
            .map_err(|error| format!("Maven (mvn) cannot be started: {error}"))?;
        if !done.status.success() {
            let log = String::from_utf8_lossy(&done.stdout).into_owned();
            return Err(format!("building the official checker failed:\n{log}"));
        }
        // Whoever comes second finds the place taken by the same thing.
        if let Err(error) = std::fs::rename(&made, &out)
            && !jar.exists()
        {
            return Err(format!(
                "cannot place the checker in {}: {error}",
                out.display()
            ));
        }
    }
    let class_path = format!("{}:{}/lib/*", jar.display(), out.display());
    Ok(Checker {
        java: home.join("bin/java"),
        class_path,
    })
}

/// Changes with the checker's sources, so an edited checker is built anew.
fn source_stamp(source: &Path) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    for file in [
        "pom.xml",
        "src/main/java/vec/Main.java",
        "src/main/java/vec/Common.java",
    ] {
        std::fs::read(source.join(file)).unwrap().hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

fn java_home() -> Option<PathBuf> {
    let given = std::env::var_os("JAVA_HOME").map(PathBuf::from);
    let usual = [
        "/usr/lib/jvm",
        "/opt/java",
        "/Library/Java/JavaVirtualMachines",
    ];
    let found = usual
        .iter()
        .filter_map(|dir| std::fs::read_dir(dir).ok())
        .flatten()
        .flatten();
    given
        .into_iter()
        .chain(found.map(|entry| entry.path()))
        .find(|home| is_jdk_25(home))
}

fn is_jdk_25(home: &Path) -> bool {
    let release = std::fs::read_to_string(home.join("release")).unwrap_or_default();
    home.join("bin/javac").exists() && release.contains("JAVA_VERSION=\"25")
}
