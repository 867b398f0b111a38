//! The configuration file: defaults, and names for vaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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
    #[serde(default)]
    pub(crate) tray: Tray,
}

/// Settings of the desktop helper, which asks for them by `config list`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tray {
    /// The command that asks for a passphrase and prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompter: Option<Vec<String>>,
    /// When vaults are locked that do not say it themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_on: Option<Vec<LockOn>>,
    /// What happens to a vault in use when it is to be locked by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    busy: Option<WhenBusy>,
    /// Notifications that are not wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<Vec<Notice>>,
    /// Whether notifications name vaults and files.
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<bool>,
    /// Tell when the storage of a vault has less than this many MiB left; 0 for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    low_space_mib: Option<u64>,
    /// Where vaults without a mountpoint of their own are mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<PathBuf>,
    /// Whether mounted vaults without a name are shown, and locked with all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    unnamed: Option<bool>,
}

/// What makes the desktop helper lock a vault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LockOn {
    Sleep,
    ScreenLock,
    Logout,
    Lid,
}

/// What the desktop helper does about a vault in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WhenBusy {
    /// Tells who uses it, and asks.
    Ask,
    /// Takes it away.
    Force,
}

/// Kinds of notifications.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Notice {
    Unlocked,
    Locked,
    LockFailed,
    Conflict,
    Damaged,
    LowSpace,
    Updated,
}

impl Tray {
    /// What `later` says wins.
    fn merge(&mut self, later: Self) {
        let Self {
            prompter,
            lock_on,
            busy,
            silent,
            names,
            low_space_mib,
            folder,
            unnamed,
        } = later;
        self.prompter = prompter.or(self.prompter.take());
        self.lock_on = lock_on.or(self.lock_on.take());
        self.busy = busy.or(self.busy);
        self.silent = silent.or(self.silent.take());
        self.names = names.or(self.names);
        self.low_space_mib = low_space_mib.or(self.low_space_mib);
        self.folder = folder.or(self.folder.take());
        self.unnamed = unnamed.or(self.unnamed);
    }

    /// As others should see it: `~` is written out.
    pub(crate) fn expanded(&self) -> Self {
        let mut all = self.clone();
        all.folder = all.folder.as_deref().map(expand);
        all
    }
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
    pub(crate) lock_on: Option<Vec<LockOn>>,
    /// Whether the desktop helper unlocks it at login.
    #[serde(default)]
    pub(crate) at_login: bool,
}

impl VaultEntry {
    /// Where the passphrase comes from, if it says so.
    pub(crate) fn source(&self) -> Option<&str> {
        let said = self.unlock.as_deref();
        said.or_else(|| self.password_command.as_ref().map(|_| "command"))
            .or_else(|| self.password_file.as_ref().map(|_| "file"))
    }
}

impl Config {
    /// Reads the system's files, then the user's; later ones win, vault by vault.
    pub(crate) fn load() -> Result<Self> {
        let mut all = Self::default();
        for dir in dirs() {
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
        self.tray.merge(config.tray);
        self.vaults.extend(config.vaults);
        Ok(())
    }
}

/// The directories of the system's and the user's files, in the order in which they are read.
pub(crate) fn dirs() -> impl Iterator<Item = PathBuf> {
    [Some(PathBuf::from("/etc/oxcrypt")), user_dir()]
        .into_iter()
        .flatten()
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
