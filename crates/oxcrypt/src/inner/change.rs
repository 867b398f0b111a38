//! `mkdir`, `rm`, `mv`, `ln`, `touch`.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use oxcrypt_vfs::{ErrorKind, RenameFlags, SetAttr, TimeChange, Timestamp};

use super::node::{Held, LastLink, MAX_DEPTH, children, find, find_opt, find_parent};
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{At, Failure, Result};
use crate::open::{Fs, Mode, VaultArgs, caller, open};

/// Arguments of `mkdir`.
#[derive(clap::Args, Debug)]
pub(crate) struct MkdirArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// Directories to make.
    #[arg(required = true)]
    paths: Vec<OsString>,
    /// Make what is missing above as well; what exists is fine.
    #[arg(short, long)]
    parents: bool,
}

pub(crate) fn mkdir(ctx: &Ctx, args: &MkdirArgs) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Write)?;
    for path in &args.paths {
        let path = InnerPath::parse(path);
        if args.parents {
            make_dirs(&vault.fs, &path)?;
        } else {
            let (parent, name) = find_parent(&vault.fs, &path)?;
            make_dir(&vault.fs, &parent, name, &path)?;
        }
    }
    Ok(())
}

/// Makes one directory, durably.
pub(crate) fn make_dir(fs: &Arc<Fs>, parent: &Held, name: &[u8], path: &InnerPath) -> Result<Held> {
    let entry = fs.mkdir(caller(), parent.id, name, 0o777).at(path)?;
    let held = Held::new(fs, entry);
    fs.fsync_dir(parent.id).at(path)?;
    Ok(held)
}

/// Makes a directory and those above it; what exists is taken.
pub(crate) fn make_dirs(fs: &Arc<Fs>, path: &InnerPath) -> Result<Held> {
    let mut at = Held::root(fs)?;
    let mut so_far = InnerPath::default();
    for name in path.names() {
        so_far = so_far.join(name);
        at = match find_opt(fs, &so_far, LastLink::Follow)? {
            Some(found) if found.is_dir() => found,
            Some(_) => return Err(Failure::new(Exit::Other, "not a directory").at(&so_far)),
            None => make_dir(fs, &at, name, &so_far)?,
        };
    }
    Ok(at)
}

/// Arguments of `rm`.
#[derive(clap::Args, Debug)]
pub(crate) struct RmArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// What to remove.
    #[arg(required = true)]
    paths: Vec<OsString>,
    /// Directories and everything in them.
    #[arg(short, long)]
    recursive: bool,
    /// What does not exist is fine.
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn rm(ctx: &Ctx, args: &RmArgs) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Write)?;
    for path in &args.paths {
        let path = InnerPath::parse(path);
        let removed = find_parent(&vault.fs, &path).and_then(|(parent, name)| {
            remove(ctx, &vault.fs, &parent, name, &path, args.recursive, 0)
        });
        match removed {
            Err(e) if args.force && e.exit == Exit::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

fn remove(
    ctx: &Ctx,
    fs: &Arc<Fs>,
    parent: &Held,
    name: &[u8],
    path: &InnerPath,
    recursive: bool,
    depth: usize,
) -> Result<()> {
    ctx.go_on()?;
    let node = match fs.lookup(parent.id, name) {
        Ok(entry) => Held::new(fs, entry),
        // Only the way goes: what it leads to is reached by another one.
        Err(e) if e.kind == ErrorKind::Loop && recursive => {
            return fs.unlink(parent.id, name).at(path);
        }
        Err(e) => return Err(Failure::from(e).at(path)),
    };
    if !node.is_dir() {
        drop(node);
        return fs.unlink(parent.id, name).at(path);
    }
    if recursive {
        if depth >= MAX_DEPTH {
            return Err(Failure::new(Exit::Other, "too deep").at(path));
        }
        for child in children(fs, node.id, path)? {
            let below = path.join(&child.name);
            remove(ctx, fs, &node, &child.name, &below, true, depth + 1)?;
        }
    }
    drop(node);
    fs.rmdir(parent.id, name).map_err(|e| {
        let failure = Failure::from(e).at(path);
        match e.kind {
            ErrorKind::NotEmpty if !recursive => failure.hint("-r removes what is in it as well"),
            ErrorKind::NotEmpty => failure.hint(
                "something there is not part of the vault or cannot be read; `oxcrypt check` names it",
            ),
            _ => failure,
        }
    })
}

/// Arguments of `mv`.
#[derive(clap::Args, Debug)]
pub(crate) struct MvArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// What to move, and at the end where to: a new name, or an existing directory.
    #[arg(required = true, num_args = 2..)]
    paths: Vec<OsString>,
    /// Never replace anything.
    #[arg(short, long)]
    no_clobber: bool,
}

pub(crate) fn mv(ctx: &Ctx, args: &MvArgs) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Write)?;
    let (sources, to) = split_paths(&args.paths)?;
    let flags = if args.no_clobber {
        RenameFlags::NoReplace
    } else {
        RenameFlags::Replace
    };
    for (from, to) in pairs(&vault.fs, &sources, &to)? {
        let (from_parent, from_name) = find_parent(&vault.fs, &from)?;
        let (to_parent, to_name) = find_parent(&vault.fs, &to)?;
        vault
            .fs
            .rename(from_parent.id, from_name, to_parent.id, to_name, flags)
            .at(format!("{from} to {to}"))?;
        vault.fs.fsync_dir(to_parent.id).at(&to)?;
        vault.fs.fsync_dir(from_parent.id).at(&from)?;
    }
    Ok(())
}

