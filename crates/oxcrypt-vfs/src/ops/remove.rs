//! Removing files, symbolic links and directories.

use std::ops::ControlFlow;
use std::sync::Arc;

use oxcrypt_store::{Cookie, Store, StoreErrorKind};

use super::doomed::{Closed, when_left};
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;
use crate::node::{Body, Node, Place};
use crate::resolve::{
    Content, DIR_FILE, DIRID_FILE, Found, LONG_SUFFIX, NodeName, SHORT_SUFFIX, parse_lookup,
};
use crate::sync::atomic::Ordering;
use crate::types::{NodeId, NodeKind};
use crate::vault_fs::{VaultFs, hash_path};

impl<S: Store> VaultFs<S> {
    /// Removes a file or symbolic link, or a second way into a directory. Those who have a file
    /// open keep its content.
    ///
    /// # Errors
    /// `IsDirectory` for a directory.
    pub fn unlink(&self, parent: NodeId, name: &[u8]) -> Result<()> {
        self.writable()?;
        let parent = self.node(parent)?;
        let name = parse_lookup(name)?;
        let _names = parent.dir()?.names_exclusive();
        let content = self.content_dir(&parent)?;
        let found = match self.locate(&parent, &name) {
            Err(e) if e.kind == ErrorKind::Damaged => {
                return self.remove_broken(&parent, &content, &name);
            }
            other => other?,
        };
        if found.kind() == NodeKind::Directory {
            self.refuse_first_way(&parent, &name, &found)?;
            // What it leads to stays where it is.
            self.remove_wrapper(&content, &found.node_name, DIR_FILE)?;
            self.mark_changed(&parent);
            return Ok(());
        }
        let victim = self.keep_open(&parent, name.as_str().as_bytes(), &found)?;
        let own = victim.as_ref().map(|v| v.own.begin());
        self.remove_type_file(&content, &found)?;
        drop(own);
        self.note_name(&parent, &content, found.node_name.as_bytes());
        if let Some(victim) = victim {
            self.name_gone(&victim, &parent, name.as_str().as_bytes(), found.stat.nlink);
        }
        self.mark_changed(&parent);
        Ok(())
    }

