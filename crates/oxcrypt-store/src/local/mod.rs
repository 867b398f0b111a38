//! A directory of the host, by way of handles.
//!
//! Every name is resolved below an open directory without following links, so nothing outside the
//! vault can be reached even while somebody else rearranges it.

mod attr;
mod data;
mod handle;
mod list;
mod names;
mod pattern;
mod watch;

use std::ops::ControlFlow;
use std::path::Path;

use rustix::fs::{CWD, Mode};

pub use handle::{LocalDir, LocalFile};
pub use watch::{WatchEvent, WatchId, Watcher};

use crate::error::{Result, StoreError};
use crate::mountinfo;
use crate::store::{Node, Store};
use crate::timing::{Phase, Span};
use crate::types::{
    Capabilities, Cookie, DirEntry, Incarnation, Latency, OpenMode, RenameMode, Space, Stat,
    TimeSet, Timestamp,
};

/// A vault directory on this machine.
#[derive(Debug)]
pub struct LocalStore {
    root: LocalDir,
    capabilities: Capabilities,
}

impl LocalStore {
    /// Opens an existing directory; links in `path` itself are followed, as the user named it.
    ///
    /// # Errors
    /// `NotFound`, `NotDirectory`, `PermissionDenied`.
    pub fn open(path: &Path) -> Result<Self> {
        let root = LocalDir::open_path(path)?;
        let capabilities = capabilities_of(&root)?;
        Ok(Self { root, capabilities })
    }

