//! Why something with a vault failed. Each message is one line: which file, what is wrong with
//! it, and what to do.

use oxcrypt_core::{ConfigError, MasterKeyFileError};
use oxcrypt_store::{Kind, StoreError, StoreErrorKind};

/// A failed operation on a whole vault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// Neither the files nor the directory of a vault are there.
    #[error(
        "this is not a vault: there is neither vault.cryptomator nor masterkey.cryptomator beside a directory d; check the path"
    )]
    NotAVault,
    /// The configuration is missing from a current vault.
    #[error(
        "vault.cryptomator is missing; restore it from vault.cryptomator.*.bkup, or rebuild it with `oxcrypt recover`"
    )]
    ConfigMissing,
    /// The configuration is refused.
    #[error("vault.cryptomator: {error}; {}", config_hint(.error))]
    Config {
        /// Why.
        error: ConfigError,
    },
    /// The key file is missing.
    #[error(
        "{file} is missing; restore it from {file}.*.bkup, or make a new one from the recovery key with `oxcrypt recovery reset`"
    )]
    MasterKeyMissing {
        /// The key file.
        file: String,
    },
    /// The key file is refused.
    #[error(
        "{file}: {error}; restore it from {file}.*.bkup, or make a new one from the recovery key with `oxcrypt recovery reset`"
    )]
    MasterKey {
        /// The key file.
        file: String,
        /// Why.
        error: MasterKeyFileError,
    },
    /// Something of another kind stands where a file or directory of the vault belongs.
    #[error("{path} is {is} where {wanted} belongs; move it away, then restore what was there")]
    WrongKind {
        /// Where.
        path: String,
        /// What is there.
        is: &'static str,
        /// What should be there.
        wanted: &'static str,
    },
    /// The passphrase does not fit. Says nothing else, on purpose.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The version in an old key file was changed.
    #[error("{file}: the version was tampered with; restore it from a backup")]
    VersionMac {
        /// The key file.
        file: String,
    },
    /// The directory `d` is missing.
    #[error(
        "the directory d is missing: this vault has lost its data; restore it from a backup, or wait until it is synchronised"
    )]
    DataMissing,
    /// The content directory of the root is missing.
    #[error(
        "{path} is missing: the top directory of the vault is lost; restore it from a backup, or mend the vault with `oxcrypt check --fix-safe`"
    )]
    RootMissing {
        /// Where it should be.
        path: String,
    },
    /// An older format.
    #[error("the vault has the old format {version}; convert it with `oxcrypt migrate`")]
    Legacy {
        /// Its format.
        version: u32,
    },
    /// A format that is not known yet.
    #[error("{file}: the vault has format {version}; use a program version that knows this format")]
    TooNew {
        /// The file that says so.
        file: &'static str,
        /// Its format.
        version: i64,
    },
    /// A format older than any that can be converted.
    #[error(
        "the vault has format {version}, which no current program converts; open it with the program that made it and copy its files"
    )]
    TooOld {
        /// Its format.
        version: u32,
    },
    /// Making a vault where something is already.
    #[error("the directory is not empty; choose an empty or new one")]
    NotEmpty,
    /// A threshold no writer offers.
    #[error("a shortening threshold of {threshold} is out of range; choose 36 to 220")]
    Threshold {
        /// What was asked for.
        threshold: u32,
    },
    /// A key derivation cost that is too low to be safe, or not usable.
    #[error(
        "a scrypt cost of {n} is out of range; choose a power of two from 32768 (2^15) to 1048576 (2^20)"
    )]
    Cost {
        /// What was asked for.
        n: u64,
    },
    /// The recovery key belongs to another vault.
    #[error(
        "the recovery key belongs to another vault: vault.cryptomator is not signed with it; use the key of this vault"
    )]
    ForeignRecoveryKey,
    /// Nothing that could tell the cipher was readable.
    #[error(
        "no file of the vault could be opened with this key, so its cipher is unknown; use the key of this vault, or name the cipher"
    )]
    CipherUnknown,
    /// The existing names contradict the threshold.
    #[error(
        "a shortening threshold of {threshold} contradicts the names in the vault, which call for {least} to {most}"
    )]
    ThresholdContradicted {
        /// What was asked for.
        threshold: u32,
        /// The smallest that fits.
        least: u32,
        /// The greatest that fits.
        most: u32,
    },
    /// Nothing to do: the file is there and right.
    #[error("{file} is in order; nothing was changed")]
    NothingToDo {
        /// The file.
        file: &'static str,
    },
    /// There is no usable backup.
    #[error("no usable backup {file}.*.bkup was found")]
    NoBackup {
        /// The file to restore.
        file: &'static str,
    },
    /// An unfinished download lies in the vault.
    #[error("{path} is not downloaded yet; wait until everything is synchronised, then try again")]
    NotDownloaded {
        /// The placeholder.
        path: String,
    },
    /// The storage failed.
    #[error("{path}: {error}{}", store_hint(.error))]
    Store {
        /// What was read or written.
        path: String,
        /// Why it failed.
        error: StoreError,
    },
}

