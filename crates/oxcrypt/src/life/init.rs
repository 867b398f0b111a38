//! `init`: a new vault.

use std::ffi::OsString;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use oxcrypt_core::{CipherCombo, recovery};
use oxcrypt_store::LocalStore;
use oxcrypt_vault::{CreateOptions, KeyCost, create, open_key};
use serde::Serialize;

use crate::ctx::Ctx;
use crate::failure::{At, Failure, Host, Result};
use crate::out::Text;
use crate::secret::Source;
use crate::target::locate;

/// Arguments of `init`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Directory of the vault; made if it is missing, and it must be empty.
    #[arg(value_name = "VAULT")]
    vault: OsString,
    #[command(flatten)]
    source: Source,
    /// Ciphers of file contents.
    #[arg(long, default_value = "siv-gcm", value_parser = parse_cipher, value_name = "siv-gcm|siv-ctrmac")]
    cipher: CipherCombo,
    /// Longest encrypted name before it is shortened, 36 to 220. Less for storage with short names.
    #[arg(long, default_value_t = 220, value_name = "N")]
    shortening_threshold: u32,
    /// Cost of guessing the passphrase as a power of two, 15 to 20. Each step doubles the time and
    /// memory of every unlock (20: 1 GiB).
    #[arg(long, default_value_t = 15, value_name = "15..20", value_parser = clap::value_parser!(u32).range(15..=20))]
    scrypt_log_n: u32,
    /// Write the recovery key to this new file (- is standard output).
    #[arg(long, value_name = "FILE")]
    recovery_key_out: Option<PathBuf>,
}

fn parse_cipher(text: &str) -> std::result::Result<CipherCombo, String> {
    match text {
        "siv-gcm" => Ok(CipherCombo::SivGcm),
        "siv-ctrmac" => Ok(CipherCombo::SivCtrMac),
        _ => Err("use siv-gcm or siv-ctrmac".into()),
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    schema: &'static str,
    vault: Text,
    cipher: &'a str,
    shortening_threshold: u32,
    scrypt_n: u64,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let (path, _) = locate(&args.vault, &ctx.config)?;
    let n = 1 << args.scrypt_log_n;
    let options = CreateOptions {
        combo: args.cipher,
        threshold: args.shortening_threshold,
        cost: KeyCost::new(n)?,
    };
    refuse_nonempty(&path)?;
    let passphrase = args.source.read_new(ctx, &path)?;
    std::fs::create_dir_all(&path).host(&path)?;
    let store = Arc::new(LocalStore::open(&path).at(path.display())?);
    let made = create(Arc::clone(&store), &passphrase, options).at(path.display())?;
    if let Some(file) = &args.recovery_key_out {
        let key = open_key(&*store, &passphrase)?.key;
        write_words(ctx, file, &recovery::encode(&key))?;
    }
    if ctx.out.json {
        return ctx.out.object(&Answer {
            schema: "oxcrypt.init/1",
            vault: Text::from(path.as_path()),
            cipher: made.config.combo().as_str(),
            shortening_threshold: made.config.threshold(),
            scrypt_n: n,
        });
    }
    let shown = path.display();
    ctx.out.note(format!("Made the vault {shown}."));
    if args.recovery_key_out.is_none() {
        ctx.out.note(format!(
            "Without passphrase and recovery key everything in it is lost. Print the recovery key \
             and keep it apart:\n  oxcrypt recovery show {shown}"
        ));
    }
    Ok(())
}

/// Before anybody types a passphrase.
fn refuse_nonempty(path: &std::path::Path) -> Result<()> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(Failure::from(oxcrypt_vault::VaultError::NotEmpty).at(path.display())),
            None => Ok(()),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).host(path),
    }
}

/// Writes recovery words to a file that did not exist, for its owner only; `-` prints them.
pub(crate) fn write_words(ctx: &Ctx, file: &std::path::Path, words: &str) -> Result<()> {
    use std::io::Write;
    if file == std::path::Path::new("-") {
        return ctx.out.line(words);
    }
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .host(file)?;
    writeln!(out, "{words}").host(file)?;
    out.sync_all().host(file)
}
