//! `events`: what happened in mounted vaults.

use std::ffi::OsString;

use super::{control, lock, table};
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Arguments of `events`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Only this one: where it is mounted, or the vault.
    #[arg(value_name = "MOUNTPOINT|VAULT|@NAME")]
    what: Option<OsString>,
    /// Go on until the vault is locked. Needs one mount.
    #[arg(short, long)]
    follow: bool,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let mounts = table::mounts()?;
    let mounts = match &args.what {
        Some(word) => lock::find(ctx, mounts, word)?,
        None => mounts,
    };
    if args.follow && mounts.len() != 1 {
        return Err(Failure::usage(format!(
            "--follow needs exactly one mount, and there are {}",
            mounts.len()
        )));
    }
    for mount in &mounts {
        let seen = control::follow(mount, args.follow, &mut |record| {
            ctx.go_on()?;
            if ctx.out.json {
                return ctx.out.object(record);
            }
            let more = record.text.as_deref().or(record.cipher_path.as_deref());
            ctx.out.line(format!(
                "{} {:20} {}",
                record.time,
                record.kind,
                more.unwrap_or_default()
            ))?;
            ctx.out.flush()
        });
        match seen {
            // Of another user.
            Err(e) if matches!(e.exit, Exit::Other | Exit::Permission) && args.what.is_none() => {}
            other => other?,
        }
    }
    Ok(())
}
