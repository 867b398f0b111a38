//! A writer of one directory tree that knows what it has written.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::{Dir, File, Loss};
use crate::random::Random;

const MAX_FILES: usize = 12;
const MAX_DIRS: usize = 5;
const MAX_LEN: usize = 300_000;

/// One writer. Its tree is `root/name`.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) root: PathBuf,
    pub(crate) name: String,
    pub(crate) loss: Loss,
    pub(crate) files: Vec<File>,
    pub(crate) dirs: Vec<Dir>,
    /// Syncs the directories above a file with it. On a plain file system a file that was synced may
    /// be found under an earlier name of a directory above it; oxcrypt promises more.
    pub(crate) syncs_parents: bool,
    /// The file of the last fsync as it was before: in a power cut that one does not count yet.
    pub(crate) before_last_sync: Option<(usize, Box<File>)>,
    random: Random,
    op: u64,
    pub(crate) ops: u64,
    pub(crate) syncs: u64,
    /// Why it stopped.
    pub(crate) stopped: Option<String>,
}

impl Worker {
    pub(crate) fn new(root: &Path, name: &str, loss: Loss, seed: u64) -> Self {
        Self {
            root: root.to_owned(),
            name: name.to_owned(),
            loss,
            files: Vec::new(),
            dirs: vec![Dir::found(name.to_owned())],
            syncs_parents: false,
            before_last_sync: None,
            random: Random::new(seed),
            op: seed << 32,
            ops: 0,
            syncs: 0,
            stopped: None,
        }
    }