    /// Makes the directory if it is missing (not its parents), then opens it.
    ///
    /// # Errors
    /// As [`LocalStore::open`], and those of making a directory.
    pub fn create(path: &Path, mode: u32) -> Result<Self> {
        match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(mode)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Self::open(path),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Network and user-space file systems: slow, and blind to changes made elsewhere.
const REMOTE_TYPES: [u32; 9] = [
    0x6969,      // NFS
    0x517B,      // SMB
    0xFF53_4D42, // CIFS
    0xFE53_4D42, // SMB2
    0x6573_5546, // FUSE
    0x0102_1997, // 9p
    0x00C3_6400, // Ceph
    0x5346_414F, // AFS
    0x7375_7245, // Coda
];
/// FAT and exFAT: neither links nor holes.
const PLAIN_TYPES: [u32; 2] = [0x4D44, 0x2011_BAB0];

const EXT_TYPE: u32 = 0xEF53;
/// A file and its name are made in one transaction, and a sync of the file ends it.
const NAMED_BY_SYNC: [u32; 2] = [
    0x5846_5342, // XFS
    0x9123_683E, // Btrfs
];

/// Whether a sync of a new file makes its name durable. Ext4 does it, with a journal and without; its
/// number is also that of ext2, which does not.
fn syncs_take_names(root: &LocalDir, magic: u32) -> bool {
    NAMED_BY_SYNC.contains(&magic) || magic == EXT_TYPE && is_ext4(root).unwrap_or(false)
}

fn is_ext4(root: &LocalDir) -> Option<bool> {
    let device = rustix::fs::fstat(root).ok()?.st_dev;
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    let table = std::fs::read(mountinfo::TABLE).ok()?;
    let mount = mountinfo::parse(&table).find(|m| (m.major, m.minor) == device)?;
    Some(mount.kind == b"ext4")
}

fn capabilities_of(root: &LocalDir) -> Result<Capabilities> {
    // The magic number is 32 bits wide whatever the width of the field.
    let magic = rustix::fs::fstatfs(root).map_err(StoreError::from)?.f_type as u32;
    let remote = REMOTE_TYPES.contains(&magic);
    let plain = PLAIN_TYPES.contains(&magic);
    Ok(Capabilities {
        in_place_write: true,
        atomic_rename: true,
        hard_links: !plain,
        holes: !plain,
        latency: if remote {
            Latency::Slow
        } else {
            Latency::Local
        },
        watchable: !remote,
        sync_takes_name: syncs_take_names(root, magic),
    })
}

impl Store for LocalStore {
    type Dir = LocalDir;
    type File = LocalFile;

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn now(&self) -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Timestamp {
            secs: now.tv_sec,
            nanos: u32::try_from(now.tv_nsec).unwrap_or(0),
        }
    }

    fn incarnation(&self) -> Result<Incarnation> {
        attr::incarnation(&self.root)
    }

    fn root(&self) -> LocalDir {
        self.root.clone()
    }

    fn open_dir(&self, at: &LocalDir, name: &[u8]) -> Result<LocalDir> {
        let _io = Span::of(Phase::Io);
        names::open_dir(at, name)
    }

    fn stat(&self, at: &LocalDir, name: &[u8]) -> Result<Stat> {
        let _io = Span::of(Phase::Io);
        attr::stat(at, name)
    }

    fn stat_beneath(&self, at: &LocalDir, name: &[u8]) -> Result<Stat> {
        let _io = Span::of(Phase::Io);
        attr::stat_beneath(at, name)
    }

    fn stat_dir(&self, dir: &LocalDir) -> Result<Stat> {
        let _io = Span::of(Phase::Io);
        attr::stat_fd(dir)
    }

    fn stat_file(&self, file: &LocalFile) -> Result<Stat> {
        let _io = Span::of(Phase::Io);
        attr::stat_fd(file)
    }

    fn list(
        &self,
        at: &LocalDir,
        from: Cookie,
        buf_hint: usize,
        visit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        list::list(at, from, buf_hint, visit)
    }

    fn create_dir(&self, at: &LocalDir, name: &[u8], mode: u32) -> Result<()> {
        let _io = Span::of(Phase::Io);
        names::create_dir(at, name, mode)
    }

    fn remove_dir(&self, at: &LocalDir, name: &[u8]) -> Result<()> {
        let _io = Span::of(Phase::Io);
        names::remove(at, name, rustix::fs::AtFlags::REMOVEDIR)
    }

    fn remove_file(&self, at: &LocalDir, name: &[u8]) -> Result<()> {
        let _io = Span::of(Phase::Io);
        names::remove(at, name, rustix::fs::AtFlags::empty())
    }

    fn rename(
        &self,
        from_at: &LocalDir,
        from: &[u8],
        to_at: &LocalDir,
        to: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        let _io = Span::of(Phase::Io);
        names::rename(from_at, from, to_at, to, mode)
    }

    fn link(&self, from_at: &LocalDir, from: &[u8], to_at: &LocalDir, to: &[u8]) -> Result<()> {
        let _io = Span::of(Phase::Io);
        names::link(from_at, from, to_at, to)
    }

    fn open(&self, at: &LocalDir, name: &[u8], mode: OpenMode) -> Result<LocalFile> {
        let _io = Span::of(Phase::Io);
        names::open(at, name, mode)
    }

    fn read_at(&self, file: &LocalFile, buf: &mut [u8], offset: u64) -> Result<usize> {
        let _io = Span::of(Phase::Io);
        data::read_at(file, buf, offset)
    }

    fn write_at(&self, file: &LocalFile, data: &[u8], offset: u64) -> Result<()> {
        let _io = Span::of(Phase::Io);
        data::write_at(file, data, offset)
    }

    fn set_len(&self, file: &LocalFile, len: u64) -> Result<()> {
        let _io = Span::of(Phase::Io);
        data::set_len(file, len)
    }

    fn allocate(&self, file: &LocalFile, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        let _io = Span::of(Phase::Io);
        data::allocate(file, offset, len, keep_size)
    }

    fn sync_data(&self, file: &LocalFile) -> Result<()> {
        let _io = Span::of(Phase::Io);
        data::retry(|| rustix::fs::fdatasync(file))
    }

    fn sync_all(&self, file: &LocalFile) -> Result<()> {
        let _io = Span::of(Phase::Io);
        data::retry(|| rustix::fs::fsync(file))
    }

    fn sync_dir(&self, dir: &LocalDir) -> Result<()> {
        let _io = Span::of(Phase::Io);
        data::retry(|| rustix::fs::fsync(dir))
    }

    fn sync_everything(&self) -> Result<()> {
        let _io = Span::of(Phase::Io);
        data::retry(|| rustix::fs::syncfs(&self.root))
    }

    fn set_times(
        &self,
        node: Node<'_, Self>,
        atime: Option<TimeSet>,
        mtime: Option<TimeSet>,
    ) -> Result<()> {
        let _io = Span::of(Phase::Io);
        attr::set_times(node, atime, mtime)
    }

    fn set_mode(&self, node: Node<'_, Self>, mode: u32) -> Result<()> {
        let _io = Span::of(Phase::Io);
        attr::set_mode(node, mode)
    }

    fn set_owner(&self, node: Node<'_, Self>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let _io = Span::of(Phase::Io);
        attr::set_owner(node, uid, gid)
    }

    fn space(&self) -> Result<Space> {
        let _io = Span::of(Phase::Io);
        attr::space(&self.root)
    }

    fn read_small(&self, at: &LocalDir, name: &[u8], max_len: usize) -> Result<Vec<u8>> {
        let _io = Span::of(Phase::Io);
        data::read_small(at, name, max_len)
    }
}
