//! What may be found after an interruption.
//!
//! Each node has the paths it may have, each file the bytes each of its places may hold: those of
//! its last fsync, and those of every later change.

use std::collections::BTreeSet;

/// How much an interruption may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loss {
    /// A kill: names that were acknowledged stay.
    Kill,
    /// A power cut: names that were not synced may be lost.
    Power,
}

/// A change of content since the last fsync.
#[derive(Clone, Copy, Debug)]
enum Change {
    Write { at: usize, len: usize, op: u64 },
    Truncate,
}

/// A file as its writer knows it.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Where it is, as far as was acknowledged.
    pub(crate) path: String,
    /// Where it may be found.
    pub(crate) paths: BTreeSet<String>,
    /// It need not be found at all.
    pub(crate) may_be_gone: bool,
    /// It is gone for the writer.
    pub(crate) removed: bool,
    synced: Vec<u8>,
    now: Vec<u8>,
    changes: Vec<Change>,
    least: usize,
    most: usize,
}

impl File {
    pub(crate) fn new(path: String) -> Self {
        Self {
            paths: [path.clone()].into(),
            path,
            may_be_gone: true,
            removed: false,
            synced: Vec::new(),
            now: Vec::new(),
            changes: Vec::new(),
            least: 0,
            most: 0,
        }
    }

    /// A file found with these bytes.
    pub(crate) fn found(path: String, bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self {
            synced: bytes.clone(),
            now: bytes,
            least: len,
            most: len,
            may_be_gone: false,
            ..Self::new(path)
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.now.len()
    }

    /// To be called before the write is tried.
    pub(crate) fn write(&mut self, at: usize, len: usize, op: u64) -> Vec<u8> {
        let data: Vec<u8> = (at..at + len).map(|i| byte(op, i)).collect();
        if self.now.len() < at + len {
            self.now.resize(at + len, 0);
        }
        self.now[at..at + len].copy_from_slice(&data);
        self.changes.push(Change::Write { at, len, op });
        self.sized();
        data
    }

    /// To be called before the truncation is tried.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.now.resize(len, 0);
        self.changes.push(Change::Truncate);
        self.sized();
    }

    fn sized(&mut self) {
        self.least = self.least.min(self.now.len());
        self.most = self.most.max(self.now.len());
    }

    /// An fsync was acknowledged.
    pub(crate) fn synced(&mut self) {
        self.synced = self.now.clone();
        self.changes.clear();
        self.least = self.now.len();
        self.most = self.now.len();
        self.paths = [self.path.clone()].into();
        self.may_be_gone = false;
    }

    /// Whether these bytes are what was written, where nothing was interrupted.
    pub(crate) fn holds(&self, got: &[u8]) -> bool {
        self.now == got
    }

    /// Why these bytes cannot be what is left of this file.
    pub(crate) fn judge(&self, got: &[u8]) -> Result<(), String> {
        if got.len() < self.least || got.len() > self.most {
            return Err(format!(
                "{} bytes, must be {} to {}",
                got.len(),
                self.least,
                self.most
            ));
        }
        let truncated = self
            .changes
            .iter()
            .any(|change| matches!(change, Change::Truncate));
        for (i, &byte_got) in got.iter().enumerate() {
            let old = self.synced.get(i) == Some(&byte_got);
            let gap = byte_got == 0 && (truncated || i >= self.synced.len());
            if !(old
                || gap
                || self
                    .changes
                    .iter()
                    .any(|change| change.explains(i, byte_got)))
            {
                return Err(self.explain(got, i));
            }
        }
        Ok(())
    }
}

impl File {
    /// What is known about a byte that should not be there.
    fn explain(&self, got: &[u8], i: usize) -> String {
        let covered = self.changes.iter().any(|change| change.covers(i));
        let what = if covered {
            "is none of what was written"
        } else {
            "was synced and is lost"
        };
        let wrong = (i..got.len())
            .take_while(|at| self.synced.get(*at) != got.get(*at))
            .count();
        let zeros = got[i..i + wrong].iter().all(|byte| *byte == 0);
        format!(
            "byte {i} (chunk {}) {what}; {wrong} bytes like it{}; {} bytes of {} synced and {} now; since then {:?}",
            i / 32768,
            if zeros { ", all zero" } else { "" },
            got.len(),
            self.synced.len(),
            self.now.len(),
            self.changes
        )
    }
}

impl Change {
    fn covers(&self, i: usize) -> bool {
        matches!(self, Self::Write { at, len, .. } if (*at..at + len).contains(&i))
    }

    fn explains(&self, i: usize, got: u8) -> bool {
        self.covers(i) && matches!(self, Self::Write { op, .. } if byte(*op, i) == got)
    }
}

/// The byte that operation `op` writes at place `i`.
pub(crate) fn byte(op: u64, i: usize) -> u8 {
    let mixed =
        (op.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (i as u64)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed >> 40) as u8
}

/// A directory as its maker knows it.
#[derive(Clone, Debug)]
pub(crate) struct Dir {
    pub(crate) path: String,
    pub(crate) paths: BTreeSet<String>,
    pub(crate) may_be_gone: bool,
    pub(crate) removed: bool,
}

impl Dir {
    pub(crate) fn new(path: String) -> Self {
        Self {
            paths: [path.clone()].into(),
            path,
            may_be_gone: true,
            removed: false,
        }
    }

    pub(crate) fn found(path: String) -> Self {
        Self {
            may_be_gone: false,
            ..Self::new(path)
        }
    }
}
