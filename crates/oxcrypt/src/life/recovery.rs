//! `recovery show|reset|verify`: the key of a vault as 44 words.

use std::ffi::OsString;
use std::path::PathBuf;

use oxcrypt_core::recovery;
use oxcrypt_vault::{KeyCost, open_with_key, reset_passphrase};
use serde::Serialize;

use super::init::write_words;
use crate::ctx::Ctx;
use crate::failure::{At, Failure, Result};
use crate::open::{VaultArgs, open_target_key};
use crate::out::Text;
use crate::secret::{NewSource, recovery_key};
use crate::target::Target;

/// What to do with the recovery key.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// Print the words. Whoever has them can open the vault for ever.
    Show {
        #[command(flatten)]
        vault: VaultArgs,
        /// Write them to this new file instead.
        #[arg(long, value_name = "FILE", default_value = "-")]
        out: PathBuf,
    },
    /// Set a new passphrase by the words; also makes a lost key file anew.
    Reset {
        /// Directory of the vault, or @NAME of one in the configuration.
        #[arg(value_name = "VAULT")]
        vault: OsString,
        /// File with the words (- is standard input).
        #[arg(
            long,
            value_name = "FILE",
            visible_alias = "recovery-key-file",
            default_value = "-"
        )]
        from_words: PathBuf,
        #[command(flatten)]
        new: NewSource,
    },
    /// Check words against a vault; changes nothing.
    Verify {
        /// Directory of the vault, or @NAME of one in the configuration.
        #[arg(value_name = "VAULT")]
        vault: OsString,
        /// File with the words (- is standard input).
        #[arg(
            long,
            value_name = "FILE",
            visible_alias = "recovery-key-file",
            default_value = "-"
        )]
        from_words: PathBuf,
    },
}

#[derive(Serialize)]
struct Answer<'a> {
    schema: &'static str,
    vault: Text,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<&'a str>,
}

pub(crate) fn run(ctx: &Ctx, command: &Command) -> Result<()> {
    match command {
        Command::Show { vault, out } => {
            let target = Target::find(&vault.vault, &ctx.config)?;
            let open = open_target_key(ctx, &target, &vault.source)?;
            let words = recovery::encode(&open.key);
            if ctx.out.json && out.as_os_str() == "-" {
                return ctx.out.object(&Answer {
                    schema: "oxcrypt.recovery/1",
                    vault: Text::from(target.path.as_path()),
                    action: "show",
                    words: Some(&words),
                });
            }
            write_words(ctx, out, &words)?;
            ctx.out.flush()
        }
        Command::Reset {
            vault,
            from_words,
            new,
        } => {
            let target = Target::find(vault, &ctx.config)?;
            let store = target.store()?;
            let words = words_of(ctx, from_words)?;
            // Words of another vault are refused before a new passphrase is asked for.
            open_with_key(&*store, recovery::decode(&words).map_err(|e| wrong(&e))?)
                .at(target.label())?;
            let passphrase = new.read(ctx, &target.label())?;
            let key = recovery::decode(&words).map_err(|e| wrong(&e))?;
            reset_passphrase(&*store, key, &passphrase, KeyCost::DEFAULT).at(target.label())?;
            answer(ctx, &target, "reset", "The vault has a new passphrase.")
        }
        Command::Verify { vault, from_words } => {
            let target = Target::find(vault, &ctx.config)?;
            let store = target.store()?;
            let key = recovery_key(from_words)?;
            open_with_key(&*store, key).at(target.label())?;
            answer(ctx, &target, "verify", "These words belong to this vault.")
        }
    }
}

fn words_of(ctx: &Ctx, file: &std::path::Path) -> Result<zeroize::Zeroizing<String>> {
    use std::io::IsTerminal;
    if file.as_os_str() == "-" && std::io::stdin().is_terminal() {
        ctx.out
            .note("Type the 44 words, then Ctrl-D on a new line:");
    }
    crate::secret::read_text(file)
}

fn wrong(error: &oxcrypt_core::RecoveryError) -> Failure {
    Failure::new(
        crate::exit::Exit::WrongKey,
        format!("the recovery key is not right: {error}"),
    )
    .hint("it has 44 words; compare them with the paper, in their order")
}

fn answer(ctx: &Ctx, target: &Target, action: &'static str, text: &str) -> Result<()> {
    if ctx.out.json {
        return ctx.out.object(&Answer {
            schema: "oxcrypt.recovery/1",
            vault: Text::from(target.path.as_path()),
            action,
            words: None,
        });
    }
    ctx.out.line(text)?;
    ctx.out.flush()
}