/// The sources and the target among words.
pub(crate) fn split_paths(words: &[OsString]) -> Result<(Vec<InnerPath>, InnerPath)> {
    let paths: Vec<InnerPath> = words.iter().map(|w| InnerPath::parse(w)).collect();
    match paths.split_last() {
        Some((to, sources)) if !sources.is_empty() => Ok((sources.to_vec(), to.clone())),
        _ => Err(Failure::usage("name a source and a target")),
    }
}

/// Each source with its target, as `cp` and `mv` read them.
pub(crate) fn pairs(
    fs: &Arc<Fs>,
    sources: &[InnerPath],
    to: &InnerPath,
) -> Result<Vec<(InnerPath, InnerPath)>> {
    let into = match find_opt(fs, to, LastLink::Follow)? {
        Some(target) => target.is_dir(),
        None if to.wants_dir || sources.len() > 1 => {
            return Err(Failure::new(Exit::NotFound, "no such directory in the vault").at(to));
        }
        None => false,
    };
    if sources.len() > 1 && !into {
        return Err(Failure::usage(format!("{to} is not a directory")));
    }
    sources
        .iter()
        .map(|from| {
            let name = from.name().ok_or_else(|| {
                Failure::usage("the top directory cannot be moved or copied whole")
            })?;
            let target = if into { to.join(name) } else { to.clone() };
            if from.holds(&target) && *from != target {
                return Err(Failure::usage(format!("{from} cannot go into itself")));
            }
            Ok((from.clone(), target))
        })
        .collect()
}

/// Arguments of `ln`.
#[derive(clap::Args, Debug)]
pub(crate) struct LnArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// What the link leads to; with -s any text.
    target: OsString,
    /// The new name.
    path: OsString,
    /// A symbolic link instead of a second name.
    #[arg(short, long)]
    symbolic: bool,
}

pub(crate) fn ln(ctx: &Ctx, args: &LnArgs) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let vault = open(ctx, &args.vault, Mode::Write)?;
    let fs = &vault.fs;
    let path = InnerPath::parse(&args.path);
    let (parent, name) = find_parent(fs, &path)?;
    let entry = if args.symbolic {
        fs.symlink(caller(), parent.id, name, args.target.as_bytes())
            .at(&path)?
    } else {
        let from = InnerPath::parse(&args.target);
        let node = find(fs, &from, LastLink::Keep)?;
        fs.link(node.id, parent.id, name).at(&path)?
    };
    drop(Held::new(fs, entry));
    fs.fsync_dir(parent.id).at(&path)
}

/// Arguments of `touch`.
#[derive(clap::Args, Debug)]
pub(crate) struct TouchArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// Files to make, or to give the present time.
    #[arg(required = true)]
    paths: Vec<OsString>,
    /// This time instead, as in 2024-01-02T03:04:05Z.
    #[arg(short, long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    date: Option<std::time::SystemTime>,
    /// Make nothing.
    #[arg(short = 'c', long)]
    no_create: bool,
}

pub(crate) fn touch(ctx: &Ctx, args: &TouchArgs) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Write)?;
    let fs = &vault.fs;
    let time = match args.date.map(|t| t.duration_since(UNIX_EPOCH)) {
        Some(Ok(since)) => TimeChange::At(Timestamp {
            secs: since.as_secs() as i64,
            nanos: since.subsec_nanos(),
        }),
        Some(Err(_)) => return Err(Failure::usage("a time before 1970 is not supported here")),
        None => TimeChange::Now,
    };
    for path in &args.paths {
        let path = InnerPath::parse(path);
        let node = match find_opt(fs, &path, LastLink::Follow)? {
            Some(node) => node,
            None if args.no_create => continue,
            None => {
                let (parent, name) = find_parent(fs, &path)?;
                let entry = fs.create(caller(), parent.id, name, 0o666).at(&path)?;
                let node = Held::new(fs, entry);
                fs.fsync(node.id, false).at(&path)?;
                node
            }
        };
        let change = SetAttr {
            atime: Some(time),
            mtime: Some(time),
            ..SetAttr::default()
        };
        fs.setattr(node.id, change).at(&path)?;
    }
    Ok(())
}
