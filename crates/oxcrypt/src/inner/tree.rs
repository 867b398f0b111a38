//! `tree`: a directory and what is below, drawn.

use std::ffi::OsString;
use std::sync::Arc;

use oxcrypt_vfs::NodeKind;

use super::node::{Held, LastLink, MAX_DEPTH, children, find};
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::failure::{At, Result};
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
    let mut counts = (0u64, 0u64);
    if top.is_dir() {
        let level = args.level.unwrap_or(MAX_DEPTH).min(MAX_DEPTH);
        draw(ctx, &vault.fs, &top, &path, "", level, &mut counts)?;
    }
    ctx.out
        .line(format!("\n{} directories, {} files", counts.0, counts.1))?;
    ctx.out.flush()
}

fn draw(
    ctx: &Ctx,
    fs: &Arc<Fs>,
    dir: &Held,
    path: &InnerPath,
    indent: &str,
    level: usize,
    counts: &mut (u64, u64),
) -> Result<()> {
    if level == 0 {
        return Ok(());
    }
    ctx.go_on()?;
    let all = children(fs, dir.id, path)?;
    for (i, child) in all.iter().enumerate() {
        let (branch, next) = if i + 1 == all.len() {
            ("└── ", "    ")
        } else {
            ("├── ", "│   ")
        };
        let below = path.join(&child.name);
        ctx.out
            .line(format!("{indent}{branch}{}", printable(&child.name)))?;
        if child.kind != NodeKind::Directory {
            counts.1 += 1;
            continue;
        }
        counts.0 += 1;
        match fs.lookup(dir.id, &child.name).at(&below) {
            Ok(entry) => {
                let held = Held::new(fs, entry);
                draw(
                    ctx,
                    fs,
                    &held,
                    &below,
                    &format!("{indent}{next}"),
                    level - 1,
                    counts,
                )?;
            }
            Err(e) => ctx.out.warn(&e.message),
        }
    }
    Ok(())
}
