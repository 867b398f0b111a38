//! What can go wrong: with the request (exit code 2), with the program's own work, or with one case
//! of one target, which is a result like any other and never ends a run.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Ends the program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    BadRequest(String),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{0}")]
    Failed(String),
    #[error("interrupted; everything was unmounted and deleted")]
    Interrupted,
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::BadRequest(_) => exit::BAD_REQUEST,
            Self::Io { .. } | Self::Failed(_) => exit::FAILURES,
            Self::Interrupted => exit::INTERRUPTED,
        }
    }
}

/// The program's exit codes.
pub(crate) mod exit {
    pub(crate) const OK: u8 = 0;
    /// At least one case failed, or the run itself did.
    pub(crate) const FAILURES: u8 = 1;
    pub(crate) const BAD_REQUEST: u8 = 2;
    /// `compare` found a row slower than allowed.
    pub(crate) const REGRESSION: u8 = 3;
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Why one case of one target has no figure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaseFailure {
    #[error("{step}: {source}")]
    Io { step: String, source: io::Error },
    /// Content read back is not what was written. The most serious finding there is.
    #[error("CORRUPT: {0}")]
    Corrupt(String),
    #[error("HUNG: no answer within {}", humantime::format_duration(*.0))]
    Hung(Duration),
    #[error("DIED: {0}")]
    Died(String),
    #[error("{tool}: {message}")]
    Tool { tool: String, message: String },
    #[error("did not mount: {0}")]
    Mount(String),
    /// Not a fault: the target cannot do this, or a program is missing.
    #[error("skipped: {0}")]
    Skipped(String),
}

impl CaseFailure {
    pub(crate) fn io(step: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let step = step.into();
        move |source| Self::Io { step, source }
    }

    pub(crate) const fn class(&self) -> FailureClass {
        match self {
            Self::Io { .. } | Self::Tool { .. } => FailureClass::Error,
            Self::Corrupt(_) => FailureClass::Corrupt,
            Self::Hung(_) => FailureClass::Hung,
            Self::Died(_) => FailureClass::Died,
            Self::Mount(_) => FailureClass::NotMounted,
            Self::Skipped(_) => FailureClass::Skipped,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureClass {
    Error,
    Corrupt,
    Hung,
    Died,
    NotMounted,
    Skipped,
}

pub(crate) type CaseResult<T = ()> = Result<T, CaseFailure>;

/// Attaches the path to an I/O error, which `std` leaves out.
pub(crate) trait AtPath<T> {
    fn at(self, verb: &str, path: &std::path::Path) -> CaseResult<T>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, verb: &str, path: &std::path::Path) -> CaseResult<T> {
        self.map_err(|source| CaseFailure::Io {
            step: format!("{verb} {}", short(path).display()),
            source,
        })
    }
}

impl<T> AtPath<T> for rustix::io::Result<T> {
    fn at(self, verb: &str, path: &std::path::Path) -> CaseResult<T> {
        self.map_err(io::Error::from).at(verb, path)
    }
}

/// The last two parts of a path: enough to know the file, and free of the work directory's name.
fn short(path: &std::path::Path) -> PathBuf {
    let parts: Vec<_> = path.components().collect();
    parts[parts.len().saturating_sub(2)..].iter().collect()
}
