//! Moving nodes.
//!
//! A node moves by one `rename` in the store, in one of two ways. Onto a free name the *node* moves
//! (a file, or a wrapper directory). Onto a taken name of the same kind only the *type file* moves,
//! onto the other's: the target changes from old to new in that one step, whatever the form of the
//! two names, and the emptied source wrapper is removed after it.
//!
//! CRASH: between the steps a crash leaves (a) both names of a file, as hard links; (b) an emptied
//! source wrapper; (c) a wrapper whose `name.c9s` still holds the old name; (d) an orphaned, empty
//! content directory. `check` repairs each without loss.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use oxcrypt_core::name::CleartextName;
use oxcrypt_store::{Node as StoreNode, RenameMode, Store, StoreErrorKind, TimeSet};
use parking_lot::{MutexGuard, RwLockWriteGuard};

use super::wrapper::NEW_NAME_FILE;
use crate::error::{Error, ErrorKind, Result};
use crate::node::{Body, NAMES_UNSYNCED, Node};
use crate::resolve::{
    CONTENTS_FILE, Content, Found, NAME_FILE, NodeName, SYMLINK_FILE, Sealed, parse_lookup,
};
use crate::types::{NodeId, NodeKind, RenameFlags};
use crate::vault_fs::{VaultFs, is_in};

/// The locks of one or two directories.
pub(crate) struct DirLocks<'a> {
    _tree: Option<MutexGuard<'a, ()>>,
    _first: RwLockWriteGuard<'a, ()>,
    _second: Option<RwLockWriteGuard<'a, ()>>,
}

/// One side of a rename.
pub(crate) struct Side<'a, S: Store> {
    pub(crate) parent: &'a Arc<Node<S>>,
    pub(crate) content: S::Dir,
    pub(crate) name: CleartextName<'a>,
    pub(crate) sealed: Sealed,
}

impl<S: Store> Side<'_, S> {
    fn name_bytes(&self) -> &[u8] {
        self.name.as_str().as_bytes()
    }
}

