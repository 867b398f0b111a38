//! Reading and changing attributes.

use crate::sync::atomic::Ordering;
use std::sync::Arc;

use oxcrypt_store::{Node as StoreNode, Stat, Store, TimeSet, Timestamp};

use crate::error::{ErrorKind, Result};
use crate::file::Need;
use crate::node::{Body, Node};
use crate::resolve::parse_lookup;
use crate::types::{Attr, NodeId, SetAttr, TimeChange};
use crate::vault_fs::VaultFs;

impl<S: Store> VaultFs<S> {
    /// The attributes of a node.
    ///
    /// # Errors
    /// `NotFound` or `Stale` when it vanished from the store.
    pub fn getattr(&self, id: NodeId) -> Result<Attr> {
        let node = self.node(id)?;
        self.attr_of(&node)
    }

    pub(crate) fn attr_of(&self, node: &Arc<Node<S>>) -> Result<Attr> {
        let stat = self.stat_node(node)?;
        Ok(self.attr_from(node, &stat))
    }

    /// Stats the ciphertext object behind a node.
    fn stat_node(&self, node: &Arc<Node<S>>) -> Result<Stat> {
        match &node.body {
            Body::Dir(_) => Ok(self.store.stat_dir(&self.content_dir(node)?)?),
            Body::File(file) => {
                let io = file.io.read();
                if let Some(backing) = &io.backing {
                    return Ok(self.store.stat_file(&backing.file)?);
                }
                drop(io);
                self.stat_by_name(node)
            }
            Body::Symlink => self.stat_by_name(node),
        }
    }

    fn stat_by_name(&self, node: &Arc<Node<S>>) -> Result<Stat> {
        let place = node.place.lock().clone().ok_or(ErrorKind::Stale)?;
        let _names = place.parent.dir()?.names_shared();
        let found = self.locate(&place.parent, &parse_lookup(&place.name)?)?;
        if found.stat.id == node.identity {
            Ok(found.stat)
        } else {
            Err(ErrorKind::Stale.into())
        }
    }

    /// Changes attributes and returns them all.
    ///
    /// # Errors
    /// What the store says; for a new size as writing does.
    pub fn setattr(&self, id: NodeId, change: SetAttr) -> Result<Attr> {
        self.writable()?;
        let node = self.node(id)?;
        let _own = node.own.begin();
        if let Some(size) = change.size {
            let mut io = self.file_for(&node, Need::Write)?;
            self.set_len_locked(&node, &mut io, size)?;
        }
        if change.mode.is_some() || change.uid.is_some() || change.gid.is_some() {
            self.change_access(&node, &change)?;
        }
        if change.atime.is_some() || change.mtime.is_some() {
            let (atime, mtime) = (change.atime.map(time_set), change.mtime.map(time_set));
            self.on_content(&node, |at| Ok(self.store.set_times(at, atime, mtime)?))?;
            if !self.log_time(&node, change.mtime)? {
                node.touch_attrs();
            }
        }
        self.attr_of(&node)
    }

    fn change_access(&self, node: &Arc<Node<S>>, change: &SetAttr) -> Result<()> {
        // A file that loses its write permission stays writable for those who have it open.
        if change.mode.is_some_and(|mode| mode & 0o200 == 0) && node.file().is_ok() {
            // A damaged file cannot be opened, and may lose its permission all the same.
            drop(self.file_for(node, Need::Write));
        }
        // Changing the owner may clear set-id bits, so the mode comes last.
        if change.uid.is_some() || change.gid.is_some() {
            self.on_content(node, |at| {
                Ok(self.store.set_owner(at, change.uid, change.gid)?)
            })?;
        }
        node.touch_attrs();
        if let Some(mode) = change.mode
            && !matches!(node.body, Body::Symlink)
        {
            self.on_content(node, |at| Ok(self.store.set_mode(at, mode & 0o7777)?))?;
        }
        Ok(())
    }

    /// Calls `f` with the ciphertext object behind a node, by descriptor where one is open.
    fn on_content<R>(
        &self,
        node: &Arc<Node<S>>,
        f: impl FnOnce(StoreNode<'_, S>) -> Result<R>,
    ) -> Result<R> {
        match &node.body {
            Body::Dir(_) => return f(StoreNode::Dir(&self.content_dir(node)?)),
            Body::File(file) => {
                let io = file.io.read();
                if let Some(backing) = &io.backing {
                    file.used.store(true, Ordering::Relaxed);
                    return f(StoreNode::File(&backing.file));
                }
            }
            Body::Symlink => {}
        }
        let place = node.place.lock().clone().ok_or(ErrorKind::Stale)?;
        let _names = place.parent.dir()?.names_shared();
        let found = self.locate(&place.parent, &parse_lookup(&place.name)?)?;
        if found.stat.id != node.identity {
            return Err(ErrorKind::Stale.into());
        }
        let content = self.content_dir(&place.parent)?;
        f(StoreNode::Name(&content, found.type_path().as_bytes()))
    }
}

fn time_set(change: TimeChange) -> TimeSet {
    match change {
        TimeChange::Now => TimeSet::Now,
        TimeChange::At(t) => TimeSet::At(Timestamp {
            secs: t.secs,
            nanos: t.nanos,
        }),
    }
}
