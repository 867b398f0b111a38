//! Durability of one file and of one directory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use oxcrypt_store::Store;

use super::open::Need;
use crate::error::{Error, Result};
use crate::node::{Body, Node};
use crate::types::NodeId;
use crate::vault_fs::VaultFs;

impl<S: Store> VaultFs<S> {
    /// Makes content, length and name of a file durable.
    ///
    /// # Errors
    /// What the store says, or an earlier failure of a write that had been acknowledged (told once).
    pub fn fsync(&self, id: NodeId, data_only: bool) -> Result<()> {
        let node = self.node(id)?;
        let file = match &node.body {
            Body::File(file) => file,
            Body::Dir(_) => return self.fsync_dir(id),
            Body::Symlink => return Ok(()),
        };
        if self.options.read_only {
            return Ok(());
        }
        let own = node.own.begin();
        let mut io = self.file_for(&node, Need::Read)?;
        if let Some(kind) = io.failed.take() {
            return Err(kind.into());
        }
        self.write_pending_header(&node, &mut io)?;
        drop(own);
        // Readers and writers of other chunks go on while the disk works.
        let io = parking_lot::RwLockWriteGuard::downgrade(io);
        let backing = &io
            .backing
            .as_ref()
            .ok_or(crate::error::ErrorKind::Internal)?
            .file;
        if let (Some(journal), Some(logged)) = (&self.journal, &io.logged) {
            journal.chunks.commit(logged.lsn)?;
        }
        let data = file.dirty_data.swap(false, Ordering::AcqRel);
        let attrs = !data_only && file.dirty_attrs.swap(false, Ordering::AcqRel);
        let synced = match (data, attrs) {
            (_, true) => self.store.sync_all(backing),
            (true, false) => self.store.sync_data(backing),
            (false, false) => Ok(()),
        };
        // What was not synced stays due.
        synced.inspect_err(|_| node.touch_data())?;
        drop(io);
        if file.name_unsynced.swap(false, Ordering::AcqRel) {
            self.sync_names_up(&node).inspect_err(|_| {
                file.name_unsynced.store(true, Ordering::Release);
            })?;
        }
        Ok(())
    }

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the store says.
    pub fn fsync_dir(&self, id: NodeId) -> Result<()> {
        let node = self.node(id)?;
        let dir = node.dir()?;
        if self.options.read_only {
            return Ok(());
        }
        dir.unsynced.store(false, Ordering::Release);
        let content = self.content_dir(&node)?;
        self.store.sync_dir(&content)?;
        self.sync_names_up(&node)
    }

    /// Syncs the directories above `node` in which names changed since their last sync.
    fn sync_names_up(&self, node: &Arc<Node<S>>) -> Result<()> {
        let mut next = node.place.lock().as_ref().map(|p| Arc::clone(&p.parent));
        while let Some(parent) = next {
            let dir = parent.dir()?;
            if !dir.unsynced.swap(false, Ordering::AcqRel) {
                break;
            }
            let content = self.content_dir(&parent)?;
            self.store.sync_dir(&content).map_err(|e| {
                dir.unsynced.store(true, Ordering::Release);
                Error::from(e)
            })?;
            next = parent.place.lock().as_ref().map(|p| Arc::clone(&p.parent));
        }
        Ok(())
    }
}
