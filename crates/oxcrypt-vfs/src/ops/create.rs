//! Making files, directories and symbolic links.

use std::sync::Arc;

use oxcrypt_core::name::CleartextName;
use oxcrypt_core::rng::with_rng;
use oxcrypt_core::{DirId, LinkTarget, MAX_SYMLINK_FILE_LEN, TargetError};
use oxcrypt_store::{Node as StoreNode, OpenMode, Stat, Store, StoreErrorKind};

use crate::error::{Error, ErrorKind, Result};
use crate::node::{Backing, Body, NAME_AS_MADE, NAMES_UNSYNCED, Node};
use crate::resolve::{
    CONTENTS_FILE, Content, DIR_FILE, DIRID_FILE, Found, NodeName, SYMLINK_FILE, Sealed,
    type_file_error,
};
use crate::sync::atomic::Ordering;
use crate::types::{Caller, Entry, NodeId, NodeKind};
use crate::vault_fs::{VaultFs, hash_path};

impl<S: Store> VaultFs<S> {
    /// Makes a regular file and takes a lookup on it.
    ///
    /// # Errors
    /// `Exists` when the name is taken.
    pub fn create(&self, caller: Caller, parent: NodeId, name: &[u8], mode: u32) -> Result<Entry> {
        self.writable()?;
        self.with_room(|| self.create_now(caller, parent, name, mode))
    }

    fn create_now(&self, caller: Caller, parent: NodeId, name: &[u8], mode: u32) -> Result<Entry> {
        let parent = self.node(parent)?;
        let name = CleartextName::parse(name)?;
        let dir = parent.dir()?;
        let _names = dir.names_exclusive();
        let content = self.content_dir(&parent)?;
        self.refuse_alias(&parent, &content, &name)?;
        let sealed = self.seal(dir, &name)?;
        let mode = mode & 0o7777;
        if sealed.full.is_some() {
            // Building a wrapper in vain would change the times of the directory.
            self.refuse_taken(&parent, &content, &name)?;
        }
        let file = self.make_file(&content, &sealed, mode)?;
        if self.options.own_by_caller {
            self.own_new(StoreNode::File(&file), &parent, caller)?;
            // Giving a file away clears its set-id bits.
            self.store.set_mode(StoreNode::File(&file), mode)?;
        }
        let stat = self.store.stat_file(&file)?;
        if sealed.full.is_some() {
            self.note_name(&parent, &content, sealed.node_name.as_bytes());
        } else if self.is_watching() {
            let node_name = sealed.node_name.as_bytes();
            self.own_names.note(parent.id, node_name, Some(stat.id));
        }
        Ok(self.intern_new_file(&parent, &name, &sealed, file, &stat))
    }

    /// Makes the empty ciphertext file of a new regular file, in a wrapper where its name is
    /// shortened.
    pub(crate) fn make_file(
        &self,
        content: &S::Dir,
        sealed: &Sealed,
        mode: u32,
    ) -> Result<S::File> {
        let mode = OpenMode::new_file(mode);
        if sealed.full.is_none() {
            return Ok(self
                .store
                .open(content, sealed.node_name.as_bytes(), mode)?);
        }
        let mut made = None;
        self.build_wrapper(content, sealed, |temp| {
            let path = temp.join(CONTENTS_FILE);
            made = Some(self.store.open(content, path.as_bytes(), mode)?);
            Ok(())
        })?;
        made.ok_or(ErrorKind::Internal.into())
    }

    fn intern_new_file(
        &self,
        parent: &Arc<Node<S>>,
        name: &CleartextName<'_>,
        sealed: &Sealed,
        file: S::File,
        stat: &Stat,
    ) -> Entry {
        let node = self
            .nodes
            .intern(stat.id, NodeKind::File, || Body::File(Box::default()));
        node.set_place(parent, name.as_str().as_bytes());
        if let Body::File(state) = &node.body {
            let mut io = state.io.write();
            io.backing = Some(Backing {
                file,
                writable: true,
            });
            io.cipher_len = 0;
            io.durable_len = 0;
            io.header = None;
            self.ensure_header(&mut io);
            state.used.store(true, Ordering::Relaxed);
            // A wrapper is made elsewhere and moved here.
            let plain = sealed.full.is_none();
            let names = if plain { NAME_AS_MADE } else { NAMES_UNSYNCED };
            state.names_synced.store(names, Ordering::Release);
        }
        if sealed.full.is_some()
            && let Ok(content) = self.content_dir(parent)
        {
            self.watch_wrapper(&node, parent, &content, sealed.node_name.as_bytes());
        }
        self.mark_changed(parent);
        self.open_files.opened(&node);
        self.pending.add(&node);
        Entry {
            node: node.id,
            attr: self.attr_from(&node, stat),
        }
    }

