//! The exit codes: a contract with scripts, in one table.

use oxcrypt_core::ConfigError;
use oxcrypt_store::StoreErrorKind;
use oxcrypt_vault::VaultError;
use oxcrypt_vfs::ErrorKind;

/// Why the command failed. The numbers and texts never change their meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Exit {
    /// Anything without a code of its own.
    Other = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Wrong passphrase or key.
    WrongKey = 3,
    /// Not a vault, or its configuration is missing or broken.
    NotAVault = 4,
    /// Permission denied.
    Permission = 5,
    /// Mounting or unmounting failed.
    Mount = 6,
    /// The path does not exist in the vault.
    NotFound = 7,
    /// Interrupted by a signal, or nobody reads the output any more.
    Interrupted = 8,
    /// In use, or mounted already.
    Busy = 9,
    /// Authentication of data failed: damaged or tampered with.
    Tampered = 10,
    /// `check` found problems.
    Findings = 11,
    /// A format or a kind of vault that is not supported.
    Unsupported = 12,
    /// No space, or a quota is exhausted.
    NoSpace = 13,
    /// Read-only.
    ReadOnly = 14,
    /// A name is too long.
    NameTooLong = 15,
    /// Not finished in time.
    Timeout = 16,
}

impl Exit {
    /// Of the failures of one command, the one its exit code tells: damage is never hidden behind
    /// a lesser trouble, nor a full or refusing storage behind a single file's.
    pub(crate) fn worse(self, other: Self) -> Self {
        let weight = |exit: Self| match exit {
            Self::Interrupted => 3,
            Self::Tampered => 2,
            Self::NoSpace | Self::ReadOnly | Self::Permission => 1,
            _ => 0,
        };
        if weight(other) > weight(self) {
            other
        } else {
            self
        }
    }

    /// The number for the shell.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// The stable text for JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Usage => "usage",
            Self::WrongKey => "wrong_key",
            Self::NotAVault => "not_a_vault",
            Self::Permission => "permission",
            Self::Mount => "mount_failed",
            Self::NotFound => "not_found",
            Self::Interrupted => "interrupted",
            Self::Busy => "busy",
            Self::Tampered => "tampered",
            Self::Findings => "findings",
            Self::Unsupported => "unsupported",
            Self::NoSpace => "no_space",
            Self::ReadOnly => "read_only",
            Self::NameTooLong => "name_too_long",
            Self::Timeout => "timeout",
        }
    }

    pub(crate) fn of_vault(error: &VaultError) -> Self {
        match error {
            VaultError::WrongPassphrase
            | VaultError::ForeignRecoveryKey
            | VaultError::CipherUnknown => Self::WrongKey,
            VaultError::Config { error } => match error {
                ConfigError::Hub | ConfigError::Format(Some(9..)) | ConfigError::Combo(Some(_)) => {
                    Self::Unsupported
                }
                _ => Self::NotAVault,
            },
            VaultError::NotAVault
            | VaultError::ConfigMissing
            | VaultError::MasterKeyMissing { .. }
            | VaultError::MasterKey { .. }
            | VaultError::DataMissing
            | VaultError::WrongKind { .. }
            | VaultError::RootMissing { .. }
            | VaultError::NoBackup { .. } => Self::NotAVault,
            VaultError::VersionMac { .. } => Self::Tampered,
            VaultError::Legacy { .. } | VaultError::TooOld { .. } | VaultError::TooNew { .. } => {
                Self::Unsupported
            }
            VaultError::Threshold { .. }
            | VaultError::Cost { .. }
            | VaultError::ThresholdContradicted { .. } => Self::Usage,
            VaultError::Store { error, .. } => Self::of_store(error.kind),
            _ => Self::Other,
        }
    }

    pub(crate) fn of_store(kind: StoreErrorKind) -> Self {
        match kind {
            StoreErrorKind::PermissionDenied => Self::Permission,
            StoreErrorKind::NoSpace | StoreErrorKind::Quota => Self::NoSpace,
            StoreErrorKind::ReadOnly => Self::ReadOnly,
            StoreErrorKind::NameTooLong => Self::NameTooLong,
            StoreErrorKind::Busy => Self::Busy,
            StoreErrorKind::Interrupted => Self::Interrupted,
            _ => Self::Other,
        }
    }

    pub(crate) fn of_vfs(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::NameTooLong => Self::NameTooLong,
            ErrorKind::PermissionDenied | ErrorKind::NotPermitted => Self::Permission,
            ErrorKind::ReadOnly => Self::ReadOnly,
            ErrorKind::NoSpace | ErrorKind::Quota => Self::NoSpace,
            ErrorKind::Busy => Self::Busy,
            ErrorKind::Corrupt | ErrorKind::Damaged | ErrorKind::Loop => Self::Tampered,
            ErrorKind::Interrupted => Self::Interrupted,
            _ => Self::Other,
        }
    }

    pub(crate) fn of_io(kind: std::io::ErrorKind) -> Self {
        use std::io::ErrorKind as K;
        match kind {
            K::PermissionDenied => Self::Permission,
            K::StorageFull | K::QuotaExceeded => Self::NoSpace,
            K::ReadOnlyFilesystem => Self::ReadOnly,
            K::InvalidFilename => Self::NameTooLong,
            K::Interrupted | K::BrokenPipe => Self::Interrupted,
            K::ResourceBusy => Self::Busy,
            K::TimedOut => Self::Timeout,
            _ => Self::Other,
        }
    }
}

/// Said of a node that is not followed because it leads where another one leads.
pub(crate) const SECOND_WAY: &str =
    "damaged: a second way into a directory met before, not followed; see `oxcrypt check`";

/// What a person needs to know about an error of the file system.
pub(crate) fn explain(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "no such file or directory in the vault",
        ErrorKind::Exists => "exists already",
        ErrorKind::NotDirectory => "not a directory",
        ErrorKind::IsDirectory => "is a directory",
        ErrorKind::NotEmpty => "the directory is not empty",
        ErrorKind::NameTooLong => "the name is too long",
        ErrorKind::InvalidName => "the vault cannot store this name; it must be UTF-8",
        ErrorKind::InvalidArgument => "this makes no sense here",
        ErrorKind::PermissionDenied => "permission denied; check the owner of the vault's files",
        ErrorKind::NotPermitted => "the vault format cannot represent this",
        ErrorKind::ReadOnly => "read-only",
        ErrorKind::NoSpace => "no space left where the vault is stored",
        ErrorKind::Quota => "the quota where the vault is stored is used up",
        ErrorKind::TooLarge => "larger than a file can be",
        ErrorKind::TooManyLinks => "too many hard links",
        ErrorKind::TooManyOpenFiles => "too many open files; raise the limit (ulimit -n)",
        ErrorKind::CrossDevice => "the two lie on different storages",
        ErrorKind::Busy => "in use",
        ErrorKind::Corrupt => {
            "authentication failed: the data is damaged or was tampered with; see `oxcrypt check`"
        }
        ErrorKind::Damaged => "the vault's structure is damaged here; see `oxcrypt check`",
        ErrorKind::Loop => SECOND_WAY,
        ErrorKind::Unsupported => "not supported",
        ErrorKind::Stale => "it was replaced meanwhile; try again",
        ErrorKind::NoData => "nothing there",
        ErrorKind::Interrupted => "interrupted",
        ErrorKind::Io => "the storage failed",
        ErrorKind::Internal => "an internal error; please report it",
    }
}
