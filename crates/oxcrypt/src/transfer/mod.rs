//! `put` and `get`: files into a vault and out of it, on all CPUs, in bounded memory.
//!
//! A file is written under a partial name beside its place and takes its name when it is complete.
//! Resuming compares what the partial file holds with the source, and goes on behind it.

mod ends;
pub(crate) mod get;
mod pool;
mod pump;
pub(crate) mod put;
mod report;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// What to do with a file that exists at the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum Overwrite {
    /// Leave it.
    Never,
    /// Replace it if the source is newer.
    Older,
    /// Replace it.
    #[default]
    Always,
}

/// Options of both directions.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Options {
    /// Directories and everything in them.
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Pass over files that are there already (same size and time), and finish partial ones.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Do not keep the times of files.
    #[arg(long)]
    pub(crate) no_mtime: bool,
    /// What to do with files that exist.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) overwrite: Overwrite,
    /// Only tell what would be done.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Files and threads at a time; one for each CPU if not given.
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Return only when everything is on the disk.
    #[arg(long)]
    pub(crate) sync: bool,
}

impl Options {
    fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(crate::ctx::cpus).clamp(1, 64)
    }
}

/// The name of an unfinished file: the same at the next run, and short whatever the name.
fn partial_name(name: &[u8]) -> Vec<u8> {
    let hash = HEXLOWER.encode(&Sha256::digest(name)[..8]);
    format!(".oxcrypt-part-{hash}").into_bytes()
}
