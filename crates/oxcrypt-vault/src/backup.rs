//! Copies of the two key files, named after their content (§6).

use std::ops::ControlFlow;

use oxcrypt_core::{backup_name, is_backup_of};
use oxcrypt_store::{Cookie, Store, StoreError, StoreErrorKind, durable};

use crate::layout::KEY_FILE_MODE;

/// Longest key file that is read.
pub(crate) const MAX_KEY_FILE_LEN: usize = 64 * 1024;

/// What keeping a copy led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeptCopy {
    /// A new copy under this name.
    Made(String),
    /// It was there already.
    Existed(String),
    /// The name is taken by something else, which was left alone.
    Differs(String),
}

/// Keeps a copy of `content` beside the file `file_name`, durably.
///
/// # Errors
/// Those of writing; a caller that only wants to be nice ignores them.
pub fn keep_copy<S: Store>(
    store: &S,
    file_name: &str,
    content: &[u8],
) -> Result<KeptCopy, StoreError> {
    let name = backup_name(file_name, content);
    let root = store.root();
    match store.read_small(&root, name.as_bytes(), MAX_KEY_FILE_LEN) {
        Ok(existing) if existing == content => return Ok(KeptCopy::Existed(name)),
        Ok(_) => return Ok(KeptCopy::Differs(name)),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let mode = store
        .stat(&root, file_name.as_bytes())
        .map_or(KEY_FILE_MODE, |stat| stat.mode);
    match durable::write_small_atomic(store, &root, name.as_bytes(), content, mode, false) {
        Ok(()) => Ok(KeptCopy::Made(name)),
        Err(StoreError {
            kind: StoreErrorKind::Exists,
            ..
        }) => Ok(KeptCopy::Differs(name)),
        Err(error) => Err(error),
    }
}

/// The newest backup of `file_name` that `is_good` accepts, with its name.
///
/// # Errors
/// Those of listing; a backup that cannot be read is passed over.
pub fn newest_backup<S: Store>(
    store: &S,
    file_name: &str,
    mut is_good: impl FnMut(&[u8]) -> bool,
) -> Result<Option<(String, Vec<u8>)>, StoreError> {
    let root = store.root();
    let mut names = Vec::new();
    store.list(&root, Cookie::START, 16 * 1024, &mut |entry| {
        if let Ok(name) = std::str::from_utf8(entry.name)
            && is_backup_of(name, file_name)
        {
            names.push(name.to_owned());
        }
        ControlFlow::Continue(())
    })?;
    let mtime = |name: &String| {
        store
            .stat(&root, name.as_bytes())
            .ok()
            .map(|stat| stat.mtime)
    };
    names.sort_by_cached_key(|name| std::cmp::Reverse((mtime(name), name.clone())));
    let read = |name: String| {
        let content = store
            .read_small(&root, name.as_bytes(), MAX_KEY_FILE_LEN)
            .ok()?;
        Some((name, content))
    };
    Ok(names
        .into_iter()
        .filter_map(read)
        .find(|(_, content)| is_good(content)))
}
