//! `du`: how much is in directories.

use std::ffi::OsString;
use std::ops::ControlFlow;

use oxcrypt_vfs::NodeKind;
use serde::Serialize;

use super::node::walk;
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::failure::{Failures, Result};
use crate::open::{Mode, VaultArgs, open};
use crate::out::{Text, human_size};

/// Arguments of `du`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Paths inside the vault; its top if there is none.
    paths: Vec<OsString>,
    /// Sizes with units.
    #[arg(short = 'H', long)]
    human: bool,
}

#[derive(Serialize, Default)]
struct Sum {
    files: u64,
    dirs: u64,
    symlinks: u64,
    size: u64,
    cipher_size: u64,
}

#[derive(Serialize)]
struct Line {
    schema: &'static str,
    path: Text,
    #[serde(flatten)]
    sum: Sum,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Read)?;
    let paths = InnerPath::parse_or_top(&args.paths);
    let layout = vault.fs.cryptor().layout();
    let mut failures = Failures::default();
    for path in paths {
        let mut sum = Sum::default();
        let mut visit = |met: super::node::Met<'_>| {
            ctx.go_on()?;
            match met.kind {
                NodeKind::Directory => sum.dirs += 1,
                NodeKind::Symlink => sum.symlinks += 1,
                NodeKind::File => {
                    sum.files += 1;
                    let size = met.attr.map_or(0, |attr| attr.size);
                    sum.size += size;
                    sum.cipher_size += layout.cipher_len(size).unwrap_or(0);
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        walk(&vault.fs, &path, &mut visit, &mut |e| {
            failures.tell(&ctx.out, &e);
        })?;
        if ctx.out.json {
            ctx.out.object(&Line {
                schema: "oxcrypt.du/1",
                path: Text(path.bytes()),
                sum,
            })?;
            continue;
        }
        let size = |n: u64| {
            if args.human {
                human_size(n)
            } else {
                n.to_string()
            }
        };
        ctx.out.line(format!(
            "{}\t{path}\t({} files, {} directories, {} encrypted)",
            size(sum.size),
            sum.files,
            sum.dirs,
            size(sum.cipher_size)
        ))?;
    }
    ctx.out.flush()?;
    failures.end()
}
