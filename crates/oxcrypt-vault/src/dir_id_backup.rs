//! `dirid.c9r`: a directory's own id, encrypted, inside its content directory (§11).

use oxcrypt_core::{Cryptor, DirId, seal_dir_id_file, with_rng};
use oxcrypt_store::{OpenMode, Store, StoreError, StoreErrorKind};

use crate::layout::{DIR_ID_BACKUP, FILE_MODE};

/// Longest id writers make; longer ones have no such file.
const MAX_ID_LEN: usize = 36;

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

fn sealed(cryptor: &Cryptor, id: &DirId) -> Result<Vec<u8>, StoreError> {
    if id.as_bytes().len() > MAX_ID_LEN {
        return Err(StoreErrorKind::TooLarge.into());
    }
    Ok(with_rng(|rng| seal_dir_id_file(cryptor, id, rng)))
}
