//! What a directory is, without a key.

use oxcrypt_core::{ConfigError, MasterKeyFile, MasterKeyFileError, UnverifiedVaultConfig};
use oxcrypt_core::{KeySource, VERSION_IN_CONFIG};
use oxcrypt_store::{Kind, Store, StoreError, StoreErrorKind};

use crate::backup::MAX_KEY_FILE_LEN;
use crate::error::{VaultError, not_a_file};
use crate::layout::{CONFIG_FILE, DATA_DIR, MASTERKEY_FILE};

/// What a directory seems to be. Nothing of this is authenticated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Detected {
    /// A vault of the current format, complete as far as one can see.
    Vault,
    /// A vault whose key is kept by a Cryptomator Hub.
    Hub,
    /// A vault of an older format.
    Legacy {
        /// Its format.
        version: u32,
    },
    /// A vault of a newer format.
    Newer {
        /// The file that says so.
        file: &'static str,
        /// Its format.
        version: i64,
    },
    /// A vault with something missing or broken.
    Damaged(Damage),
    /// No vault.
    Unrelated,
}

/// What is wrong with a vault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Damage {
    /// `d` is missing.
    DataMissing,
    /// Something of another kind stands in the place of `d` or a key file.
    WrongKind {
        /// In whose place.
        path: &'static str,
        /// The error that tells what it is.
        error: Box<VaultError>,
    },
    /// `vault.cryptomator` is missing.
    ConfigMissing,
    /// `vault.cryptomator` is broken.
    Config(ConfigError),
    /// The key file is missing.
    MasterKeyMissing,
    /// The key file is broken.
    MasterKey(MasterKeyFileError),
}

impl Detected {
    /// The error that unlocking such a directory gives, if it cannot succeed.
    #[must_use]
    pub fn refusal(&self) -> Option<VaultError> {
        Some(match self {
            Self::Vault => return None,
            Self::Hub => VaultError::config(ConfigError::Hub),
            Self::Legacy { version } => legacy(*version),
            Self::Newer { file, version } => VaultError::TooNew {
                file,
                version: *version,
            },
            Self::Unrelated => VaultError::NotAVault,
            Self::Damaged(damage) => match damage {
                Damage::DataMissing => VaultError::DataMissing,
                Damage::WrongKind { error, .. } => (**error).clone(),
                Damage::ConfigMissing => VaultError::ConfigMissing,
                Damage::Config(error) => VaultError::config(error.clone()),
                Damage::MasterKeyMissing => VaultError::MasterKeyMissing {
                    file: MASTERKEY_FILE.to_owned(),
                },
                Damage::MasterKey(error) => VaultError::MasterKey {
                    file: MASTERKEY_FILE.to_owned(),
                    error: *error,
                },
            },
        })
    }
}

/// Looks at the files of a directory and says what it is.
///
/// # Errors
/// Only those of the storage; whatever the files hold is an answer.
pub fn detect<S: Store>(store: &S) -> Result<Detected, VaultError> {
    let config = read(store, CONFIG_FILE)?;
    let masterkey = read(store, MASTERKEY_FILE)?;
    let (has_data, wrong_data) = match store.stat(&store.root(), DATA_DIR) {
        Ok(stat) if stat.kind == Kind::Dir => (true, None),
        Ok(stat) => (false, Some(VaultError::no_directory("d", Some(stat.kind)))),
        Err(error) if error.is_not_found() => (false, None),
        Err(error) => return Err(VaultError::store("d")(error)),
    };
    let damaged = |damage| Ok(Detected::Damaged(damage));
    match (has_data, config, masterkey) {
        (false, Contents::Missing, _) => Ok(Detected::Unrelated),
        (false, ..) => damaged(wrong_data.map_or(Damage::DataMissing, |error| {
            let path = "d";
            let error = Box::new(error);
            Damage::WrongKind { path, error }
        })),
        (true, Contents::Missing, Contents::Missing) => Ok(Detected::Unrelated),
        (true, Contents::Missing, masterkey) => Ok(by_masterkey(masterkey)),
        (true, Contents::NotAFile(error), _) => damaged(wrong_file(CONFIG_FILE, error)),
        (true, Contents::TooLong, _) => damaged(Damage::Config(ConfigError::TooLong)),
        (true, Contents::Bytes(config), masterkey) => Ok(by_config(&config, masterkey)),
    }
}

/// The error for a format that can be read only after a migration, or not at all.
pub(crate) fn legacy(version: u32) -> VaultError {
    match version {
        5.. => VaultError::Legacy { version },
        _ => VaultError::TooOld { version },
    }
}

fn wrong_file(path: &'static str, error: StoreError) -> Damage {
    let error = Box::new(VaultError::file(path)(error));
    Damage::WrongKind { path, error }
}

fn by_config(config: &[u8], masterkey: Contents) -> Detected {
    let config = match UnverifiedVaultConfig::parse(config) {
        Ok(config) => config,
        Err(error) => return Detected::Damaged(Damage::Config(error)),
    };
    match config.alleged_format() {
        Some(8) => {}
        Some(old @ 1..8) => {
            return Detected::Legacy {
                version: old as u32,
            };
        }
        Some(version @ 9..) => {
            let file = CONFIG_FILE;
            return Detected::Newer { file, version };
        }
        none => return Detected::Damaged(Damage::Config(ConfigError::Format(none))),
    }
    match config.key_source() {
        Err(ConfigError::Hub) => return Detected::Hub,
        Err(error) => return Detected::Damaged(Damage::Config(error)),
        // A key file of another name is looked for when unlocking.
        Ok(KeySource::MasterKeyFile(name)) if name != MASTERKEY_FILE => return Detected::Vault,
        Ok(KeySource::MasterKeyFile(_)) => {}
    }
    match parse_masterkey(masterkey) {
        Ok(_) => Detected::Vault,
        Err(damage) => Detected::Damaged(damage),
    }
}

fn by_masterkey(masterkey: Contents) -> Detected {
    match parse_masterkey(masterkey) {
        Ok(file) if file.version() == VERSION_IN_CONFIG => Detected::Damaged(Damage::ConfigMissing),
        Ok(file) if file.version() < 8 => Detected::Legacy {
            version: file.version(),
        },
        Ok(file) => Detected::Newer {
            file: MASTERKEY_FILE,
            version: file.version().into(),
        },
        Err(damage) => Detected::Damaged(damage),
    }
}

fn parse_masterkey(masterkey: Contents) -> Result<MasterKeyFile, Damage> {
    match masterkey {
        Contents::Missing => Err(Damage::MasterKeyMissing),
        Contents::NotAFile(error) => Err(wrong_file(MASTERKEY_FILE, error)),
        Contents::TooLong => Err(Damage::MasterKey(MasterKeyFileError::TooLong)),
        Contents::Bytes(bytes) => MasterKeyFile::parse(&bytes).map_err(Damage::MasterKey),
    }
}

enum Contents {
    Missing,
    NotAFile(StoreError),
    TooLong,
    Bytes(Vec<u8>),
}

fn read<S: Store>(store: &S, name: &str) -> Result<Contents, VaultError> {
    match store.read_small(&store.root(), name.as_bytes(), MAX_KEY_FILE_LEN) {
        Ok(bytes) => Ok(Contents::Bytes(bytes)),
        Err(error) => match error.kind {
            StoreErrorKind::TooLarge => Ok(Contents::TooLong),
            StoreErrorKind::NotFound => Ok(Contents::Missing),
            kind if not_a_file(kind).is_some() => Ok(Contents::NotAFile(error)),
            _ => Err(VaultError::store(name)(error)),
        },
    }
}
