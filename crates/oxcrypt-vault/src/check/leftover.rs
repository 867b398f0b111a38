//! What our own interrupted work leaves in a content directory: nodes under temporary names, which
//! no reader shows.

use oxcrypt_core::{Rng, with_rng};
use oxcrypt_store::{Kind, Store, StoreError, StoreErrorKind};

use super::survey::{Entry, entries};
use crate::layout::{CONTENT_FILE, DIR_FILE, LINK_FILE, NAME_FILE, NEW_NAME_FILE};

const PREFIX: &[u8] = b".oxcrypt-";
/// Hexadecimal digits after it.
const DIGITS: usize = 16;
/// All that is ever in one.
const PARTS: [&[u8]; 5] = [NAME_FILE, NEW_NAME_FILE, DIR_FILE, LINK_FILE, CONTENT_FILE];

/// Whether this is a name that the file system gives to unfinished nodes.
pub(super) fn is_leftover(name: &[u8]) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == DIGITS
            && rest
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// A fresh name of this form.
pub(super) fn new_name() -> Vec<u8> {
    let mut salt = [0; 8];
    with_rng(|rng| rng.fill(&mut salt));
    let digits = format!("{:016x}", u64::from_le_bytes(salt));
    [PREFIX, digits.as_bytes()].concat()
}

/// What a leftover holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holds {
    /// Nothing that is not elsewhere too, or was about to be removed or made anyway: links, ids and
    /// names are never moved by way of a temporary name, only whole nodes are.
    Nothing,
    /// The only name of a file's content. It was being removed, or moved: nobody knows.
    Content,
    /// Something that is none of ours.
    Foreign,
}

pub(super) fn holds<S: Store>(store: &S, dir: &S::Dir, entry: &Entry) -> Result<Holds, StoreError> {
    let content_of = |size: u64, names: u64| {
        if size == 0 || names > 1 {
            Holds::Nothing
        } else {
            Holds::Content
        }
    };
    match entry.kind {
        Kind::File => {
            let stat = store.stat(dir, &entry.name)?;
            return Ok(content_of(stat.size, stat.nlink));
        }
        Kind::Dir => {}
        Kind::Symlink | Kind::Other => return Ok(Holds::Foreign),
    }
    let inside = store.open_dir(dir, &entry.name)?;
    let mut found = Holds::Nothing;
    for part in entries(store, &inside)? {
        if part.kind != Kind::File || !PARTS.contains(&&*part.name) {
            return Ok(Holds::Foreign);
        }
        if part.name == CONTENT_FILE {
            let stat = store.stat(&inside, CONTENT_FILE)?;
            found = content_of(stat.size, stat.nlink);
        }
    }
    Ok(found)
}

/// Removes a leftover that holds nothing.
///
/// # Errors
/// `NotEmpty` if it does hold something.
pub(super) fn remove<S: Store>(store: &S, dir: &S::Dir, name: &[u8]) -> Result<(), StoreError> {
    let kind = store.stat(dir, name)?.kind;
    let name = name.to_vec();
    let entry = Entry { name, kind };
    if !is_leftover(&entry.name) || holds(store, dir, &entry)? != Holds::Nothing {
        return Err(StoreErrorKind::NotEmpty.into());
    }
    if kind == Kind::File {
        store.remove_file(dir, &entry.name)?;
    } else {
        let inside = store.open_dir(dir, &entry.name)?;
        for part in entries(store, &inside)? {
            store.remove_file(&inside, &part.name)?;
        }
        store.remove_dir(dir, &entry.name)?;
    }
    store.sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_leftovers() {
        assert!(is_leftover(b".oxcrypt-0123456789abcdef"));
        assert!(is_leftover(&new_name()));
        for other in [
            &b".oxcrypt-0123456789abcde"[..],
            b".oxcrypt-0123456789abcdef0",
            b".oxcrypt-0123456789ABCDEF",
            b".oxcrypt-notes-of-mine-xy",
            b"oxcrypt-0123456789abcdef",
        ] {
            assert!(!is_leftover(other));
        }
    }
}
