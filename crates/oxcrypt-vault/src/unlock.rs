//! From a passphrase, or a key, to a vault that can be used.

use std::sync::Arc;

use oxcrypt_core::{
    ConfigError, Cryptor, DirId, KeySource, MasterKey, MasterKeyFile, MasterKeyFileError,
    Passphrase, UnlockError, UnverifiedVaultConfig, VaultConfig,
};
use oxcrypt_store::{Kind, Store, StoreError, StoreErrorKind};

use crate::backup::{KeptCopy, MAX_KEY_FILE_LEN, keep_copy};
use crate::detect::{Detected, detect, legacy};
use crate::error::VaultError;
use crate::layout::{CONFIG_FILE, ContentPath, DATA_DIR};

/// A vault ready for use. Holds expanded keys only; the master key is gone.
#[derive(Debug)]
pub struct Unlocked<S> {
    /// Where the vault lies.
    pub store: Arc<S>,
    /// Its ciphers.
    pub cryptor: Arc<Cryptor>,
    /// Its verified configuration.
    pub config: VaultConfig,
    /// What did not go as it should, but does not prevent using the vault; one line each.
    pub warnings: Vec<String>,
}

/// Whether unlocking keeps copies of the key files (§6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backups {
    /// Makes missing copies; failing to is a warning.
    Keep,
    /// Writes nothing: for read-only use.
    Skip,
}

/// The opened key of a vault, for the operations that need the key itself.
#[derive(Debug)]
pub struct OpenKey {
    /// The master key.
    pub key: MasterKey,
    /// The configuration, verified with it.
    pub config: VaultConfig,
    /// Name of the key file.
    pub key_file_name: String,
    key_file: Option<(MasterKeyFile, Vec<u8>)>,
    config_bytes: Vec<u8>,
}

impl OpenKey {
    /// The key file it came from; `None` if the key was given.
    #[must_use]
    pub fn key_file(&self) -> Option<&MasterKeyFile> {
        self.key_file.as_ref().map(|(file, _)| file)
    }

    pub(crate) fn key_file_bytes(&self) -> Option<&[u8]> {
        self.key_file.as_ref().map(|(_, bytes)| bytes.as_slice())
    }
}

/// Opens the key of a format 8 vault with its passphrase; changes nothing.
///
/// Order: configuration parsed, key source, key file, passphrase, signature. Nothing is believed
/// before the signature, and every bound is checked before memory is taken.
///
/// # Errors
/// One kind for each thing that can be wrong; [`VaultError::WrongPassphrase`] says only that.
pub fn open_key<S: Store>(store: &S, passphrase: &Passphrase) -> Result<OpenKey, VaultError> {
    let (config_bytes, config) = read_config(store)?;
    let KeySource::MasterKeyFile(name) = config.key_source().map_err(VaultError::config)?;
    let (bytes, file) = read_key_file(store, &name)?;
    let key = file.unlock(passphrase).map_err(|error| match error {
        UnlockError::WrongPassphrase => VaultError::WrongPassphrase,
        UnlockError::VersionMac => VaultError::VersionMac { file: name.clone() },
    })?;
    let config = config.verify(&key).map_err(VaultError::config)?;
    Ok(OpenKey {
        key,
        config,
        key_file_name: name,
        key_file: Some((file, bytes)),
        config_bytes,
    })
}

/// As [`open_key`], with the key itself (from recovery words); needs no key file.
///
/// # Errors
/// [`VaultError::ForeignRecoveryKey`] if the configuration is not signed with it, and those of
/// the configuration.
pub fn open_with_key<S: Store>(store: &S, key: MasterKey) -> Result<OpenKey, VaultError> {
    let (config_bytes, config) = read_config(store)?;
    let KeySource::MasterKeyFile(name) = config.key_source().map_err(VaultError::config)?;
    let config = config.verify(&key).map_err(|error| match error {
        ConfigError::Signature => VaultError::ForeignRecoveryKey,
        other => VaultError::config(other),
    })?;
    Ok(OpenKey {
        key,
        config,
        key_file_name: name,
        key_file: None,
        config_bytes,
    })
}

/// Unlocks a vault with its passphrase.
///
/// # Errors
/// Those of [`open_key`], [`VaultError::DataMissing`], [`VaultError::RootMissing`].
pub fn unlock<S: Store>(
    store: Arc<S>,
    passphrase: &Passphrase,
    backups: Backups,
) -> Result<Unlocked<S>, VaultError> {
    let open = open_key(&*store, passphrase)?;
    finish(store, &open, backups)
}

/// Unlocks a vault with its master key.
///
/// # Errors
/// Those of [`open_with_key`], [`VaultError::DataMissing`], [`VaultError::RootMissing`].
pub fn unlock_with_key<S: Store>(
    store: Arc<S>,
    key: MasterKey,
    backups: Backups,
) -> Result<Unlocked<S>, VaultError> {
    let open = open_with_key(&*store, key)?;
    finish(store, &open, backups)
}