    /// Makes a directory and takes a lookup on it.
    ///
    /// CRASH: the content directory with its id backup comes first and is harmless on its own; the
    /// node appears last, complete.
    ///
    /// # Errors
    /// `Exists` when the name is taken.
    pub fn mkdir(&self, caller: Caller, parent: NodeId, name: &[u8], mode: u32) -> Result<Entry> {
        self.writable()?;
        self.with_room(|| self.mkdir_now(caller, parent, name, mode))
    }

    fn mkdir_now(&self, caller: Caller, parent: NodeId, name: &[u8], mode: u32) -> Result<Entry> {
        let parent = self.node(parent)?;
        let name = CleartextName::parse(name)?;
        let dir = parent.dir()?;
        let _names = dir.names_exclusive();
        let content = self.content_dir(&parent)?;
        self.refuse_taken(&parent, &content, &name)?;
        let sealed = self.seal(dir, &name)?;
        let dir_id = with_rng(DirId::random);
        let hash = self.cryptor.dir_hash(&dir_id);
        let path = hash_path(&hash);
        let mode = mode & 0o7777;
        // While it is being filled, the directory must be open to us.
        self.make_content_dir(&path, mode & 0o1777 | 0o700)?;
        let made = self
            .fill_new_dir(&parent, &path, &dir_id, caller, mode)
            .and_then(|handle| {
                self.build_wrapper(&content, &sealed, |temp| {
                    self.write_small(&content, &temp.join(DIR_FILE), dir_id.as_bytes())
                })?;
                Ok(handle)
            });
        let handle = made.inspect_err(|_| self.discard_content_dir(&path))?;
        let stat = self.store.stat_dir(&handle)?;
        self.note_name(&parent, &content, sealed.node_name.as_bytes());
        self.mark_changed(&parent);
        let content = Content::Dir {
            dir_id,
            hash,
            handle,
        };
        let found = Found {
            node_name: sealed.node_name,
            content,
            stat,
        };
        let (node, entry) = self.intern_found(&parent, name.as_str().as_bytes(), &found)?;
        let state = node.dir()?;
        state.unsynced.store(true, Ordering::Release);
        state.fresh.store(true, Ordering::Release);
        Ok(entry)
    }

    /// Makes `XX/YYYY…`; the two-letter directory may exist.
    fn make_content_dir(&self, path: &[u8; 33], mode: u32) -> Result<()> {
        match self.store.create_dir(&self.data_dir, path, mode) {
            Err(e) if e.kind == StoreErrorKind::NotFound => {}
            other => return Ok(other?),
        }
        match self.store.create_dir(&self.data_dir, &path[..2], 0o777) {
            Err(e) if e.kind != StoreErrorKind::Exists => return Err(e.into()),
            _ => {}
        }
        Ok(self.store.create_dir(&self.data_dir, path, mode)?)
    }

    fn fill_new_dir(
        &self,
        parent: &Arc<Node<S>>,
        path: &[u8; 33],
        dir_id: &DirId,
        caller: Caller,
        mode: u32,
    ) -> Result<S::Dir> {
        let handle = self.store.open_dir(&self.data_dir, path)?;
        self.write_dirid_backup(&handle, dir_id)?;
        let mut wanted = mode;
        if self.options.own_by_caller {
            // Set-group-id is inherited by directories, as everywhere on Linux.
            let parent_stat = self.store.stat_dir(&self.content_dir(parent)?)?;
            wanted |= parent_stat.mode & 0o2000;
            self.own_new(StoreNode::Dir(&handle), parent, caller)?;
        }
        if wanted != mode & 0o1777 | 0o700 {
            self.store.set_mode(StoreNode::Dir(&handle), wanted)?;
        }
        Ok(handle)
    }

    /// Writes `dirid.c9r`, from which an orphaned content directory can be recovered.
    pub(crate) fn write_dirid_backup(&self, handle: &S::Dir, dir_id: &DirId) -> Result<()> {
        let backup = with_rng(|rng| oxcrypt_core::seal_dir_id_file(&self.cryptor, dir_id, rng));
        self.write_small(handle, &NodeName::new(DIRID_FILE)?, &backup)
    }

    fn discard_content_dir(&self, path: &[u8; 33]) {
        if let Ok(handle) = self.store.open_dir(&self.data_dir, path) {
            let _ = self.store.remove_file(&handle, DIRID_FILE);
        }
        let _ = self.store.remove_dir(&self.data_dir, path);
    }

