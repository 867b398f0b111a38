//! The one table from the file system's errors to errno.

use oxcrypt_vfs::ErrorKind;
use rustix::io::Errno;

/// The errno a program sees.
pub(crate) fn errno(kind: ErrorKind) -> Errno {
    match kind {
        ErrorKind::NotFound => Errno::NOENT,
        ErrorKind::Exists => Errno::EXIST,
        ErrorKind::NotDirectory => Errno::NOTDIR,
        ErrorKind::IsDirectory => Errno::ISDIR,
        ErrorKind::NotEmpty => Errno::NOTEMPTY,
        ErrorKind::NameTooLong => Errno::NAMETOOLONG,
        // Not a malformed call, but a byte sequence the vault cannot store.
        ErrorKind::InvalidName => Errno::ILSEQ,
        ErrorKind::InvalidArgument => Errno::INVAL,
        ErrorKind::PermissionDenied => Errno::ACCESS,
        ErrorKind::NotPermitted => Errno::PERM,
        ErrorKind::ReadOnly => Errno::ROFS,
        ErrorKind::NoSpace => Errno::NOSPC,
        ErrorKind::Quota => Errno::DQUOT,
        ErrorKind::TooLarge => Errno::FBIG,
        ErrorKind::TooManyLinks => Errno::MLINK,
        ErrorKind::TooManyOpenFiles => Errno::MFILE,
        ErrorKind::CrossDevice => Errno::XDEV,
        ErrorKind::Busy => Errno::BUSY,
        // Tampered, damaged or failing storage: the program gets no bytes, the log gets the cause.
        ErrorKind::Corrupt | ErrorKind::Damaged | ErrorKind::Io | ErrorKind::Internal => Errno::IO,
        // What the kernel says itself when a directory turns up below itself.
        ErrorKind::Loop => Errno::LOOP,
        ErrorKind::Unsupported => Errno::OPNOTSUPP,
        // The kernel asks again by name.
        ErrorKind::Stale => Errno::STALE,
        ErrorKind::NoData => Errno::NXIO,
        ErrorKind::Interrupted => Errno::INTR,
    }
}
