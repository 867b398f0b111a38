//! Unlocking, and passphrases in the desktop's key ring.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::app::App;
use crate::fault::Fault;
use crate::model::Work;
use crate::prompt::{self, Question};
use crate::runner::Input;
use crate::secret::Secret;
use crate::settings::Entry;

/// How long a vault that is being locked is waited for.
const FOR_LOCKING: Duration = Duration::from_secs(15);
/// How often a person may try.
const TRIES: u32 = 3;

/// Where the passphrase comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// What the vault is set up for, else a person.
    Usual,
    /// Who wants it unlocked has it here.
    Descriptor(OwnedFd),
}

impl App {
    /// Unlocks and mounts a vault; where it is then.
    pub(crate) async fn unlock(
        self: &Arc<Self>,
        id: &str,
        source: Source,
        read_only: bool,
    ) -> Result<PathBuf, Fault> {
        let deadline = Instant::now() + FOR_LOCKING;
        let vault = self.working_on(id, Work::Unlocking, deadline).await?;
        let done = match (&vault.entry, vault.mounts.first()) {
            (_, Some(mount)) => Err(Fault::new(
                "busy",
                format!("it is unlocked already, at {}", mount.point.display()),
            )),
            (None, None) => Err(Fault::new("unknown_vault", "it has no name")),
            (Some(entry), None) => self.mount(entry, source, read_only).await,
        };
        self.done_with(id).await;
        done
    }

    /// As [`Self::unlock`], telling the user when it does not work.
    pub(crate) async fn unlock_and_tell(self: &Arc<Self>, id: &str, read_only: bool) {
        if let Err(fault) = self.unlock(id, Source::Usual, read_only).await {
            self.failed(id, &fault);
        }
    }

    async fn mount(
        self: &Arc<Self>,
        entry: &Entry,
        source: Source,
        read_only: bool,
    ) -> Result<PathBuf, Fault> {
        let place = self.model().place(entry);
        let place = place.ok_or_else(|| Fault::new("usage", "there is no place to mount it at"))?;
        make_dir(&place)?;
        match source {
            Source::Descriptor(fd) => {
                let input = Input::Descriptor(fd);
                self.try_mount(entry, &place, input, read_only).await?;
                return Ok(place);
            }
            Source::Usual if entry.unlock.as_deref().is_some_and(|from| from != "prompt") => {
                match self
                    .try_mount(entry, &place, Input::Nothing, read_only)
                    .await
                {
                    // It was forgotten or changed there; a person may know it.
                    Err(fault) if fault.is("wrong_key") => {}
                    done => return done.map(|()| place),
                }
            }
            Source::Usual => {}
        }
        let mut asking = self.asking(entry);
        loop {
            let input = Input::Secret(asking.next().await?);
            let done = self.try_mount(entry, &place, input, read_only).await;
            if let Some(done) = asking.is_enough(done) {
                return done.map(|()| place);
            }
        }
    }

    async fn try_mount(
        &self,
        entry: &Entry,
        place: &Path,
        input: Input,
        read_only: bool,
    ) -> Result<(), Fault> {
        let mut words: Vec<OsString> = vec!["mount".into()];
        if !matches!(input, Input::Nothing) {
            words.push("--password-stdin".into());
        }
        if read_only {
            words.push("--ro".into());
        }
        words.extend(["--".into(), format!("@{}", entry.name).into(), place.into()]);
        self.runner.run(&words, input).await.map(|_| ())
    }

    fn asking(&self, entry: &Entry) -> Asking {
        Asking {
            prompter: self.model().settings.tray.prompter.clone(),
            question: Question {
                text: format!("Passphrase of the vault {}:", entry.name),
                error: None,
            },
            left: TRIES,
        }
    }

    /// Asks for the passphrase and keeps it in the desktop's key ring, for this vault only.
    pub(crate) async fn remember(self: &Arc<Self>, id: &str) -> Result<(), Fault> {
        let entry = self.named(id)?;
        let name = format!("@{id}");
        let words = [
            "key",
            "add",
            "--in",
            "keyring",
            "--password-stdin",
            "--",
            &name,
        ];
        let mut asking = self.asking(&entry);
        loop {
            let input = Input::Secret(asking.next().await?);
            let done = self.runner.run(&words, input).await;
            if let Some(done) = asking.is_enough(done) {
                done?;
                break;
            }
        }
        let set = self.set_source(id, "keyring").await;
        if set.is_err() {
            // It would be kept and never used.
            let _ = self.forget_passphrase(id).await;
        }
        self.reload().await;
        set
    }

    /// Removes the passphrase from the desktop's key ring.
    pub(crate) async fn forget(self: &Arc<Self>, id: &str) -> Result<(), Fault> {
        self.named(id)?;
        self.forget_passphrase(id).await?;
        let set = self.set_source(id, "prompt").await;
        self.reload().await;
        set
    }

    async fn forget_passphrase(&self, id: &str) -> Result<(), Fault> {
        let name = format!("@{id}");
        let words = ["key", "remove", "--in", "keyring", "--", &name];
        self.runner.run(&words, Input::Nothing).await.map(|_| ())
    }

    async fn set_source(&self, id: &str, source: &str) -> Result<(), Fault> {
        let quoted = id.replace('\\', "\\\\").replace('"', "\\\"");
        let key = format!("vaults.\"{quoted}\".unlock");
        let words = ["config", "set", "--", &key, source];
        self.runner.run(&words, Input::Nothing).await.map(|_| ())
    }

    fn named(&self, id: &str) -> Result<Entry, Fault> {
        let entry = self.model().vault(id).and_then(|vault| vault.entry);
        entry.ok_or_else(|| Fault::new("unknown_vault", format!("there is no vault named {id}")))
    }
}

/// Asks until it is right, the person has enough, or it was wrong too often.
struct Asking {
    prompter: Option<Vec<String>>,
    question: Question,
    left: u32,
}

impl Asking {
    async fn next(&mut self) -> Result<Secret, Fault> {
        self.left -= 1;
        prompt::ask(self.prompter.as_deref(), &self.question).await
    }

    /// `None` to ask again.
    fn is_enough<T>(&mut self, done: Result<T, Fault>) -> Option<Result<T, Fault>> {
        match done {
            Err(fault) if fault.is("wrong_key") && self.left > 0 => {
                self.question.error = Some("Wrong passphrase".to_owned());
                None
            }
            done => Some(done),
        }
    }
}

/// For this user alone, as far as it is made here.
fn make_dir(place: &Path) -> Result<(), Fault> {
    // What a mount left whose process is gone is "not connected" and cleared away by the command.
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(place);
    match made {
        Err(e)
            if std::fs::symlink_metadata(place).is_err()
                && e.raw_os_error() != Some(NOT_CONNECTED) =>
        {
            Err(Fault::new(
                "permission",
                format!("{}: {e}", place.display()),
            ))
        }
        _ => Ok(()),
    }
}

const NOT_CONNECTED: i32 = rustix::io::Errno::NOTCONN.raw_os_error();
