//! `recover`: a vault whose configuration or key file is lost or broken.
//!
//! In this order: a usable backup beside it; else, by the passphrase or the recovery words, made
//! anew. Nothing is written before the key has opened files of the vault.

use std::ffi::OsString;
use std::path::PathBuf;

use oxcrypt_core::{CipherCombo, MasterKey, recovery};
use oxcrypt_store::LocalStore;
use oxcrypt_vault::{
    CONFIG_FILE, Damage, Detected, KeyCost, MASTERKEY_FILE, RebuildOptions, Restorable, VaultError,
    detect, open_key_file, rebuild_config, reset_passphrase, restore_backup,
};
use serde::Serialize;

use crate::ctx::Ctx;
use crate::failure::{At, Failure, Result};
use crate::mount::claim;
use crate::out::Text;
use crate::secret::{NewSource, Source, read_text};
use crate::target::Target;

/// Arguments of `recover`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Directory of the vault, or @NAME of one in the configuration.
    #[arg(value_name = "VAULT")]
    vault: OsString,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    new: NewSource,
    /// File with the 44 words of the recovery key (- is standard input).
    #[arg(long, value_name = "FILE")]
    from_words: Option<PathBuf>,
    /// Find out and check everything, but write nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Ciphers, where no file can tell them.
    #[arg(long, value_name = "siv-gcm|siv-ctrmac")]
    cipher: Option<String>,
    /// Shortening threshold, where it is not 220.
    #[arg(long, value_name = "N")]
    shortening_threshold: Option<u32>,
    /// Do not use the backups beside the files.
    #[arg(long)]
    no_backups: bool,
}

#[derive(Serialize, Default)]
struct Answer {
    schema: &'static str,
    vault: Option<Text>,
    dry_run: bool,
    config: &'static str,
    masterkey: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shortening_threshold: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files_opened: Option<usize>,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let target = Target::find(&args.vault, &ctx.config)?;
    let store = target.store()?;
    let _claim = claim::exclusive(&target)?;
    let mut answer = Answer {
        schema: "oxcrypt.recover/1",
        vault: Some(Text::from(target.path.as_path())),
        dry_run: args.dry_run,
        config: "in_order",
        masterkey: "in_order",
        ..Answer::default()
    };
    if !args.no_backups && !args.dry_run && args.from_words.is_none() {
        restore(&store, &mut answer).at(target.label())?;
    }
    let words = args.from_words.as_deref().map(read_text).transpose()?;
    if let Some(words) = &words {
        by_words(ctx, args, &target, &store, words, &mut answer)?;
    } else if config_is_damaged(&store)? {
        args.source
            .passphrase(ctx, &target, |text| {
                let key = open_key_file(&*store, text)?;
                rebuild(args, &store, &key, &mut answer)
            })
            .map_err(|e| e.hint("with the recovery key: `oxcrypt recover --from-words FILE`"))?;
    }
    if let Some(refusal) = detect(&*store)?.refusal()
        && !args.dry_run
    {
        let failure = Failure::from(refusal).at(target.label());
        return Err(failure.hint("with the recovery key: `oxcrypt recover --from-words FILE`"));
    }
    tell(ctx, &answer)
}

fn config_is_damaged(store: &LocalStore) -> Result<bool> {
    Ok(match detect(store)? {
        Detected::Damaged(
            Damage::ConfigMissing
            | Damage::Config(_)
            | Damage::WrongKind {
                path: CONFIG_FILE, ..
            },
        ) => true,
        Detected::Vault | Detected::Damaged(_) => false,
        other => return Err(other.refusal().unwrap_or(VaultError::NotAVault).into()),
    })
}

/// Puts backups in the place of what is missing or broken, as far as there are any.
fn restore(store: &LocalStore, answer: &mut Answer) -> std::result::Result<(), VaultError> {
    for (which, slot) in [
        (Restorable::Config, &mut answer.config),
        (Restorable::MasterKey, &mut answer.masterkey),
    ] {
        match restore_backup(store, which) {
            Ok(_) => *slot = "restored_from_backup",
            Err(VaultError::NothingToDo { .. } | VaultError::NoBackup { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn by_words(
    ctx: &Ctx,
    args: &Args,
    target: &Target,
    store: &LocalStore,
    words: &str,
    answer: &mut Answer,
) -> Result<()> {
    let decode = || {
        recovery::decode(words).map_err(|e| {
            Failure::new(
                crate::exit::Exit::WrongKey,
                format!("the recovery key is not right: {e}"),
            )
        })
    };
    let key = decode()?;
    match rebuild(args, store, &key, answer) {
        Ok(()) => {}
        Err(e) => return Err(Failure::from(e).at(target.label())),
    }
    // A present key file is kept only if it is known to be this vault's; words are no passphrase,
    // so it is made anew whenever it is missing or broken.
    let damaged = match detect(store)? {
        Detected::Damaged(
            Damage::MasterKeyMissing
            | Damage::MasterKey(_)
            | Damage::WrongKind {
                path: MASTERKEY_FILE,
                ..
            },
        ) => true,
        _ => store_lacks_key(store),
    };
    if !damaged {
        return Ok(());
    }
    answer.masterkey = "rebuilt";
    if args.dry_run {
        return Ok(());
    }
    let passphrase = args.new.read(ctx, &target.label())?;
    reset_passphrase(store, decode()?, &passphrase, KeyCost::DEFAULT).at(target.label())
}

fn store_lacks_key(store: &LocalStore) -> bool {
    use oxcrypt_store::Store;
    store
        .stat(&store.root(), MASTERKEY_FILE.as_bytes())
        .is_err()
}

fn rebuild(
    args: &Args,
    store: &LocalStore,
    key: &MasterKey,
    answer: &mut Answer,
) -> std::result::Result<(), VaultError> {
    let options = RebuildOptions {
        combo: args.cipher.as_deref().and_then(|text| match text {
            "siv-gcm" => Some(CipherCombo::SivGcm),
            "siv-ctrmac" => Some(CipherCombo::SivCtrMac),
            _ => None,
        }),
        threshold: args.shortening_threshold,
        dry_run: args.dry_run,
    };
    match rebuild_config(store, key, options) {
        Ok(rebuilt) => {
            answer.config = "rebuilt";
            answer.cipher = Some(rebuilt.config.combo().as_str().to_owned());
            answer.shortening_threshold = Some(rebuilt.config.threshold());
            answer.files_opened = Some(rebuilt.files_opened);
            Ok(())
        }
        Err(VaultError::NothingToDo { .. }) => Ok(()),
        Err(e) => Err(e),
    }
}

fn tell(ctx: &Ctx, answer: &Answer) -> Result<()> {
    if ctx.out.json {
        return ctx.out.object(answer);
    }
    let would = if answer.dry_run {
        " (nothing was written)"
    } else {
        ""
    };
    for (file, state) in [
        (CONFIG_FILE, answer.config),
        (MASTERKEY_FILE, answer.masterkey),
    ] {
        ctx.out
            .line(format!("{file}: {}{would}", state.replace('_', " ")))?;
    }
    if let (Some(cipher), Some(threshold), Some(files)) = (
        &answer.cipher,
        answer.shortening_threshold,
        answer.files_opened,
    ) {
        ctx.out.line(format!(
            "{cipher}, shortening threshold {threshold}; {files} files of the vault were opened to \
             find out"
        ))?;
    }
    ctx.out.flush()
}