impl<S: Store> VaultFs<S> {
    /// Locks two directories for change in the one order, also if they are the same.
    pub(crate) fn lock_two<'a>(
        &'a self,
        a: &'a Arc<Node<S>>,
        b: &'a Arc<Node<S>>,
    ) -> Result<DirLocks<'a>> {
        let (a_dir, b_dir) = (a.dir()?, b.dir()?);
        if a.id == b.id {
            return Ok(DirLocks {
                _tree: None,
                _first: a_dir.lock.write(),
                _second: None,
            });
        }
        let tree = self.rename_tree.lock();
        let (first, second) = if a.id < b.id {
            (a_dir, b_dir)
        } else {
            (b_dir, a_dir)
        };
        Ok(DirLocks {
            _tree: Some(tree),
            _first: first.lock.write(),
            _second: Some(second.lock.write()),
        })
    }

    /// Moves or swaps nodes.
    ///
    /// # Errors
    /// As rename(2): `Exists`, `NotEmpty`, `IsDirectory`, `NotDirectory`, `InvalidArgument` for a
    /// directory into itself.
    pub fn rename(
        &self,
        from_parent: NodeId,
        from_name: &[u8],
        to_parent: NodeId,
        to_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        self.writable()?;
        let from_parent = self.node(from_parent)?;
        let to_parent = self.node(to_parent)?;
        let _locks = self.lock_two(&from_parent, &to_parent)?;
        let from = self.side(&from_parent, parse_lookup(from_name)?)?;
        let to = self.side(&to_parent, CleartextName::parse(to_name)?)?;
        let source = self.locate(&from_parent, &from.name)?;
        let target = self.locate_opt(&to_parent, &to.name)?;
        if from_parent.id == to_parent.id && from.name_bytes() == to.name_bytes() {
            return match flags {
                RenameFlags::NoReplace => Err(ErrorKind::Exists.into()),
                RenameFlags::Replace | RenameFlags::Exchange => Ok(()),
            };
        }
        match (flags, &target) {
            (RenameFlags::NoReplace, Some(_)) => return Err(ErrorKind::Exists.into()),
            (RenameFlags::Exchange, None) => return Err(ErrorKind::NotFound.into()),
            _ => self.refuse_loop(&source, &to_parent)?,
        }
        if from_parent.id != to_parent.id {
            self.make_way_durable(&to_parent)?;
            if flags == RenameFlags::Exchange {
                self.make_way_durable(&from_parent)?;
            }
        }
        // Both may change: what is replaced can have other names, and what is exchanged moves too.
        let known = [Some(&source), target.as_ref()]
            .map(|found| found.and_then(|found| self.nodes.find(&found.stat.id)));
        let _own = known.each_ref().map(|n| n.as_ref().map(|n| n.own.begin()));
        match (flags, target) {
            (RenameFlags::Exchange, Some(target)) => self
                .refuse_loop(&target, &from_parent)
                .and_then(|()| self.exchange(&from, &source, &to, &target)),
            (_, Some(target)) => self.replace(&from, &source, &to, &target),
            (_, None) => self
                .move_to_free(&from, &source, &to)
                .map(|()| self.moved(&from, &source, &to)),
        }
    }

    pub(crate) fn side<'a>(
        &self,
        parent: &'a Arc<Node<S>>,
        name: CleartextName<'a>,
    ) -> Result<Side<'a, S>> {
        let content = self.content_dir(parent)?;
        let sealed = self.seal(parent.dir()?, &name)?;
        Ok(Side {
            parent,
            content,
            name,
            sealed,
        })
    }

    /// A directory cannot move below itself. The kernel checks this for its own view of the tree;
    /// this check also serves callers without one.
    fn refuse_loop(&self, moved: &Found<S>, into: &Arc<Node<S>>) -> Result<()> {
        if moved.kind() == NodeKind::Directory && is_in(into, &moved.stat.id) {
            return Err(ErrorKind::InvalidArgument.into());
        }
        Ok(())
    }

    /// Moves a node to a name that is free.
    pub(crate) fn move_to_free(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
    ) -> Result<()> {
        let target = &to.sealed.node_name;
        if matches!(source.content, Content::File) {
            return self.move_file_to_free(from, source, to);
        }
        let was_long = source.node_name.is_long();
        let is_long = to.sealed.full.is_some();
        self.prepare_form(from, source, to)?;
        self.store
            .rename(
                &from.content,
                source.node_name.as_bytes(),
                &to.content,
                target.as_bytes(),
                RenameMode::NoReplace,
            )
            .inspect_err(|_| self.unprepare_form(from, source, to))?;
        match (was_long, is_long) {
            (true, true) => {
                let (new, old) = (target.join(NEW_NAME_FILE), target.join(NAME_FILE));
                let (new, old) = (new.as_bytes(), old.as_bytes());
                self.store
                    .rename(&to.content, new, &to.content, old, RenameMode::Replace)?;
            }
            (true, false) => self.remove_if_there(&to.content, &target.join(NAME_FILE))?,
            (false, _) => {}
        }
        Ok(())
    }

    fn move_file_to_free(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
    ) -> Result<()> {
        let content_path = source.type_path();
        if to.sealed.full.is_none() {
            let (a, b) = (content_path.as_bytes(), to.sealed.node_name.as_bytes());
            // Out of a wrapper as a second name first, so that no wrapper stays without content.
            let linked = if source.node_name.is_long() {
                self.store.link(&from.content, a, &to.content, b)
            } else {
                Err(StoreErrorKind::Unsupported.into())
            };
            match linked.map_err(Error::from) {
                Err(e) if no_hard_links(&e) => {
                    let mode = RenameMode::NoReplace;
                    self.store.rename(&from.content, a, &to.content, b, mode)?;
                }
                other => other?,
            }
        } else {
            // The wrapper appears with the content already in it, as a second name of the file.
            let linked = self.build_wrapper(&to.content, &to.sealed, |temp| {
                self.make_name_durable(&to.content, temp, NAME_FILE)?;
                let path = temp.join(CONTENTS_FILE);
                let (a, b) = (content_path.as_bytes(), path.as_bytes());
                Ok(self.store.link(&from.content, a, &to.content, b)?)
            });
            match linked {
                Ok(()) => self
                    .store
                    .remove_file(&from.content, content_path.as_bytes())?,
                Err(e) if no_hard_links(&e) => {
                    self.move_into_new_wrapper(from, &content_path, to)?;
                }
                Err(e) => return Err(e),
            }
        }
        if source.node_name.is_long() {
            self.remove_wrapper(&from.content, &source.node_name, CONTENTS_FILE)?;
        }
        Ok(())
    }

    /// Without hard links the wrapper exists for a moment without its content.
    fn move_into_new_wrapper(
        &self,
        from: &Side<'_, S>,
        content_path: &NodeName,
        to: &Side<'_, S>,
    ) -> Result<()> {
        self.build_wrapper(&to.content, &to.sealed, |temp| {
            self.make_name_durable(&to.content, temp, NAME_FILE)
        })?;
        let target = to.sealed.node_name.join(CONTENTS_FILE);
        let (a, b) = (content_path.as_bytes(), target.as_bytes());
        self.store
            .rename(&from.content, a, &to.content, b, RenameMode::NoReplace)
            .map_err(|e| {
                let _ = self.remove_wrapper(&to.content, &to.sealed.node_name, NAME_FILE);
                Error::from(e)
            })
    }

    /// Moves a node over another one.
    fn replace(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
        target: &Found<S>,
    ) -> Result<()> {
        if source.stat.id == target.stat.id && source.kind() == NodeKind::File {
            // Two names of one file: rename(2) leaves both.
            return Ok(());
        }
        match (source.kind(), target.kind()) {
            (NodeKind::Directory, NodeKind::Directory) => {
                return self.replace_dir(from, source, to, target);
            }
            (NodeKind::Directory, _) => return Err(ErrorKind::NotDirectory.into()),
            (_, NodeKind::Directory) => return Err(ErrorKind::IsDirectory.into()),
            _ => {}
        }
        let victim = self.keep_open(to.parent, to.name_bytes(), target)?;
        if source.kind() == target.kind() {
            self.make_form_durable(to, target)?;
            self.store.rename(
                &from.content,
                source.type_path().as_bytes(),
                &to.content,
                target.type_path().as_bytes(),
                RenameMode::Replace,
            )?;
            if !source.is_plain_file() {
                self.remove_type_file(&from.content, source)?;
            }
            self.touch_parents([from, to], [source, target]);
        } else {
            // A file and a symbolic link: the nodes swap, then the old one goes.
            self.exchange_nodes(from, source, to, target)?;
            let remains = self.probe(&from.content, &source.node_name)?;
            self.remove_type_file(&from.content, &remains)?;
        }
        if let Some(victim) = victim {
            self.name_gone(&victim, to.parent, to.name_bytes(), target.stat.nlink);
        }
        self.moved(from, source, to);
        Ok(())
    }

    fn replace_dir(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
        target: &Found<S>,
    ) -> Result<()> {
        let Content::Dir { hash, handle, .. } = &target.content else {
            return Err(ErrorKind::Internal.into());
        };
        if source.stat.id == target.stat.id {
            // Two nodes claim one content directory: a damaged vault, not a rename.
            return Err(ErrorKind::Damaged.into());
        }
        let litter = self.check_empty(handle)?;
        let victim = self.nodes.find(&target.stat.id);
        self.make_form_durable(to, target)?;
        self.store.rename(
            &from.content,
            source.type_path().as_bytes(),
            &to.content,
            target.type_path().as_bytes(),
            RenameMode::Replace,
        )?;
        self.remove_type_file(&from.content, source)?;
        self.touch_parents([from, to], [source, target]);
        if let Err(e) = self.remove_content_dir(hash, handle, &litter) {
            tracing::warn!(error = %e, "an orphaned content directory is left for `check`");
        }
        if let Some(victim) = victim {
            self.dir_gone(&victim, handle, to.parent, to.name_bytes());
        }
        self.moved(from, source, to);
        Ok(())
    }

    /// RENAME_EXCHANGE.
    fn exchange(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
        target: &Found<S>,
    ) -> Result<()> {
        if source.stat.id == target.stat.id {
            return Ok(());
        }
        if source.kind() == target.kind() {
            self.make_form_durable(to, target)?;
            self.make_form_durable(from, source)?;
            self.store.rename(
                &from.content,
                source.type_path().as_bytes(),
                &to.content,
                target.type_path().as_bytes(),
                RenameMode::Exchange,
            )?;
            self.touch_parents([from, to], [source, target]);
        } else {
            self.exchange_nodes(from, source, to, target)?;
        }
        self.moved(from, source, to);
        self.moved(to, target, from);
        Ok(())
    }

    /// Before a type file moves into the wrapper of `node`, if that has a long name.
    fn make_form_durable(&self, at: &Side<'_, S>, node: &Found<S>) -> Result<()> {
        if !node.node_name.is_long() {
            return Ok(());
        }
        self.make_name_durable(&at.content, &node.node_name, NAME_FILE)
    }

    /// Swaps two nodes of different kinds. Each takes on the form that its new name asks for.
    fn exchange_nodes(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
        target: &Found<S>,
    ) -> Result<()> {
        let stored_as = |side: &Side<'_, S>, node: &Found<S>| {
            side.sealed.node_name.as_bytes() == node.node_name.as_bytes()
        };
        if !stored_as(from, source) || !stored_as(to, target) {
            // A node shown under another name than its own must first be given that name.
            return Err(ErrorKind::Unsupported.into());
        }
        // `name.c9s` is harmless where it is not needed, so it is put on both sides beforehand.
        self.prepare_form(from, source, to)?;
        self.prepare_form(to, target, from)
            .and_then(|()| {
                Ok(self.store.rename(
                    &from.content,
                    source.node_name.as_bytes(),
                    &to.content,
                    target.node_name.as_bytes(),
                    RenameMode::Exchange,
                )?)
            })
            .inspect_err(|_| {
                self.unprepare_form(from, source, to);
                self.unprepare_form(to, target, from);
            })?;
        self.settle_form(to, source)?;
        self.settle_form(from, target)
    }

    /// Before `node` moves to the name of `to`: a wrapper gets the `name.c9s` it will need.
    fn prepare_form(&self, at: &Side<'_, S>, node: &Found<S>, to: &Side<'_, S>) -> Result<()> {
        match (&to.sealed.full, prepared_file(node)) {
            (Some(full), Some(file)) => {
                let path = node.node_name.join(file);
                self.write_small(&at.content, &path, full.full())?;
                self.make_name_durable(&at.content, &node.node_name, file)
            }
            _ => Ok(()),
        }
    }

    /// It did not move after all.
    fn unprepare_form(&self, at: &Side<'_, S>, node: &Found<S>, to: &Side<'_, S>) {
        if let (Some(_), Some(file)) = (&to.sealed.full, prepared_file(node)) {
            // What cannot be removed is not seen by any reader.
            let path = node.node_name.join(file);
            let _ = self.store.remove_file(&at.content, path.as_bytes());
        }
    }

    /// After `was` moved to the name of `at`: brings it into the form of that name.
    fn settle_form(&self, at: &Side<'_, S>, was: &Found<S>) -> Result<()> {
        let (content, name) = (&at.content, &at.sealed.node_name);
        let plain = was.is_plain_file();
        let file = matches!(was.content, Content::File);
        if plain && name.is_long() {
            // A bare file under a hash: it moves into a wrapper of its own.
            let temp = self.set_aside(content, name)?;
            return self.build_wrapper(content, &at.sealed, |wrapper| {
                self.make_name_durable(content, wrapper, NAME_FILE)?;
                let inner = wrapper.join(CONTENTS_FILE);
                let (a, b) = (temp.as_bytes(), inner.as_bytes());
                Ok(self
                    .store
                    .rename(content, a, content, b, RenameMode::NoReplace)?)
            });
        }
        if file && !plain && !name.is_long() {
            // A wrapper under a short name: its content moves out.
            let temp = self.set_aside(content, name)?;
            let (a, b) = (temp.join(CONTENTS_FILE), name.as_bytes());
            self.store
                .rename(content, a.as_bytes(), content, b, RenameMode::NoReplace)?;
            self.discard_wrapper(content, &temp);
            return Ok(());
        }
        if !plain && name.is_long() && was.node_name.is_long() {
            let (new, old) = (name.join(NEW_NAME_FILE), name.join(NAME_FILE));
            let (new, old) = (new.as_bytes(), old.as_bytes());
            self.store
                .rename(content, new, content, old, RenameMode::Replace)?;
        }
        if !plain && !name.is_long() {
            self.remove_if_there(content, &name.join(NAME_FILE))?;
        }
        Ok(())
    }

    /// Records that `node` is now at `to`.
    fn moved(&self, from: &Side<'_, S>, node: &Found<S>, to: &Side<'_, S>) {
        if let Some(known) = self.nodes.find(&node.stat.id) {
            known.drop_place(from.parent.id, from.name_bytes());
            if let Err(e) = self.place(&known, to.parent, to.name_bytes()) {
                tracing::warn!(error = %e, "a directory of a damaged vault was moved below itself");
            }
            let wrapper = &to.sealed.node_name;
            if wrapper.is_long() || known.kind() != NodeKind::File {
                self.watch_wrapper(&known, to.parent, &to.content, wrapper.as_bytes());
            } else {
                self.unwatch_wrapper(&known);
            }
            match &known.body {
                Body::File(file) => file.names_synced.store(NAMES_UNSYNCED, Ordering::Release),
                Body::Dir(dir) => dir.fresh.store(true, Ordering::Release),
                Body::Symlink => {}
            }
        }
        self.touch_changed(node, to);
        for side in [from, to] {
            self.mark_changed(side.parent);
        }
        if matches!(node.content, Content::Dir { .. }) {
            self.dir_moves.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// A type file that moved from wrapper to wrapper changed no entry of the directories around
    /// them, whose times must change all the same.
    fn touch_parents(&self, sides: [&Side<'_, S>; 2], of: [&Found<S>; 2]) {
        for (side, node) in sides.into_iter().zip(of) {
            if !node.is_plain_file() {
                let dir = StoreNode::Dir(&side.content);
                if let Err(e) = self.store.set_times(dir, None, Some(TimeSet::Now)) {
                    tracing::debug!(error = %e, "time of a directory not updated after a rename");
                }
            }
        }
    }

    /// A rename changes the ctime of what it moves. The store does this for the object that was
    /// renamed, which is not the one whose ctime we show when that is inside a wrapper.
    fn touch_changed(&self, node: &Found<S>, to: &Side<'_, S>) {
        let result = match &node.content {
            Content::Dir { handle, .. } => {
                self.store.set_mode(StoreNode::Dir(handle), node.stat.mode)
            }
            Content::File if !node.is_plain_file() && to.sealed.full.is_some() => {
                let path = to.sealed.node_name.join(CONTENTS_FILE);
                self.store.set_mode(
                    StoreNode::Name(&to.content, path.as_bytes()),
                    node.stat.mode,
                )
            }
            Content::Symlink => {
                let path = to.sealed.node_name.join(SYMLINK_FILE);
                self.store.set_mode(
                    StoreNode::Name(&to.content, path.as_bytes()),
                    node.stat.mode,
                )
            }
            Content::File => Ok(()),
        };
        if let Err(e) = result {
            tracing::debug!(error = %e, "ctime not updated after a rename");
        }
    }
}

/// Where a wrapper takes the full name that it is about to get; a bare file has no place for it.
fn prepared_file<S: Store>(node: &Found<S>) -> Option<&'static [u8]> {
    let inner = if node.node_name.is_long() {
        NEW_NAME_FILE
    } else {
        NAME_FILE
    };
    (!node.is_plain_file()).then_some(inner)
}

/// Whether a link failed because the store has none (or none left) for this file.
fn no_hard_links(e: &Error) -> bool {
    use ErrorKind as K;
    matches!(
        e.kind,
        K::Unsupported | K::PermissionDenied | K::TooManyLinks | K::NotPermitted
    )
}
