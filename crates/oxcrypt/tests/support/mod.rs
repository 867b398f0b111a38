//! What the tests of the command share: running it, a vault of its own, and JSON against schemas.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(
    clippy::unwrap_used,
    reason = "a broken test bed is best reported by a panic"
)]

pub(crate) mod schema;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub(crate) const PASSPHRASE: &str = "correct horse battery";

/// The command, in an empty environment of its own.
pub(crate) struct Ox {
    pub(crate) dir: TempDir,
}

/// How a run ended.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) raw: Vec<u8>,
}

impl Ox {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Self { dir };
        made.write("pw", PASSPHRASE);
        made
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file that only its owner can read.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oxcrypt"));
        command
            .args(words)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("XDG_RUNTIME_DIR", self.runtime())
            .stdin(Stdio::null());
        // The same tests serve both transports.
        if let Some(transport) = std::env::var_os("OXCRYPT_TRANSPORT") {
            command.env("OXCRYPT_TRANSPORT", transport);
        }
        command
    }

    /// A runtime directory for ordinary users; root has one of the system.
    fn runtime(&self) -> PathBuf {
        let dir = self.path("run");
        let _ = std::fs::create_dir(&dir);
        dir
    }

    pub(crate) fn run(&self, line: &str) -> Done {
        self.words(&line.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn words<S: AsRef<OsStr>>(&self, words: &[S]) -> Done {
        done(&self.command(words).output().unwrap())
    }

    /// Runs with a text on standard input.
    pub(crate) fn fed(&self, line: &str, input: &[u8]) -> Done {
        use std::io::Write;
        let words: Vec<_> = line.split_whitespace().collect();
        let mut child = self
            .command(&words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        done(&child.wait_with_output().unwrap())
    }

    /// A vault `v` with a few files.
    pub(crate) fn vault(&self) -> &Self {
        self.run("init -q v --password-file pw").good();
        self.write("hello.txt", "hello\n");
        self.run("mkdir v -p docs/deep --password-file pw").good();
        self.run("put v hello.txt /docs/hello.txt --password-file pw")
            .good();
        self
    }
}

fn done(output: &Output) -> Done {
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        raw: output.stdout.clone(),
    }
}

impl Done {
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        self.ended(0)
    }

    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// Ended with a code and an error that names `what`.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, what: &str) -> Self {
        let done = self.ended(code);
        assert!(done.err.contains(what), "{what:?} is not in: {}", done.err);
        done
    }
}

/// Whether a vault can be mounted here; tells why not. Where `CI` is set, it must be.
pub(crate) fn can_mount() -> bool {
    let missing = if !Path::new("/dev/fuse").exists() {
        "/dev/fuse is missing"
    } else if !rustix_is_root() && find("fusermount3").is_none() {
        "fusermount3 is missing"
    } else {
        return true;
    };
    assert!(
        std::env::var_os("CI").is_none(),
        "mounting must work here: {missing}"
    );
    eprintln!("skipped: {missing}");
    false
}

fn rustix_is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// All files below a directory with their contents.
pub(crate) fn tree(top: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut todo = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(top).unwrap().to_owned();
            if meta.is_dir() {
                todo.push(path);
            } else if meta.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                all.push((name, target.into_os_string().into_encoded_bytes()));
            } else {
                all.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    all.sort();
    all
}

/// Bytes that do not repeat, the same for the same seed.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}
