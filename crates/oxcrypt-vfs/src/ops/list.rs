//! Listing directories.
//!
//! A listing streams: nothing is kept between two calls. The position behind an entry is the
//! store's own cookie, which stays valid while entries come and go, so a listing may be continued
//! by anybody at any time, also after a restart.

use std::ops::ControlFlow;
use std::sync::Arc;

use oxcrypt_core::name::NameBuf;
use oxcrypt_store::{Cookie, DirEntry, Kind, Store};

use super::scout::Scout;
use crate::alias::{AliasTable, Class};
use crate::error::Result;
use crate::node::Node;
use crate::resolve::{DIR_FILE, NodeName};
use crate::types::{Entry, ListItem, NodeId, NodeKind};
use crate::vault_fs::VaultFs;

impl<S: Store> VaultFs<S> {
    /// Calls `visit` for each entry behind `from` (0 is the start) until it breaks. `room` is about
    /// how many bytes of names the caller can take, so that no more is read than will be used.
    ///
    /// # Errors
    /// What the store says.
    pub fn list(
        &self,
        id: NodeId,
        from: u64,
        room: usize,
        visit: &mut dyn FnMut(ListItem<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let parent = self.node(id)?;
        self.for_each_name(&parent, from, room, &mut |entry, name| {
            visit(ListItem {
                name,
                kind: self.listed_kind(&parent, entry),
                ino: listed_ino(&parent, entry),
                next: entry.next.0,
            })
        })
    }

    /// As [`VaultFs::list`], with a lookup taken on each entry but `.` and `..`. Entries that
    /// cannot be looked up come without.
    ///
    /// # Errors
    /// What the store says.
    pub fn list_plus(
        &self,
        id: NodeId,
        from: u64,
        room: usize,
        visit: &mut dyn FnMut(ListItem<'_>, Option<Entry>) -> ControlFlow<()>,
    ) -> Result<()> {
        let parent = self.node(id)?;
        let content = self.content_dir(&parent)?;
        self.for_each_name(&parent, from, room, &mut |entry, name| {
            let found = match name {
                b"." | b".." => None,
                _ => self.lookup_listed(&parent, &content, entry.name, name),
            };
            let kind = found.map_or_else(|| self.listed_kind(&parent, entry), |e| e.attr.kind);
            let ino = found.map_or_else(|| listed_ino(&parent, entry), |e| e.attr.ino);
            let item = ListItem {
                name,
                kind,
                ino,
                next: entry.next.0,
            };
            let flow = visit(item, found);
            if flow.is_break()
                && let Some(found) = found
            {
                self.forget(found.node, 1);
            }
            flow
        })
    }

    fn lookup_listed(
        &self,
        parent: &Arc<Node<S>>,
        content: &S::Dir,
        node_name: &[u8],
        name: &[u8],
    ) -> Option<Entry> {
        let _names = parent.dir().ok()?.names_shared();
        let node_name = NodeName::new(node_name).ok()?;
        let found = self.look(parent, content, &node_name).ok()?;
        Some(self.intern_found(parent, name, &found).ok()?.1)
    }

    /// Calls `visit` with each raw entry and the name under which it is shown.
    fn for_each_name(
        &self,
        parent: &Arc<Node<S>>,
        from: u64,
        room: usize,
        visit: &mut dyn FnMut(&DirEntry<'_>, &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let dir = parent.dir()?;
        let content = self.content_dir(parent)?;
        let mut aliases: Option<Arc<AliasTable>> = None;
        let mut failed = None;
        let mut plain = NameBuf::new();
        let mut scout = Scout::default();
        self.store
            .list(&content, Cookie(from), room, &mut |entry| {
                if matches!(entry.name, b"." | b"..") {
                    return visit(&entry, entry.name);
                }
                scout.begin(entry.kind);
                let flow = match self.classify(dir, &content, entry.name, &mut plain) {
                    Class::Foreign => ControlFlow::Continue(()),
                    Class::Normal(name) => visit(&entry, name.as_bytes()),
                    Class::Odd => {
                        let table = match &aliases {
                            Some(table) => Arc::clone(table),
                            None => match self.alias_table(parent) {
                                Ok(table) => Arc::clone(aliases.insert(table)),
                                Err(e) => {
                                    failed = Some(e);
                                    return ControlFlow::Break(());
                                }
                            },
                        };
                        match table.shown_as(entry.name) {
                            Some(name) => visit(&entry, name.as_bytes()),
                            None => ControlFlow::Continue(()),
                        }
                    }
                };
                if flow.is_continue() {
                    scout.end(self, &content, entry.next);
                }
                flow
            })?;
        failed.map_or(Ok(()), Err)
    }

    /// The kind to tell with a plain name. A wrapper is a directory unless it says otherwise, which
    /// costs a look inside.
    fn listed_kind(&self, parent: &Arc<Node<S>>, entry: &DirEntry<'_>) -> NodeKind {
        if matches!(entry.name, b"." | b"..") {
            return NodeKind::Directory;
        }
        if entry.kind == Some(Kind::File) {
            return NodeKind::File;
        }
        let probed = self.content_dir(parent).and_then(|content| {
            let node_name = NodeName::new(entry.name)?;
            let path = node_name.join(DIR_FILE);
            if self.store.stat_beneath(&content, path.as_bytes()).is_ok() {
                return Ok(NodeKind::Directory);
            }
            Ok(self.probe(&content, &node_name)?.kind())
        });
        probed.unwrap_or(NodeKind::File)
    }
}

/// The inode number of an entry that was not looked up.
fn listed_ino<S: Store>(parent: &Arc<Node<S>>, entry: &DirEntry<'_>) -> u64 {
    match entry.name {
        b"." => parent.id.0,
        b".." => parent
            .place
            .lock()
            .as_ref()
            .map_or(parent.id.0, |p| p.parent.id.0),
        _ => entry.ino.max(1),
    }
}
