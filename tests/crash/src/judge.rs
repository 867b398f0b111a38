//! Compares what is left with what a writer knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::model::{Dir, File};
use crate::walk::{Seen, walk};
use crate::workload::Worker;

/// What is wrong after one round, or after all of them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Wrong {
    /// Files that cannot be read.
    pub(crate) unreadable: usize,
    /// Directories that cannot be listed.
    pub(crate) unlistable: usize,
    /// Files with bytes nobody wrote, or without bytes that were synced.
    pub(crate) content: usize,
    /// Nodes that must be there and are not.
    pub(crate) missing: usize,
    /// Nodes nobody made.
    pub(crate) strangers: usize,
    pub(crate) lines: Vec<String>,
}

impl Wrong {
    pub(crate) fn count(&self) -> usize {
        self.unreadable + self.unlistable + self.content + self.missing + self.strangers
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.unreadable += other.unreadable;
        self.unlistable += other.unlistable;
        self.content += other.content;
        self.missing += other.missing;
        self.strangers += other.strangers;
        self.lines.extend(other.lines.iter().cloned());
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} unreadable, {} unlistable, {} wrong content, {} missing, {} strangers",
            self.unreadable, self.unlistable, self.content, self.missing, self.strangers
        )
    }
}

/// Judges the tree of `worker` below `root`, and makes what is there its new beginning.
pub(crate) fn judge(root: &Path, worker: &mut Worker) -> Wrong {
    let mut wrong = Wrong::default();
    let prefix = &worker.name;
    let seen: BTreeMap<String, Seen> = walk(&root.join(prefix))
        .into_iter()
        .map(|(path, what)| match path.as_str() {
            "" => (prefix.clone(), what),
            path => (format!("{prefix}/{path}"), what),
        })
        .collect();
    for (path, what) in &seen {
        match what {
            Seen::Broken(errno) if is_dir(worker, path) => {
                wrong.unlistable += 1;
                wrong
                    .lines
                    .push(format!("{path:.80}: cannot be listed, errno {errno}"));
            }
            Seen::Broken(errno) => {
                wrong.unreadable += 1;
                wrong
                    .lines
                    .push(format!("{path:.80}: cannot be read, errno {errno}"));
            }
            Seen::Dir if is_dir(worker, path) => {}
            Seen::File(bytes) => judge_file(worker, path, bytes, &mut wrong),
            Seen::Dir | Seen::Link(_) | Seen::Odd => {
                wrong.strangers += 1;
                wrong.lines.push(format!("{path:.80}: nobody made this"));
            }
        }
    }
    let broken = |path: &String| matches!(seen.get(path), Some(Seen::Broken(_)));
    for (i, file) in worker.files.iter().enumerate() {
        let excused = matches!(&worker.before_last_sync, Some((last, old))
            if *last == i && worker.loss == crate::model::Loss::Power && old.may_be_gone);
        let fits = |path: &String| matches!(seen.get(path), Some(Seen::File(_)));
        if !file.may_be_gone && !excused && !file.paths.iter().any(|p| fits(p) || broken(p)) {
            wrong.missing += 1;
            wrong.lines.push(format!("{:.80}: is missing", file.path));
        }
    }
    for dir in &worker.dirs {
        let there = |path: &String| matches!(seen.get(path), Some(Seen::Dir)) || broken(path);
        if !dir.may_be_gone && dir.path != *prefix && !dir.paths.iter().any(there) {
            wrong.missing += 1;
            wrong
                .lines
                .push(format!("{:.80}: directory is missing", dir.path));
        }
    }
    start_again(root, worker, seen);
    wrong
}

fn is_dir(worker: &Worker, path: &str) -> bool {
    path == worker.name || worker.dirs.iter().any(|dir| dir.paths.contains(path))
}

fn judge_file(worker: &Worker, path: &str, bytes: &[u8], wrong: &mut Wrong) {
    let mut reasons = Vec::new();
    let candidates = worker
        .files
        .iter()
        .enumerate()
        .filter(|(_, file)| file.paths.contains(path));
    for (i, file) in candidates {
        match file.judge(bytes) {
            Ok(()) => return,
            Err(reason) => reasons.push(reason),
        }
        if let Some((last, old)) = &worker.before_last_sync
            && *last == i
            && worker.loss == crate::model::Loss::Power
            && old.judge(bytes).is_ok()
        {
            return;
        }
    }
    // The paths before the last fsync.
    if let Some((_, old)) = &worker.before_last_sync
        && worker.loss == crate::model::Loss::Power
        && old.paths.contains(path)
        && old.judge(bytes).is_ok()
    {
        return;
    }
    if reasons.is_empty() {
        wrong.strangers += 1;
        wrong
            .lines
            .push(format!("{path:.80}: nobody made this file"));
    } else {
        wrong.content += 1;
        wrong
            .lines
            .push(format!("{path:.80}: {}", reasons.join("; or ")));
    }
}

/// An interrupted rename to or from a long name may leave both, as links to one file; a writer that
/// took them for two would wonder about its data.
fn is_second_name(path: &Path, inodes: &mut BTreeSet<u64>) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.nlink() > 1 && !inodes.insert(meta.ino()))
}

/// What was found counts as synced: it has survived. What is broken is removed, so that later
/// rounds do not count it again.
fn start_again(root: &Path, worker: &mut Worker, seen: BTreeMap<String, Seen>) {
    worker.before_last_sync = None;
    worker.stopped = None;
    worker.files.clear();
    worker.dirs = vec![Dir::found(worker.name.clone())];
    let mut inodes = BTreeSet::new();
    for (path, what) in seen {
        match what {
            Seen::File(_) if is_second_name(&root.join(&path), &mut inodes) => {
                let _ = std::fs::remove_file(root.join(&path));
            }
            Seen::File(bytes) => worker.files.push(File::found(path, bytes)),
            Seen::Dir if path != worker.name => worker.dirs.push(Dir::found(path)),
            Seen::Dir => {}
            Seen::Broken(_) | Seen::Link(_) | Seen::Odd => {
                let broken = root.join(&path);
                if std::fs::remove_file(&broken).is_err() {
                    let _ = std::fs::remove_dir(&broken);
                }
            }
        }
    }
}
