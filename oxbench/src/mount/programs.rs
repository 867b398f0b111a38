//! Where the programs under test are, and which versions they have.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::target::Kind;
use crate::error::{CaseFailure, CaseResult, Error};

#[derive(Debug, Clone)]
pub(crate) struct Programs {
    oxcrypt: Option<PathBuf>,
    peers: PathBuf,
    path: Vec<PathBuf>,
}

impl Programs {
    /// `oxcrypt` is looked for beside this very program, then in the path.
    pub(crate) fn discover(oxcrypt: Option<PathBuf>) -> Result<Self, Error> {
        if let Some(given) = &oxcrypt
            && !is_executable(given)
        {
            return Err(Error::BadRequest(format!(
                "--oxcrypt {}: not a program",
                given.display()
            )));
        }
        let path: Vec<PathBuf> = std::env::var_os("PATH")
            .map(|p| std::env::split_paths(&p).collect())
            .unwrap_or_default();
        let home = std::env::var_os("HOME")
            .map(PathBuf::from)
            .unwrap_or_default();
        let peers = std::env::var_os("OXBENCH_PEERS")
            .map_or_else(|| home.join(".local/share/oxbench/peers"), PathBuf::from);
        let beside = std::env::current_exe().ok().and_then(|me| {
            // Test programs live one directory further down.
            let dir = me.parent()?;
            [dir.join("oxcrypt"), dir.parent()?.join("oxcrypt")]
                .into_iter()
                .find(|p| is_executable(p))
        });
        Ok(Self {
            oxcrypt: oxcrypt.or(beside),
            peers,
            path,
        })
    }

    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        if name == "oxcrypt"
            && let Some(known) = &self.oxcrypt
        {
            return Some(known.clone());
        }
        let own = [
            self.peers.join("bin"),
            PathBuf::from("/usr/libexec/oxbench"),
        ];
        own.iter()
            .chain(&self.path)
            .map(|dir| dir.join(name))
            .find(|p| is_executable(p))
    }

    pub(crate) fn need(&self, name: &str) -> CaseResult<PathBuf> {
        self.find(name)
            .ok_or_else(|| CaseFailure::Skipped(format!("{name} is not installed")))
    }

    pub(crate) fn own_executable(&self) -> CaseResult<PathBuf> {
        std::env::current_exe().map_err(CaseFailure::io("own executable"))
    }

    /// The Java program and the class path of the official libraries.
    pub(crate) fn cryptomator(&self) -> CaseResult<(PathBuf, OsString)> {
        let dir = self.peers.join("cryptomator");
        let home = std::fs::read_to_string(dir.join("java-home"))
            .map_err(|_| CaseFailure::Skipped("the official libraries are not installed".into()))?;
        let java = Path::new(home.trim()).join("bin/java");
        if !is_executable(&java) {
            return Err(CaseFailure::Skipped(format!("{} is gone", java.display())));
        }
        let mut class_path = dir.join("target/cryptomator-mount-1.jar").into_os_string();
        class_path.push(":");
        class_path.push(dir.join("target/lib/*"));
        Ok((java, class_path))
    }

    pub(crate) fn is_installed(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Plain | Kind::Passthrough | Kind::Commands(_) | Kind::Existing(_) => true,
            Kind::Cryptomator => self.cryptomator().is_ok(),
            other => program_name(other).is_some_and(|name| self.find(name).is_some()),
        }
    }

    /// One line: what would be run.
    pub(crate) fn version(&self, kind: &Kind) -> String {
        match kind {
            Kind::Plain => "the backing file system".into(),
            Kind::Existing(dir) => {
                let fs = super::kernel::mount_of(dir).map_or_else(String::new, |m| m.fs_type);
                format!("{} ({fs})", dir.display())
            }
            Kind::Commands(triple) => triple.mount.clone(),
            Kind::Passthrough => match self.find("passthrough_hp") {
                Some(path) => format!("libfuse passthrough_hp {}", noted_version(&path)),
                None => "built in".into(),
            },
            Kind::Cryptomator => std::fs::read_to_string(self.peers.join("cryptomator/version"))
                .unwrap_or_default()
                .trim()
                .into(),
            other => program_name(other)
                .and_then(|n| self.find(n))
                .map_or_else(String::new, |p| {
                    let noted = noted_version(&p);
                    if noted.is_empty() {
                        ask_version(&p)
                    } else {
                        noted
                    }
                }),
        }
    }
}

/// The program behind a kind of target, where it is one by that name.
const fn program_name(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Oxcrypt | Kind::VaultCopy(_) => Some("oxcrypt"),
        Kind::Gocryptfs => Some("gocryptfs"),
        Kind::Securefs => Some("securefs"),
        Kind::Cryfs => Some("cryfs"),
        Kind::Encfs => Some("encfs"),
        Kind::Rclone => Some("rclone"),
        Kind::Plain
        | Kind::Passthrough
        | Kind::Cryptomator
        | Kind::Commands(_)
        | Kind::Existing(_) => None,
    }
}

/// How to install a peer that is missing.
pub(crate) const fn how_to_get(kind: &Kind) -> &'static str {
    match kind {
        Kind::Plain => "always there",
        Kind::Passthrough => "built in; libfuse's own: benchmarks/peers/install.sh passthrough",
        Kind::Oxcrypt | Kind::VaultCopy(_) => "cargo build --release -p oxcrypt",
        Kind::Gocryptfs => "benchmarks/peers/install.sh gocryptfs, or apt install gocryptfs",
        Kind::Securefs => "apt install securefs",
        Kind::Cryfs => "apt install cryfs",
        Kind::Encfs => "apt install encfs",
        Kind::Rclone => "benchmarks/peers/install.sh rclone",
        Kind::Cryptomator => "benchmarks/peers/install.sh cryptomator (Maven and a JDK 25)",
        Kind::Commands(_) | Kind::Existing(_) => "",
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// What the installing script wrote beside the program.
fn noted_version(program: &Path) -> String {
    let mut note = program.as_os_str().to_owned();
    note.push(".version");
    std::fs::read_to_string(note)
        .unwrap_or_default()
        .trim()
        .into()
}

/// What the program says of itself, else what the package manager says of the package of its name:
/// securefs, built from a distribution's sources, knows no version.
fn ask_version(program: &Path) -> String {
    let said = line_with_digit(Command::new(program).arg("--version"));
    if !said.is_empty() {
        return said;
    }
    let name = program.file_name().unwrap_or_default();
    line_with_digit(
        Command::new("dpkg-query")
            .args(["-W", "-f=${Version} (package)"])
            .arg(name),
    )
}

fn line_with_digit(command: &mut Command) -> String {
    let Ok(output) = command.stdin(Stdio::null()).output() else {
        return String::new();
    };
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    let text = String::from_utf8_lossy(&text);
    let line = text
        .lines()
        .find(|l| l.chars().any(|c| c.is_ascii_digit()))
        .unwrap_or_default();
    line.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_program_must_exist() {
        let given = Some(PathBuf::from("/nonesuch/oxcrypt"));
        assert!(matches!(
            Programs::discover(given),
            Err(Error::BadRequest(_))
        ));
    }

    #[test]
    fn programs_of_the_path_are_found() {
        let programs = Programs::discover(None).unwrap();
        assert!(programs.find("sh").is_some());
        assert!(matches!(
            programs.need("no-such-program"),
            Err(CaseFailure::Skipped(_))
        ));
    }
}
