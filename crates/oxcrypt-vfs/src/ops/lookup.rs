//! Finding nodes and letting go of them.

use std::sync::Arc;

use oxcrypt_store::Store;

use crate::error::Result;
use crate::node::{Body, Node};
use crate::resolve::parse_lookup;
use crate::sync::atomic::Ordering;
use crate::types::{Entry, NodeId};
use crate::vault_fs::VaultFs;

impl<S: Store> VaultFs<S> {
    /// Finds `name` in a directory and takes a lookup on it.
    ///
    /// # Errors
    /// `NotFound`; `Damaged` for a node that has lost its type or content; `Loop` for a second way
    /// into a directory.
    pub fn lookup(&self, parent: NodeId, name: &[u8]) -> Result<Entry> {
        let parent = self.node(parent)?;
        if name == b".." || name == b"." {
            return self.lookup_dots(&parent, name);
        }
        let name = parse_lookup(name)?;
        let _names = parent.dir()?.names_shared();
        let found = self.locate(&parent, &name)?;
        Ok(self
            .intern_found(&parent, name.as_str().as_bytes(), &found)?
            .1)
    }

    /// `.` and `..` are asked for only by servers that re-export a mount.
    fn lookup_dots(&self, node: &Arc<Node<S>>, name: &[u8]) -> Result<Entry> {
        let up = if name == b".." {
            node.place.lock().as_ref().map(|p| Arc::clone(&p.parent))
        } else {
            None
        };
        let target = up.unwrap_or_else(|| Arc::clone(node));
        let content = self.content_dir(&target)?;
        let stat = self.store.stat_dir(&content)?;
        if target.id != NodeId::ROOT {
            self.nodes.intern(target.identity, target.kind(), || {
                unreachable!("the node is known")
            });
        }
        Ok(Entry {
            node: target.id,
            attr: self.attr_from(&target, &stat),
        })
    }

    /// Gives back `count` lookups. A frontend keeps a directory as long as it holds anything below
    /// it by that name. With the last one the node is gone: its descriptor closes, and
    /// the content of a file without a name with it.
    pub fn forget(&self, id: NodeId, count: u64) {
        // Who looks it up again in a moment gets another node, and must find everything in place.
        if let Some(node) = self.nodes.get(id)
            && node.lookups() <= count
        {
            self.leave_in_order(&node);
        }
        let Some(node) = self.nodes.forget(id, count) else {
            self.let_go_of_removed(id);
            return;
        };
        self.note_departure(&node);
        self.unwatch_wrapper(&node);
        self.unwatch_dir(&node);
        self.leave_in_order(&node);
    }

    /// Keeps or writes what only the node knows.
    fn leave_in_order(&self, node: &Arc<Node<S>>) {
        match &node.body {
            Body::Dir(dir) => {
                if dir.fresh.load(Ordering::Acquire) && !node.is_nameless() {
                    self.forgotten.note(node.identity);
                }
            }
            Body::File(file) => {
                let mut io = file.io.write();
                if !node.is_nameless()
                    && let Err(e) = self.write_pending_header(node, &mut io)
                {
                    tracing::error!(error = %e, "cannot write the header of a new file");
                }
            }
            Body::Symlink => {}
        }
    }
}
