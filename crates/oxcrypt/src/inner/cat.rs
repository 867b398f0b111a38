//! `cat`: files to standard output.

use std::ffi::OsString;

use zeroize::Zeroizing;

use super::node::{LastLink, find};
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::failure::{At, Result};
use crate::open::{Mode, VaultArgs, open};

/// Arguments of `cat`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Files inside the vault.
    #[arg(required = true)]
    paths: Vec<OsString>,
    /// Begin at this byte.
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    offset: u64,
    /// Print this many bytes at most.
    #[arg(long, value_name = "BYTES")]
    count: Option<u64>,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Read)?;
    let mut buffer = Zeroizing::new(vec![0; 1 << 20]);
    for path in &args.paths {
        let path = InnerPath::parse(path);
        let node = find(&vault.fs, &path, LastLink::Follow)?;
        let mut offset = args.offset;
        let mut left = args.count.unwrap_or(u64::MAX);
        while left > 0 {
            ctx.go_on()?;
            let want = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let len = vault
                .fs
                .read(node.id, offset, &mut buffer[..want])
                .at(&path)?;
            if len == 0 {
                break;
            }
            ctx.out.bytes(&buffer[..len])?;
            offset += len as u64;
            left -= len as u64;
        }
    }
    ctx.out.flush()
}
