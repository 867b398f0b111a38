//! Building and removing the directories that wrap a type file.
//!
//! A new wrapper is built under a temporary name, which every reader ignores, and appears under its
//! final name complete, by one rename. A wrapper is removed under a temporary name: a crash in between
//! leaves what nobody sees, never a node without content.

use std::sync::Arc;

use oxcrypt_store::{OpenMode, RenameMode, Store, StoreErrorKind};

use crate::error::{Error, ErrorKind, Result};
use crate::node::Node;
use crate::resolve::{NAME_FILE, NodeName, Sealed};
use crate::types::{Caller, Durability};
use crate::vault_fs::VaultFs;

/// Mode of wrappers and their small files; access to a node is governed by its content's mode.
const WRAPPER_MODE: u32 = 0o777;
const SMALL_FILE_MODE: u32 = 0o666;

impl<S: Store> VaultFs<S> {
    /// Builds a wrapper with one more file by `fill` and moves it to its final name, which must be
    /// free.
    pub(crate) fn build_wrapper(
        &self,
        content: &S::Dir,
        sealed: &Sealed,
        fill: impl FnOnce(&NodeName) -> Result<()>,
    ) -> Result<()> {
        let temp = self.temp_wrapper(content, sealed, fill)?;
        let (a, b) = (temp.as_bytes(), sealed.node_name.as_bytes());
        Ok(self
            .store
            .rename(content, a, content, b, RenameMode::NoReplace)
            .inspect_err(|_| self.discard_wrapper(content, &temp))?)
    }

    /// Builds a wrapper under a temporary name.
    pub(crate) fn temp_wrapper(
        &self,
        content: &S::Dir,
        sealed: &Sealed,
        fill: impl FnOnce(&NodeName) -> Result<()>,
    ) -> Result<NodeName> {
        let temp = NodeName::new(&self.temp_name())?;
        self.store
            .create_dir(content, temp.as_bytes(), WRAPPER_MODE)?;
        let built = self
            .write_name_file(content, &temp, sealed)
            .and_then(|()| fill(&temp));
        if built.is_err() {
            self.discard_wrapper(content, &temp);
        }
        built.map(|()| temp)
    }

    /// Writes `name.c9s` into a wrapper whose name is shortened; otherwise does nothing.
    pub(crate) fn write_name_file(
        &self,
        content: &S::Dir,
        wrapper: &NodeName,
        sealed: &Sealed,
    ) -> Result<()> {
        match &sealed.full {
            Some(full) => self.write_small(content, &wrapper.join(NAME_FILE), full.full()),
            None => Ok(()),
        }
    }

    /// Writes a small new file, replacing what is there.
    pub(crate) fn write_small(
        &self,
        content: &S::Dir,
        path: &NodeName,
        bytes: &[u8],
    ) -> Result<()> {
        let mode = OpenMode::new_file(SMALL_FILE_MODE);
        let file = match self.store.open(content, path.as_bytes(), mode) {
            Ok(file) => file,
            Err(e) if e.kind == StoreErrorKind::Exists => {
                let file = self
                    .store
                    .open(content, path.as_bytes(), OpenMode::READ_WRITE)?;
                self.store.set_len(&file, 0)?;
                file
            }
            Err(e) => return Err(e.into()),
        };
        self.write_before_link(&file, bytes)
    }

    /// Writes the content of a small file whose node is about to appear, so that after a power cut
    /// the node is not there without it.
    ///
    /// Hosts order names, but they write data when they like. With a journal nothing needs to be done
    /// about it: after a power cut a new node without its small file is seen and removed, as if it had
    /// not been made yet, and `fsync` of anything below syncs the small file too.
    ///
    /// Without one it is left to the host. Those that matter (ext4, XFS, btrfs) start to write a file
    /// when it is closed if it was emptied before, against just this damage, and ext4 then lets no
    /// later name become durable before the data. A sync would be certain everywhere.
    pub(crate) fn write_before_link(&self, file: &S::File, bytes: &[u8]) -> Result<()> {
        let looked_after = self.journal.is_some() && self.options.durability == Durability::Normal;
        if looked_after || self.options.durability == Durability::None {
            return Ok(self.store.write_at(file, bytes, 0)?);
        }
        self.store.write_at(file, &bytes[..bytes.len().min(1)], 0)?;
        self.store.set_len(file, 0)?;
        self.store.write_at(file, bytes, 0)?;
        if self.options.durability == Durability::Strict {
            self.store.sync_data(file)?;
        }
        Ok(())
    }

