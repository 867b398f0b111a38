//! Which vault a command is about: a directory, or the `@name` of one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxcrypt_store::{LocalStore, StoreErrorKind};

use crate::config::{self, Config, VaultEntry};
use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};

/// A vault as it was named on the command line.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its directory, absolute.
    pub(crate) path: PathBuf,
    /// Its alias, if it was named by it.
    pub(crate) alias: Option<String>,
    /// What the configuration says about it.
    pub(crate) entry: VaultEntry,
}

impl Target {
    /// Finds an existing directory.
    pub(crate) fn find(word: &OsString, config: &Config) -> Result<Self> {
        let (path, alias) = locate(word, config)?;
        let path = path.canonicalize().map_err(|e| {
            let exit = match e.kind() {
                std::io::ErrorKind::NotFound => Exit::NotAVault,
                kind => Exit::of_io(kind),
            };
            Failure::new(exit, format!("{}: {e}", path.display()))
                .hint("name the directory of a vault, or @NAME of one in the configuration")
        })?;
        let entry = match &alias {
            Some(name) => config.vaults.get(name).cloned(),
            None => config
                .vaults
                .values()
                .find(|entry| {
                    config::expand(&entry.path)
                        .canonicalize()
                        .is_ok_and(|p| p == path)
                })
                .cloned(),
        };
        Ok(Self {
            path,
            alias,
            entry: entry.unwrap_or_default(),
        })
    }

    /// Opens its directory.
    pub(crate) fn store(&self) -> Result<Arc<LocalStore>> {
        let store = LocalStore::open(&self.path).map_err(|e| {
            let failure = Failure::from(e).at(self.path.display());
            match e.kind {
                StoreErrorKind::NotDirectory => Failure {
                    exit: Exit::NotAVault,
                    ..failure
                },
                _ => failure,
            }
        })?;
        Ok(Arc::new(store))
    }

    /// Short, for prompts: the alias or the directory.
    pub(crate) fn label(&self) -> String {
        match &self.alias {
            Some(name) => format!("@{name}"),
            None => self.path.display().to_string(),
        }
    }

    /// The name under which a credential directory would hold its passphrase.
    pub(crate) fn credential_name(&self) -> OsString {
        let mut name = OsString::from("oxcrypt.");
        match (&self.alias, self.path.file_name()) {
            (Some(alias), _) => name.push(alias),
            (None, Some(dir)) => name.push(dir),
            (None, None) => {}
        }
        name
    }
}

/// The directory a word means, existing or not, and the alias it was.
pub(crate) fn locate(word: &OsString, config: &Config) -> Result<(PathBuf, Option<String>)> {
    let Some(name) = word.as_bytes().strip_prefix(b"@") else {
        return Ok((PathBuf::from(word), None));
    };
    // A directory may begin with @ as well; `./@x` names it for certain.
    let name = String::from_utf8_lossy(name).into_owned();
    match config.vaults.get(&name) {
        Some(entry) => Ok((config::expand(&entry.path), Some(name))),
        None => Err(Failure::usage(format!("there is no vault named @{name}"))
            .hint("`oxcrypt vault list` shows the names, `oxcrypt vault add` adds one")),
    }
}

/// An absolute path without touching what it leads to.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).host(path)
}
