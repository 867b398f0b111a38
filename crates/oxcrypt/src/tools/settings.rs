//! `vault` and `config`: the configuration file.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Serialize;
use toml_edit::{DocumentMut, Item, Table, value};

use crate::config::{self, VaultEntry};
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};
use crate::out::Text;

/// Names for vaults.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum VaultCommand {
    /// Give a vault a name: from then on @NAME means it.
    Add {
        /// The name, without @.
        name: String,
        /// Directory of the vault.
        path: PathBuf,
        /// Where to mount it.
        #[arg(long, value_name = "DIR")]
        mountpoint: Option<PathBuf>,
        /// Where its passphrase comes from: prompt, keyring, keyutils, command, file.
        #[arg(long, value_parser = ["prompt", "keyring", "keyutils", "command", "file"])]
        unlock: Option<String>,
        /// The command that prints the passphrase; repeat it for each argument.
        #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
        command: Vec<String>,
        /// The file that holds the passphrase.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Lock after this long without use, as in 15m.
        #[arg(long, value_name = "TIME")]
        idle: Option<String>,
        /// Mount read-only.
        #[arg(long)]
        ro: bool,
    },
    /// List the names.
    List,
    /// Forget a name; the vault itself stays.
    Remove {
        /// The name, without @.
        name: String,
    },
    /// Give a vault another name.
    Rename {
        /// The present name.
        from: String,
        /// The new one.
        to: String,
    },
}

#[derive(Serialize)]
struct VaultLine {
    schema: &'static str,
    name: String,
    path: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    mountpoint: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unlock: Option<String>,
    ro: bool,
}

pub(crate) fn vault(ctx: &Ctx, command: &VaultCommand) -> Result<()> {
    match command {
        VaultCommand::Add { name, .. } => {
            check_name(name)?;
            let table = entry_table(command)?;
            config::edit(|document| {
                let vaults = vaults(document)?;
                if vaults.contains_key(name) {
                    return Err(Failure::usage(format!(
                        "there is a vault named {name} already"
                    )));
                }
                vaults.insert(name, Item::Table(table));
                Ok(())
            })?;
            ctx.out.note(format!("@{name} is a vault from now on."));
            Ok(())
        }
        VaultCommand::List => list(ctx),
        VaultCommand::Remove { name } => config::edit(|document| {
            vaults(document)?
                .remove(name)
                .map(|_| ())
                .ok_or_else(|| unknown(name))
        }),
        VaultCommand::Rename { from, to } => {
            check_name(to)?;
            config::edit(|document| {
                let vaults = vaults(document)?;
                if vaults.contains_key(to) {
                    return Err(Failure::usage(format!(
                        "there is a vault named {to} already"
                    )));
                }
                let item = vaults.remove(from).ok_or_else(|| unknown(from))?;
                vaults.insert(to, item);
                Ok(())
            })
        }
    }
}

fn unknown(name: &str) -> Failure {
    Failure::usage(format!(
        "there is no vault named {name} in your configuration"
    ))
    .hint("`oxcrypt vault list` shows the names")
}

fn check_name(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(Failure::usage(
        "a name has letters, digits, -, _ and . only",
    ))
}

fn vaults(document: &mut DocumentMut) -> Result<&mut Table> {
    let item = document.entry("vaults").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    item.as_table_mut()
        .ok_or_else(|| Failure::usage("vaults is no table in the configuration"))
}

fn entry_table(command: &VaultCommand) -> Result<Table> {
    let VaultCommand::Add {
        path,
        mountpoint,
        unlock,
        command,
        file,
        idle,
        ro,
        ..
    } = command
    else {
        return Ok(Table::new());
    };
    let absolute = |path: &PathBuf| -> Result<String> {
        let path = crate::target::absolute(path)?;
        path.into_os_string()
            .into_string()
            .map_err(|_| Failure::usage("the configuration cannot hold a path that is not UTF-8"))
    };
    if let Some(idle) = idle {
        humantime::parse_duration(idle).map_err(|e| Failure::usage(format!("--idle: {e}")))?;
    }
    let mut table = Table::new();
    table["path"] = value(absolute(path)?);
    if let Some(point) = mountpoint {
        table["mountpoint"] = value(absolute(point)?);
    }
    if let Some(unlock) = unlock {
        table["unlock"] = value(unlock);
    }
    if !command.is_empty() {
        table["password_command"] = value(command.iter().collect::<toml_edit::Array>());
    }
    if let Some(file) = file {
        table["password_file"] = value(absolute(file)?);
    }
    if let Some(idle) = idle {
        table["idle"] = value(idle);
    }
    if *ro {
        table["ro"] = value(true);
    }
    Ok(table)
}

fn list(ctx: &Ctx) -> Result<()> {
    for (name, entry) in &ctx.config.vaults {
        let VaultEntry {
            path,
            mountpoint,
            unlock,
            ro,
            ..
        } = entry;
        if ctx.out.json {
            ctx.out.object(&VaultLine {
                schema: "oxcrypt.vault/1",
                name: name.clone(),
                path: Text::from(path.as_path()),
                mountpoint: mountpoint.as_deref().map(Text::from),
                unlock: unlock.clone(),
                ro: *ro,
            })?;
            continue;
        }
        let point = mountpoint.as_ref().map(|p| format!(" -> {}", p.display()));
        ctx.out.line(format!(
            "@{name}\t{}{}",
            path.display(),
            point.unwrap_or_default()
        ))?;
    }
    ctx.out.flush()
}