    /// Removes a wrapper that holds nothing but the files of the format. Anything else in it stays,
    /// and the wrapper with it. It goes out of sight first: half of one would be damage. After an
    /// error it is there as before.
    pub(crate) fn remove_wrapper(
        &self,
        content: &S::Dir,
        wrapper: &NodeName,
        inner: &[u8],
    ) -> Result<()> {
        let temp = match self.set_aside(content, wrapper) {
            Err(e) if e.kind == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        if let Err(e) = self.remove_if_there(content, &temp.join(inner)) {
            let (a, b) = (temp.as_bytes(), wrapper.as_bytes());
            let _ = self
                .store
                .rename(content, a, content, b, RenameMode::NoReplace);
            return Err(e);
        }
        if let Err(e) = self.remove_emptied(content, wrapper, &temp) {
            tracing::warn!(error = %e, "remains of a removed node are left, out of sight");
        }
        Ok(())
    }

    fn remove_emptied(&self, content: &S::Dir, wrapper: &NodeName, temp: &NodeName) -> Result<()> {
        if wrapper.is_long() {
            self.remove_if_there(content, &temp.join(NAME_FILE))?;
        }
        match self.store.remove_dir(content, temp.as_bytes()) {
            Err(e) if e.kind == StoreErrorKind::NotEmpty => {
                self.remove_leftovers(content, wrapper, temp)
            }
            other => Ok(other?),
        }
    }

    /// A wrapper may hold a superfluous `name.c9s` or our own temporary files.
    fn remove_leftovers(
        &self,
        content: &S::Dir,
        wrapper: &NodeName,
        temp: &NodeName,
    ) -> Result<()> {
        self.remove_if_there(content, &temp.join(NAME_FILE))?;
        self.remove_if_there(content, &temp.join(NEW_NAME_FILE))?;
        match self.store.remove_dir(content, temp.as_bytes()) {
            Err(e) if e.kind == StoreErrorKind::NotEmpty => {
                // Foreign files: the node is gone, its remains are left to the owner.
                let (a, b) = (temp.as_bytes(), wrapper.as_bytes());
                self.store
                    .rename(content, a, content, b, RenameMode::NoReplace)?;
                self.event(crate::event::EventKind::ForeignFile, wrapper.as_bytes());
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// Renames a node to a temporary name, out of everybody's sight.
    pub(crate) fn set_aside(&self, content: &S::Dir, name: &NodeName) -> Result<NodeName> {
        let temp = NodeName::new(&self.temp_name())?;
        let (a, b) = (name.as_bytes(), temp.as_bytes());
        self.store
            .rename(content, a, content, b, RenameMode::NoReplace)?;
        Ok(temp)
    }

    /// Removes an unfinished wrapper; errors leave it behind, where nobody sees it.
    pub(crate) fn discard_wrapper(&self, content: &S::Dir, temp: &NodeName) {
        use crate::resolve::{CONTENTS_FILE, DIR_FILE, SYMLINK_FILE};
        for inner in [
            NAME_FILE,
            NEW_NAME_FILE,
            DIR_FILE,
            SYMLINK_FILE,
            CONTENTS_FILE,
        ] {
            let _ = self.store.remove_file(content, temp.join(inner).as_bytes());
        }
        let _ = self.store.remove_dir(content, temp.as_bytes());
    }

    pub(crate) fn remove_if_there(&self, content: &S::Dir, path: &NodeName) -> Result<()> {
        match self.store.remove_file(content, path.as_bytes()) {
            Err(e) if e.kind != StoreErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// Gives a new object to the caller, where the mount serves many users; the group is the
    /// directory's if that has its set-group-id bit.
    pub(crate) fn own_new(
        &self,
        at: oxcrypt_store::Node<'_, S>,
        parent: &Arc<Node<S>>,
        caller: Caller,
    ) -> Result<()> {
        if !self.options.own_by_caller {
            return Ok(());
        }
        let parent_stat = self.store.stat_dir(&self.content_dir(parent)?)?;
        let gid = if parent_stat.mode & 0o2000 != 0 {
            parent_stat.gid
        } else {
            caller.gid
        };
        self.store
            .set_owner(at, Some(caller.uid), Some(gid))
            .map_err(Error::from)
    }
}

/// The next `name.c9s` of a wrapper that is about to be renamed.
pub(crate) const NEW_NAME_FILE: &[u8] = b"name.c9s.new";
