//! Hard links: ciphertext hard links, since content is not bound to its name.

use std::sync::Arc;

use oxcrypt_core::name::CleartextName;
use oxcrypt_store::Store;

use crate::error::{ErrorKind, Result};
use crate::node::{NAMES_UNSYNCED, Node, Place};
use crate::resolve::{CONTENTS_FILE, NAME_FILE, parse_lookup};
use crate::sync::atomic::Ordering;
use crate::types::{Entry, NodeId};
use crate::vault_fs::VaultFs;

impl<S: Store> VaultFs<S> {
    /// Gives a file a second name and takes a lookup on it.
    ///
    /// # Errors
    /// `Exists`; `NotPermitted` for directories and symbolic links; `NotFound` when the file has no
    /// name any more.
    pub fn link(&self, id: NodeId, parent: NodeId, name: &[u8]) -> Result<Entry> {
        self.writable()?;
        let node = self.node(id)?;
        let parent = self.node(parent)?;
        let name = CleartextName::parse(name)?;
        node.file().map_err(|_| ErrorKind::NotPermitted)?;
        let _own = node.own.begin();
        loop {
            let place = node.place.lock().clone().ok_or(ErrorKind::NotFound)?;
            let _locks = self.lock_two(&place.parent, &parent)?;
            // Moved between the look and the lock?
            if node.is_at(&place.parent, &place.name) {
                return self.link_from(&node, &place, &parent, &name);
            }
        }
    }

    /// LOCK: the caller holds both directories.
    fn link_from(
        &self,
        node: &Node<S>,
        place: &Place<S>,
        parent: &Arc<Node<S>>,
        name: &CleartextName<'_>,
    ) -> Result<Entry> {
        let file = node.file()?;
        let from_dir = self.content_dir(&place.parent)?;
        let from = self.locate(&place.parent, &parse_lookup(&place.name)?)?;
        if from.stat.id != node.identity {
            return Err(ErrorKind::Stale.into());
        }
        let content = self.content_dir(parent)?;
        self.refuse_taken(parent, &content, name)?;
        let sealed = self.seal(parent.dir()?, name)?;
        let source = from.type_path();
        if sealed.full.is_none() {
            let target = sealed.node_name.as_bytes();
            self.store
                .link(&from_dir, source.as_bytes(), &content, target)?;
        } else {
            self.build_wrapper(&content, &sealed, |temp| {
                // An old file would be in a wrapper that a power cut leaves without a name.
                self.make_name_durable(&content, temp, NAME_FILE)?;
                let target = temp.join(CONTENTS_FILE);
                let target = target.as_bytes();
                Ok(self
                    .store
                    .link(&from_dir, source.as_bytes(), &content, target)?)
            })?;
            self.note_name(parent, &content, sealed.node_name.as_bytes());
        }
        file.names_synced.store(NAMES_UNSYNCED, Ordering::Release);
        self.mark_changed(parent);
        let found = self.probe(&content, &sealed.node_name)?;
        Ok(self
            .intern_found(parent, name.as_str().as_bytes(), &found)?
            .1)
    }
}
