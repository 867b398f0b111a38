//! `dirid.c9r`: a directory's own id, encrypted, inside its content directory (§11).

use oxcrypt_core::{
    Cryptor, DirId, MAX_DIR_ID_FILE_LEN, open_dir_id_file, seal_dir_id_file, with_rng,
};
use oxcrypt_store::{OpenMode, Store, StoreError, StoreErrorKind, durable};

use crate::layout::{DIR_ID_BACKUP, FILE_MODE};

/// Longest id writers make; longer ones have no such file.
const MAX_ID_LEN: usize = 36;

/// Why a `dirid.c9r` gives no id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum DirIdBackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Damaged(#[from] oxcrypt_core::Error),
}

/// The id in the `dirid.c9r` of an open content directory. Whether it is the right one is for
/// the caller to see.
pub(crate) fn read<S: Store>(
    store: &S,
    cryptor: &Cryptor,
    dir: &S::Dir,
) -> Result<DirId, DirIdBackupError> {
    let sealed = store.read_small(dir, DIR_ID_BACKUP, MAX_DIR_ID_FILE_LEN)?;
    Ok(open_dir_id_file(cryptor, &sealed)?)
}

/// Writes the `dirid.c9r` of a new content directory, its content durable.
///
/// # Errors
/// `Exists`; `TooLarge` for an id no reader accepts here; those of writing.
pub(crate) fn write_new<S: Store>(
    store: &S,
    cryptor: &Cryptor,
    dir: &S::Dir,
    id: &DirId,
) -> Result<(), StoreError> {
    let sealed = sealed(cryptor, id)?;
    let file = store.open(dir, DIR_ID_BACKUP, OpenMode::new_file(FILE_MODE))?;
    store.write_at(&file, &sealed, 0)?;
    store.sync_all(&file)
}

/// Writes the `dirid.c9r` of a content directory in one step, replacing what is there.
///
/// # Errors
/// `TooLarge` for an id no reader accepts here; those of writing.
pub(crate) fn replace<S: Store>(
    store: &S,
    cryptor: &Cryptor,
    dir: &S::Dir,
    id: &DirId,
) -> Result<(), StoreError> {
    let sealed = sealed(cryptor, id)?;
    durable::write_small_atomic(store, dir, DIR_ID_BACKUP, &sealed, FILE_MODE, true)
}

fn sealed(cryptor: &Cryptor, id: &DirId) -> Result<Vec<u8>, StoreError> {
    if id.as_bytes().len() > MAX_ID_LEN {
        return Err(StoreErrorKind::TooLarge.into());
    }
    Ok(with_rng(|rng| seal_dir_id_file(cryptor, id, rng)))
}
