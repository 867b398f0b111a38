//! `key`: passphrases kept on this machine, for vaults that are set up so. The vault is not touched.

use std::ffi::OsString;
use std::time::Duration;

use oxcrypt_core::Passphrase;
use oxcrypt_vault::open_key;
use serde::Serialize;

use crate::ctx::Ctx;
use crate::failure::Result;
use crate::out::Text;
use crate::secret::{Saved, Source, forget, is_saved, save};
use crate::target::Target;

/// What to do with kept passphrases.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// Keep the passphrase; it is tried first.
    Add {
        /// Directory of the vault, or @NAME of one in the configuration.
        #[arg(value_name = "VAULT")]
        vault: OsString,
        /// Who keeps it.
        #[arg(long = "in", value_enum, default_value = "keyring")]
        place: Saved,
        /// Forget it after this long (kernel key ring only), as in 8h.
        #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
        timeout: Option<Duration>,
        #[command(flatten)]
        source: Source,
    },
    /// Tell where passphrases of this vault are kept.
    List {
        /// Directory of the vault, or @NAME of one in the configuration.
        #[arg(value_name = "VAULT")]
        vault: OsString,
    },
    /// Forget the passphrase.
    Remove {
        /// Directory of the vault, or @NAME of one in the configuration.
        #[arg(value_name = "VAULT")]
        vault: OsString,
        /// Who kept it.
        #[arg(long = "in", value_enum, default_value = "keyring")]
        place: Saved,
    },
}

#[derive(Serialize)]
struct Line {
    schema: &'static str,
    vault: Text,
    keyring: bool,
    keyutils: bool,
}

pub(crate) fn run(ctx: &Ctx, command: &Command) -> Result<()> {
    match command {
        Command::Add {
            vault,
            place,
            timeout,
            source,
        } => {
            let target = Target::find(vault, &ctx.config)?;
            let store = target.store()?;
            let text = source.passphrase(ctx, &target, |text| {
                open_key(&*store, text)?;
                Ok(Passphrase::new(text.as_str().to_owned()))
            })?;
            save(*place, &target.path, &text, timeout.map(|t| t.as_secs()))?;
            let option = match place {
                Saved::Keyring => "--keyring",
                Saved::Keyutils => "--keyutils",
            };
            ctx.out.note(format!(
                "Kept. Use it with {option}, or set unlock for this vault in the configuration."
            ));
        }
        Command::List { vault } => {
            let target = Target::find(vault, &ctx.config)?;
            let line = Line {
                schema: "oxcrypt.key/1",
                vault: Text::from(target.path.as_path()),
                keyring: is_saved(Saved::Keyring, &target.path),
                keyutils: is_saved(Saved::Keyutils, &target.path),
            };
            if ctx.out.json {
                return ctx.out.object(&line);
            }
            for (name, kept) in [("keyring", line.keyring), ("keyutils", line.keyutils)] {
                ctx.out
                    .line(format!("{name}\t{}", if kept { "kept" } else { "-" }))?;
            }
        }
        Command::Remove { vault, place } => {
            let target = Target::find(vault, &ctx.config)?;
            let known = forget(*place, &target.path)?;
            ctx.out.note(if known {
                "Forgotten."
            } else {
                "There was none."
            });
        }
    }
    ctx.out.flush()
}
