//! Generated input that all targets share: made once a run, on the backing file system, untimed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::ctx::run_tool;
use super::files;
use crate::data::{BLOCK, Content, Dice};
use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::mount::Guard;

#[derive(Debug)]
pub(crate) struct Sources {
    dir: PathBuf,
    seed: u64,
    scale: f64,
    tree: OnceLock<Result<Tree, String>>,
    bulk: OnceLock<Result<Tree, String>>,
    repository: OnceLock<Result<PathBuf, String>>,
}

/// A directory tree, its archive and its hash.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) dir: PathBuf,
    pub(crate) tar: PathBuf,
    pub(crate) hash: [u8; 32],
    pub(crate) files: u64,
}

impl Sources {
    pub(crate) fn new(dir: PathBuf, seed: u64, scale: f64) -> Self {
        Self {
            dir,
            seed,
            scale,
            tree: OnceLock::new(),
            bulk: OnceLock::new(),
            repository: OnceLock::new(),
        }
    }

    /// A program's source: 800 files, most of them small, in directories up to five deep.
    pub(crate) fn tree(&self) -> CaseResult<Tree> {
        unpack(
            self.tree
                .get_or_init(|| self.make_tree().map_err(|e| e.to_string())),
        )
    }

    /// 100 MiB in 200 files, as a backup finds them.
    pub(crate) fn bulk(&self) -> CaseResult<Tree> {
        unpack(
            self.bulk
                .get_or_init(|| self.make_bulk().map_err(|e| e.to_string())),
        )
    }

    /// A git repository of the tree with ten commits.
    pub(crate) fn repository(&self) -> CaseResult<PathBuf> {
        unpack(
            self.repository
                .get_or_init(|| self.make_repository().map_err(|e| e.to_string())),
        )
    }

    fn count(&self, standard: usize) -> usize {
        ((standard as f64 * self.scale) as usize).max(20)
    }

    fn make_tree(&self) -> CaseResult<Tree> {
        let dir = self.dir.join("tree");
        let mut dice = Dice::new(self.seed ^ 0x7ee);
        for i in 0..self.count(800) {
            let mut path = dir.clone();
            for level in 0..dice.below(5) {
                path.push(format!("mod{level}{}", dice.below(4)));
            }
            fs::create_dir_all(&path).at("mkdir", &path)?;
            path.push(format!("source{i:04}.rs"));
            // Log-uniform: half of the files below 2 KiB, the largest 64 KiB.
            let size = 1usize << (5 + dice.below(11));
            let size = size + dice.below(size as u64) as usize;
            let text = text(Content::new(self.seed, 20_000 + i as u64), size);
            fs::write(&path, text).at("write", &path)?;
        }
        self.archive(dir, "tree.tar")
    }

    fn make_bulk(&self) -> CaseResult<Tree> {
        let dir = self.dir.join("bulk");
        for i in 0..self.count(200) {
            let sub = dir.join(format!("set{}", i % 10));
            fs::create_dir_all(&sub).at("mkdir", &sub)?;
            let path = sub.join(format!("item{i:03}.bin"));
            fs::write(
                &path,
                Content::new(self.seed, 30_000 + i as u64).bytes(512 << 10),
            )
            .at("write", &path)?;
        }
        self.archive(dir, "bulk.tar")
    }

    fn archive(&self, dir: PathBuf, name: &str) -> CaseResult<Tree> {
        let tar = self.dir.join(name);
        let mut command = Command::new("tar");
        command.arg("-C").arg(&dir).arg("-cf").arg(&tar).arg(".");
        run_tool(command, &Guard::default())?;
        let hash = files::tree_hash(&dir)?;
        let files = files::walk(&dir)?.files;
        Ok(Tree {
            dir,
            tar,
            hash,
            files,
        })
    }

    fn make_repository(&self) -> CaseResult<PathBuf> {
        let tree = self.tree()?;
        let repository = self.dir.join("repository");
        let work = |args: &[&str]| {
            let mut command = git(&repository);
            command.args(args);
            run_tool(command, &Guard::default()).map(drop)
        };
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(&tree.dir).arg(&repository);
        run_tool(copy, &Guard::default())?;
        work(&["init", "-q", "-b", "main"])?;
        let files = files::files_below(&tree.dir)?;
        for commit in 0..10 {
            for file in files.iter().skip(commit).step_by(10) {
                let inner = file.strip_prefix(&tree.dir).unwrap_or(file);
                let path = repository.join(inner);
                let mut text = fs::read(&path).at("read", &path)?;
                text.extend_from_slice(format!("// change {commit}\n").as_bytes());
                fs::write(&path, text).at("write", &path)?;
            }
            work(&["add", "-A"])?;
            work(&["commit", "-q", "-m", &format!("change {commit}")])?;
        }
        Ok(repository)
    }
}

fn unpack<T: Clone>(result: &Result<T, String>) -> CaseResult<T> {
    result.clone().map_err(|message| CaseFailure::Tool {
        tool: "test data".into(),
        message,
    })
}

/// git, free of the user's own configuration and hooks.
pub(crate) fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .args([
            "-c",
            "user.name=oxbench",
            "-c",
            "user.email=oxbench@localhost",
        ])
        .args([
            "-c",
            "safe.directory=*",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "gc.auto=0",
        ])
        .args(["-c", "protocol.file.allow=always"]);
    command
}

/// Lines of words, so that git and tar meet text.
fn text(content: Content, size: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ(){};=+ \n  ";
    content.bytes(size.max(BLOCK))[..size]
        .iter()
        .map(|b| LETTERS[usize::from(b % 64)])
        .collect()
}
