//! `cp`: copies inside a vault. Content is encrypted anew; equal ciphertext would tell that two
//! files are equal.

use std::ffi::OsString;
use std::sync::Arc;

use oxcrypt_vfs::{NodeKind, SetAttr, TimeChange};

use super::change::{pairs, split_paths};
use super::node::{Held, LastLink, Way, children, find, find_parent};
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{At, Failure, Failures, Result};
use crate::open::{Fs, Mode, VaultArgs, caller, open};

/// Arguments of `cp`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// What to copy, and at the end where to: a new name, or an existing directory.
    #[arg(required = true, num_args = 2..)]
    paths: Vec<OsString>,
    /// Directories and everything in them.
    #[arg(short, long)]
    recursive: bool,
    /// Never replace anything.
    #[arg(short, long)]
    no_clobber: bool,
}

/// Bytes copied between two looks at the signals.
const STEP: u64 = 64 << 20;

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Write)?;
    let (sources, to) = split_paths(&args.paths)?;
    let mut copier = Copier {
        ctx,
        fs: &vault.fs,
        args,
        way: Way::default(),
        failures: Failures::default(),
    };
    for (from, to) in pairs(&vault.fs, &sources, &to)? {
        let node = find(&vault.fs, &from, LastLink::Keep)?;
        let (parent, name) = find_parent(&vault.fs, &to)?;
        copier.way = Way::default();
        copier.node(&node, &from, &parent, name, &to, 0)?;
    }
    copier.failures.end()
}

struct Copier<'a> {
    ctx: &'a Ctx,
    fs: &'a Arc<Fs>,
    args: &'a Args,
    way: Way,
    failures: Failures,
}

impl Copier<'_> {
    fn node(
        &mut self,
        node: &Held,
        from: &InnerPath,
        parent: &Held,
        name: &[u8],
        to: &InnerPath,
        depth: usize,
    ) -> Result<()> {
        self.ctx.go_on()?;
        let present = match self.fs.lookup(parent.id, name) {
            Ok(entry) => Some(Held::new(self.fs, entry)),
            Err(e) if e.kind == oxcrypt_vfs::ErrorKind::NotFound => None,
            Err(e) => return Err(Failure::from(e).at(to)),
        };
        if present.as_ref().is_some_and(|p| p.id == node.id) {
            return Err(Failure::usage(format!("{from} and {to} are the same")));
        }
        if present.is_some() && self.args.no_clobber && !node.is_dir() {
            return Ok(());
        }
        match node.attr.kind {
            NodeKind::File => self.file(node, parent, name, present, to),
            NodeKind::Symlink => {
                if present.is_some() {
                    self.fs.unlink(parent.id, name).at(to)?;
                }
                let target = self.fs.readlink(node.id).at(from)?;
                let entry = self.fs.symlink(caller(), parent.id, name, &target).at(to)?;
                drop(Held::new(self.fs, entry));
                Ok(())
            }
            NodeKind::Directory => self.dir(node, from, parent, name, present, to, depth),
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "both sides of one step down a tree"
    )]
    fn dir(
        &mut self,
        node: &Held,
        from: &InnerPath,
        parent: &Held,
        name: &[u8],
        present: Option<Held>,
        to: &InnerPath,
        depth: usize,
    ) -> Result<()> {
        if !self.args.recursive {
            return Err(Failure::usage(format!("{from} is a directory")).hint("-r copies it"));
        }
        self.way.enter(node, from, depth)?;
        let target = match present {
            Some(present) if present.is_dir() => present,
            Some(_) => return Err(Failure::new(Exit::Other, "not a directory").at(to)),
            None => {
                let mode = node.attr.mode | 0o700;
                Held::new(
                    self.fs,
                    self.fs.mkdir(caller(), parent.id, name, mode).at(to)?,
                )
            }
        };
        for child in children(self.fs, node.id, from)? {
            let (below, above) = (from.join(&child.name), to.join(&child.name));
            let copied = self.fs.lookup(node.id, &child.name).at(&below);
            let copied = copied.and_then(|entry| {
                let held = Held::new(self.fs, entry);
                self.node(&held, &below, &target, &child.name, &above, depth + 1)
            });
            match copied {
                // What is damaged stays behind; anything else is no reason to go on.
                Err(e) if e.exit == Exit::Tampered => self.failures.tell(&self.ctx.out, &e),
                other => other?,
            }
        }
        self.finish(node, &target, to)
    }

    fn file(
        &self,
        node: &Held,
        parent: &Held,
        name: &[u8],
        present: Option<Held>,
        to: &InnerPath,
    ) -> Result<()> {
        let target = match present {
            Some(present) if present.is_dir() => {
                return Err(Failure::new(Exit::Other, "is a directory").at(to));
            }
            Some(present) => {
                let empty = SetAttr {
                    size: Some(0),
                    ..SetAttr::default()
                };
                self.fs.setattr(present.id, empty).at(to)?;
                present
            }
            None => {
                let mode = node.attr.mode | 0o200;
                Held::new(
                    self.fs,
                    self.fs.create(caller(), parent.id, name, mode).at(to)?,
                )
            }
        };
        let mut at = 0;
        loop {
            self.ctx.go_on()?;
            let done = self
                .fs
                .copy_range(node.id, at, target.id, at, STEP)
                .at(to)?;
            at += done;
            if done < STEP {
                break;
            }
        }
        self.finish(node, &target, to)
    }

    /// Permissions and times as the source has them.
    fn finish(&self, node: &Held, target: &Held, to: &InnerPath) -> Result<()> {
        let change = SetAttr {
            mode: Some(node.attr.mode & 0o7777),
            atime: Some(TimeChange::At(node.attr.atime)),
            mtime: Some(TimeChange::At(node.attr.mtime)),
            ..SetAttr::default()
        };
        self.fs.setattr(target.id, change).at(to)?;
        Ok(())
    }
}
