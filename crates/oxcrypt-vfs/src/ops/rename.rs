//! Moving nodes.
//!
//! A node moves onto a free name by one `rename` in the store: the *node* moves, a file or a wrapper
//! directory. `replace` has the moves onto taken names.
//!
//! CRASH: between the steps a crash leaves (a) both names of a file, as hard links; (b) a wrapper whose
//! `name.c9s` still holds the old name, with the new one beside it, which is shown under the new one.
//! `check` repairs each without loss.

use std::sync::Arc;

use oxcrypt_core::name::CleartextName;
use oxcrypt_store::{Node as StoreNode, RenameMode, Store, TimeSet};

use super::doomed::{Closed, when_left};
use super::wrapper::NEW_NAME_FILE;
use crate::error::{Error, ErrorKind, Result};
use crate::node::{Body, NAMES_UNSYNCED, Node};
use crate::resolve::{
    CONTENTS_FILE, Content, Found, NAME_FILE, NodeName, SYMLINK_FILE, Sealed, parse_lookup,
};
use crate::sync::atomic::Ordering;
use crate::sync::{MutexGuard, RwLockWriteGuard};
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
    pub(super) fn name_bytes(&self) -> &[u8] {
        self.name.as_str().as_bytes()
    }

    /// Whether `node` is stored under this name, and not only shown under it.
    pub(super) fn stores(&self, node: &Found<S>) -> bool {
        self.sealed.node_name.as_bytes() == node.node_name.as_bytes()
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
                _first: a_dir.names_exclusive(),
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
            _first: first.names_exclusive(),
            _second: Some(second.names_exclusive()),
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
        let (from, to) = ((&from_parent, from_name), (&to_parent, to_name));
        when_left(|| self.rename_now(from, to, flags))
    }

    fn rename_now(
        &self,
        (from_parent, from_name): (&Arc<Node<S>>, &[u8]),
        (to_parent, to_name): (&Arc<Node<S>>, &[u8]),
        flags: RenameFlags,
    ) -> Result<Option<()>> {
        let _locks = self.lock_two(from_parent, to_parent)?;
        let from = self.side(from_parent, parse_lookup(from_name)?)?;
        let to = self.side(to_parent, CleartextName::parse(to_name)?)?;
        let source = self.locate(from_parent, &from.name)?;
        let target = self.locate_opt(to_parent, &to.name)?;
        if from_parent.id == to_parent.id && from.name_bytes() == to.name_bytes() {
            return match flags {
                RenameFlags::NoReplace => Err(ErrorKind::Exists.into()),
                RenameFlags::Replace | RenameFlags::Exchange => Ok(Some(())),
            };
        }
        match (flags, &target) {
            (RenameFlags::NoReplace, Some(_)) => return Err(ErrorKind::Exists.into()),
            (RenameFlags::Exchange, None) => return Err(ErrorKind::NotFound.into()),
            _ => self.refuse_loop(&source, to_parent)?,
        }
        if from_parent.id != to_parent.id {
            self.make_way_durable(to_parent)?;
            if flags == RenameFlags::Exchange {
                self.make_way_durable(from_parent)?;
            }
        }
        // Both may change: what is replaced can have other names, and what is exchanged moves too.
        let known = [Some(&source), target.as_ref()]
            .map(|found| found.and_then(|found| self.nodes.find(&found.stat.id)));
        // The source's directory cannot be replaced by what is in it: `replace` says so.
        let victim = known[1]
            .as_ref()
            .filter(|node| flags == RenameFlags::Replace && node.id != from_parent.id);
        let closed = Closed::of(victim);
        if matches!(closed, Closed::InUse) {
            return Ok(None);
        }
        let _own = known.each_ref().map(|n| n.as_ref().map(|n| n.own.begin()));
        let done = match (flags, target) {
            (RenameFlags::Exchange, Some(target)) => self
                .refuse_loop(&target, from_parent)
                .and_then(|()| self.exchange(&from, &source, &to, &target)),
            (_, Some(target)) => self.replace(&from, &source, &to, &target),
            (_, None) => self
                .move_to_free(&from, &source, &to)
                .map(|()| self.moved(&from, &source, &to)),
        };
        for side in [&from, &to] {
            self.note_name(side.parent, &side.content, side.sealed.node_name.as_bytes());
        }
        done.map(Some)
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
        self.settle_name(to, source).inspect_err(|_| {
            // Under its old name in the place of another it would be in everybody's way.
            let (a, b) = (target.as_bytes(), source.node_name.as_bytes());
            let mode = RenameMode::NoReplace;
            let _ = self.store.rename(&to.content, a, &from.content, b, mode);
            self.unprepare_form(from, source, to);
        })
    }

    /// Puts the prepared `name.c9s` of a wrapper in the place of the old one.
    pub(super) fn take_new_name(&self, content: &S::Dir, wrapper: &NodeName) -> Result<()> {
        let (new, old) = (wrapper.join(NEW_NAME_FILE), wrapper.join(NAME_FILE));
        let (new, old) = (new.as_bytes(), old.as_bytes());
        Ok(self
            .store
            .rename(content, new, content, old, RenameMode::Replace)?)
    }

    /// Removes the `name.c9s` of a node whose name is no longer long. No reader minds one.
    fn drop_name_file(&self, content: &S::Dir, node: &NodeName) {
        if let Err(e) = self.remove_if_there(content, &node.join(NAME_FILE)) {
            tracing::debug!(error = %e, "a superfluous name.c9s is left");
        }
    }

    fn move_file_to_free(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
    ) -> Result<()> {
        let content_path = source.type_path();
        if to.sealed.full.is_none() && !source.node_name.is_long() {
            let (a, b) = (content_path.as_bytes(), to.sealed.node_name.as_bytes());
            let mode = RenameMode::NoReplace;
            return Ok(self.store.rename(&from.content, a, &to.content, b, mode)?);
        }
        // As a second name of the file first, so that no wrapper stays without content.
        match self.link_to_free(from, &content_path, to) {
            Ok(()) => self
                .remove_type_file(&from.content, source)
                .inspect_err(|_| self.unlink_from_free(to)),
            Err(e) if no_hard_links(&e) => {
                self.rename_content_to_free(from, &content_path, to)?;
                if source.node_name.is_long() {
                    self.remove_wrapper(&from.content, &source.node_name, CONTENTS_FILE)?;
                }
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    /// A wrapper appears with the content already in it.
    fn link_to_free(
        &self,
        from: &Side<'_, S>,
        content_path: &NodeName,
        to: &Side<'_, S>,
    ) -> Result<()> {
        let a = content_path.as_bytes();
        if to.sealed.full.is_none() {
            let b = to.sealed.node_name.as_bytes();
            return Ok(self.store.link(&from.content, a, &to.content, b)?);
        }
        self.build_wrapper(&to.content, &to.sealed, |temp| {
            self.make_name_durable(&to.content, temp, NAME_FILE)?;
            let path = temp.join(CONTENTS_FILE);
            let b = path.as_bytes();
            Ok(self.store.link(&from.content, a, &to.content, b)?)
        })
    }

    /// It keeps its old name after all.
    fn unlink_from_free(&self, to: &Side<'_, S>) {
        let name = &to.sealed.node_name;
        let done = if name.is_long() {
            self.remove_wrapper(&to.content, name, CONTENTS_FILE)
        } else {
            self.remove_if_there(&to.content, name)
        };
        if let Err(e) = done {
            tracing::warn!(error = %e, "a failed rename leaves two names of one file");
        }
    }

    /// Without hard links a wrapper exists for a moment without its content.
    fn rename_content_to_free(
        &self,
        from: &Side<'_, S>,
        content_path: &NodeName,
        to: &Side<'_, S>,
    ) -> Result<()> {
        let a = content_path.as_bytes();
        let mode = RenameMode::NoReplace;
        let name = &to.sealed.node_name;
        if to.sealed.full.is_none() {
            let b = name.as_bytes();
            return Ok(self.store.rename(&from.content, a, &to.content, b, mode)?);
        }
        self.build_wrapper(&to.content, &to.sealed, |temp| {
            self.make_name_durable(&to.content, temp, NAME_FILE)
        })?;
        let target = name.join(CONTENTS_FILE);
        let b = target.as_bytes();
        self.store
            .rename(&from.content, a, &to.content, b, mode)
            .map_err(|e| {
                let _ = self.remove_wrapper(&to.content, name, NAME_FILE);
                Error::from(e)
            })
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
    pub(super) fn make_form_durable(&self, at: &Side<'_, S>, node: &Found<S>) -> Result<()> {
        if !node.node_name.is_long() {
            return Ok(());
        }
        self.make_name_durable(&at.content, &node.node_name, NAME_FILE)
    }

    /// Swaps two nodes of different kinds. A file has another form under a long name than under a short
    /// one, and none that suits both: then there is no single step, and none is offered.
    pub(super) fn exchange_nodes(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
        target: &Found<S>,
    ) -> Result<()> {
        let a_file = [source, target].map(Found::kind).contains(&NodeKind::File);
        if a_file && (from.sealed.full.is_some() || to.sealed.full.is_some()) {
            return Err(ErrorKind::Unsupported.into());
        }
        self.swap_nodes(from, source, to, target)?;
        self.settle_name(to, source)
            .inspect_err(|_| self.swap_back(from, source, to, target))?;
        if let Err(e) = self.settle_name(from, target) {
            // There is no way back any more; the new name beside the old one is enough for us.
            tracing::warn!(error = %e, "a name.c9s is left for `check` to put in place");
        }
        Ok(())
    }

    /// Swaps two nodes, each with the `name.c9s` that its new name asks for beside its old one.
    pub(super) fn swap_nodes(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
        target: &Found<S>,
    ) -> Result<()> {
        if !from.stores(source) || !to.stores(target) {
            // A node shown under another name than its own must first be given that name.
            return Err(ErrorKind::Unsupported.into());
        }
        // `name.c9s` is harmless where it is not needed, so it is put on both sides beforehand.
        self.prepare_form(from, source, to)?;
        self.prepare_form(to, target, from)
            .and_then(|()| self.swap_names(from, to))
            .inspect_err(|_| {
                self.unprepare_form(from, source, to);
                self.unprepare_form(to, target, from);
            })
    }

    /// After [`Self::swap_nodes`], before any name was settled.
    pub(super) fn swap_back(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
        target: &Found<S>,
    ) {
        if self.swap_names(from, to).is_ok() {
            self.unprepare_form(from, source, to);
            self.unprepare_form(to, target, from);
        }
    }

    fn swap_names(&self, from: &Side<'_, S>, to: &Side<'_, S>) -> Result<()> {
        Ok(self.store.rename(
            &from.content,
            from.sealed.node_name.as_bytes(),
            &to.content,
            to.sealed.node_name.as_bytes(),
            RenameMode::Exchange,
        )?)
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
    pub(super) fn unprepare_form(&self, at: &Side<'_, S>, node: &Found<S>, to: &Side<'_, S>) {
        if let (Some(_), Some(file)) = (&to.sealed.full, prepared_file(node)) {
            // What cannot be removed is not seen by any reader.
            let path = node.node_name.join(file);
            let _ = self.store.remove_file(&at.content, path.as_bytes());
        }
    }

    /// After `was` moved to the name of `at`: its `name.c9s` becomes the one of that name.
    pub(super) fn settle_name(&self, at: &Side<'_, S>, was: &Found<S>) -> Result<()> {
        let (content, name) = (&at.content, &at.sealed.node_name);
        if was.is_plain_file() {
            return Ok(());
        }
        match (was.node_name.is_long(), name.is_long()) {
            (true, true) => self.take_new_name(content, name)?,
            (true, false) => self.drop_name_file(content, name),
            (false, _) => {}
        }
        Ok(())
    }

    /// Records that `node` is now at `to`.
    pub(super) fn moved(&self, from: &Side<'_, S>, node: &Found<S>, to: &Side<'_, S>) {
        if let Some(known) = self.nodes.find(&node.stat.id) {
            known.drop_place(from.parent, from.name_bytes());
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
    pub(super) fn touch_parents(&self, sides: [&Side<'_, S>; 2], of: [&Found<S>; 2]) {
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
pub(super) fn no_hard_links(e: &Error) -> bool {
    use ErrorKind as K;
    matches!(
        e.kind,
        K::Unsupported | K::PermissionDenied | K::TooManyLinks | K::NotPermitted
    )
}
