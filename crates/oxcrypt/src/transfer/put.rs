//! `put`: from this machine into a vault.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use oxcrypt_vfs::{NodeId, RenameFlags, SetAttr, TimeChange, Timestamp};
use zeroize::Zeroizing;

use super::ends::{HostFile, VaultFile};
use super::pump::{BLOCK, agreement, pump};
use super::report::Report;
use super::{Options, Overwrite, partial_name, pool};
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{At, Failure, Host, Result};
use crate::inner::node::{Held, LastLink, MAX_DEPTH, find_opt, find_parent};
use crate::inner::path::InnerPath;
use crate::open::{Fs, Mode, VaultArgs, caller, open};

/// Arguments of `put`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Files of this machine (`-` is standard input), and at the end the place in the vault: an
    /// existing directory, or a new name for a single file. `DIR/.` is what is in DIR.
    #[arg(required = true, num_args = 2..)]
    paths: Vec<OsString>,
    #[command(flatten)]
    options: Options,
    /// Remove each source file when it is safely in the vault.
    #[arg(long)]
    delete_source: bool,
}

struct Job {
    from: PathBuf,
    meta: Metadata,
    parent: Arc<Held>,
    to: InnerPath,
}

struct Put<'a> {
    ctx: &'a Ctx,
    fs: Arc<Fs>,
    args: &'a Args,
    report: &'a Report<'a>,
    jobs: usize,
    /// Directories made or taken, for the end.
    dirs: Mutex<Vec<(Arc<Held>, Metadata, InnerPath)>>,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let (to, sources) = args
        .paths
        .split_last()
        .ok_or_else(|| Failure::usage("name what to put, and where"))?;
    if args.vault.source.takes_stdin() && sources.iter().any(|s| s == "-") {
        return Err(Failure::usage(
            "standard input cannot be both content and passphrase",
        ));
    }
    let vault = open(ctx, &args.vault, Mode::Write)?;
    let to = InnerPath::parse(to);
    let into = match find_opt(&vault.fs, &to, LastLink::Follow)? {
        Some(node) => node.is_dir(),
        None if sources.len() > 1 || to.wants_dir => {
            return Err(
                Failure::new(Exit::NotFound, "no such directory in the vault")
                    .at(&to)
                    .hint("`oxcrypt mkdir -p` makes it"),
            );
        }
        None => false,
    };
    let report = Report::new(ctx, "oxcrypt.put/1");
    let put = Put {
        ctx,
        fs: Arc::clone(&vault.fs),
        args,
        report: &report,
        jobs: args.options.jobs(),
        dirs: Mutex::default(),
    };
    let fed = pool::run(put.jobs, &|job| put.job(&job), |queue| {
        sources
            .iter()
            .try_for_each(|source| put.source(source, &to, into, queue))
    });
    put.finish_dirs();
    drop(put);
    vault.fs.flush_headers();
    if args.options.sync && !args.options.dry_run {
        sync_all(&vault.target.path)?;
    }
    let ended = report.end();
    fed.and(ended)
}

/// Everything written so far, on the storage that holds the vault.
pub(super) fn sync_all(dir: &Path) -> Result<()> {
    let dir_file = File::open(dir).host(dir)?;
    rustix::fs::syncfs(&dir_file).host(dir)
}

