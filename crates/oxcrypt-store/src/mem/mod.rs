//! A store in memory that behaves like a directory of the host.
//!
//! Hard links, link counts, times, listing cookies and errors follow
//! [`LocalStore`](crate::LocalStore); permissions are kept but not enforced. Time steps by one
//! microsecond with each change, so runs repeat exactly. Files are kept in pages: a length of
//! terabytes costs nothing until it is written.
//!
//! What was synced is remembered apart, so a test can ask what a power cut would have left:
//! [`MemStore::after_power_cut`].

mod content;
mod crash;
mod object;
mod tree;

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Result, StoreErrorKind};
use crate::store::{Node, Store};
use crate::types::{
    Capabilities, Cookie, DirEntry, Incarnation, Kind, Latency, OpenMode, RenameMode, Space, Stat,
    TimeSet, Timestamp,
};
use object::{Clock, Object};

/// An open directory of a [`MemStore`].
#[derive(Clone, Debug)]
pub struct MemDir(Arc<Object>);

/// An open file of a [`MemStore`].
#[derive(Debug)]
pub struct MemFile {
    object: Arc<Object>,
    read: bool,
    write: bool,
}

/// A tree of objects in memory; a clone shares it.
#[derive(Clone, Debug)]
pub struct MemStore {
    root: Arc<Object>,
    clock: Arc<Clock>,
    /// Held by every call that reads or changes names, so that a rename is seen whole.
    tree: Arc<Mutex<()>>,
    capabilities: Capabilities,
    /// Power cuts so far.
    cuts: u64,
}

impl MemStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capabilities(Capabilities {
            in_place_write: true,
            atomic_rename: true,
            hard_links: true,
            holes: true,
            latency: Latency::Local,
            watchable: false,
            sync_takes_name: false,
        })
    }

    /// An empty store that announces these capabilities; `link` fails without `hard_links`.
    #[must_use]
    pub fn with_capabilities(capabilities: Capabilities) -> Self {
        let clock = Arc::new(Clock::default());
        Self {
            root: Object::new_dir(&clock, 0o755),
            clock,
            tree: Arc::new(Mutex::new(())),
            capabilities,
            cuts: 0,
        }
    }

    /// Puts something foreign (a link, pipe or device) under a name of one component.
    ///
    /// # Errors
    /// `Exists`; `InvalidInput` for files and directories, which have their own calls.
    pub fn plant(&self, at: &MemDir, name: &[u8], kind: Kind) -> Result<()> {
        if matches!(kind, Kind::File | Kind::Dir) {
            return Err(StoreErrorKind::InvalidInput.into());
        }
        let _tree = self.tree.lock();
        at.0.insert_new(&self.clock, name, Object::new_other(&self.clock, kind))
    }
}

impl Default for MemStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemStore {
    type Dir = MemDir;
    type File = MemFile;

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn now(&self) -> Timestamp {
        self.clock.step()
    }

    fn incarnation(&self) -> Result<Incarnation> {
        let mut bytes = [0; Incarnation::LEN];
        bytes[..8].copy_from_slice(&self.cuts.to_le_bytes());
        Ok(Incarnation(bytes))
    }

    fn root(&self) -> MemDir {
        MemDir(Arc::clone(&self.root))
    }

    fn open_dir(&self, at: &MemDir, name: &[u8]) -> Result<MemDir> {
        let _tree = self.tree.lock();
        let object = tree::find(&at.0, name)?;
        if object.kind() != Kind::Dir {
            return Err(StoreErrorKind::NotDirectory.into());
        }
        Ok(MemDir(object))
    }

    fn stat(&self, at: &MemDir, name: &[u8]) -> Result<Stat> {
        crate::name::one(name)?;
        self.stat_beneath(at, name)
    }

    fn stat_beneath(&self, at: &MemDir, name: &[u8]) -> Result<Stat> {
        let _tree = self.tree.lock();
        Ok(tree::find(&at.0, name)?.stat())
    }

    fn stat_dir(&self, dir: &MemDir) -> Result<Stat> {
        Ok(dir.0.stat())
    }

    fn stat_file(&self, file: &MemFile) -> Result<Stat> {
        Ok(file.object.stat())
    }

    fn list(
        &self,
        at: &MemDir,
        from: Cookie,
        buf_hint: usize,
        visit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        tree::list(self, &at.0, from, buf_hint, visit)
    }

    fn create_dir(&self, at: &MemDir, name: &[u8], mode: u32) -> Result<()> {
        let _tree = self.tree.lock();
        let (dir, last) = tree::parent(&at.0, name)?;
        dir.insert_new(&self.clock, last, Object::new_dir(&self.clock, mode))
    }