/// Settings.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Print a setting, as in defaults.idle or vaults.work.path.
    Get {
        /// The setting.
        key: String,
    },
    /// Change a setting; comments in the file stay.
    Set {
        /// The setting.
        key: String,
        /// The value: true, false, a number, or text.
        value: OsString,
    },
    /// Print all settings and vaults, as all files together say them.
    List,
    /// Print which file is changed.
    Path,
}

/// What the files say together.
#[derive(Serialize)]
struct All {
    schema: &'static str,
    /// The file that `config set` and `vault` change.
    file: Text,
    /// Where files are read from.
    dirs: Vec<Text>,
    tray: config::Tray,
    vaults: Vec<AllOfVault>,
}

#[derive(Serialize)]
struct AllOfVault {
    name: String,
    path: Text,
    /// Without links, if it exists; as the table of mounts has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    real: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mountpoint: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unlock: Option<String>,
    ro: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_on: Option<Vec<config::LockOn>>,
    at_login: bool,
}

pub(crate) fn config(ctx: &Ctx, command: &ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Path => ctx.out.line(config::user_file()?.display())?,
        ConfigCommand::List if ctx.out.json => ctx.out.object(&everything(ctx)?)?,
        ConfigCommand::List => {
            let all = serde_json::to_value(everything(ctx)?)
                .map_err(|e| Failure::new(Exit::Other, e.to_string()))?;
            let all = toml::to_string_pretty(&all)
                .map_err(|e| Failure::new(Exit::Other, e.to_string()))?;
            ctx.out.bytes(all.as_bytes())?;
        }
        ConfigCommand::Get { key } => {
            let file = config::user_file()?;
            let text = std::fs::read_to_string(&file).host(&file)?;
            let document: DocumentMut = text
                .parse()
                .map_err(|e: toml_edit::TomlError| Failure::usage(e.message().to_owned()))?;
            let mut item = document.as_item();
            for part in key.split('.') {
                item = item
                    .get(part)
                    .ok_or_else(|| Failure::new(Exit::Other, format!("{key} is not set")))?;
            }
            let text = item
                .as_str()
                .map_or_else(|| item.to_string(), str::to_owned);
            ctx.out.line(text.trim())?;
        }
        ConfigCommand::Set { key, value } => set(key, value)?,
    }
    ctx.out.flush()
}

fn everything(ctx: &Ctx) -> Result<All> {
    let vault = |(name, entry): (&String, &VaultEntry)| {
        let path = config::expand(&entry.path);
        let point = entry.mountpoint.as_deref().map(config::expand);
        AllOfVault {
            name: name.clone(),
            real: path.canonicalize().ok().as_deref().map(Text::from),
            path: Text::from(path.as_path()),
            mountpoint: point.as_deref().map(Text::from),
            unlock: entry.source().map(str::to_owned),
            ro: entry.ro,
            lock_on: entry.lock_on.clone(),
            at_login: entry.at_login,
        }
    };
    let file = config::user_file()?;
    let mut dirs: Vec<PathBuf> = match std::env::var_os("OXCRYPT_CONFIG") {
        Some(_) => file.parent().map(PathBuf::from).into_iter().collect(),
        None => config::dirs().collect(),
    };
    dirs.extend(dirs.clone().iter().map(|dir| dir.join("conf.d")));
    Ok(All {
        schema: "oxcrypt.config/1",
        file: Text::from(file.as_path()),
        dirs: dirs.iter().map(|dir| Text::from(dir.as_path())).collect(),
        tray: ctx.config.tray.expanded(),
        vaults: ctx.config.vaults.iter().map(vault).collect(),
    })
}

fn set(key: &str, text: &OsString) -> Result<()> {
    let text = text
        .to_str()
        .ok_or_else(|| Failure::usage("the value is not UTF-8"))?;
    let item = match (text.parse::<bool>(), text.parse::<i64>()) {
        (Ok(flag), _) => value(flag),
        (_, Ok(number)) => value(number),
        _ => value(text),
    };
    config::edit(|document| {
        // Names with dots are quoted, as in the file: vaults."a.b".path
        let parts = toml_edit::Key::parse(key)
            .map_err(|e| Failure::usage(format!("{key}: {}", e.message())))?;
        let parts: Vec<&str> = parts.iter().map(toml_edit::Key::get).collect();
        let Some((last, tables)) = parts.split_last() else {
            return Ok(());
        };
        let mut at = document.as_table_mut();
        for part in tables {
            let below = at.entry(part).or_insert_with(|| {
                let mut table = Table::new();
                table.set_implicit(true);
                Item::Table(table)
            });
            at = below
                .as_table_mut()
                .ok_or_else(|| Failure::usage(format!("{part} is not a table")))?;
        }
        at[*last] = item;
        // What could not be read again is not written.
        toml::from_str::<config::Config>(&document.to_string())
            .map(|_| ())
            .map_err(|e| Failure::usage(format!("{key}: {}", e.message())))
    })
}
