//! Reading and changing attributes.

use std::sync::Arc;

use oxcrypt_store::{Node as StoreNode, Stat, Store, TimeSet, Timestamp};

use crate::error::{ErrorKind, Result};
use crate::file::Need;
use crate::node::{Backing, Body, FileState, Node, Place};
use crate::resolve::{Found, parse_lookup};
use crate::sync::atomic::Ordering;
use crate::types::{Attr, NodeId, SetAttr, TimeChange};
use crate::vault_fs::VaultFs;
use crate::watch::{TICK_NANOS, nanos};

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
        if let Body::Dir(_) = &node.body {
            return Ok(self.store.stat_dir(&self.content_dir(node)?)?);
        }
        if let Some(stat) = self.stat_open(node)? {
            return Ok(stat);
        }
        let named = self.at_its_place(node, |place| Ok(self.found_again(node, place)?.stat))?;
        if let Some(stat) = named {
            return Ok(stat);
        }
        // The last name went meanwhile, and who removed it opened the file for those who hold it.
        self.stat_open(node)?.ok_or(ErrorKind::Stale.into())
    }

    fn stat_open(&self, node: &Node<S>) -> Result<Option<Stat>> {
        let Body::File(file) = &node.body else {
            return Ok(None);
        };
        let io = file.io.read();
        let stat = |backing: &Backing<S>| self.store.stat_file(&backing.file);
        Ok(io.backing.as_ref().map(stat).transpose()?)
    }

    /// What is at the place of `node` now; the caller holds the directory's lock.
    fn found_again(&self, node: &Node<S>, place: &Place<S>) -> Result<Found<S>> {
        let found = self.locate(&place.parent, &parse_lookup(&place.name)?)?;
        if found.stat.id == node.identity {
            Ok(found)
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
        if let Some(known) = self.known_already(&node, &change)? {
            return Ok(known);
        }
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

    /// The attributes, if `change` is nothing but the times as they are. A kernel that collects
    /// writes keeps the times of files, and sends them with every rename and removal.
    fn known_already(&self, node: &Arc<Node<S>>, change: &SetAttr) -> Result<Option<Attr>> {
        let (Some(TimeChange::At(mtime)), Some(ctime)) = (change.mtime, change.noted_ctime) else {
            return Ok(None);
        };
        let only_times = SetAttr {
            mtime: change.mtime,
            noted_ctime: change.noted_ctime,
            ..SetAttr::default()
        };
        let is_journaled = |file: &FileState<S>| file.has_logged.load(Ordering::Acquire);
        if *change != only_times || node.file().is_ok_and(is_journaled) {
            return Ok(None);
        }
        let stat = self.stat_node(node)?;
        let is_known = Timestamp::from(mtime) == stat.mtime
            && nanos(stat.ctime).saturating_add(TICK_NANOS) >= nanos(ctime.into());
        Ok(is_known.then(|| self.attr_from(node, &stat)))
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
        f: impl Fn(StoreNode<'_, S>) -> Result<R>,
    ) -> Result<R> {
        if let Body::Dir(_) = &node.body {
            return f(StoreNode::Dir(&self.content_dir(node)?));
        }
        let on_open = || {
            let Body::File(file) = &node.body else {
                return Ok(None);
            };
            let io = file.io.read();
            let Some(backing) = &io.backing else {
                return Ok(None);
            };
            file.used.store(true, Ordering::Relaxed);
            f(StoreNode::File(&backing.file)).map(Some)
        };
        if let Some(done) = on_open()? {
            return Ok(done);
        }
        let named = self.at_its_place(node, |place| {
            let found = self.found_again(node, place)?;
            let content = self.content_dir(&place.parent)?;
            f(StoreNode::Name(&content, found.type_path().as_bytes()))
        })?;
        if let Some(done) = named {
            return Ok(done);
        }
        // As in `stat_node`.
        on_open()?.ok_or(ErrorKind::Stale.into())
    }
}

fn time_set(change: TimeChange) -> TimeSet {
    match change {
        TimeChange::Now => TimeSet::Now,
        TimeChange::At(t) => TimeSet::At(t.into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::VfsOptions;
    use crate::testing::{ROOT, fresh};
    use crate::types::Timestamp;

    #[test]
    fn times_that_are_known_change_nothing() {
        let fs = fresh(VfsOptions::default());
        let made = fs.create(ROOT, NodeId::ROOT, b"f", 0o644).unwrap();
        let before = made.attr;
        let set = |mtime: Timestamp, noted_ctime| {
            let change = SetAttr {
                mtime: Some(TimeChange::At(mtime)),
                noted_ctime,
                ..SetAttr::default()
            };
            fs.setattr(made.node, change).unwrap()
        };
        let later = |t: Timestamp, secs| Timestamp {
            secs: t.secs + secs,
            ..t
        };
        assert_eq!(set(before.mtime, Some(before.ctime)), before);
        // Somebody set the same time again, later: that is a change, and has a time.
        let again = set(before.mtime, Some(later(before.ctime, 60)));
        assert!(again.ctime > before.ctime, "{again:?}");
        // Somebody whose frontend keeps no times.
        let by_name = set(before.mtime, None);
        assert!(by_name.ctime > again.ctime, "{by_name:?}");
        let other = later(before.mtime, -60);
        assert_eq!(set(other, Some(by_name.ctime)).mtime, other);
    }
}