    fn remove_dir(&self, at: &MemDir, name: &[u8]) -> Result<()> {
        tree::remove_dir(self, &at.0, name)
    }

    fn remove_file(&self, at: &MemDir, name: &[u8]) -> Result<()> {
        tree::remove_file(self, &at.0, name)
    }

    fn rename(
        &self,
        from_at: &MemDir,
        from: &[u8],
        to_at: &MemDir,
        to: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        tree::rename(self, (&from_at.0, from), (&to_at.0, to), mode)
    }

    fn link(&self, from_at: &MemDir, from: &[u8], to_at: &MemDir, to: &[u8]) -> Result<()> {
        if !self.capabilities.hard_links {
            return Err(StoreErrorKind::PermissionDenied.into());
        }
        tree::link(self, (&from_at.0, from), (&to_at.0, to))
    }

    fn open(&self, at: &MemDir, name: &[u8], mode: OpenMode) -> Result<MemFile> {
        tree::open(self, &at.0, name, mode)
    }

    fn read_at(&self, file: &MemFile, buf: &mut [u8], offset: u64) -> Result<usize> {
        if !file.read {
            return Err(StoreErrorKind::InvalidInput.into());
        }
        file.object
            .with_content(|content, _| content.read_at(buf, offset))
    }

    fn write_at(&self, file: &MemFile, data: &[u8], offset: u64) -> Result<()> {
        file.change(&self.clock, |content| content.write_at(data, offset))
    }

    fn set_len(&self, file: &MemFile, len: u64) -> Result<()> {
        file.change(&self.clock, |content| content.set_len(len))
    }

    fn allocate(&self, file: &MemFile, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        file.change(&self.clock, |content| {
            content.allocate(offset, len, keep_size)
        })
    }

    fn sync_data(&self, file: &MemFile) -> Result<()> {
        file.object.sync();
        Ok(())
    }

    fn sync_all(&self, file: &MemFile) -> Result<()> {
        file.object.sync();
        Ok(())
    }

    fn sync_dir(&self, dir: &MemDir) -> Result<()> {
        let _tree = self.tree.lock();
        dir.0.sync();
        Ok(())
    }

    fn sync_everything(&self) -> Result<()> {
        let _tree = self.tree.lock();
        self.root.sync_tree();
        Ok(())
    }

    fn set_times(
        &self,
        node: Node<'_, Self>,
        atime: Option<TimeSet>,
        mtime: Option<TimeSet>,
    ) -> Result<()> {
        let now = self.clock.step();
        let pick = |set| match set {
            TimeSet::Now => now,
            TimeSet::At(time) => time,
        };
        self.resolve(node)?.change_attributes(now, |attributes| {
            attributes.atime = atime.map_or(attributes.atime, pick);
            attributes.mtime = mtime.map_or(attributes.mtime, pick);
        });
        Ok(())
    }

    fn set_mode(&self, node: Node<'_, Self>, mode: u32) -> Result<()> {
        let object = self.resolve(node)?;
        if object.kind() == Kind::Symlink {
            return Err(StoreErrorKind::Unsupported.into());
        }
        object.change_attributes(self.clock.step(), |attributes| {
            attributes.mode = mode & 0o7777;
        });
        Ok(())
    }

    fn set_owner(&self, node: Node<'_, Self>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
            return Err(StoreErrorKind::InvalidInput.into());
        }
        self.resolve(node)?
            .change_attributes(self.clock.step(), |attributes| {
                attributes.uid = uid.unwrap_or(attributes.uid);
                attributes.gid = gid.unwrap_or(attributes.gid);
            });
        Ok(())
    }

    fn space(&self) -> Result<Space> {
        Ok(Space {
            block_size: 4096,
            blocks: 1 << 28,
            free: 1 << 27,
            avail: 1 << 27,
            files: 1 << 24,
            files_free: 1 << 23,
            name_max: 255,
        })
    }

    fn read_small(&self, at: &MemDir, name: &[u8], max_len: usize) -> Result<Vec<u8>> {
        let file = self.open(at, name, OpenMode::READ)?;
        let size = usize::try_from(file.object.stat().size).unwrap_or(usize::MAX);
        if size > max_len {
            return Err(StoreErrorKind::TooLarge.into());
        }
        let mut bytes = vec![0; size];
        let read = self.read_at(&file, &mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

impl MemStore {
    fn resolve(&self, node: Node<'_, Self>) -> Result<Arc<Object>> {
        match node {
            Node::File(file) => Ok(Arc::clone(&file.object)),
            Node::Dir(dir) => Ok(Arc::clone(&dir.0)),
            Node::Name(at, name) => {
                let _tree = self.tree.lock();
                tree::find(&at.0, name)
            }
        }
    }
}
