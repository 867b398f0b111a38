//! A failed command: what, why, and what next.

use std::path::Path;

use oxcrypt_store::StoreError;
use oxcrypt_vault::VaultError;
use oxcrypt_vfs::ErrorKind;
use serde::Serialize;

use crate::exit::{Exit, explain};
use crate::out::Out;

/// A process that keeps a mount busy.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Holder {
    pub(crate) pid: i32,
    pub(crate) comm: String,
    /// `cwd`, `root`, `exe`, `fd` or `map`.
    pub(crate) why: &'static str,
}

/// Why the command failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) holders: Vec<Holder>,
    /// It was told already, piece by piece.
    pub(crate) told: bool,
    /// The exit code where it is not that of `exit` (a child's, a mount helper's).
    pub(crate) raw_code: Option<u8>,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Failures of single nodes in a command that goes on: each is told at once, the worst gives the
/// exit code.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Failures {
    worst: Option<Exit>,
}

impl Failures {
    /// Tells a failure and notes it.
    pub(crate) fn tell(&mut self, out: &Out, failure: &Failure) {
        out.failure(failure);
        self.note(failure.exit);
    }

    /// Notes a failure that is told elsewhere.
    pub(crate) fn note(&mut self, exit: Exit) {
        self.worst = Some(self.worst.map_or(exit, |worst| worst.worse(exit)));
    }

    /// The end of the command.
    pub(crate) fn end(self) -> Result<()> {
        self.worst.map_or(Ok(()), |exit| Err(Failure::told(exit)))
    }
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
            holders: Vec::new(),
            told: false,
            raw_code: None,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Says what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says in front where it happened.
    pub(crate) fn at(mut self, place: impl std::fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Ends with this code; everything was said.
    pub(crate) fn told(exit: Exit) -> Self {
        let mut failure = Self::new(exit, "");
        failure.told = true;
        failure
    }

    /// What the process returns.
    pub(crate) fn code(&self) -> u8 {
        self.raw_code.unwrap_or_else(|| self.exit.code())
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    pub(crate) fn io(error: &std::io::Error) -> Self {
        Self::new(Exit::of_io(error.kind()), error.to_string())
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let text = error.to_string();
        let exit = Exit::of_vault(&error);
        // The library's lines end with the advice, after the last semicolon.
        match text.rsplit_once("; ") {
            Some((what, next)) => Self::new(exit, what).hint(next),
            None => Self::new(exit, text),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(Exit::of_store(error.kind), error.to_string())
    }
}

impl From<oxcrypt_vfs::Error> for Failure {
    fn from(error: oxcrypt_vfs::Error) -> Self {
        // The others say all there is to say.
        let unclear = matches!(error.kind, ErrorKind::Io | ErrorKind::Internal);
        let os = error.os.filter(|_| unclear);
        let os = os.map(|n| format!(": {}", std::io::Error::from_raw_os_error(n)));
        let text = explain(error.kind);
        Self::new(
            Exit::of_vfs(error.kind),
            format!("{text}{}", os.unwrap_or_default()),
        )
    }
}

/// Names the place of an error.
pub(crate) trait At<T> {
    /// In the vault, or anywhere that can be printed.
    fn at(self, place: impl std::fmt::Display) -> Result<T>;
}

impl<T, E: Into<Failure>> At<T> for std::result::Result<T, E> {
    fn at(self, place: impl std::fmt::Display) -> Result<T> {
        self.map_err(|e| e.into().at(place))
    }
}

/// Names the place of an error of this machine's file system.
pub(crate) trait Host<T> {
    fn host(self, path: &Path) -> Result<T>;
    fn what(self, what: &str) -> Result<T>;
}

impl<T> Host<T> for std::io::Result<T> {
    fn host(self, path: &Path) -> Result<T> {
        self.map_err(|e| Failure::io(&e).at(path.display()))
    }

    fn what(self, what: &str) -> Result<T> {
        self.map_err(|e| Failure::io(&e).at(what))
    }
}

impl<T> Host<T> for rustix::io::Result<T> {
    fn host(self, path: &Path) -> Result<T> {
        self.map_err(std::io::Error::from).host(path)
    }

    fn what(self, what: &str) -> Result<T> {
        self.map_err(std::io::Error::from).what(what)
    }
}
