//! New nodes whose small files never reached the disk.
//!
//! What makes a node a directory or a symbolic link, and what gives it a long name, stands in a small
//! file. The host starts to write it when it is made and makes the node's name durable later, but a
//! power cut between the two leaves a node that leads nowhere. It was never synced, nor was anything
//! below it, and nothing older was moved there (see [`VaultFs::make_way_durable`]), so it goes.
//!
//! [`VaultFs::make_way_durable`]: crate::VaultFs::make_way_durable

use oxcrypt_store::{Kind, Stat, Store, Timestamp};

use crate::error::Result;
use crate::resolve::{CONTENTS_FILE, DIR_FILE, LONG_SUFFIX, NAME_FILE, SYMLINK_FILE};

/// Longer than any small file of the format.
const MAX_SMALL: usize = 16 * 1024;

/// Removes the wrapper `name` if it was made since `since` and lacks the content of a small file.
/// Returns whether it did.
pub(super) fn remove_unborn<S: Store>(
    vault: &S,
    dir: &S::Dir,
    name: &[u8],
    since: Timestamp,
) -> Result<bool> {
    let inner = |file: &[u8]| [name, b"/", file].concat();
    let needed: &[&[u8]] = if name.ends_with(LONG_SUFFIX) {
        &[DIR_FILE, SYMLINK_FILE, NAME_FILE]
    } else {
        &[DIR_FILE, SYMLINK_FILE]
    };
    let unborn = needed
        .iter()
        .any(|file| never_written(vault, dir, &inner(file), since));
    if !unborn {
        return Ok(false);
    }
    let contents = inner(CONTENTS_FILE);
    match vault.stat_beneath(dir, &contents) {
        Ok(stat) if !is_new(&stat, since) => return Ok(false),
        Ok(_) => vault.remove_file(dir, &contents)?,
        Err(_) => {}
    }
    for file in needed {
        // Not all of them exist.
        let _ = vault.remove_file(dir, &inner(file));
    }
    // Foreign files stay, and the wrapper with them.
    let _ = vault.remove_dir(dir, name);
    Ok(true)
}

/// Whether a file that is there is new and holds nothing but zeros.
fn never_written<S: Store>(vault: &S, dir: &S::Dir, path: &[u8], since: Timestamp) -> bool {
    let Ok(stat) = vault.stat_beneath(dir, path) else {
        return false;
    };
    stat.kind == Kind::File
        && is_new(&stat, since)
        && vault
            .read_small(dir, path, MAX_SMALL)
            .is_ok_and(|bytes| bytes.iter().all(|b| *b == 0))
}

/// Made since then, as far as the host knows.
fn is_new(stat: &Stat, since: Timestamp) -> bool {
    stat.ctime >= since && stat.id.btime.is_none_or(|born| born >= since)
}
