//! A new passphrase for the same key.

use oxcrypt_core::{MasterKey, MasterKeyFile, OsRng, Passphrase, UnlockError};
use oxcrypt_store::{Store, durable};

use crate::backup::keep_copy;
use crate::detect::{Detected, detect};
use crate::error::VaultError;
use crate::layout::{KEY_FILE_MODE, MASTERKEY_FILE};
use crate::unlock::{open_key, read_key_file};

/// Locks the vault's key with a new passphrase; works for vaults of old formats as well.
///
/// The content is not encrypted anew: whoever has an old key file and the old passphrase can
/// still open the vault, with the copy this function keeps, too.
///
/// CRASH: the copy of the old key file is durable before the new one takes its place in one step,
/// so at every moment one of the two passphrases opens the vault.
///
/// # Errors
/// [`VaultError::WrongPassphrase`] for `old`, those of the key files, and those of writing.
pub fn change_passphrase<S: Store>(
    store: &S,
    old: &Passphrase,
    new: &Passphrase,
) -> Result<(), VaultError> {
    let (name, bytes, file, key) = match detect(store)? {
        Detected::Legacy { .. } => {
            let (bytes, file) = read_key_file(store, MASTERKEY_FILE)?;
            let key = unlock_file(&file, MASTERKEY_FILE, old)?;
            (MASTERKEY_FILE.to_owned(), bytes, file, key)
        }
        _ => {
            let open = open_key(store, old)?;
            let (bytes, file) = read_key_file(store, &open.key_file_name)?;
            (open.key_file_name, bytes, file, open.key)
        }
    };
    let renewed = file.relock(&key, new, &mut OsRng);
    replace_key_file(store, &name, &bytes, &renewed)
}

pub(crate) fn unlock_file(
    file: &MasterKeyFile,
    name: &str,
    passphrase: &Passphrase,
) -> Result<MasterKey, VaultError> {
    file.unlock(passphrase).map_err(|error| match error {
        UnlockError::WrongPassphrase => VaultError::WrongPassphrase,
        UnlockError::VersionMac => VaultError::VersionMac {
            file: name.to_owned(),
        },
    })
}

/// Keeps a copy of the old key file, then puts the new one in its place.
pub(crate) fn replace_key_file<S: Store>(
    store: &S,
    name: &str,
    old: &[u8],
    new: &MasterKeyFile,
) -> Result<(), VaultError> {
    keep_copy(store, name, old).map_err(VaultError::store(format!("backup of {name}")))?;
    write_key_file(store, name, new)
}

/// Writes a key file, replacing what is there; an existing file keeps its permissions.
pub(crate) fn write_key_file<S: Store>(
    store: &S,
    name: &str,
    file: &MasterKeyFile,
) -> Result<(), VaultError> {
    let root = store.root();
    let mode = store
        .stat(&root, name.as_bytes())
        .map_or(KEY_FILE_MODE, |stat| stat.mode);
    let text = file.render();
    durable::write_small_atomic(store, &root, name.as_bytes(), text.as_bytes(), mode, true)
        .map_err(VaultError::store(name))
}
