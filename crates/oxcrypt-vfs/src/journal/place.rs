//! Where the journals of local vaults are kept, and whose they are.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxcrypt_store::{LocalStore, Store};

use super::{CHUNK_LOGS, EXTEND_LOGS, JournalOptions, Replayed, is_empty, session};
use crate::error::Result;
use crate::vault_fs::VaultFs;

const LOCK: &str = "lock";
/// Mounts and commands that may write to one vault at the same time.
const SLOTS: u32 = 8;

/// The journal of one writer, and what dead ones left, locked until this is dropped.
#[derive(Debug)]
pub struct Claimed {
    own: Option<Slot>,
    left: Vec<Slot>,
}

/// A directory for a journal.
#[derive(Debug)]
struct Slot {
    path: PathBuf,
    store: Arc<LocalStore>,
    /// Held for its lock.
    _lock: File,
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
        own: None,
        left: Vec::new(),
    };
    for slot in 0..SLOTS {
        let dir = base.join(format!("{:x}-{slot}", meta.ino()));
        let needed = writes && claimed.own.is_none();
        if !needed && !dir.exists() {
            continue;
        }
        let Some(lock) = lock(&dir)? else { continue };
        let store = LocalStore::open(&dir).map_err(|e| io::Error::other(e.to_string()))?;
        let slot = Slot {
            path: dir,
            store: Arc::new(store),
            _lock: lock,
        };
        if needed {
            claimed.own = Some(slot);
        } else {
            claimed.left.push(slot);
        }
    }
    if writes && claimed.own.is_none() {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "too many programs write to this vault",
        ));
    }
    Ok(claimed)
}

/// Makes and locks one directory; `None` when another writer has it.
fn lock(dir: &PathBuf) -> io::Result<Option<File>> {
    loop {
        make_private(dir)?;
        let lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(LOCK));
        let lock = match lock {
            // Its last writer removed it in between.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        match lock.try_lock() {
            Ok(()) if lock.metadata()?.nlink() == 0 => {}
            Ok(()) => return Ok(Some(lock)),
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(e)) => return Err(e),
        }
    }
}

/// A journal that was worked off is removed.
impl Drop for Slot {
    fn drop(&mut self) {
        if !matches!(is_empty(&*self.store), Ok(true)) {
            return;
        }
        // The lock goes before the directory and is still held, so whoever comes meanwhile makes a
        // new one, or finds that this one has no name any more.
        let root = self.store.root();
        let logs = CHUNK_LOGS.into_iter().chain(EXTEND_LOGS);
        for name in logs.chain([session::FILE, LOCK.as_bytes()]) {
            // Not all of them exist.
            let _ = self.store.remove_file(&root, name);
        }
        // A foreign file in it keeps it.
        let _ = std::fs::remove_dir(&self.path);
    }
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
        let left: Vec<_> = claimed.left.iter().map(|s| Arc::clone(&s.store)).collect();
        let replayed = match &claimed.own {
            Some(own) => {
                let (journaled, replayed) = self.with_journal(&own.store, &left, options)?;
                self = journaled;
                replayed
            }
            None => self.replay_all(&left)?,
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_slot_stays_as_long_as_it_holds_something() {
        let dir = tempfile::tempdir().unwrap();
        let vault = dir.path().join("vault");
        std::fs::create_dir(&vault).unwrap();
        let slots = || {
            std::fs::read_dir(dir.path().join("journal"))
                .unwrap()
                .count()
        };
        let first = claim(dir.path(), &vault, true).unwrap();
        let second = claim(dir.path(), &vault, true).unwrap();
        assert!(second.left.is_empty(), "the first is alive");
        assert_eq!(slots(), 2);
        let log = second.own.as_ref().unwrap().path.join("chunks.a");
        std::fs::write(&log, "left by a crash").unwrap();
        drop((first, second));
        assert_eq!(slots(), 1);
        let third = claim(dir.path(), &vault, true).unwrap();
        assert_eq!(third.left.len(), 1);
        std::fs::write(&log, "").unwrap();
        drop(third);
        assert_eq!(slots(), 0);
    }
}
