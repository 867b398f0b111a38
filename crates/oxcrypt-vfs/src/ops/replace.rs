//! Moving a node over another one.
//!
//! The name that is taken over changes from old to new in one step of the store, and at no moment a
//! node that can be seen lacks its content:
//! - A plain file goes over the content of the other file, by one rename.
//! - What stands in a wrapper gets a second name out of sight first, which goes over the target; then
//!   the wrapper goes.
//! - Directories have no second names: the two wrappers swap, and the empty directory goes from the old
//!   name.
//!
//! CRASH: between the steps a crash leaves both names of what was moved, or, of directories, the empty
//! one that was replaced under the old name; and an orphaned, empty content directory.

use oxcrypt_store::{RenameMode, Store};

use super::rename::{Side, no_hard_links};
use crate::error::{Error, ErrorKind, Result};
use crate::resolve::{CONTENTS_FILE, Content, DIR_FILE, Found, NAME_FILE, NodeName, SYMLINK_FILE};
use crate::types::NodeKind;
use crate::vault_fs::VaultFs;

impl<S: Store> VaultFs<S> {
    /// Moves a node over another one.
    pub(super) fn replace(
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
            self.replace_same_kind(from, source, to, target)?;
            self.touch_parents([from, to], [source, target]);
        } else {
            self.replace_other_kind(from, source, to, target)?;
        }
        if let Some(victim) = victim {
            self.name_gone(&victim, to.parent, to.name_bytes(), target.stat.nlink);
        }
        self.moved(from, source, to);
        Ok(())
    }

    /// The type file of the source goes over that of the target, whatever the form of their names.
    fn replace_same_kind(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
        target: &Found<S>,
    ) -> Result<()> {
        self.make_form_durable(to, target)?;
        let (source_file, target_file) = (source.type_path(), target.type_path());
        let (a, b) = (source_file.as_bytes(), target_file.as_bytes());
        let over = |dir: &S::Dir, name: &[u8]| {
            self.store
                .rename(dir, name, &to.content, b, RenameMode::Replace)
        };
        if source.is_plain_file() {
            return Ok(over(&from.content, a)?);
        }
        let temp = NodeName::new(&self.temp_name())?;
        let linked = self
            .store
            .link(&from.content, a, &to.content, temp.as_bytes());
        match linked.map_err(Error::from) {
            Ok(()) => {
                over(&to.content, temp.as_bytes()).inspect_err(|_| {
                    let _ = self.remove_if_there(&to.content, &temp);
                })?;
            }
            // The emptied wrapper can be seen for a moment.
            Err(e) if no_hard_links(&e) => over(&from.content, a)?,
            Err(e) => return Err(e),
        }
        self.remove_old(&from.content, &source.node_name, &source_file)
    }

    /// A file over a symbolic link, or the other way round.
    fn replace_other_kind(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
        target: &Found<S>,
    ) -> Result<()> {
        if !to.stores(target) {
            // A node shown under another name than its own must first be given that name.
            return Err(ErrorKind::Unsupported.into());
        }
        let temp = match self.second_name(from, source, to) {
            Ok(temp) => temp,
            Err(e) if no_hard_links(&e) => {
                self.exchange_nodes(from, source, to, target)?;
                let remains = self.probe(&from.content, &source.node_name)?;
                return self.remove_type_file(&from.content, &remains);
            }
            Err(e) => return Err(e),
        };
        let (a, b) = (temp.as_bytes(), target.node_name.as_bytes());
        let swapped = self
            .store
            .rename(&to.content, a, &to.content, b, RenameMode::Exchange);
        // What was replaced, or what could not replace it.
        if self.store.remove_file(&to.content, a).is_err() {
            self.discard_wrapper(&to.content, &temp);
        }
        swapped?;
        self.remove_old(&from.content, &source.node_name, &source.type_path())
    }

    /// A second name of a file or link, out of sight, in the form that the name of `to` asks for.
    fn second_name(
        &self,
        from: &Side<'_, S>,
        source: &Found<S>,
        to: &Side<'_, S>,
    ) -> Result<NodeName> {
        let source_file = source.type_path();
        let link = |name: &NodeName| {
            let (a, b) = (source_file.as_bytes(), name.as_bytes());
            Ok(self.store.link(&from.content, a, &to.content, b)?)
        };
        let inner = match source.content {
            Content::File if to.sealed.full.is_none() => {
                let temp = NodeName::new(&self.temp_name())?;
                return link(&temp).map(|()| temp);
            }
            Content::File => CONTENTS_FILE,
            Content::Symlink => SYMLINK_FILE,
            Content::Dir { .. } => return Err(ErrorKind::Internal.into()),
        };
        self.temp_wrapper(&to.content, &to.sealed, |temp| {
            if to.sealed.full.is_some() {
                self.make_name_durable(&to.content, temp, NAME_FILE)?;
            }
            link(&temp.join(inner))
        })
    }

    /// Removes the node of something that is under its new name already.
    fn remove_old(&self, content: &S::Dir, node: &NodeName, type_file: &NodeName) -> Result<()> {
        if !node.is_wrapper_of(type_file) {
            return self.remove_if_there(content, type_file);
        }
        let inner = &type_file.as_bytes()[node.as_bytes().len() + 1..];
        let Err(e) = self.remove_wrapper(content, node, inner) else {
            return Ok(());
        };
        // It would be there twice: rather half of it for a moment than all of it for ever.
        tracing::debug!(error = %e, "the old node of a rename is removed in its place");
        self.remove_if_there(content, type_file)?;
        self.discard_wrapper(content, node);
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
        match self.swap_nodes(from, source, to, target) {
            Ok(()) => self
                .settle_name(to, source)
                .inspect_err(|_| self.swap_back(from, source, to, target))?,
            // The emptied wrapper can be seen for a moment.
            Err(e) if matches!(e.kind, ErrorKind::Unsupported | ErrorKind::InvalidArgument) => {
                self.make_form_durable(to, target)?;
                self.store.rename(
                    &from.content,
                    source.type_path().as_bytes(),
                    &to.content,
                    target.type_path().as_bytes(),
                    RenameMode::Replace,
                )?;
            }
            Err(e) => return Err(e),
        }
        let type_file = source.node_name.join(DIR_FILE);
        self.remove_old(&from.content, &source.node_name, &type_file)?;
        self.touch_parents([from, to], [source, target]);
        if let Some(victim) = &victim {
            self.keep_dir(victim, handle);
        }
        if let Err(e) = self.remove_content_dir(hash, handle, &litter) {
            tracing::warn!(error = %e, "an orphaned content directory is left for `check`");
        }
        if let Some(victim) = victim {
            self.name_gone(&victim, to.parent, to.name_bytes(), 1);
        }
        self.moved(from, source, to);
        Ok(())
    }
}