fn finish<S: Store>(
    store: Arc<S>,
    open: &OpenKey,
    backups: Backups,
) -> Result<Unlocked<S>, VaultError> {
    let cryptor = Cryptor::new(&open.key, open.config.combo(), open.config.threshold());
    require_root(&*store, &cryptor)?;
    let mut warnings = Vec::new();
    if let Some(file) = open.key_file()
        && !file.version_mac_matches(&open.key)
    {
        let name = &open.key_file_name;
        warnings.push(format!(
            "{name}: its version MAC is wrong; change the passphrase to renew it"
        ));
    }
    if backups == Backups::Keep {
        let key_file = open
            .key_file_bytes()
            .map(|bytes| (open.key_file_name.as_str(), bytes));
        let config = Some((CONFIG_FILE, open.config_bytes.as_slice()));
        for (name, content) in [config, key_file].into_iter().flatten() {
            warnings.extend(backup_warning(name, keep_copy(&*store, name, content)));
        }
    }
    Ok(Unlocked {
        store,
        cryptor: Arc::new(cryptor),
        config: open.config.clone(),
        warnings,
    })
}

fn backup_warning(name: &str, kept: Result<KeptCopy, StoreError>) -> Option<String> {
    match kept {
        Ok(KeptCopy::Made(_) | KeptCopy::Existed(_)) => None,
        Ok(KeptCopy::Differs(copy)) => Some(format!(
            "{copy}: is not the copy of {name} that its name announces; left alone"
        )),
        Err(error) => Some(format!("{name}: no backup was made: {error}")),
    }
}

fn require_root<S: Store>(store: &S, cryptor: &Cryptor) -> Result<(), VaultError> {
    match store.stat(&store.root(), DATA_DIR) {
        Ok(stat) if stat.kind == Kind::Dir => {}
        Ok(stat) => return Err(VaultError::no_directory("d", Some(stat.kind))),
        Err(error) if error.is_not_found() => return Err(VaultError::DataMissing),
        Err(error) => return Err(VaultError::store("d")(error)),
    }
    let root = ContentPath::of(cryptor, &DirId::ROOT);
    match root.open(store) {
        Ok(_) => Ok(()),
        Err(error) => match error.kind {
            StoreErrorKind::NotFound => Err(VaultError::RootMissing {
                path: root.to_string(),
            }),
            StoreErrorKind::NotDirectory | StoreErrorKind::Loop => {
                Err(VaultError::no_directory(root.to_string(), None))
            }
            _ => Err(VaultError::store(root.to_string())(error)),
        },
    }
}

fn read_config<S: Store>(store: &S) -> Result<(Vec<u8>, UnverifiedVaultConfig), VaultError> {
    let bytes = match store.read_small(&store.root(), CONFIG_FILE.as_bytes(), MAX_KEY_FILE_LEN) {
        Ok(bytes) => bytes,
        Err(error) => {
            return Err(match error.kind {
                // Tells an old vault from a damaged one from something else.
                StoreErrorKind::NotFound => match detect(store)? {
                    Detected::Vault => VaultError::ConfigMissing,
                    other => other.refusal().unwrap_or(VaultError::ConfigMissing),
                },
                StoreErrorKind::TooLarge => VaultError::config(ConfigError::TooLong),
                _ => VaultError::file(CONFIG_FILE)(error),
            });
        }
    };
    let config = UnverifiedVaultConfig::parse(&bytes).map_err(VaultError::config)?;
    // The format decides what the rest means; a wrong one shall not look like a wrong passphrase.
    match config.alleged_format() {
        Some(8) => Ok((bytes, config)),
        Some(old @ 1..8) => Err(legacy(old as u32)),
        other => Err(VaultError::config(ConfigError::Format(other))),
    }
}

pub(crate) fn read_key_file<S: Store>(
    store: &S,
    name: &str,
) -> Result<(Vec<u8>, MasterKeyFile), VaultError> {
    let refused = |error| VaultError::MasterKey {
        file: name.to_owned(),
        error,
    };
    let bytes = match store.read_small(&store.root(), name.as_bytes(), MAX_KEY_FILE_LEN) {
        Ok(bytes) => bytes,
        Err(error) => {
            return Err(match error.kind {
                StoreErrorKind::NotFound => VaultError::MasterKeyMissing {
                    file: name.to_owned(),
                },
                StoreErrorKind::TooLarge => refused(MasterKeyFileError::TooLong),
                _ => VaultError::file(name)(error),
            });
        }
    };
    let file = MasterKeyFile::parse(&bytes).map_err(refused)?;
    Ok((bytes, file))
}
