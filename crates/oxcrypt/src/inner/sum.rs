//! `sum`: checksums of cleartext, in the form of `sha256sum`.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use oxcrypt_vfs::NodeKind;
use serde::Serialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::node::{LastLink, Met, find, walk};
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::failure::{At, Failures, Result};
use crate::open::{Fs, Mode, VaultArgs, open};
use crate::out::Text;

/// Arguments of `sum`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Files inside the vault; of directories all files in them.
    #[arg(required = true)]
    paths: Vec<OsString>,
    /// SHA-256, the only and usual one.
    #[arg(long)]
    sha256: bool,
}

#[derive(Serialize)]
struct Line {
    schema: &'static str,
    path: Text,
    sha256: String,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Read)?;
    let mut failures = Failures::default();
    for path in &args.paths {
        let mut files = Vec::new();
        let mut visit = |met: Met<'_>| {
            ctx.go_on()?;
            // What is damaged is told by the walk.
            if met.kind == NodeKind::File && met.attr.is_some() {
                files.push(met.path.clone());
            }
            Ok(ControlFlow::Continue(()))
        };
        walk(&vault.fs, &InnerPath::parse(path), &mut visit, &mut |e| {
            failures.tell(&ctx.out, &e);
        })?;
        for file in files {
            match sum_of(ctx, &vault.fs, &file) {
                Ok(sha256) if ctx.out.json => ctx.out.object(&Line {
                    schema: "oxcrypt.sum/1",
                    path: Text(file.bytes()),
                    sha256,
                })?,
                Ok(sha256) => {
                    let mut line = format!("{sha256}  ").into_bytes();
                    // Without the slash in front, so that `sha256sum -c` fits a copy of the top.
                    line.extend_from_slice(&file.bytes()[1..]);
                    line.push(b'\n');
                    ctx.out.bytes(&line)?;
                }
                Err(e) if e.exit == crate::exit::Exit::Interrupted => return Err(e),
                Err(e) => {
                    failures.tell(&ctx.out, &e);
                }
            }
        }
    }
    ctx.out.flush()?;
    failures.end()
}

fn sum_of(ctx: &Ctx, fs: &Arc<Fs>, path: &InnerPath) -> Result<String> {
    let node = find(fs, path, LastLink::Keep)?;
    let mut buffer = Zeroizing::new(vec![0; 1 << 20]);
    let mut hash = Sha256::new();
    let mut at = 0;
    loop {
        ctx.go_on()?;
        let len = fs.read(node.id, at, &mut buffer).at(path)?;
        if len == 0 {
            return Ok(HEXLOWER.encode(&hash.finalize()));
        }
        hash.update(&buffer[..len]);
        at += len as u64;
    }
}
