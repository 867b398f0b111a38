//! The configuration file: defaults, and names for vaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};

/// What the configuration files say together.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) defaults: Defaults,
    #[serde(default)]
    pub(crate) vaults: BTreeMap<String, VaultEntry>,
}

/// Settings for every mount.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Defaults {
    /// Lock after this long without use.
    pub(crate) idle: Option<String>,
    /// Colours: auto, always, never.
    pub(crate) color: Option<String>,
    /// How long changes made elsewhere may go unseen where they are not announced.
    pub(crate) dir_cache: Option<String>,
    /// How requests come from the kernel: auto, ring, dev.
    pub(crate) transport: Option<String>,
}

/// A vault with a name.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VaultEntry {
    pub(crate) path: PathBuf,
    pub(crate) mountpoint: Option<PathBuf>,
    /// Where the passphrase comes from: prompt, keyring, keyutils, command, file.
    pub(crate) unlock: Option<String>,
    pub(crate) password_command: Option<Vec<String>>,
    pub(crate) password_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) ro: bool,
    pub(crate) idle: Option<String>,
    /// Run when it was unlocked, in the foreground of the daemon's start.
    pub(crate) on_unlock: Option<Vec<String>>,
    /// Run before it is locked.
    pub(crate) before_lock: Option<Vec<String>>,
    /// When the desktop helper locks it.
    #[serde(default)]
    #[allow(dead_code, reason = "read by the desktop helper; accepted here")]
    pub(crate) lock_on: Vec<String>,
    /// Whether the desktop helper unlocks it at login.
    #[serde(default)]
    #[allow(dead_code, reason = "read by the desktop helper; accepted here")]
    pub(crate) at_login: bool,
}

impl Config {
    /// Reads the system's files, then the user's; later ones win, vault by vault.
    pub(crate) fn load() -> Result<Self> {
        let mut all = Self::default();
        for dir in [Some(PathBuf::from("/etc/oxcrypt")), user_dir()]
            .into_iter()
            .flatten()
        {
            all.merge_file(&dir.join("config.toml"))?;
            let Ok(entries) = std::fs::read_dir(dir.join("conf.d")) else {
                continue;
            };
            let mut files: Vec<_> = entries.flatten().map(|e| e.path()).collect();
            files.retain(|f| f.extension().is_some_and(|e| e == "toml"));
            files.sort();
            for file in files {
                all.merge_file(&file)?;
            }
        }
        if let Some(file) = std::env::var_os("OXCRYPT_CONFIG") {
            all = Self::default();
            all.merge_file(Path::new(&file))?;
        }
        Ok(all)
    }

    fn merge_file(&mut self, file: &Path) -> Result<()> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Failure::io(&e).at(file.display())),
        };
        let config: Self = toml::from_str(&text).map_err(|e| {
            Failure::usage(format!("{}: {}", file.display(), e.message()))
                .hint("`oxcrypt config path` says which file is read")
        })?;
        let Defaults {
            idle,
            color,
            dir_cache,
            transport,
        } = config.defaults;
        let ours = &mut self.defaults;
        ours.idle = idle.or(ours.idle.take());
        ours.color = color.or(ours.color.take());
        ours.dir_cache = dir_cache.or(ours.dir_cache.take());
        ours.transport = transport.or(ours.transport.take());
        self.vaults.extend(config.vaults);
        Ok(())
    }
}

/// `$XDG_CONFIG_HOME/oxcrypt`.
pub(crate) fn user_dir() -> Option<PathBuf> {
    xdg("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("oxcrypt"))
}

/// The file that `vault` and `config set` change.
pub(crate) fn user_file() -> Result<PathBuf> {
    if let Some(file) = std::env::var_os("OXCRYPT_CONFIG") {
        return Ok(file.into());
    }
    user_dir()
        .map(|dir| dir.join("config.toml"))
        .ok_or_else(|| Failure::new(Exit::Other, "neither XDG_CONFIG_HOME nor HOME is set"))
}

/// Where journals of interrupted writes are kept. Root's do not depend on whose home it has at the
/// moment (a shell, a boot, sudo).
pub(crate) fn journal_dir() -> Option<PathBuf> {
    let root = rustix::process::geteuid().is_root();
    if root && std::env::var_os("XDG_STATE_HOME").is_none() {
        return Some(PathBuf::from("/var/lib/oxcrypt"));
    }
    state_dir()
}

/// `$XDG_STATE_HOME/oxcrypt`.
pub(crate) fn state_dir() -> Option<PathBuf> {
    xdg("XDG_STATE_HOME", ".local/state").map(|dir| dir.join("oxcrypt"))
}

fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    // The specification wants relative values ignored.
    let set = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|p| p.is_absolute());
    set.or_else(|| Some(home()?.join(below_home)))
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
}

/// `~` and `~/…` as the shell would read them.
pub(crate) fn expand(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

/// Changes the user's file in place; comments and order stay.
pub(crate) fn edit(change: impl FnOnce(&mut toml_edit::DocumentMut) -> Result<()>) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = user_file()?;
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(Failure::io(&e).at(file.display())),
    };
    let mut document: toml_edit::DocumentMut =
        text.parse().map_err(|e: toml_edit::TomlError| {
            Failure::usage(format!("{}: {}", file.display(), e.message()))
        })?;
    change(&mut document)?;
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).host(dir)?;
    }
    let fresh = file.with_extension(format!("toml.{}", std::process::id()));
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .host(&fresh)?;
    out.write_all(document.to_string().as_bytes())
        .host(&fresh)?;
    out.sync_all().host(&fresh)?;
    std::fs::rename(&fresh, &file).host(&file)
}
