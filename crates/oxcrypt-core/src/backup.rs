//! Names of the copies kept of a vault's key and configuration files (§6).

use data_encoding::HEXUPPER;
use sha2::{Digest, Sha256};

/// Ends the name of every backup.
pub const BACKUP_SUFFIX: &str = ".bkup";

/// The name under which `content` of the file `file_name` is kept:
/// `file_name.<first 4 bytes of its SHA-256 in hex>.bkup`.
#[must_use]
pub fn backup_name(file_name: &str, content: &[u8]) -> String {
    let id = HEXUPPER.encode(&Sha256::digest(content)[..4]);
    format!("{file_name}.{id}{BACKUP_SUFFIX}")
}

/// Whether `candidate` is the name of a backup of `file_name`, with an id or, as very old
/// versions wrote it, without.
#[must_use]
pub fn is_backup_of(candidate: &str, file_name: &str) -> bool {
    candidate
        .strip_prefix(file_name)
        .and_then(|rest| rest.strip_suffix(BACKUP_SUFFIX))
        .is_some_and(|id| {
            let hex = |c: u8| matches!(c, b'0'..=b'9' | b'A'..=b'F');
            id.is_empty()
                || id
                    .strip_prefix('.')
                    .is_some_and(|id| id.len() == 8 && id.bytes().all(hex))
        })
}
