//! Is everything in a vault as it should be? Structure, names, and the authenticity of every
//! chunk.
//!
//! Reads only. Two passes: the first collects directory ids and content directories, the second
//! looks at every node, on several threads. [`repair()`] applies one fix; none deletes data.

mod adopt;
mod content;
mod finding;
mod jobs;
mod leftover;
mod node;
mod pass;
mod pile;
mod repair;
mod structure;
mod survey;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use oxcrypt_core::Cryptor;
use oxcrypt_store::Store;

pub use finding::{Code, Finding, Fix, Severity};
pub use repair::repair;

use survey::Survey;

/// What to check, and how.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// Also authenticate every chunk of every file; otherwise structure, names and headers.
    pub content: bool,
    /// Threads; 0 means one for each processor.
    pub jobs: usize,
    /// Content directories to pass over, as [`Event::DirDone`] named them in an earlier run that
    /// was cut short. The structure is always checked whole.
    pub done: BTreeSet<String>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            content: true,
            jobs: 0,
            done: BTreeSet::new(),
        }
    }
}

/// How far a check is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CheckProgress {
    /// Content directories done.
    pub dirs: u64,
    /// Content directories in all.
    pub dirs_total: u64,
    /// Nodes looked at.
    pub nodes: u64,
    /// Bytes of ciphertext authenticated.
    pub bytes: u64,
}

/// What a check tells while it runs.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something was found.
    Finding(Finding),
    /// A content directory and all files in it were checked; for resuming.
    DirDone(String),
    /// Where it is; at most one for each directory.
    Progress(CheckProgress),
}

/// The end of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CheckSummary {
    /// Findings that are only [`Severity::Info`].
    pub infos: u64,
    /// Findings that are [`Severity::Warning`].
    pub warnings: u64,
    /// Findings that are [`Severity::Critical`].
    pub criticals: u64,
    /// How much was looked at.
    pub progress: CheckProgress,
    /// Whether the observer broke it off.
    pub stopped: bool,
}

impl CheckSummary {
    /// Neither warnings nor worse.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.stopped && self.warnings == 0 && self.criticals == 0
    }

    fn count(&mut self, severity: Severity) {
        match severity {
            Severity::Info => self.infos += 1,
            Severity::Warning => self.warnings += 1,
            Severity::Critical => self.criticals += 1,
        }
    }
}

/// Checks a vault and tells `observe` everything, in no particular order within the second pass;
/// it can break the check off.
///
/// Storage errors are findings too: a check of a failing disk goes on with what can be read.
pub fn check<S: Store>(
    store: &S,
    cryptor: &Cryptor,
    options: &CheckOptions,
    observe: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> CheckSummary {
    let jobs = match options.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let mut summary = CheckSummary::default();
    let survey = Survey::take(store, cryptor, jobs);
    for finding in structure::findings(&survey, cryptor) {
        summary.count(finding.severity());
        if observe(Event::Finding(finding)).is_break() {
            summary.stopped = true;
            return summary;
        }
    }
    let pass = pass::Pass {
        store,
        cryptor,
        survey: &survey,
        options,
    };
    pass.run(jobs, &mut summary, observe);
    summary
}
