//! `oxcrypt`: Cryptomator-compatible encrypted vaults at the shell.
#![forbid(unsafe_code)]

mod daemon;
mod demo;
mod mount;
mod password;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Parser, Subcommand};
use oxcrypt_store::LocalStore;
use oxcrypt_vault::{CreateOptions, create};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Encrypted vaults that open in Cryptomator, mounted fast.
#[derive(Parser, Debug)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a new vault in an empty directory.
    Init {
        /// Directory of the vault.
        vault: PathBuf,
        #[command(flatten)]
        password: password::Source,
        /// Longest encrypted name before it is shortened.
        #[arg(long, default_value_t = 220)]
        shortening_threshold: u32,
        /// Cipher combination: siv-gcm or siv-ctrmac.
        #[arg(long, default_value = "siv-gcm", value_parser = parse_cipher)]
        cipher: oxcrypt_core::CipherCombo,
    },
    /// Unlock a vault and mount it.
    #[command(visible_alias = "unlock")]
    Mount(mount::Args),
    /// Unmount a vault and forget its keys.
    #[command(visible_alias = "umount")]
    Lock {
        /// Where it is mounted.
        mountpoint: PathBuf,
    },
    /// See it work: a throw-away vault, written, read back and mounted.
    Demo,
}

fn parse_cipher(text: &str) -> Result<oxcrypt_core::CipherCombo, String> {
    match text {
        "siv-gcm" => Ok(oxcrypt_core::CipherCombo::SivGcm),
        "siv-ctrmac" => Ok(oxcrypt_core::CipherCombo::SivCtrMac),
        _ => Err("use siv-gcm or siv-ctrmac".into()),
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("oxcrypt: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init {
            vault,
            password,
            shortening_threshold,
            cipher,
        } => {
            std::fs::create_dir_all(&vault)
                .with_context(|| format!("cannot create {}", vault.display()))?;
            let store = LocalStore::open(&vault)
                .with_context(|| format!("cannot open {}", vault.display()))?;
            let passphrase = password.read()?;
            let options = CreateOptions {
                combo: cipher,
                threshold: shortening_threshold,
                ..CreateOptions::default()
            };
            create(Arc::new(store), &passphrase, options)?;
            Ok(())
        }
        Command::Mount(args) => mount::run(&args),
        Command::Lock { mountpoint } => mount::lock(&mountpoint),
        Command::Demo => demo::run(),
    }
}
