//! What keeps a mount busy: each load has a directory of its own and knows what must be in it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use crate::model::{self, Loss};
use crate::random::Random;
use crate::walk::{Seen, walk};
use crate::workload::Worker;

/// One thread's work.
pub(crate) trait Load: Send {
    /// Works for some tens of milliseconds; what went wrong is said in words.
    fn burst(&mut self) -> Result<(), String>;

    /// Compares everything that is there with everything that must be there.
    fn wrong(&self) -> Vec<String>;

    /// How many steps were taken.
    fn done(&self) -> u64;
}

/// The loads of one mount.
pub(crate) fn all(root: &Path, seed: u64) -> Vec<Box<dyn Load>> {
    let random = |i| Random::new(seed * 100 + i);
    let worker = |i| Worker::new(root, &format!("w{i}"), Loss::Kill, seed * 100 + i);
    vec![
        Box::new(Mixed::new(worker(0))),
        Box::new(Mixed::new(worker(1))),
        Box::new(Stream::new(root.join("stream"), random(2))),
        Box::new(Crowd::new(root.join("crowd"), random(3))),
    ]
}

fn said(what: &Path) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("{:.100}: {error}", what.display())
}

/// The writer of the crash tests, where nothing crashes.
struct Mixed {
    worker: Worker,
    bursts: u64,
    steps: u64,
}

impl Mixed {
    fn new(worker: Worker) -> Self {
        Self {
            worker,
            bursts: 0,
            steps: 0,
        }
    }
}

impl Load for Mixed {
    fn burst(&mut self) -> Result<(), String> {
        if self.bursts == 0 {
            self.worker.prepare().map_err(|error| error.to_string())?;
        }
        self.bursts += 1;
        for _ in 0..20 {
            self.worker.step().map_err(|error| error.to_string())?;
            self.steps += 1;
        }
        // What is gone must not be remembered for hours.
        self.worker.files.retain(|file| !file.removed);
        self.worker.dirs.retain(|dir| !dir.removed);
        if self.bursts.is_multiple_of(20)
            && let Some(wrong) = self.wrong().into_iter().next()
        {
            return Err(wrong);
        }
        Ok(())
    }

    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let top = &self.worker.name;
        let seen = walk(&self.worker.root.join(top));
        for (path, what) in &seen {
            let path = format!("{top}/{path}");
            let right = match what {
                Seen::Dir => self.worker.dirs.iter().any(|dir| dir.path == path),
                Seen::File(bytes) => {
                    let mut files = self.worker.files.iter();
                    files.any(|file| file.path == path && file.holds(bytes))
                }
                Seen::Link(_) | Seen::Broken(_) | Seen::Odd => false,
            };
            if !right {
                wrong.push(format!("{path:.80} is not as it was written"));
            }
        }
        // The top is among the directories of the writer, and not among what was seen below it.
        let known = self.worker.files.len() + self.worker.dirs.len() - 1;
        if seen.len() != known {
            wrong.push(format!("{top}: {} nodes of {known}", seen.len()));
        }
        wrong
    }

    fn done(&self) -> u64 {
        self.steps
    }
}

/// A large file after the other: written, dropped from the kernel's cache, read back, replaced.
struct Stream {
    dir: PathBuf,
    random: Random,
    step: u64,
    at: usize,
    len: usize,
    reading: bool,
}

const PIECE: usize = 1 << 20;

impl Stream {
    fn new(dir: PathBuf, random: Random) -> Self {
        Self {
            dir,
            random,
            step: 0,
            at: 0,
            len: 0,
            reading: false,
        }
    }

    fn piece(&self, at: usize) -> Vec<u8> {
        let count = PIECE.min(self.len - at);
        (at..at + count)
            .map(|i| model::byte(self.len as u64, i))
            .collect()
    }

