//! Small files that are whole or absent after a crash.

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::store::Store;
use crate::types::{OpenMode, RenameMode};

/// Ending of the temporary name; vault readers ignore it.
const TEMP_SUFFIX: &[u8] = b".oxtmp";

/// Writes `bytes` under `name` so that a crash leaves the old content (or absence) or all of the
/// new.
///
/// With `replace` false the name must be free. A temporary file left by an earlier crash is removed
/// first; two writers of one name at the same time are not supported, the vault's lock keeps them
/// apart.
///
/// Order: temporary file, its content made durable, moved to the name, the directory made durable.
///
/// # Errors
/// `Exists` without `replace`; else those of creating, writing and renaming. On error the name is
/// unchanged, unless only the last step failed: then it may be changed but not durable.
pub fn write_small_atomic<S: Store>(
    store: &S,
    at: &S::Dir,
    name: &[u8],
    bytes: &[u8],
    mode: u32,
    replace: bool,
) -> Result<()> {
    if !replace && exists(store, at, name)? {
        return Err(StoreErrorKind::Exists.into());
    }
    let temp = [name, TEMP_SUFFIX].concat();
    match store.remove_file(at, &temp) {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let placed =
        fill(store, at, &temp, bytes, mode).and_then(|()| place(store, at, &temp, name, replace));
    if placed.is_err() {
        // Nothing better can be done if this fails too; the next write removes it.
        let _ = store.remove_file(at, &temp);
    }
    placed?;
    store.sync_dir(at)
}

fn exists<S: Store>(store: &S, at: &S::Dir, name: &[u8]) -> Result<bool> {
    match store.stat(at, name) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

fn fill<S: Store>(store: &S, at: &S::Dir, temp: &[u8], bytes: &[u8], mode: u32) -> Result<()> {
    let file = store.open(at, temp, OpenMode::new_file(mode))?;
    store.write_at(&file, bytes, 0)?;
    store.sync_all(&file)
}

fn place<S: Store>(store: &S, at: &S::Dir, temp: &[u8], name: &[u8], replace: bool) -> Result<()> {
    if replace {
        return store.rename(at, temp, at, name, RenameMode::Replace);
    }
    match store.rename(at, temp, at, name, RenameMode::NoReplace) {
        Err(StoreError {
            kind: StoreErrorKind::Unsupported,
            ..
        }) => {
            store.link(at, temp, at, name)?;
            store.remove_file(at, temp)
        }
        done => done,
    }
}
