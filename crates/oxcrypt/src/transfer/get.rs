//! `get`: from a vault to this machine.

use std::ffi::{OsStr, OsString};
use std::fs::{OpenOptions, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use oxcrypt_vfs::{Attr, NodeKind, Timestamp};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::ends::{HostFile, VaultFile};
use super::pump::{BLOCK, agreement, pump};
use super::report::Report;
use super::{Options, Overwrite, partial_name, pool};
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{At, Failure, Host, Result};
use crate::inner::node::{Held, LastLink, Way, children, find};
use crate::inner::path::InnerPath;
use crate::open::{Fs, Mode, VaultArgs, open};

/// Arguments of `get`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Paths inside the vault, and at the end the place on this machine: an existing directory, or
    /// a new name for a single path.
    #[arg(required = true, num_args = 2..)]
    paths: Vec<OsString>,
    #[command(flatten)]
    options: Options,
}

struct Job {
    node: Held,
    from: InnerPath,
    to: PathBuf,
}

struct Get<'a> {
    ctx: &'a Ctx,
    fs: Arc<Fs>,
    args: &'a Args,
    report: &'a Report<'a>,
    jobs: usize,
    /// Directories whose modes and times are set when all is in them.
    dirs: Mutex<Vec<(PathBuf, Attr)>>,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let (to, sources) = args
        .paths
        .split_last()
        .ok_or_else(|| Failure::usage("name what to get, and where to"))?;
    let vault = open(ctx, &args.vault, Mode::Read)?;
    let to = PathBuf::from(to);
    let into = to.is_dir();
    if !into && (sources.len() > 1 || to.as_os_str().as_bytes().ends_with(b"/")) {
        return Err(Failure::usage(format!(
            "{} is not a directory",
            to.display()
        )));
    }
    let report = Report::new(ctx, "oxcrypt.get/1");
    let get = Get {
        ctx,
        fs: Arc::clone(&vault.fs),
        args,
        report: &report,
        jobs: args.options.jobs(),
        dirs: Mutex::default(),
    };
    let fed = pool::run(get.jobs, &|job| get.job(job), |queue| {
        sources.iter().try_for_each(|source| {
            let from = InnerPath::parse(source);
            let node = find(&get.fs, &from, LastLink::Follow)?;
            let target = match from.name() {
                Some(name) if into => to.join(OsStr::from_bytes(name)),
                _ => to.clone(),
            };
            get.node(node, from, target, 0, &mut Way::default(), queue)
        })
    });
    get.finish_dirs();
    if args.options.sync && !args.options.dry_run {
        super::put::sync_all(to.parent().filter(|_| !into).unwrap_or(&to))?;
    }
    drop(get);
    let ended = report.end();
    fed.and(ended)
}

