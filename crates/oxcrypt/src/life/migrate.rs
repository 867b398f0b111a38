//! `migrate`: from formats 5, 6 and 7 to the current one.

use std::ffi::OsString;

use oxcrypt_vault::{Run, VaultError, migrate};
use serde::Serialize;

use crate::ctx::Ctx;
use crate::failure::{At, Result};
use crate::mount::claim;
use crate::out::Text;
use crate::secret::Source;
use crate::target::Target;

/// Arguments of `migrate`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Directory of the vault, or @NAME of one in the configuration.
    #[arg(value_name = "VAULT")]
    vault: OsString,
    #[command(flatten)]
    source: Source,
    /// Check the passphrase and plan, but change nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    vault: Text,
    from: u32,
    changed: bool,
    files: u64,
    dirs: u64,
    links: u64,
    skipped: Vec<String>,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let target = Target::find(&args.vault, &ctx.config)?;
    let store = target.store()?;
    let _claim = claim::exclusive(&target)?;
    let current = matches!(
        oxcrypt_vault::detect(&*store).at(target.label())?,
        oxcrypt_vault::Detected::Vault
    );
    let mode = if args.dry_run { Run::Dry } else { Run::Real };
    let bar = ctx.out.steps_bar(Some(0));
    let done = args.source.passphrase(ctx, &target, |text| {
        match migrate(&*store, text, mode, &mut |progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        }) {
            // Wanted, and so already.
            Err(VaultError::NothingToDo { .. }) if current => Ok(None),
            other => other.map(Some),
        }
    })?;
    bar.finish_and_clear();
    let Some(done) = done else {
        return answer(ctx, &target, 8, false, None);
    };
    answer(ctx, &target, done.from, done.changed, done.names)
}

fn answer(
    ctx: &Ctx,
    target: &Target,
    from: u32,
    changed: bool,
    names: Option<oxcrypt_vault::NamePlan>,
) -> Result<()> {
    let names = names.unwrap_or_default();
    let skipped: Vec<String> = names
        .skipped
        .iter()
        .map(|s| format!("{}: {}", s.path, s.reason))
        .collect();
    if ctx.out.json {
        return ctx.out.object(&Answer {
            schema: "oxcrypt.migrate/1",
            vault: Text::from(target.path.as_path()),
            from,
            changed,
            files: names.files,
            dirs: names.dirs,
            links: names.links,
            skipped,
        });
    }
    let text = match (from, changed) {
        (8, _) => "The vault has the current format.".to_owned(),
        (_, true) => format!("Migrated from format {from} to 8."),
        (_, false) => format!(
            "Would migrate from format {from} to 8: {} files, {} directories, {} links get new \
             names. Nothing was changed.",
            names.files, names.dirs, names.links
        ),
    };
    ctx.out.line(text)?;
    for line in skipped {
        ctx.out.warn(format!("not renamed: {line}"));
    }
    ctx.out.flush()
}