    /// Makes the writer's own directory and makes sure it lasts.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        let dir = self.root.join(&self.name);
        match std::fs::create_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        std::fs::File::open(&dir)?.sync_all()?;
        std::fs::File::open(&self.root)?.sync_all()
    }

    /// Works until something fails or `stop` is set.
    pub(crate) fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if let Err(error) = self.step() {
                self.stopped = Some(error.to_string());
                return;
            }
            self.ops += 1;
        }
    }

    pub(crate) fn step(&mut self) -> io::Result<()> {
        self.op += 1;
        match self.random.below(20) {
            0..=5 => self.write(true),
            6..=8 => self.write(false),
            9 => self.truncate(),
            10..=12 => self.sync(),
            13 | 14 => self.create(),
            15 | 16 => self.rename(),
            17 => self.unlink(),
            18 => self.make_dir(),
            _ => self.change_dir(),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn live(&mut self) -> Option<usize> {
        let live: Vec<_> = (0..self.files.len())
            .filter(|i| !self.files[*i].removed)
            .collect();
        (!live.is_empty()).then(|| live[self.random.below(live.len())])
    }

    fn some_dir(&mut self) -> String {
        let live: Vec<_> = self.dirs.iter().filter(|dir| !dir.removed).collect();
        live[self.random.below(live.len())].path.clone()
    }

    fn fresh_path(&mut self) -> String {
        let dir = self.some_dir();
        // Some names are shortened.
        let tail = if self.random.one_in(5) {
            "n".repeat(180)
        } else {
            String::new()
        };
        format!("{dir}/{}{}", self.op & 0xffff_ffff, tail)
    }

    fn write(&mut self, inside: bool) -> io::Result<()> {
        let Some(i) = self.live() else {
            return self.create();
        };
        let len = self.files[i].len();
        let (at, count) = if inside && len > 0 {
            let at = self.random.below(len);
            (at, 1 + self.random.below((len - at).min(70_000)))
        } else {
            (len, 1 + self.random.below(40_000))
        };
        if at + count > MAX_LEN {
            return self.truncate();
        }
        let path = self.at(&self.files[i].path);
        let file = OpenOptions::new().write(true).open(path)?;
        let data = self.files[i].write(at, count, self.op);
        file.write_all_at(&data, at as u64)?;
        if self.random.one_in(4) {
            self.sync_file(i, &file)?;
        }
        Ok(())
    }

    fn truncate(&mut self) -> io::Result<()> {
        let Some(i) = self.live() else {
            return self.create();
        };
        let len = self.random.below(self.files[i].len() + 5000);
        let file = OpenOptions::new()
            .write(true)
            .open(self.at(&self.files[i].path))?;
        self.files[i].truncate(len);
        file.set_len(len as u64)
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some(i) = self.live() else { return Ok(()) };
        let file = OpenOptions::new()
            .write(true)
            .open(self.at(&self.files[i].path))?;
        self.sync_file(i, &file)
    }

    fn sync_file(&mut self, i: usize, file: &std::fs::File) -> io::Result<()> {
        file.sync_all()?;
        if self.syncs_parents {
            let path = Path::new(&self.files[i].path);
            for dir in path.ancestors().skip(1) {
                std::fs::File::open(self.root.join(dir))?.sync_all()?;
            }
        }
        self.before_last_sync = Some((i, Box::new(self.files[i].clone())));
        self.files[i].synced();
        self.syncs += 1;
        Ok(())
    }

    fn create(&mut self) -> io::Result<()> {
        if self.files.iter().filter(|file| !file.removed).count() >= MAX_FILES {
            return self.unlink();
        }
        let path = self.fresh_path();
        let count = self.random.below(80_000);
        self.files.push(File::new(path.clone()));
        let i = self.files.len() - 1;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.at(&path))?;
        if self.loss == Loss::Kill {
            self.files[i].may_be_gone = false;
        }
        if count > 0 {
            let data = self.files[i].write(0, count, self.op);
            file.write_all_at(&data, 0)?;
        }
        if self.random.one_in(2) {
            self.sync_file(i, &file)?;
        }
        Ok(())
    }

    fn rename(&mut self) -> io::Result<()> {
        let Some(i) = self.live() else { return Ok(()) };
        let over = if self.random.one_in(3) {
            self.live().filter(|o| *o != i)
        } else {
            None
        };
        let to = match over {
            Some(o) => self.files[o].path.clone(),
            None => self.fresh_path(),
        };
        self.files[i].paths.insert(to.clone());
        if let Some(o) = over {
            self.files[o].may_be_gone = true;
        }
        std::fs::rename(self.at(&self.files[i].path), self.at(&to))?;
        self.files[i].path.clone_from(&to);
        if let Some(o) = over {
            self.gone(o);
        }
        if self.loss == Loss::Kill {
            self.files[i].paths = [to].into();
        }
        Ok(())
    }

    fn unlink(&mut self) -> io::Result<()> {
        let Some(i) = self.live() else { return Ok(()) };
        self.files[i].may_be_gone = true;
        std::fs::remove_file(self.at(&self.files[i].path))?;
        self.gone(i);
        Ok(())
    }

    /// A removal or replacement was acknowledged.
    fn gone(&mut self, i: usize) {
        self.files[i].removed = true;
        if self.loss == Loss::Kill {
            self.files[i].paths = BTreeSet::new();
        }
    }

    fn make_dir(&mut self) -> io::Result<()> {
        if self.dirs.iter().filter(|dir| !dir.removed).count() >= MAX_DIRS {
            return self.change_dir();
        }
        let path = self.fresh_path();
        self.dirs.push(Dir::new(path.clone()));
        std::fs::create_dir(self.at(&path))?;
        let made = self.dirs.last_mut().expect("just pushed");
        if self.loss == Loss::Kill {
            made.may_be_gone = false;
        }
        Ok(())
    }

    /// Removes a directory if it is empty, else moves it with all that is in it.
    fn change_dir(&mut self) -> io::Result<()> {
        let live: Vec<_> = (1..self.dirs.len())
            .filter(|i| !self.dirs[*i].removed)
            .collect();
        if live.is_empty() {
            return Ok(());
        }
        let i = live[self.random.below(live.len())];
        let from = self.dirs[i].path.clone();
        let below = format!("{from}/");
        let inside = |path: &str| path.starts_with(&below);
        let empty = !self
            .files
            .iter()
            .any(|file| !file.removed && inside(&file.path))
            && !self
                .dirs
                .iter()
                .any(|dir| !dir.removed && inside(&dir.path));
        if empty {
            self.dirs[i].may_be_gone = true;
            std::fs::remove_dir(self.at(&from))?;
            self.dirs[i].removed = true;
            if self.loss == Loss::Kill {
                self.dirs[i].paths = BTreeSet::new();
            }
            return Ok(());
        }
        let to = format!("{}/moved {}", self.name, self.op & 0xffff_ffff);
        self.relocate(&from, &to, true);
        std::fs::rename(self.at(&from), self.at(&to))?;
        self.relocate(&from, &to, false);
        Ok(())
    }

    /// Adds the places that all below `from` may have in `to`; afterwards they are there.
    fn relocate(&mut self, from: &str, to: &str, before: bool) {
        let keep_old = self.loss == Loss::Power;
        let moved = |path: &str| {
            let rest = path.strip_prefix(from)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
        };
        let place = |path: &mut String, paths: &mut BTreeSet<String>| {
            if before {
                let new: Vec<_> = paths.iter().filter_map(|path| moved(path)).collect();
                paths.extend(new);
            } else {
                if !keep_old {
                    paths.retain(|path| moved(path).is_none());
                }
                if let Some(new) = moved(path) {
                    *path = new;
                }
            }
        };
        for file in &mut self.files {
            place(&mut file.path, &mut file.paths);
        }
        for dir in &mut self.dirs {
            place(&mut dir.path, &mut dir.paths);
        }
    }
}