    fn advance(&mut self) -> io::Result<()> {
        let file = self.dir.join("large");
        if self.at >= self.len && !self.reading && self.len > 0 {
            let file = File::open(&file)?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
            self.reading = true;
            self.at = 0;
        } else if self.at >= self.len {
            // Its last reader still has it open while it is removed.
            let held = File::open(&file);
            match std::fs::create_dir(&self.dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    std::fs::remove_file(&file)?;
                }
                made => made?,
            }
            if let Ok(held) = held {
                self.at = 0;
                self.check_piece(&held)?;
            }
            File::create_new(&file)?;
            self.len = 1 + self.random.below(24 * PIECE);
            (self.at, self.reading) = (0, false);
        } else if self.reading {
            self.check_piece(&File::open(&file)?)?;
            self.at += PIECE;
        } else {
            let data = self.piece(self.at);
            OpenOptions::new()
                .write(true)
                .open(&file)?
                .write_all_at(&data, self.at as u64)?;
            self.at += PIECE;
        }
        Ok(())
    }

    fn check_piece(&self, file: &File) -> io::Result<()> {
        let mut got = vec![0; PIECE.min(self.len - self.at)];
        file.read_exact_at(&mut got, self.at as u64)?;
        if got == self.piece(self.at) {
            Ok(())
        } else {
            Err(io::Error::other(format!("wrong bytes from {}", self.at)))
        }
    }
}

impl Load for Stream {
    fn burst(&mut self) -> Result<(), String> {
        for _ in 0..4 {
            self.advance().map_err(said(&self.dir.clone()))?;
            self.step += 1;
        }
        Ok(())
    }

    fn wrong(&self) -> Vec<String> {
        let written = if self.reading {
            self.len
        } else {
            self.at.min(self.len)
        };
        let Ok(got) = std::fs::read(self.dir.join("large")) else {
            return vec!["the large file cannot be read".into()];
        };
        let all = (0..written).step_by(PIECE).flat_map(|at| self.piece(at));
        if all.take(written).eq(got) {
            Vec::new()
        } else {
            vec!["the large file is not as it was written".into()]
        }
    }

    fn done(&self) -> u64 {
        self.step
    }
}

/// Many small nodes that come and go: files, links of both kinds, listings, attributes.
struct Crowd {
    dir: PathBuf,
    random: Random,
    step: u64,
    round: u64,
}

const CROWD: usize = 150;

impl Crowd {
    fn new(dir: PathBuf, random: Random) -> Self {
        Self {
            dir,
            random,
            step: 0,
            round: 0,
        }
    }

    fn text(&self, i: usize) -> String {
        format!("{i} of round {} ", self.round).repeat(1 + i * 7)
    }

    fn round(&mut self) -> io::Result<()> {
        self.round += 1;
        let dir = self.dir.join(format!("round {}", self.round));
        std::fs::create_dir_all(&dir)?;
        let name = |i: usize| format!("file {i} {}", "x".repeat(i % 200));
        for i in 0..CROWD {
            File::create_new(dir.join(name(i)))?.write_all(self.text(i).as_bytes())?;
        }
        symlink("file 0 ", dir.join("link"))?;
        std::fs::hard_link(dir.join(name(1)), dir.join("second name"))?;
        let mut files = 0;
        for entry in std::fs::read_dir(&dir)? {
            files += usize::from(entry?.metadata()?.is_file());
        }
        if files != CROWD + 1 {
            return Err(io::Error::other(format!("{files} files listed")));
        }
        for _ in 0..20 {
            let i = self.random.below(CROWD);
            let mut text = String::new();
            File::open(dir.join(name(i)))?.read_to_string(&mut text)?;
            if text != self.text(i) {
                return Err(io::Error::other(format!("wrong bytes in {}", name(i))));
            }
        }
        if std::fs::read_to_string(dir.join("link"))? != self.text(0) {
            return Err(io::Error::other("wrong bytes behind the link"));
        }
        let moved = self.dir.join("moved");
        std::fs::rename(&dir, &moved)?;
        if std::fs::metadata(dir.join(name(0))).is_ok() {
            return Err(io::Error::other("still there under its old name"));
        }
        std::fs::remove_dir_all(&moved)
    }
}

impl Load for Crowd {
    fn burst(&mut self) -> Result<(), String> {
        self.step += CROWD as u64;
        self.round().map_err(said(&self.dir.clone()))
    }

    fn wrong(&self) -> Vec<String> {
        match walk(&self.dir).len() {
            0 => Vec::new(),
            left => vec![format!("{left} nodes left in the crowd")],
        }
    }

    fn done(&self) -> u64 {
        self.step
    }
}
