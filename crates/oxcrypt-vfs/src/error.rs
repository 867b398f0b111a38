//! The one closed error of the file system. Frontends translate [`ErrorKind`] with exactly one
//! table each (errno, exit code); nothing below carries an errno.

use oxcrypt_core::name::NameError;
use oxcrypt_store::{StoreError, StoreErrorKind};

/// What went wrong, with the blame in the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such node in the vault.
    NotFound,
    /// The target name is taken.
    Exists,
    /// A directory was needed.
    NotDirectory,
    /// Something other than a directory was needed.
    IsDirectory,
    /// The directory still holds nodes (or foreign files that must not be destroyed).
    NotEmpty,
    /// The name is longer than the 255 bytes Linux programs can handle.
    NameTooLong,
    /// The name cannot be stored: not UTF-8, or contains a forbidden byte.
    InvalidName,
    /// Arguments that make no sense together.
    InvalidArgument,
    /// The backing store refused access.
    PermissionDenied,
    /// The format cannot represent the request (device nodes, fifos, sockets).
    NotPermitted,
    /// The mount or the store is read-only.
    ReadOnly,
    /// The store is full.
    NoSpace,
    /// A quota of the store is exhausted.
    Quota,
    /// Beyond the greatest file size.
    TooLarge,
    /// The store refuses more hard links.
    TooManyLinks,
    /// Out of file descriptors.
    TooManyOpenFiles,
    /// Link and target lie on different stores.
    CrossDevice,
    /// The store says the object is in use.
    Busy,
    /// Authentication failed: bytes were tampered with or damaged.
    Corrupt,
    /// The structure is damaged: a node without a type, a directory without content.
    Damaged,
    /// A second way into a directory, which only damage makes: following all ways might never end.
    Loop,
    /// The operation is not offered.
    Unsupported,
    /// The node was replaced behind our back.
    Stale,
    /// Nothing at or after this offset (seek).
    NoData,
    /// Interrupted by a signal.
    Interrupted,
    /// The store failed.
    Io,
    /// An invariant of ours is broken.
    Internal,
}

/// An [`ErrorKind`] with the operating system's number where there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind:?}{}", os.map(|n| format!(" (os error {n})")).unwrap_or_default())]
pub struct Error {
    /// The kind: what frontends decide on.
    pub kind: ErrorKind,
    /// The operating system's error number, for the log only.
    pub os: Option<i32>,
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, os: None }
    }
}

impl From<StoreError> for Error {
    fn from(e: StoreError) -> Self {
        let kind = match e.kind {
            StoreErrorKind::NotFound => ErrorKind::NotFound,
            StoreErrorKind::Exists => ErrorKind::Exists,
            StoreErrorKind::NotDirectory => ErrorKind::NotDirectory,
            StoreErrorKind::IsDirectory => ErrorKind::IsDirectory,
            StoreErrorKind::NotEmpty => ErrorKind::NotEmpty,
            StoreErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            StoreErrorKind::NoSpace => ErrorKind::NoSpace,
            StoreErrorKind::Quota => ErrorKind::Quota,
            StoreErrorKind::ReadOnly => ErrorKind::ReadOnly,
            StoreErrorKind::TooLarge => ErrorKind::TooLarge,
            StoreErrorKind::NameTooLong => ErrorKind::NameTooLong,
            // A planted fifo, device, socket or symbolic link where a ciphertext file belongs.
            StoreErrorKind::NotRegular | StoreErrorKind::Escape | StoreErrorKind::Loop => {
                ErrorKind::Damaged
            }
            StoreErrorKind::Busy => ErrorKind::Busy,
            StoreErrorKind::CrossDevice => ErrorKind::CrossDevice,
            StoreErrorKind::TooManyLinks => ErrorKind::TooManyLinks,
            StoreErrorKind::TooManyOpenFiles => ErrorKind::TooManyOpenFiles,
            StoreErrorKind::Stale => ErrorKind::Stale,
            StoreErrorKind::Interrupted => ErrorKind::Interrupted,
            StoreErrorKind::Unsupported => ErrorKind::Unsupported,
            StoreErrorKind::InvalidInput => ErrorKind::InvalidArgument,
            StoreErrorKind::Io => ErrorKind::Io,
        };
        Self { kind, os: e.os }
    }
}

impl From<NameError> for Error {
    fn from(e: NameError) -> Self {
        match e {
            NameError::TooLong => ErrorKind::NameTooLong.into(),
            NameError::NotUtf8 | NameError::Invalid => ErrorKind::InvalidName.into(),
            NameError::NotEncrypted | NameError::NotCanonical | NameError::Authentication => {
                ErrorKind::Corrupt.into()
            }
        }
    }
}

/// Result of every operation.
pub type Result<T> = std::result::Result<T, Error>;
