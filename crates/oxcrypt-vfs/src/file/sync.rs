//! Durability of one file and of one directory.

use std::sync::Arc;

use oxcrypt_core::name::CleartextName;
use oxcrypt_store::{OpenMode, Store, StoreErrorKind};

use super::open::Need;
use crate::error::Result;
use crate::node::{Body, DirState, NAME_AS_MADE, NAMES_UNSYNCED, Node, Place};
use crate::resolve::{DIR_FILE, NAME_FILE, NodeName};
use crate::sync::atomic::Ordering;
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
        io.durable_len = io.cipher_len;
        drop(own);
        // Readers and writers of other chunks go on while the disk works.
        let io = crate::sync::RwLockWriteGuard::downgrade(io);
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
        let moves = self.dir_moves.load(Ordering::Acquire);
        let before = file.names_synced.swap(moves, Ordering::AcqRel);
        if before != moves {
            let synced = match before {
                NAME_AS_MADE if attrs && self.store.capabilities().sync_takes_name => {
                    // Other names in that directory stay due.
                    let place = node.place.lock().clone();
                    place.map_or(Ok(()), |place| self.sync_names_up(&place.parent, false))
                }
                NAME_AS_MADE | NAMES_UNSYNCED => self.sync_names_up(&node, true),
                _ => self.sync_names_up(&node, false),
            };
            synced.inspect_err(|_| {
                file.names_synced.store(NAMES_UNSYNCED, Ordering::Release);
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
        self.sync_names_up(&node, false)
    }

    /// Syncs the directories above `node` in which names changed since their last sync, and what
    /// makes new nodes on the way what they are: `own` says that `node` is one.
    fn sync_names_up(&self, node: &Arc<Node<S>>, own: bool) -> Result<()> {
        let mut child = Arc::clone(node);
        let mut new_file = own;
        loop {
            let Some(place) = child.place.lock().clone() else {
                return Ok(());
            };
            let dir = place.parent.dir()?;
            // A sync of a neighbour takes the mark from the directory, but not from a new node in it;
            // and what is above may have been renamed since all below it was synced.
            let fresh = matches!(&child.body, Body::Dir(new) if new.fresh.load(Ordering::Acquire));
            let fresh = fresh || std::mem::take(&mut new_file);
            if dir.unsynced.swap(false, Ordering::AcqRel) || fresh {
                self.sync_name(&child, &place).inspect_err(|_| {
                    dir.unsynced.store(true, Ordering::Release);
                })?;
            }
            child = place.parent;
        }
    }

    /// Before a node moves into `parent`: all that leads there becomes durable. After a power cut a directory that was
    /// never synced may be gone, or a long name; what was durable before must not go with it.
    pub(crate) fn make_way_durable(&self, parent: &Arc<Node<S>>) -> Result<()> {
        if self.journal.is_none() {
            return Ok(());
        }
        let mut child = Arc::clone(parent);
        loop {
            let Some(place) = child.place.lock().clone() else {
                return Ok(());
            };
            if matches!(&child.body, Body::Dir(dir) if dir.fresh.load(Ordering::Acquire)) {
                self.sync_name(&child, &place)?;
            }
            child = place.parent;
        }
    }

    /// Before a node moves into the wrapper `wrapper` or with it: its long name becomes durable.
    pub(crate) fn make_name_durable(
        &self,
        content: &S::Dir,
        wrapper: &NodeName,
        file: &[u8],
    ) -> Result<()> {
        if self.journal.is_none() {
            return Ok(());
        }
        self.sync_inner(content, wrapper, file)
    }

    /// Syncs one name: the files inside the node first, then the directory it stands in.
    fn sync_name(&self, node: &Arc<Node<S>>, place: &Place<S>) -> Result<()> {
        let content = self.content_dir(&place.parent)?;
        let name = CleartextName::parse(&place.name)?;
        let node_name = self.seal(place.parent.dir()?, &name)?.node_name;
        if let Body::Dir(dir) = &node.body
            && dir.fresh.swap(false, Ordering::AcqRel)
        {
            self.sync_new_dir(&content, &node_name, dir)
                .inspect_err(|_| dir.fresh.store(true, Ordering::Release))?;
        } else if node_name.is_long() {
            self.sync_inner(&content, &node_name, NAME_FILE)?;
            self.sync_wrapper(&content, &node_name)?;
        }
        Ok(self.store.sync_dir(&content)?)
    }

    /// Syncs what leads from the name of a new directory to its content.
    fn sync_new_dir(
        &self,
        content: &S::Dir,
        node_name: &NodeName,
        dir: &DirState<S>,
    ) -> Result<()> {
        self.sync_inner(content, node_name, DIR_FILE)?;
        if node_name.is_long() {
            self.sync_inner(content, node_name, NAME_FILE)?;
        }
        self.sync_wrapper(content, node_name)?;
        let top = self
            .store
            .open_dir(&self.data_dir, dir.hash.prefix().as_bytes())?;
        self.store.sync_dir(&top)?;
        Ok(self.store.sync_dir(&self.data_dir)?)
    }

    fn sync_inner(&self, content: &S::Dir, node_name: &NodeName, inner: &[u8]) -> Result<()> {
        let path = node_name.join(inner);
        match self.store.open(content, path.as_bytes(), OpenMode::READ) {
            Ok(file) => Ok(self.store.sync_all(&file)?),
            // Shown under another node's name; its own is durable.
            Err(e) if e.kind == StoreErrorKind::NotFound => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn sync_wrapper(&self, content: &S::Dir, node_name: &NodeName) -> Result<()> {
        match self.store.open_dir(content, node_name.as_bytes()) {
            Ok(wrapper) => Ok(self.store.sync_dir(&wrapper)?),
            Err(e) if e.kind == StoreErrorKind::NotFound => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}