impl VaultError {
    pub(crate) fn store(path: impl Into<String>) -> impl FnOnce(StoreError) -> Self {
        let path = path.into();
        move |error| Self::Store { path, error }
    }

    pub(crate) fn config(error: ConfigError) -> Self {
        Self::Config { error }
    }

    /// As [`VaultError::store`] for a small file of the vault that could not be read: what is
    /// there but no file is told apart from what failed.
    pub(crate) fn file(path: impl Into<String>) -> impl FnOnce(StoreError) -> Self {
        let path = path.into();
        move |error| match not_a_file(error.kind) {
            Some(is) => Self::WrongKind {
                path,
                is,
                wanted: "a file",
            },
            None => Self::Store { path, error },
        }
    }

    /// What stands where the directory `path` belongs.
    pub(crate) fn no_directory(path: impl Into<String>, kind: Option<Kind>) -> Self {
        Self::WrongKind {
            path: path.into(),
            is: match kind {
                Some(Kind::File) => "a file",
                Some(Kind::Symlink) => LINK,
                Some(Kind::Other) => SPECIAL,
                Some(Kind::Dir) | None => "something else",
            },
            wanted: "a directory",
        }
    }
}

const LINK: &str = "a symbolic link, which is never followed,";
const SPECIAL: &str = "a pipe, socket or device";

/// What is there, if reading a file failed because it is none.
pub(crate) fn not_a_file(kind: StoreErrorKind) -> Option<&'static str> {
    match kind {
        StoreErrorKind::IsDirectory => Some("a directory"),
        StoreErrorKind::Loop => Some(LINK),
        StoreErrorKind::NotRegular => Some(SPECIAL),
        _ => None,
    }
}

fn config_hint(error: &ConfigError) -> &'static str {
    match error {
        ConfigError::TooLong | ConfigError::NotAToken | ConfigError::Json(_) => {
            "restore it from vault.cryptomator.*.bkup, or rebuild it with `oxcrypt recover`"
        }
        ConfigError::Algorithm => {
            "do not trust it: it was made by a broken or hostile program; restore it from vault.cryptomator.*.bkup"
        }
        ConfigError::Hub => "open it with the Cryptomator application",
        ConfigError::KeySource | ConfigError::KeyFilePath => {
            "do not trust it unless you made it; restore it from vault.cryptomator.*.bkup"
        }
        ConfigError::Signature => {
            "restore it from vault.cryptomator.*.bkup, or look whether files of two vaults were mixed"
        }
        ConfigError::Format(Some(9..)) => "use a program version that knows this format",
        ConfigError::Combo(Some(_)) => "use a program version that knows this cipher",
        ConfigError::Format(_) | ConfigError::Combo(None) | ConfigError::Threshold(_) => {
            "restore it from vault.cryptomator.*.bkup, or rebuild it with `oxcrypt recover`"
        }
    }
}

fn store_hint(error: &StoreError) -> &'static str {
    match error.kind {
        StoreErrorKind::PermissionDenied => "; check the permissions of the vault directory",
        StoreErrorKind::ReadOnly => "; the storage cannot be written",
        StoreErrorKind::NoSpace | StoreErrorKind::Quota => "; make room and try again",
        _ => "",
    }
}