    fn refuse_first_way(
        &self,
        parent: &Arc<Node<S>>,
        name: &oxcrypt_core::name::CleartextName<'_>,
        found: &Found<S>,
    ) -> Result<()> {
        match self.refuse_second_way(parent, name.as_str().as_bytes(), found) {
            Ok(()) => Err(ErrorKind::IsDirectory.into()),
            Err(e) if e.kind == ErrorKind::Loop => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// A node without a type file can be removed when nothing is in it.
    fn remove_broken(
        &self,
        parent: &Arc<Node<S>>,
        content: &S::Dir,
        name: &oxcrypt_core::name::CleartextName<'_>,
    ) -> Result<()> {
        let sealed = self.seal(parent.dir()?, name)?;
        let path = sealed.node_name;
        if path.is_long() {
            // Only `name.c9s` may go: it names a content that is not there.
            let inner = path.join(crate::resolve::NAME_FILE);
            let saved = self
                .store
                .read_small(content, inner.as_bytes(), 10_240)
                .ok();
            self.remove_if_there(content, &inner)?;
            if let Err(e) = self.store.remove_dir(content, path.as_bytes()) {
                if let Some(bytes) = saved {
                    self.write_small(content, &inner, &bytes)?;
                }
                return Err(broken_removal(e));
            }
            return Ok(());
        }
        self.store
            .remove_dir(content, path.as_bytes())
            .map_err(broken_removal)
    }

    /// Before the last name of a file goes: opens it if the frontend may still use it.
    pub(crate) fn keep_open(
        &self,
        parent: &Arc<Node<S>>,
        name: &[u8],
        found: &Found<S>,
    ) -> Result<Option<Arc<Node<S>>>> {
        let Some(node) = self.nodes.find(&found.stat.id) else {
            return Ok(None);
        };
        if matches!(found.content, Content::File) {
            let place = Place {
                parent: Arc::clone(parent),
                name: name.into(),
            };
            self.pin(&node, &place)?;
        }
        Ok(Some(node))
    }

    /// After a name of `node` went: forgets the way, and with the last name the identity, since
    /// the store may give its number to a new object at once. A file that is still reached by
    /// another name need not stay open.
    pub(crate) fn name_gone(
        &self,
        node: &Arc<Node<S>>,
        parent: &Arc<Node<S>>,
        name: &[u8],
        names_before: u64,
    ) {
        let reachable = node.drop_place(parent, name);
        self.unwatch_wrapper(node);
        if names_before <= 1 || node.kind() != NodeKind::File {
            self.nodes.detach(node);
            if !reachable {
                node.lose_all_names();
            }
        } else if reachable && let Body::File(file) = &node.body {
            file.io.write().pinned = false;
        }
    }

    /// Before a directory is removed: whoever holds it (as a working directory, or on the way to a
    /// name in it) finds it open from now on, since it could not be opened any more. Nothing can be
    /// made in it then.
    pub(crate) fn keep_dir(&self, node: &Node<S>, handle: &S::Dir) {
        if let Ok(dir) = node.dir() {
            dir.is_removed.store(true, Ordering::Release);
            *dir.handle.lock() = Some(handle.clone());
        }
    }

    /// After [`Self::keep_dir`], when the directory stays.
    pub(crate) fn dir_stays(&self, node: &Arc<Node<S>>) {
        if let Ok(dir) = node.dir() {
            dir.is_removed.store(false, Ordering::Release);
            self.open_dirs.opened(node);
        }
    }

    /// Removes what makes a node a file or link, then its wrapper.
    pub(crate) fn remove_type_file(&self, content: &S::Dir, found: &Found<S>) -> Result<()> {
        if found.is_plain_file() {
            return Ok(self
                .store
                .remove_file(content, found.node_name.as_bytes())?);
        }
        let path = found.type_path();
        let inner = &path.as_bytes()[found.node_name.as_bytes().len() + 1..];
        self.remove_wrapper(content, &found.node_name, inner)
    }

    /// Removes an empty directory.
    ///
    /// CRASH: the node goes first, so that a crash leaves an orphaned, empty content directory,
    /// which nobody sees and `check` moves to `LOST+FOUND`; never a node that leads nowhere.
    ///
    /// # Errors
    /// `NotEmpty`, also when only undecryptable or foreign files are left: nothing that was not
    /// checked to be removable is destroyed. `Loop` for a second way into a directory.
    pub fn rmdir(&self, parent: NodeId, name: &[u8]) -> Result<()> {
        self.writable()?;
        let parent = self.node(parent)?;
        let name = parse_lookup(name)?;
        when_left(|| self.rmdir_now(&parent, &name))
    }

    fn rmdir_now(
        &self,
        parent: &Arc<Node<S>>,
        name: &oxcrypt_core::name::CleartextName<'_>,
    ) -> Result<Option<()>> {
        let _names = parent.dir()?.names_exclusive();
        let content = self.content_dir(parent)?;
        let found = self.locate(parent, name)?;
        let Content::Dir {
            dir_id,
            hash,
            handle,
        } = &found.content
        else {
            return Err(ErrorKind::NotDirectory.into());
        };
        // Its content belongs to another node, which would lead nowhere.
        self.refuse_second_way(parent, name.as_str().as_bytes(), &found)?;
        let node = self.nodes.find(&found.stat.id);
        let closed = Closed::of(node.as_ref());
        if matches!(closed, Closed::InUse) {
            return Ok(None);
        }
        let litter = self.check_empty(handle)?;
        if let Some(node) = &node {
            self.keep_dir(node, handle);
        }
        let removed = self
            .remove_wrapper(&content, &found.node_name, DIR_FILE)
            .and_then(|()| {
                self.remove_content_dir(hash, handle, &litter).or_else(|e| {
                    // Somebody else filled it in the meantime: the node comes back.
                    self.rebuild_dir_node(&content, parent, name, dir_id, handle)?;
                    Err(e)
                })
            });
        if let Err(e) = removed {
            if let Some(node) = &node {
                self.dir_stays(node);
            }
            return Err(e);
        }
        self.note_name(parent, &content, found.node_name.as_bytes());
        if let Some(node) = &node {
            self.name_gone(node, parent, name.as_str().as_bytes(), 1);
        }
        self.mark_changed(parent);
        Ok(Some(()))
    }

    /// Makes sure that a directory holds no node. Returns our own leftovers and in-use markers.
    pub(crate) fn check_empty(&self, handle: &S::Dir) -> Result<Vec<NodeName>> {
        let mut litter = Vec::new();
        let mut verdict = Ok(());
        self.store.list(handle, Cookie::START, 4096, &mut |entry| {
            let name = entry.name;
            if matches!(name, b"." | b".." | DIRID_FILE) {
                return ControlFlow::Continue(());
            }
            if name.starts_with(b".oxcrypt-") || name.ends_with(b".c9u") {
                match NodeName::new(name) {
                    Ok(name) => litter.push(name),
                    Err(e) => verdict = Err(e),
                }
                return ControlFlow::Continue(());
            }
            if !name.ends_with(SHORT_SUFFIX) && !name.ends_with(LONG_SUFFIX) {
                self.event(EventKind::ForeignFile, name);
            }
            verdict = Err(ErrorKind::NotEmpty.into());
            ControlFlow::Break(())
        })?;
        verdict.map(|()| litter)
    }

    pub(crate) fn remove_content_dir(
        &self,
        hash: &oxcrypt_core::DirHash,
        handle: &S::Dir,
        litter: &[NodeName],
    ) -> Result<()> {
        for name in litter {
            if self.store.remove_file(handle, name.as_bytes()).is_err() {
                self.discard_wrapper(handle, name);
            }
        }
        self.remove_if_there(handle, &NodeName::new(DIRID_FILE)?)?;
        Ok(self.store.remove_dir(&self.data_dir, &hash_path(hash))?)
    }

    fn rebuild_dir_node(
        &self,
        content: &S::Dir,
        parent: &Arc<Node<S>>,
        name: &oxcrypt_core::name::CleartextName<'_>,
        dir_id: &oxcrypt_core::DirId,
        handle: &S::Dir,
    ) -> Result<()> {
        let sealed = self.seal(parent.dir()?, name)?;
        self.build_wrapper(content, &sealed, |temp| {
            self.write_small(content, &temp.join(DIR_FILE), dir_id.as_bytes())
        })?;
        self.write_dirid_backup(handle, dir_id)
    }
}

fn broken_removal(e: oxcrypt_store::StoreError) -> Error {
    match e.kind {
        StoreErrorKind::NotEmpty | StoreErrorKind::NotDirectory => ErrorKind::Damaged.into(),
        _ => e.into(),
    }
}
