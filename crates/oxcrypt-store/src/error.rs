//! Why a store call failed.
//!
//! Small and `Copy`: "not found" is an everyday answer on the hottest path and must not cost an
//! allocation.

/// Result of a store call.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The reason, by which callers decide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum StoreErrorKind {
    /// No such name.
    #[error("not found")]
    NotFound,
    /// The name is taken.
    #[error("already exists")]
    Exists,
    /// A directory was needed.
    #[error("not a directory")]
    NotDirectory,
    /// A file was needed.
    #[error("is a directory")]
    IsDirectory,
    /// A directory still has entries.
    #[error("directory not empty")]
    NotEmpty,
    /// The host forbids it.
    #[error("permission denied")]
    PermissionDenied,
    /// The disk is full.
    #[error("no space left")]
    NoSpace,
    /// The user's share of the disk is used up.
    #[error("quota exceeded")]
    Quota,
    /// The storage is read-only.
    #[error("read-only storage")]
    ReadOnly,
    /// Larger than the host or the caller's bound allows.
    #[error("too large")]
    TooLarge,
    /// The host cannot store so long a name.
    #[error("name too long")]
    NameTooLong,
    /// A pipe, socket or device where a regular file was expected.
    #[error("not a regular file")]
    NotRegular,
    /// A symbolic link stands where a file or directory was expected; links are never followed.
    #[error("a symbolic link is in the way")]
    Loop,
    /// The name would lead out of the store.
    #[error("leads out of the vault")]
    Escape,
    /// Used by somebody else.
    #[error("busy")]
    Busy,
    /// The two names lie on different file systems.
    #[error("crosses file systems")]
    CrossDevice,
    /// The file has as many names as the host allows.
    #[error("too many links")]
    TooManyLinks,
    /// The process or host has no descriptor left.
    #[error("too many open files")]
    TooManyOpenFiles,
    /// A network file system lost the object.
    #[error("stale handle")]
    Stale,
    /// A signal cut the call short.
    #[error("interrupted")]
    Interrupted,
    /// The store cannot do this at all.
    #[error("not supported by the storage")]
    Unsupported,
    /// A name or argument no store accepts.
    #[error("invalid name or argument")]
    InvalidInput,
    /// The disk or network failed.
    #[error("input/output error")]
    Io,
}

/// A failed store call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{kind}")]
pub struct StoreError {
    /// The reason.
    pub kind: StoreErrorKind,
    /// The host's own error number, if the host was asked.
    pub os: Option<i32>,
}

impl StoreError {
    /// An error found without asking the host.
    #[must_use]
    pub const fn new(kind: StoreErrorKind) -> Self {
        Self { kind, os: None }
    }

    /// Whether the name was simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }
}

impl From<StoreErrorKind> for StoreError {
    fn from(kind: StoreErrorKind) -> Self {
        Self::new(kind)
    }
}

impl From<rustix::io::Errno> for StoreError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self {
            kind: kind_of(errno),
            os: Some(errno.raw_os_error()),
        }
    }
}

impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> Self {
        match error.os {
            Some(code) => Self::from_raw_os_error(code),
            None => Self::other(error),
        }
    }
}

fn kind_of(errno: rustix::io::Errno) -> StoreErrorKind {
    use StoreErrorKind as K;
    use rustix::io::Errno as E;
    match errno {
        E::NOENT => K::NotFound,
        E::EXIST => K::Exists,
        E::NOTDIR => K::NotDirectory,
        E::ISDIR => K::IsDirectory,
        E::NOTEMPTY => K::NotEmpty,
        E::PERM | E::ACCESS => K::PermissionDenied,
        E::NOSPC => K::NoSpace,
        E::DQUOT => K::Quota,
        E::ROFS => K::ReadOnly,
        E::FBIG | E::OVERFLOW => K::TooLarge,
        E::NAMETOOLONG => K::NameTooLong,
        // A pipe without a reader, or a device without a driver, answers ENXIO to open.
        E::NXIO | E::NODEV => K::NotRegular,
        E::LOOP => K::Loop,
        E::BUSY | E::TXTBSY => K::Busy,
        E::XDEV => K::CrossDevice,
        E::MLINK => K::TooManyLinks,
        E::MFILE | E::NFILE => K::TooManyOpenFiles,
        E::STALE => K::Stale,
        E::INTR => K::Interrupted,
        E::OPNOTSUPP | E::NOSYS => K::Unsupported,
        E::INVAL | E::BADF => K::InvalidInput,
        _ => K::Io,
    }
}
