//! All content files of a vault, wherever they are.

use std::ops::ControlFlow;

use oxcrypt_store::{Cookie, Store};

use crate::error::Result;
use crate::resolve::{CONTENTS_FILE, LONG_SUFFIX};

/// A place where a content file may be.
pub(super) struct Seen<'a, S: Store> {
    /// The content directory.
    pub(super) dir: &'a S::Dir,
    /// The node in it.
    pub(super) node: &'a [u8],
    /// Of the file, below the content directory: two components for a long name.
    pub(super) name: &'a [u8],
    /// Below the data directory.
    pub(super) path: &'a [u8],
    /// What the listing says; of the directory around the file for a long name.
    pub(super) ino: u64,
}

/// Shows every node in every content directory; what cannot be listed is passed over.
pub(super) fn walk<S: Store>(
    vault: &S,
    data_dir: &S::Dir,
    visit: &mut dyn FnMut(Seen<'_, S>) -> Result<()>,
) -> Result<()> {
    for (top, _) in names(vault, data_dir)? {
        let Ok(top_dir) = vault.open_dir(data_dir, &top) else {
            continue;
        };
        for (content, _) in names(vault, &top_dir)? {
            let Ok(dir) = vault.open_dir(&top_dir, &content) else {
                continue;
            };
            for (node, ino) in names(vault, &dir)? {
                let mut name = node.clone();
                if name.ends_with(LONG_SUFFIX) {
                    name.push(b'/');
                    name.extend_from_slice(CONTENTS_FILE);
                }
                let path = [&top[..], &content, &name].join(&b'/');
                visit(Seen {
                    dir: &dir,
                    node: &node,
                    name: &name,
                    path: &path,
                    ino,
                })?;
            }
        }
    }
    Ok(())
}

fn names<S: Store>(vault: &S, dir: &S::Dir) -> Result<Vec<(Vec<u8>, u64)>> {
    let mut names = Vec::new();
    vault.list(dir, Cookie::START, 32 * 1024, &mut |entry| {
        if !matches!(entry.name, b"." | b"..") {
            names.push((entry.name.to_vec(), entry.ino));
        }
        ControlFlow::Continue(())
    })?;
    Ok(names)
}
