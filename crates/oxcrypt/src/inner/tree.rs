//! `tree`: a directory and what is below, drawn.

use std::ffi::OsString;
use std::sync::Arc;

use oxcrypt_vfs::NodeKind;

use super::node::{Held, LastLink, Way, children_with_attr, find, trouble_of};
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::failure::{At, Failures, Result};
use crate::open::{Fs, Mode, VaultArgs, open};
use crate::out::printable;

/// Arguments of `tree`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Path inside the vault.
    #[arg(default_value = "/")]
    path: OsString,
    /// Go down this many levels at most.
    #[arg(short = 'L', long, value_name = "N")]
    level: Option<usize>,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Read)?;
    let path = InnerPath::parse(&args.path);
    let top = find(&vault.fs, &path, LastLink::Follow)?;
    ctx.out.line(&path)?;
    let mut drawing = Drawing {
        ctx,
        fs: &vault.fs,
        level: args.level.unwrap_or(usize::MAX),
        way: Way::default(),
        dirs: 0,
        files: 0,
        failures: Failures::default(),
    };
    if top.is_dir() {
        drawing.draw(&top, &path, "", 0)?;
    }
    ctx.out.line(format!(
        "\n{} directories, {} files",
        drawing.dirs, drawing.files
    ))?;
    ctx.out.flush()?;
    drawing.failures.end()
}

struct Drawing<'a> {
    ctx: &'a Ctx,
    fs: &'a Arc<Fs>,
    level: usize,
    way: Way,
    dirs: u64,
    files: u64,
    failures: Failures,
}

impl Drawing<'_> {
    fn draw(&mut self, dir: &Held, path: &InnerPath, indent: &str, depth: usize) -> Result<()> {
        if depth >= self.level {
            return Ok(());
        }
        self.ctx.go_on()?;
        let entered = self.way.enter(dir, path, depth);
        let all = match entered.and_then(|()| children_with_attr(self.fs, dir.id, path)) {
            Ok(all) => all,
            Err(e) => {
                self.failures.tell(&self.ctx.out, &e);
                return Ok(());
            }
        };
        for (i, child) in all.iter().enumerate() {
            let (branch, next) = if i + 1 == all.len() {
                ("└── ", "    ")
            } else {
                ("├── ", "│   ")
            };
            let below = path.join(&child.name);
            let name = printable(&child.name);
            self.ctx.out.line(format!("{indent}{branch}{name}"))?;
            match child.kind {
                NodeKind::Directory => self.dirs += 1,
                NodeKind::File | NodeKind::Symlink => self.files += 1,
            }
            if let Some(trouble) = trouble_of(self.fs, dir, child, &below) {
                self.failures.tell(&self.ctx.out, &trouble);
                continue;
            }
            if child.kind != NodeKind::Directory {
                continue;
            }
            match self.fs.lookup(dir.id, &child.name).at(&below) {
                Ok(entry) => {
                    let held = Held::new(self.fs, entry);
                    self.draw(&held, &below, &format!("{indent}{next}"), depth + 1)?;
                }
                Err(e) => self.failures.tell(&self.ctx.out, &e),
            }
        }
        Ok(())
    }
}