impl Put<'_> {
    fn source(
        &self,
        source: &OsString,
        to: &InnerPath,
        into: bool,
        queue: &SyncSender<Job>,
    ) -> Result<()> {
        if source == "-" {
            if into {
                return Err(Failure::usage("standard input needs a name in the vault"));
            }
            return self.stdin(to);
        }
        let from = PathBuf::from(source);
        if into && source.as_bytes().ends_with(b"/.") {
            return self.contents(&from, to, queue);
        }
        let target = if into {
            let absolute = crate::target::absolute(&from)?;
            let name = absolute
                .file_name()
                .ok_or_else(|| Failure::usage(format!("{} has no name", from.display())))?;
            to.join(name.as_bytes())
        } else {
            to.clone()
        };
        // The source itself may be a link; what it leads to is meant.
        let meta = std::fs::metadata(&from).host(&from)?;
        let (parent, _) = find_parent(&self.fs, &target)?;
        self.node(from, meta, &Arc::new(parent), target, 0, queue)
    }

    /// `DIR/.`: what is in a directory, without the directory, as cp reads it.
    fn contents(&self, from: &Path, to: &InnerPath, queue: &SyncSender<Job>) -> Result<()> {
        let dir = find_opt(&self.fs, to, LastLink::Follow)?
            .ok_or_else(|| Failure::new(Exit::NotFound, "no such directory in the vault").at(to))?;
        let dir = Arc::new(dir);
        for entry in std::fs::read_dir(from).host(from)? {
            let path = from.join(entry.host(from)?.file_name());
            let meta = std::fs::symlink_metadata(&path).host(&path)?;
            let name = path.file_name().unwrap_or_default().as_bytes().to_vec();
            self.node(path, meta, &dir, to.join(&name), 0, queue)?;
        }
        Ok(())
    }

    /// Feeds one node and, for a directory, all below. Failures of single nodes are reported.
    fn node(
        &self,
        from: PathBuf,
        meta: Metadata,
        parent: &Arc<Held>,
        to: InnerPath,
        depth: usize,
        queue: &SyncSender<Job>,
    ) -> Result<()> {
        self.ctx.go_on()?;
        let kind = meta.file_type();
        let told = |failure: Failure| {
            self.report
                .failed(from.as_os_str().as_bytes(), &to.bytes(), &failure);
        };
        if kind.is_file() {
            let job = Job {
                from,
                meta,
                parent: Arc::clone(parent),
                to,
            };
            // Fails only when all workers are gone; the transfer is over then.
            return queue.send(job).map_err(|_| Failure::interrupted());
        }
        if kind.is_dir() {
            if !self.args.options.recursive {
                told(Failure::usage(format!(
                    "{} is a directory; -r puts it",
                    from.display()
                )));
            } else if depth > MAX_DEPTH {
                told(Failure::new(Exit::Other, "too deep").at(from.display()));
            } else if let Err(e) = self.dir(&from, &meta, parent, &to, depth, queue) {
                if e.exit == Exit::Interrupted {
                    return Err(e);
                }
                told(e);
            }
        } else if kind.is_symlink() {
            if let Err(e) = self.link(&from, parent, &to) {
                told(e);
            }
        } else {
            told(
                Failure::new(Exit::Permission, "the vault format cannot represent this")
                    .at(from.display()),
            );
        }
        Ok(())
    }

    fn dir(
        &self,
        from: &Path,
        meta: &Metadata,
        parent: &Arc<Held>,
        to: &InnerPath,
        depth: usize,
        queue: &SyncSender<Job>,
    ) -> Result<()> {
        let name = to.name().unwrap_or_default();
        let dry = self.args.options.dry_run;
        let held = match self.fs.lookup(parent.id, name) {
            Ok(entry) => Held::new(&self.fs, entry),
            Err(e) if e.kind == oxcrypt_vfs::ErrorKind::NotFound && dry => {
                return self
                    .report
                    .would(from.as_os_str().as_bytes(), &to.bytes(), None);
            }
            Err(e) if e.kind == oxcrypt_vfs::ErrorKind::NotFound => {
                let mode = meta.mode() & 0o7777 | 0o700;
                Held::new(
                    &self.fs,
                    self.fs.mkdir(caller(), parent.id, name, mode).at(to)?,
                )
            }
            Err(e) => return Err(Failure::from(e).at(to)),
        };
        if !held.is_dir() {
            return Err(Failure::new(Exit::Other, "not a directory").at(to));
        }
        let held = Arc::new(held);
        for entry in std::fs::read_dir(from).host(from)? {
            let entry = entry.host(from)?;
            let path = entry.path();
            let below = to.join(entry.file_name().as_bytes());
            match std::fs::symlink_metadata(&path).host(&path) {
                Ok(meta) => self.node(path, meta, &held, below, depth + 1, queue)?,
                Err(e) => self
                    .report
                    .failed(path.as_os_str().as_bytes(), &below.bytes(), &e),
            }
        }
        let mut dirs = self.dirs.lock().unwrap_or_else(PoisonError::into_inner);
        dirs.push((held, meta.clone(), to.clone()));
        Ok(())
    }

    /// Modes and times of directories, which filling them would change again.
    fn finish_dirs(&self) {
        if self.args.options.dry_run {
            return;
        }
        let dirs = self.dirs.lock().unwrap_or_else(PoisonError::into_inner);
        for (held, meta, to) in dirs.iter() {
            if let Err(e) = self.fs.setattr(held.id, self.attributes(meta)).at(to) {
                self.ctx.out.warn(&e.message);
            }
        }
    }

    /// What is kept of a source.
    fn attributes(&self, meta: &Metadata) -> SetAttr {
        let keep = !self.args.options.no_mtime;
        let time = |secs, nanos: i64| {
            let nanos = nanos as u32;
            keep.then_some(TimeChange::At(Timestamp { secs, nanos }))
        };
        SetAttr {
            mode: Some(meta.mode() & 0o7777),
            atime: time(meta.atime(), meta.atime_nsec()),
            mtime: time(meta.mtime(), meta.mtime_nsec()),
            ..SetAttr::default()
        }
    }

    fn link(&self, from: &Path, parent: &Held, to: &InnerPath) -> Result<()> {
        let name = to.name().unwrap_or_default();
        let bytes = from.as_os_str().as_bytes();
        if self.args.options.dry_run {
            return self.report.would(bytes, &to.bytes(), None);
        }
        let target = std::fs::read_link(from).host(from)?;
        match self.fs.lookup(parent.id, name) {
            Ok(entry) => {
                drop(Held::new(&self.fs, entry));
                if self.args.options.overwrite == Overwrite::Never || self.args.options.resume {
                    return self.report.passed_over(bytes, &to.bytes());
                }
                self.fs.unlink(parent.id, name).at(to)?;
            }
            Err(e) if e.kind == oxcrypt_vfs::ErrorKind::NotFound => {}
            Err(e) => return Err(Failure::from(e).at(to)),
        }
        let target = target.as_os_str().as_bytes();
        let entry = self.fs.symlink(caller(), parent.id, name, target).at(to)?;
        drop(Held::new(&self.fs, entry));
        self.report.done(bytes, &to.bytes(), None)
    }

    fn job(&self, job: &Job) {
        if let Err(e) = self.ctx.go_on().and_then(|()| self.file(job)) {
            self.report
                .failed(job.from.as_os_str().as_bytes(), &job.to.bytes(), &e);
        }
    }

    fn file(&self, job: &Job) -> Result<()> {
        let (from, to) = (job.from.as_os_str().as_bytes(), job.to.bytes());
        let name = job.to.name().unwrap_or_default();
        let present = match self.fs.lookup(job.parent.id, name) {
            Ok(entry) => Some(Held::new(&self.fs, entry)),
            Err(e) if e.kind == oxcrypt_vfs::ErrorKind::NotFound => None,
            Err(e) => return Err(Failure::from(e).at(&job.to)),
        };
        if let Some(present) = &present {
            if present.is_dir() {
                return Err(Failure::new(Exit::Other, "is a directory").at(&job.to));
            }
            if self.is_there(present, &job.meta) {
                return self.report.passed_over(from, &to);
            }
        }
        if self.args.options.dry_run {
            return self.report.would(from, &to, Some(job.meta.len()));
        }
        let source = HostFile {
            file: File::open(&job.from).host(&job.from)?,
            path: job.from.clone(),
        };
        let partial = partial_name(name);
        let (sink, start) = self.partial(job, &partial, &source)?;
        let threads = if job.meta.len() > 4 * BLOCK as u64 {
            self.jobs
        } else {
            1
        };
        let moved = |bytes| self.report.moved(bytes);
        let end = pump(self.ctx, &source, &sink, start, threads, &moved)?;
        self.finish(job, &sink, end, present.is_some())?;
        drop(sink);
        let parent = job.parent.id;
        self.fs
            .rename(parent, &partial, parent, name, RenameFlags::Replace)
            .at(&job.to)?;
        if self.args.delete_source {
            self.fs.fsync_dir(parent).at(&job.to)?;
            std::fs::remove_file(&job.from).host(&job.from)?;
        }
        self.report.done(from, &to, Some(end))
    }

    fn is_there(&self, present: &Held, meta: &Metadata) -> bool {
        let options = &self.args.options;
        let theirs = (present.attr.mtime.secs, i64::from(present.attr.mtime.nanos));
        let ours = (meta.mtime(), meta.mtime_nsec());
        match options.overwrite {
            Overwrite::Never => true,
            Overwrite::Older if theirs >= ours => true,
            _ => options.resume && present.attr.size == meta.len() && theirs == ours,
        }
    }

    /// The partial file, and from where it is to be written.
    fn partial(&self, job: &Job, name: &[u8], source: &HostFile) -> Result<(VaultFile, u64)> {
        let parent = job.parent.id;
        let open = |node| VaultFile {
            fs: Arc::clone(&self.fs),
            node,
            path: job.to.clone(),
        };
        match self.fs.lookup(parent, name) {
            Ok(entry) if self.args.options.resume => {
                let file = open(Held::new(&self.fs, entry));
                let same = agreement(self.ctx, source, &file)?;
                let cut = SetAttr {
                    size: Some(same),
                    ..SetAttr::default()
                };
                self.fs.setattr(file.node.id, cut).at(&job.to)?;
                self.report.moved(same);
                return Ok((file, same));
            }
            Ok(entry) => {
                drop(Held::new(&self.fs, entry));
                self.fs.unlink(parent, name).at(&job.to)?;
            }
            Err(e) if e.kind == oxcrypt_vfs::ErrorKind::NotFound => {}
            Err(e) => return Err(Failure::from(e).at(&job.to)),
        }
        let entry = self.fs.create(caller(), parent, name, 0o600).at(&job.to)?;
        Ok((open(Held::new(&self.fs, entry)), 0))
    }

    /// Attributes, and durability where something would be lost otherwise.
    fn finish(&self, job: &Job, sink: &VaultFile, end: u64, replaces: bool) -> Result<()> {
        if job.meta.len() != end {
            let text = "its size changed while it was read";
            return Err(Failure::new(Exit::Other, text).at(job.from.display()));
        }
        // The old content must not go before the new one is safe.
        if replaces || self.args.delete_source {
            self.fs.fsync(sink.node.id, false).at(&job.to)?;
        } else if end == 0 {
            // Otherwise its header would be written later, and the name changes now.
            self.fs.fsync(sink.node.id, true).at(&job.to)?;
        }
        let change = self.attributes(&job.meta);
        self.fs.setattr(sink.node.id, change).at(&job.to)?;
        Ok(())
    }

    /// Standard input: of unknown length, in order.
    fn stdin(&self, to: &InnerPath) -> Result<()> {
        let (parent, name) = find_parent(&self.fs, to)?;
        if self.args.options.dry_run {
            return self.report.would(b"-", &to.bytes(), None);
        }
        let partial = partial_name(name);
        match self.fs.unlink(parent.id, &partial) {
            Ok(()) => {}
            Err(e) if e.kind == oxcrypt_vfs::ErrorKind::NotFound => {}
            Err(e) => return Err(Failure::from(e).at(to)),
        }
        let created = self
            .fs
            .create(caller(), parent.id, &partial, 0o666)
            .at(to)?;
        let node = Held::new(&self.fs, created);
        let end = self.pour(node.id, to)?;
        self.fs.fsync(node.id, true).at(to)?;
        drop(node);
        self.fs
            .rename(parent.id, &partial, parent.id, name, RenameFlags::Replace)
            .at(to)?;
        self.report.done(b"-", &to.bytes(), Some(end))
    }

    fn pour(&self, node: NodeId, to: &InnerPath) -> Result<u64> {
        let mut input = std::io::stdin().lock();
        let mut buffer = Zeroizing::new(vec![0; BLOCK]);
        let mut at = 0;
        loop {
            self.ctx.go_on()?;
            let mut len = 0;
            while len < BLOCK {
                match input.read(&mut buffer[len..]) {
                    Ok(0) => break,
                    Ok(more) => len += more,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => self.ctx.go_on()?,
                    Err(e) => return Err(e).what("standard input"),
                }
            }
            if len == 0 {
                return Ok(at);
            }
            self.fs.write(node, at, &buffer[..len]).at(to)?;
            self.report.moved(len as u64);
            at += len as u64;
        }
    }
}
