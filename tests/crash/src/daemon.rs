//! The program under test, serving a mount in a process of its own.

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A vault and everything a mount of it needs.
#[derive(Debug, Clone)]
pub(crate) struct Bed {
    pub(crate) program: PathBuf,
    pub(crate) vault: PathBuf,
    pub(crate) mountpoint: PathBuf,
    pub(crate) password_file: PathBuf,
    /// Home, state and runtime directories of the program.
    pub(crate) home: PathBuf,
}

impl Bed {
    /// Makes the directories; the vault is the caller's business.
    pub(crate) fn new(
        program: &Path,
        vault: &Path,
        place: &Path,
        home: &Path,
        password: &str,
    ) -> Self {
        let bed = Self {
            program: program.to_owned(),
            vault: vault.to_owned(),
            mountpoint: place.join("mount"),
            password_file: place.join("passphrase"),
            home: home.to_owned(),
        };
        std::fs::create_dir_all(&bed.mountpoint).unwrap();
        for dir in ["state", "run", "config"] {
            std::fs::create_dir_all(bed.home.join(dir)).unwrap();
        }
        std::fs::write(&bed.password_file, password).unwrap();
        std::fs::set_permissions(&bed.password_file, Permissions::from_mode(0o600)).unwrap();
        bed
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("HOME", &self.home)
            .env("XDG_STATE_HOME", self.home.join("state"))
            .env("XDG_RUNTIME_DIR", self.home.join("run"))
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .stdin(Stdio::null());
        command
    }

    /// Starts the daemon without waiting for the mount.
    pub(crate) fn start(&self, log: &Path) -> Child {
        let log = File::options().append(true).create(true).open(log).unwrap();
        self.command()
            .arg("mount")
            .args([&self.vault, &self.mountpoint])
            .arg("--foreground")
            .arg("--password-file")
            .arg(&self.password_file)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()))
    }

    /// As [`Bed::mount`]; a refusal is printed with `what` was being done.
    pub(crate) fn mount_again(&self, what: &str) -> Option<Daemon> {
        self.mount()
            .inspect_err(|refused| {
                println!("{what}: does not mount again: {}", refused.words.trim());
            })
            .ok()
    }

    /// Starts the daemon and waits until the mount answers; its own words where it does not.
    pub(crate) fn mount(&self) -> Result<Daemon, Refused> {
        let log = tempfile::NamedTempFile::new().unwrap();
        let before = device(&self.mountpoint);
        let mut child = self.start(log.path());
        // Counted in rounds of its own: whoever is stopped for a while has not waited.
        for _ in 0..15_000 {
            if let Some(status) = child.try_wait().unwrap() {
                self.clean_up();
                return Err(Refused {
                    words: std::fs::read_to_string(log.path()).unwrap_or_default(),
                    signal: std::os::unix::process::ExitStatusExt::signal(&status),
                });
            }
            if device(&self.mountpoint).is_some_and(|device| Some(device) != before) {
                return Ok(Daemon {
                    child,
                    bed: self.clone(),
                    log,
                });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = child.kill();
        let _ = child.wait();
        self.clean_up();
        Err(Refused {
            words: "TIMEOUT: no mount and no word within 30 s".into(),
            signal: None,
        })
    }

    /// Removes a mount whose daemon is gone.
    pub(crate) fn clean_up(&self) {
        for _ in 0..3 {
            let done = Command::new("umount")
                .arg("-l")
                .arg(&self.mountpoint)
                .stderr(Stdio::null())
                .status();
            if !done.is_ok_and(|status| status.success()) {
                break;
            }
        }
    }
}

/// Why there is no mount.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) words: String,
    pub(crate) signal: Option<i32>,
}

fn device(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|meta| meta.dev())
}

/// A daemon whose mount answers.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    bed: Bed,
    log: tempfile::NamedTempFile,
}

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn words(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// SIGKILL, and the mount is removed.
    ///
    /// # Panics
    /// When it does not die: a thread of it waits for its own mount then, which is a fault to be found.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let dead = self.ends_within(Duration::from_secs(30)).is_some();
        self.bed.clean_up();
        assert!(
            dead || self.ends_within(Duration::from_secs(30)).is_some(),
            "process {} survives SIGKILL",
            self.child.id()
        );
    }

    /// How it ended, if it does in this time; counted in rounds, as in [`Bed::mount`].
    fn ends_within(&mut self, time: Duration) -> Option<ExitStatus> {
        const ROUND: Duration = Duration::from_millis(5);
        for _ in 0..time.as_millis() / ROUND.as_millis() {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(ROUND);
        }
        None
    }

    /// An orderly end; tells whether it was one.
    pub(crate) fn unmount(mut self) -> bool {
        let _ = Command::new("umount")
            .arg(&self.bed.mountpoint)
            .stderr(Stdio::null())
            .status();
        match self.ends_within(Duration::from_secs(20)) {
            Some(status) => status.success(),
            None => {
                self.kill();
                false
            }
        }
    }
}
