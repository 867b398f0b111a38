//! Where the journals of local vaults are kept, and whose they are.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxcrypt_store::LocalStore;

use super::{JournalOptions, Replayed};
use crate::error::Result;
use crate::vault_fs::VaultFs;

/// Mounts and commands that may write to one vault at the same time.
const SLOTS: u32 = 8;

/// A directory for the journal of one writer, locked until it is dropped.
#[derive(Debug)]
pub struct Claimed {
    /// The directory, as a store.
    store: Option<Arc<LocalStore>>,
    /// Directories of writers that are gone.
    left: Vec<Arc<LocalStore>>,
    /// Held for their locks.
    locks: Vec<File>,
}

/// Claims a journal for the vault in `vault` below `state_dir`, and all that dead writers left. A
/// reader gets only the latter, and nothing is made for him.
///
/// A journal belongs to the vault with this inode number, so it is found again when the vault was
/// renamed or moved within its file system.
///
/// # Errors
/// When the directory cannot be made or is not ours alone, or too many writers are at work.
pub fn claim(state_dir: &Path, vault: &Path, writes: bool) -> io::Result<Claimed> {
    let meta = std::fs::metadata(vault)?;
    let base = state_dir.join("journal");
    let mut claimed = Claimed {
        store: None,
        left: Vec::new(),
        locks: Vec::new(),
    };
    for slot in 0..SLOTS {
        let dir = base.join(format!("{:x}-{slot}", meta.ino()));
        let needed = writes && claimed.store.is_none();
        if !needed && !dir.exists() {
            continue;
        }
        make_private(&dir)?;
        let lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => continue,
            Err(std::fs::TryLockError::Error(e)) => return Err(e),
        }
        let opened = LocalStore::open(&dir).map_err(|e| io::Error::other(e.to_string()))?;
        if needed {
            claimed.store = Some(Arc::new(opened));
        } else {
            claimed.left.push(Arc::new(opened));
        }
        claimed.locks.push(lock);
    }
    if writes && claimed.store.is_none() {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "too many programs write to this vault",
        ));
    }
    Ok(claimed)
}

impl VaultFs<LocalStore> {
    /// [`VaultFs::with_journal`] in what was claimed, which stays claimed as long as this lives.
    ///
    /// # Errors
    /// As there.
    pub fn journaled(
        mut self,
        claimed: Claimed,
        options: JournalOptions,
    ) -> Result<(Self, Replayed)> {
        let replayed = match &claimed.store {
            Some(store) => {
                let (journaled, replayed) = self.with_journal(store, &claimed.left, options)?;
                self = journaled;
                replayed
            }
            None => self.replay_all(&claimed.left)?,
        };
        self.claimed = Some(claimed);
        Ok((self, replayed))
    }
}

fn make_private(dir: &PathBuf) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    let meta = std::fs::symlink_metadata(dir)?;
    let ours = meta.uid() == rustix::process::geteuid().as_raw();
    if !meta.is_dir() || !ours || meta.mode() & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} must be a directory of yours that nobody else can enter",
                dir.display()
            ),
        ));
    }
    Ok(())
}
