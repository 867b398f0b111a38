//! The one table from the file system's errors to errno.

use fuser::Errno;
use oxcrypt_vfs::ErrorKind;

/// The errno a program sees.
pub(crate) fn errno(kind: ErrorKind) -> Errno {
    match kind {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::Exists => Errno::EEXIST,
        ErrorKind::NotDirectory => Errno::ENOTDIR,
        ErrorKind::IsDirectory => Errno::EISDIR,
        ErrorKind::NotEmpty => Errno::ENOTEMPTY,
        ErrorKind::NameTooLong => Errno::ENAMETOOLONG,
        // Not a malformed call, but a byte sequence the vault cannot store.
        ErrorKind::InvalidName => Errno::EILSEQ,
        ErrorKind::InvalidArgument => Errno::EINVAL,
        ErrorKind::PermissionDenied => Errno::EACCES,
        ErrorKind::NotPermitted => Errno::EPERM,
        ErrorKind::ReadOnly => Errno::EROFS,
        ErrorKind::NoSpace => Errno::ENOSPC,
        ErrorKind::Quota => Errno::EDQUOT,
        ErrorKind::TooLarge => Errno::EFBIG,
        ErrorKind::TooManyLinks => Errno::EMLINK,
        ErrorKind::TooManyOpenFiles => Errno::EMFILE,
        ErrorKind::CrossDevice => Errno::EXDEV,
        ErrorKind::Busy => Errno::EBUSY,
        // Tampered, damaged or failing storage: the program gets no bytes, the log gets the cause.
        ErrorKind::Corrupt | ErrorKind::Damaged | ErrorKind::Io | ErrorKind::Internal => Errno::EIO,
        ErrorKind::Unsupported => Errno::EOPNOTSUPP,
        // The kernel asks again by name.
        ErrorKind::Stale => Errno::ESTALE,
        ErrorKind::NoData => Errno::ENXIO,
        ErrorKind::Interrupted => Errno::EINTR,
    }
}