    /// Makes a symbolic link and takes a lookup on it.
    ///
    /// # Errors
    /// `Exists`; `InvalidName` for a target that is not UTF-8; `NameTooLong` beyond 4095 bytes.
    pub fn symlink(
        &self,
        caller: Caller,
        parent: NodeId,
        name: &[u8],
        target: &[u8],
    ) -> Result<Entry> {
        self.writable()?;
        self.with_room(|| self.symlink_now(caller, parent, name, target))
    }

    fn symlink_now(
        &self,
        caller: Caller,
        parent: NodeId,
        name: &[u8],
        target: &[u8],
    ) -> Result<Entry> {
        let target = LinkTarget::parse(target).map_err(|e| match e {
            TargetError::TooLong => ErrorKind::NameTooLong,
            TargetError::Empty => ErrorKind::NotFound,
            TargetError::Nul | TargetError::NotUtf8 => ErrorKind::InvalidName,
        })?;
        let parent = self.node(parent)?;
        let name = CleartextName::parse(name)?;
        let dir = parent.dir()?;
        let _names = dir.names_exclusive();
        let content = self.content_dir(&parent)?;
        self.refuse_taken(&parent, &content, &name)?;
        let sealed = self.seal(dir, &name)?;
        let ciphertext = with_rng(|rng| oxcrypt_core::seal_symlink(&self.cryptor, &target, rng));
        let mut stat = None;
        self.build_wrapper(&content, &sealed, |temp| {
            let path = temp.join(SYMLINK_FILE);
            let file = self
                .store
                .open(&content, path.as_bytes(), OpenMode::new_file(0o666))?;
            self.write_before_link(&file, &ciphertext)?;
            self.own_new(StoreNode::File(&file), &parent, caller)?;
            stat = Some(self.store.stat_file(&file)?);
            Ok(())
        })?;
        self.note_name(&parent, &content, sealed.node_name.as_bytes());
        self.mark_changed(&parent);
        let stat = stat.ok_or(ErrorKind::Internal)?;
        let found = Found {
            node_name: sealed.node_name,
            content: Content::Symlink,
            stat,
        };
        Ok(self
            .intern_found(&parent, name.as_str().as_bytes(), &found)?
            .1)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `Corrupt` when it does not authenticate or is no path.
    pub fn readlink(&self, id: NodeId) -> Result<Vec<u8>> {
        let node = self.node(id)?;
        if node.kind() != NodeKind::Symlink {
            return Err(ErrorKind::InvalidArgument.into());
        }
        let read = self.at_its_place(&node, |place| {
            let name = CleartextName::parse(&place.name)?;
            let content = self.content_dir(&place.parent)?;
            let path = self.locate(&place.parent, &name)?.type_path();
            self.store
                .read_small(&content, path.as_bytes(), MAX_SYMLINK_FILE_LEN)
                .map_err(type_file_error)
        })?;
        let bytes = read.ok_or(ErrorKind::Stale)?;
        match oxcrypt_core::open_symlink(&self.cryptor, &bytes) {
            // A program would take an empty target for something else than what was sealed.
            Ok(target) if !target.is_empty() => Ok(target.into_bytes()),
            Ok(_) | Err(_) => Err(self.corrupt(&node, "symlink")),
        }
    }

    /// Fails with `Exists` when `name` leads to any node, also a damaged one.
    pub(crate) fn refuse_taken(
        &self,
        parent: &Arc<Node<S>>,
        content: &S::Dir,
        name: &CleartextName<'_>,
    ) -> Result<()> {
        let sealed = self.seal(parent.dir()?, name)?;
        match self.store.stat(content, sealed.node_name.as_bytes()) {
            Ok(_) => Err(ErrorKind::Exists.into()),
            Err(e) if e.kind == StoreErrorKind::NotFound => {
                self.refuse_alias(parent, content, name)
            }
            Err(e) => Err(Error::from(e)),
        }
    }

    /// Fails with `Exists` when a node is *shown* under `name` without being stored under it.
    fn refuse_alias(
        &self,
        parent: &Arc<Node<S>>,
        content: &S::Dir,
        name: &CleartextName<'_>,
    ) -> Result<()> {
        match self.alias_target(parent, content, name)? {
            Some(_) => Err(ErrorKind::Exists.into()),
            None => Ok(()),
        }
    }

    /// Notes that names in `parent` changed: they are not durable yet.
    pub(crate) fn mark_changed(&self, parent: &Arc<Node<S>>) {
        if let Ok(dir) = parent.dir() {
            dir.unsynced.store(true, Ordering::Release);
        }
    }
}
