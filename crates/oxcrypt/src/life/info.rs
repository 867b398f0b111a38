//! `info`: what can be said about a vault without its passphrase.

use std::ffi::OsString;
use std::ops::ControlFlow;

use oxcrypt_core::{MasterKeyFile, UnverifiedVaultConfig, is_backup_of};
use oxcrypt_store::{Cookie, LocalStore, Store};
use oxcrypt_vault::{CONFIG_FILE, Detected, MASTERKEY_FILE, detect};
use serde::Serialize;

use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{At, Failure, Result};
use crate::mount::table;
use crate::out::Text;
use crate::target::Target;

/// Arguments of `info`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Directory of the vault, or @NAME of one in the configuration.
    #[arg(value_name = "VAULT")]
    vault: OsString,
}

#[derive(Serialize, Default)]
struct Answer {
    schema: &'static str,
    vault: Option<Text>,
    /// `vault`, `hub`, `legacy`, `newer`, `damaged`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scrypt_n: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scrypt_r: Option<u32>,
    backups: Vec<String>,
    space_available: u64,
    mounted_at: Vec<Text>,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let target = Target::find(&args.vault, &ctx.config)?;
    let store = target.store()?;
    let detected = detect(&*store).at(target.label())?;
    if detected == Detected::Unrelated {
        return Err(Failure::from(oxcrypt_vault::VaultError::NotAVault).at(target.label()));
    }
    let mut answer = look(&store, &detected)?;
    answer.vault = Some(Text::from(target.path.as_path()));
    answer.mounted_at = table::mounts()?
        .into_iter()
        .filter(|mount| mount.vault == target.path)
        .map(|mount| Text::from(mount.point.as_path()))
        .collect();
    if ctx.out.json {
        ctx.out.object(&answer)?;
    } else {
        print(ctx, &target, &answer)?;
    }
    match (&detected, detected.refusal()) {
        // All is said; the code says it to scripts.
        (Detected::Damaged(_), Some(refusal)) => Err(Failure::told(Exit::of_vault(&refusal))),
        _ => Ok(()),
    }
}

fn look(store: &LocalStore, detected: &Detected) -> Result<Answer> {
    let root = store.root();
    let read = |name: &str| store.read_small(&root, name.as_bytes(), 64 << 10).ok();
    let config = read(CONFIG_FILE).and_then(|bytes| UnverifiedVaultConfig::parse(&bytes).ok());
    let key = read(MASTERKEY_FILE).and_then(|bytes| MasterKeyFile::parse(&bytes).ok());
    let (state, format) = match detected {
        Detected::Vault => ("vault", Some(8)),
        Detected::Hub => ("hub", Some(8)),
        Detected::Legacy { version } => ("legacy", Some(i64::from(*version))),
        Detected::Newer { version, .. } => ("newer", Some(*version)),
        Detected::Damaged(_) | Detected::Unrelated => (
            "damaged",
            config
                .as_ref()
                .and_then(UnverifiedVaultConfig::alleged_format),
        ),
    };
    let mut backups = Vec::new();
    store
        .list(&root, Cookie::START, 16 << 10, &mut |entry| {
            let name = String::from_utf8_lossy(entry.name);
            if is_backup_of(&name, CONFIG_FILE) || is_backup_of(&name, MASTERKEY_FILE) {
                backups.push(name.into_owned());
            }
            ControlFlow::Continue(())
        })
        .at("the vault directory")?;
    backups.sort();
    let space = store.space().at("the vault directory")?;
    Ok(Answer {
        schema: "oxcrypt.info/1",
        state,
        problem: detected.refusal().map(|e| e.to_string()),
        format,
        key_id: config.as_ref().and_then(|c| c.key_id().map(str::to_owned)),
        signature: config
            .as_ref()
            .map(|c| format!("{:?}", c.algorithm()).to_uppercase()),
        scrypt_n: key.as_ref().map(|k| k.params().n()),
        scrypt_r: key.as_ref().map(|k| k.params().r()),
        backups,
        space_available: space.avail.saturating_mul(space.block_size),
        ..Answer::default()
    })
}

fn print(ctx: &Ctx, target: &Target, answer: &Answer) -> Result<()> {
    let line = |name: &str, value: String| ctx.out.line(format!("{name:12} {value}"));
    line("vault", target.path.display().to_string())?;
    line("state", answer.state.to_owned())?;
    if let Some(problem) = &answer.problem {
        line("problem", problem.clone())?;
    }
    if let Some(format) = answer.format {
        line("format", format.to_string())?;
    }
    if let Some(key_id) = &answer.key_id {
        line("key", crate::out::printable(key_id.as_bytes()))?;
    }
    if let (Some(n), Some(r)) = (answer.scrypt_n, answer.scrypt_r) {
        line(
            "scrypt",
            format!("N={n} r={r} ({} MiB)", (128 * n * u64::from(r)) >> 20),
        )?;
    }
    line("backups", answer.backups.len().to_string())?;
    line("free space", crate::out::human_size(answer.space_available))?;
    for point in &answer.mounted_at {
        line("mounted at", crate::out::printable(&point.0))?;
    }
    ctx.out
        .line("The configuration is not verified before the vault is unlocked.")?;
    ctx.out.flush()
}