impl Get<'_> {
    fn node(
        &self,
        node: Held,
        from: InnerPath,
        to: PathBuf,
        depth: usize,
        way: &mut Way,
        queue: &SyncSender<Job>,
    ) -> Result<()> {
        self.ctx.go_on()?;
        let told = |failure: Failure| {
            self.report
                .failed(&from.bytes(), to.as_os_str().as_bytes(), &failure);
        };
        match node.attr.kind {
            NodeKind::File => {
                let job = Job { node, from, to };
                queue.send(job).map_err(|_| Failure::interrupted())?;
            }
            NodeKind::Symlink => {
                if let Err(e) = self.link(&node, &from, &to) {
                    told(e);
                }
            }
            NodeKind::Directory if !self.args.options.recursive => {
                told(Failure::usage(format!("{from} is a directory; -r gets it")));
            }
            NodeKind::Directory => match self.dir(&node, &from, &to, depth, way, queue) {
                Err(e) if e.exit == Exit::Interrupted => return Err(e),
                Err(e) => told(e),
                Ok(()) => {}
            },
        }
        Ok(())
    }

    fn dir(
        &self,
        node: &Held,
        from: &InnerPath,
        to: &Path,
        depth: usize,
        way: &mut Way,
        queue: &SyncSender<Job>,
    ) -> Result<()> {
        way.enter(node, from, depth)?;
        if self.args.options.dry_run {
            self.report
                .would(&from.bytes(), to.as_os_str().as_bytes(), None)?;
        } else {
            make_dir(to, depth)?;
            let mut dirs = self.dirs.lock().unwrap_or_else(PoisonError::into_inner);
            dirs.push((to.to_owned(), node.attr));
        }
        for child in children(&self.fs, node.id, from)? {
            let below = from.join(&child.name);
            let target = to.join(OsStr::from_bytes(&child.name));
            match self.fs.lookup(node.id, &child.name).at(&below) {
                Ok(entry) => {
                    let node = Held::new(&self.fs, entry);
                    self.node(node, below, target, depth + 1, way, queue)?;
                }
                Err(e) => self
                    .report
                    .failed(&below.bytes(), target.as_os_str().as_bytes(), &e),
            }
        }
        Ok(())
    }

    fn link(&self, node: &Held, from: &InnerPath, to: &Path) -> Result<()> {
        let target = self.fs.readlink(node.id).at(from)?;
        let bytes = to.as_os_str().as_bytes();
        if self.args.options.dry_run {
            return self.report.would(&from.bytes(), bytes, None);
        }
        match std::fs::symlink_metadata(to) {
            Ok(meta) if meta.is_dir() => {
                return Err(Failure::new(Exit::Other, "is a directory").at(to.display()));
            }
            Ok(_) if self.args.options.overwrite == Overwrite::Never => {
                return self.report.passed_over(&from.bytes(), bytes);
            }
            Ok(_) => std::fs::remove_file(to).host(to)?,
            Err(_) => {}
        }
        std::os::unix::fs::symlink(OsStr::from_bytes(&target), to).host(to)?;
        set_times(to, &node.attr)?;
        self.report.done(&from.bytes(), bytes, None)
    }

    fn job(&self, job: Job) {
        let source = VaultFile {
            fs: Arc::clone(&self.fs),
            node: job.node,
            path: job.from,
        };
        if let Err(e) = self.ctx.go_on().and_then(|()| self.file(&source, &job.to)) {
            self.report
                .failed(&source.path.bytes(), job.to.as_os_str().as_bytes(), &e);
        }
    }

    fn file(&self, source: &VaultFile, to: &Path) -> Result<()> {
        let bytes = to.as_os_str().as_bytes();
        let attr = &source.node.attr;
        let from = source.path.bytes();
        match std::fs::symlink_metadata(to) {
            Ok(meta) if meta.is_dir() => {
                return Err(Failure::new(Exit::Other, "is a directory").at(to.display()));
            }
            Ok(meta) if self.is_there(&meta, attr) => {
                return self.report.passed_over(&from, bytes);
            }
            _ => {}
        }
        if self.args.options.dry_run {
            return self.report.would(&from, bytes, Some(attr.size));
        }
        let name = to.file_name().unwrap_or_default();
        let partial = to.with_file_name(OsStr::from_bytes(&partial_name(name.as_bytes())));
        let (sink, start) = self.partial(&partial, source)?;
        let threads = if attr.size > 4 * BLOCK as u64 {
            self.jobs
        } else {
            1
        };
        let moved = |bytes| self.report.moved(bytes);
        let end = pump(self.ctx, source, &sink, start, threads, &moved)?;
        if end != attr.size {
            let text = "its size changed while it was read";
            return Err(Failure::new(Exit::Other, text).at(&source.path));
        }
        sink.file
            .set_permissions(Permissions::from_mode(attr.mode & 0o777))
            .host(&partial)?;
        if !self.args.options.no_mtime {
            set_times(&partial, attr)?;
        }
        std::fs::rename(&partial, to).host(to)?;
        self.report.done(&from, bytes, Some(end))
    }

    fn is_there(&self, meta: &std::fs::Metadata, attr: &Attr) -> bool {
        let options = &self.args.options;
        let here = (meta.mtime(), meta.mtime_nsec());
        let inside = (attr.mtime.secs, i64::from(attr.mtime.nanos));
        match options.overwrite {
            Overwrite::Never => true,
            Overwrite::Older if here >= inside => true,
            _ => options.resume && meta.len() == attr.size && here == inside,
        }
    }

    /// The partial file, and from where it is to be written.
    fn partial(&self, path: &Path, source: &VaultFile) -> Result<(HostFile, u64)> {
        // Never through a link that somebody put there.
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
        if self.args.options.resume
            && let Ok(file) = options.open(path)
        {
            let path = path.to_owned();
            let sink = HostFile { file, path };
            let same = agreement(self.ctx, source, &sink)?;
            sink.file.set_len(same).host(&sink.path)?;
            self.report.moved(same);
            return Ok((sink, same));
        }
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).host(path);
            }
            _ => {}
        }
        let file = options.create_new(true).open(path).host(path)?;
        let path = path.to_owned();
        Ok((HostFile { file, path }, 0))
    }

    fn finish_dirs(&self) {
        let dirs = self.dirs.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, attr) in dirs.iter().rev() {
            let mode = Permissions::from_mode(attr.mode & 0o777);
            let done = std::fs::set_permissions(path, mode)
                .host(path)
                .and_then(|()| {
                    if self.args.options.no_mtime {
                        return Ok(());
                    }
                    set_times(path, attr)
                });
            if let Err(e) = done {
                self.ctx.out.warn(&e.message);
            }
        }
    }
}

/// Makes a directory, or takes one; below the target never through a link.
fn make_dir(path: &Path, depth: usize) -> Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e).host(path),
    }
    let meta = if depth == 0 {
        std::fs::metadata(path)
    } else {
        std::fs::symlink_metadata(path)
    };
    if meta.host(path)?.is_dir() {
        Ok(())
    } else {
        Err(Failure::new(Exit::Other, "not a directory").at(path.display()))
    }
}

fn set_times(path: &Path, attr: &Attr) -> Result<()> {
    let spec = |t: Timestamp| Timespec {
        tv_sec: t.secs,
        tv_nsec: t.nanos.into(),
    };
    let times = Timestamps {
        last_access: spec(attr.atime),
        last_modification: spec(attr.mtime),
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).host(path)
}
