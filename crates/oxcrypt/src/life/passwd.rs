//! `passwd`: another passphrase for the same key.

use std::ffi::OsString;

use oxcrypt_vault::{change_passphrase, open_key};
use serde::Serialize;

use crate::ctx::Ctx;
use crate::failure::{At, Result};
use crate::out::Text;
use crate::secret::{NewSource, Source};
use crate::target::Target;

/// Arguments of `passwd`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Directory of the vault, or @NAME of one in the configuration.
    #[arg(value_name = "VAULT")]
    vault: OsString,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    new: NewSource,
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    vault: Text,
    changed: bool,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let target = Target::find(&args.vault, &ctx.config)?;
    let store = target.store()?;
    let legacy = matches!(
        oxcrypt_vault::detect(&*store).at(target.label())?,
        oxcrypt_vault::Detected::Legacy { .. }
    );
    // The old one is tried before the new one is asked for; on old formats both come together.
    let mut new = None;
    let mut failed = None;
    args.source.passphrase(ctx, &target, |old| {
        if !legacy {
            open_key(&*store, old)?;
        }
        let text = match new.take() {
            Some(text) => text,
            None => match args.new.read(ctx, &target.label()) {
                Ok(text) => text,
                Err(e) => {
                    failed = Some(e);
                    return Ok(());
                }
            },
        };
        let changed = change_passphrase(&*store, old, &text);
        new = Some(text);
        changed
    })?;
    if let Some(failure) = failed {
        return Err(failure);
    }
    if ctx.out.json {
        return ctx.out.object(&Answer {
            schema: "oxcrypt.passwd/1",
            vault: Text::from(target.path.as_path()),
            changed: true,
        });
    }
    ctx.out.note(
        "The passphrase is changed. Whoever kept an old masterkey.cryptomator and knows the old \
         passphrase can still open the vault; the copy beside it (*.bkup) is one.",
    );
    Ok(())
}
