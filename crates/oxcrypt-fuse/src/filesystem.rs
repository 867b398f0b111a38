//! The adapter: decode, call, reply. No rule of the file system lives here.
//!
//! Metadata, reads and writes are answered inline on the reader thread. Only what really waits for
//! the disk (fsync) is handed to the pool; its reply travels with it.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use oxcrypt_store::Store;
use oxcrypt_vfs::{
    AllocateMode, Caller, Entry, Error, ErrorKind, NodeId, RenameFlags, SeekTarget, SetAttr,
    VaultFs,
};

use crate::attr::{file_attr, file_type, no_node, time_change};
use crate::errno::errno;
use crate::meter::Meter;
use crate::options::MountOptions;
use crate::pool::Pool;

/// Node ids are never reused while the kernel knows them, so one generation is enough.
const GENERATION: Generation = Generation(0);
/// Largest read the kernel sends (256 pages).
const MAX_READ: usize = 1 << 20;
/// Ciphertext entries taken at once for a listing reply.
const LIST_ROOM: usize = 32 * 1024;

thread_local! {
    /// Decrypted bytes on their way to the kernel: reused, so that its pages are touched already.
    static REPLY: RefCell<zeroize::Zeroizing<Vec<u8>>> = RefCell::default();
}

/// Serves one mounted vault to the kernel.
pub(crate) struct Adapter<S: Store> {
    pub(crate) vfs: Arc<VaultFs<S>>,
    pub(crate) options: MountOptions,
    pub(crate) pool: Pool,
    pub(crate) meter: Arc<Meter>,
}

fn fail(e: Error) -> Errno {
    errno(e.kind)
}

fn node(ino: INodeNo) -> NodeId {
    NodeId(ino.0)
}

fn caller(req: &Request) -> Caller {
    Caller {
        uid: req.uid(),
        gid: req.gid(),
    }
}

impl<S: Store> Adapter<S> {
    fn entry(&self, result: Result<Entry, Error>, reply: ReplyEntry) {
        match result {
            Ok(e) => {
                reply.entry(
                    &self.options.ttl,
                    &file_attr(&e.attr, &self.options),
                    GENERATION,
                );
            }
            Err(e) => reply.error(fail(e)),
        }
    }

    fn empty(result: Result<(), Error>, reply: ReplyEmpty) {
        match result {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(fail(e)),
        }
    }
}

impl<S: Store> Filesystem for Adapter<S> {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let mut wanted = InitFlags::FUSE_ASYNC_DIO
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_READDIRPLUS_AUTO
            | InitFlags::FUSE_CACHE_SYMLINKS
            | InitFlags::FUSE_EXPLICIT_INVAL_DATA
            | InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP;
        if self.options.writeback {
            wanted |= InitFlags::FUSE_WRITEBACK_CACHE;
        }
        if self.options.zero_message_open {
            wanted |= InitFlags::FUSE_NO_OPEN_SUPPORT | InitFlags::FUSE_NO_OPENDIR_SUPPORT;
        }
        // An older kernel lacks some; each is an optimisation only, but zero-message open must be
        // answered as the kernel understands it.
        let offered = config.capabilities();
        self.options.zero_message_open &=
            offered.contains(InitFlags::FUSE_NO_OPEN_SUPPORT | InitFlags::FUSE_NO_OPENDIR_SUPPORT);
        let _ = config.add_capabilities(wanted & offered);
        let _ = config.set_max_background(64);
        let _ = config.set_max_write(MAX_READ as u32);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.meter.request();
        match self.vfs.lookup(node(parent), name.as_bytes()) {
            Err(e) if e.kind == ErrorKind::NotFound && self.vfs.watches(node(parent)) => {
                reply.entry(&self.options.negative_ttl, &no_node(), GENERATION);
            }
            result => self.entry(result, reply),
        }
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.vfs.forget(node(ino), nlookup);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.meter.request();
        match self.vfs.getattr(node(ino)) {
            Ok(attr) => {
                reply.attr(self.options.ttl_of(&attr), &file_attr(&attr, &self.options));
            }
            Err(e) => reply.error(fail(e)),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<std::time::SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<std::time::SystemTime>,
        _chgtime: Option<std::time::SystemTime>,
        _bkuptime: Option<std::time::SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.meter.request();
        let change = SetAttr {
            mode,
            uid,
            gid,
            size,
            atime: atime.map(time_change),
            mtime: mtime.map(time_change),
        };
        match self.vfs.setattr(node(ino), change) {
            Ok(attr) => {
                reply.attr(self.options.ttl_of(&attr), &file_attr(&attr, &self.options));
            }
            Err(e) => reply.error(fail(e)),
        }
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        self.meter.request();
        match self.vfs.readlink(node(ino)) {
            Ok(target) => reply.data(&target),
            Err(e) => reply.error(fail(e)),
        }
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        self.meter.request();
        const FILE_TYPE: u32 = 0o170_000;
        const REGULAR: u32 = 0o100_000;
        // The format knows no devices, fifos and sockets.
        if mode & FILE_TYPE != REGULAR && mode & FILE_TYPE != 0 {
            return reply.error(Errno::EPERM);
        }
        self.entry(
            self.vfs
                .create(caller(req), node(parent), name.as_bytes(), mode),
            reply,
        );
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        self.meter.request();
        self.entry(
            self.vfs
                .mkdir(caller(req), node(parent), name.as_bytes(), mode),
            reply,
        );
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.meter.request();
        Self::empty(self.vfs.unlink(node(parent), name.as_bytes()), reply);
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.meter.request();
        Self::empty(self.vfs.rmdir(node(parent), name.as_bytes()), reply);
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        self.meter.request();
        let target = target.as_os_str().as_bytes();
        let name = link_name.as_bytes();
        self.entry(
            self.vfs.symlink(caller(req), node(parent), name, target),
            reply,
        );
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: fuser::RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.meter.request();
        let flags = if flags.is_empty() {
            RenameFlags::Replace
        } else if flags == fuser::RenameFlags::RENAME_NOREPLACE {
            RenameFlags::NoReplace
        } else if flags == fuser::RenameFlags::RENAME_EXCHANGE {
            RenameFlags::Exchange
        } else {
            return reply.error(Errno::EINVAL);
        };
        let (from, to) = (name.as_bytes(), newname.as_bytes());
        Self::empty(
            self.vfs
                .rename(node(parent), from, node(newparent), to, flags),
            reply,
        );
    }

    fn link(
        &self,
        _req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        self.meter.request();
        self.entry(
            self.vfs
                .link(node(ino), node(newparent), newname.as_bytes()),
            reply,
        );
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if self.options.zero_message_open {
            reply.error(Errno::ENOSYS);
        } else {
            reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.meter.request();
        REPLY.with_borrow_mut(|buf| {
            let size = (size as usize).min(MAX_READ);
            if buf.len() < size {
                buf.resize(size, 0);
            }
            match self.vfs.read(node(ino), offset, &mut buf[..size]) {
                Ok(len) => {
                    self.meter.read(len);
                    reply.data(&buf[..len]);
                }
                Err(e) => reply.error(fail(e)),
            }
        });
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        const O_APPEND: i32 = 0o2000;
        self.meter.request();
        // From the page cache, the kernel already knows where appended bytes belong.
        let cached = write_flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        let result = if flags.0 & O_APPEND != 0 && !cached && !self.options.writeback {
            self.vfs.append(node(ino), data).map(|_| ())
        } else {
            self.vfs.write(node(ino), offset, data)
        };
        match result {
            Ok(()) => {
                self.meter.written(data.len());
                reply.written(data.len() as u32);
            }
            Err(e) => reply.error(fail(e)),
        }
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        // Nothing is buffered here: never ask again.
        reply.error(Errno::ENOSYS);
    }

    fn fsync(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.meter.request();
        let vfs = Arc::clone(&self.vfs);
        self.pool
            .run(move || Self::empty(vfs.fsync(node(ino), datasync), reply));
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if self.options.zero_message_open {
            reply.error(Errno::ENOSYS);
        } else {
            reply.opened(
                FileHandle(0),
                FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR,
            );
        }
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.meter.request();
        let listed = self.vfs.list(node(ino), offset, LIST_ROOM, &mut |item| {
            let name = OsStr::from_bytes(item.name);
            if reply.add(INodeNo(item.ino), item.next, file_type(item.kind), name) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(fail(e)),
        }
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.meter.request();
        let listed = self
            .vfs
            .list_plus(node(ino), offset, LIST_ROOM / 4, &mut |item, entry| {
                let name = OsStr::from_bytes(item.name);
                let (ttl, attr) = match entry {
                    Some(e) => (
                        *self.options.ttl_of(&e.attr),
                        file_attr(&e.attr, &self.options),
                    ),
                    // Node 0: a name and a kind, nothing to remember.
                    None => {
                        let kind = file_type(item.kind);
                        (Duration::ZERO, fuser::FileAttr { kind, ..no_node() })
                    }
                };
                if reply.add(attr.ino, item.next, name, &ttl, &attr, GENERATION) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
        match listed {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(fail(e)),
        }
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.meter.request();
        let vfs = Arc::clone(&self.vfs);
        self.pool
            .run(move || Self::empty(vfs.fsync_dir(node(ino)), reply));
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        match self.vfs.space() {
            Ok(s) => {
                let (unit, name_max) = (s.block_size, s.name_max);
                let (files, ffree) = (s.files, s.files_free);
                reply.statfs(
                    s.blocks,
                    s.free,
                    s.available,
                    files,
                    ffree,
                    unit,
                    name_max,
                    unit,
                );
            }
            Err(e) => reply.error(fail(e)),
        }
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        self.meter.request();
        const O_EXCL: i32 = 0o200;
        const O_TRUNC: i32 = 0o1000;
        let (parent, name) = (node(parent), name.as_bytes());
        let result = match self.vfs.create(caller(req), parent, name, mode) {
            // Somebody else was faster than the kernel's own lookup.
            Err(e) if e.kind == ErrorKind::Exists && flags & O_EXCL == 0 => {
                self.vfs.lookup(parent, name).and_then(|mut entry| {
                    if flags & O_TRUNC != 0 {
                        let cut = SetAttr {
                            size: Some(0),
                            ..SetAttr::default()
                        };
                        entry.attr = self.vfs.setattr(entry.node, cut)?;
                    }
                    Ok(entry)
                })
            }
            result => result,
        };
        match result {
            Ok(e) => {
                let attr = file_attr(&e.attr, &self.options);
                let flags = FopenFlags::FOPEN_KEEP_CACHE;
                reply.created(
                    self.options.ttl_of(&e.attr),
                    &attr,
                    GENERATION,
                    FileHandle(0),
                    flags,
                );
            }
            Err(e) => reply.error(fail(e)),
        }
    }

    fn fallocate(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.meter.request();
        const KEEP_SIZE: i32 = 1;
        const PUNCH_HOLE: i32 = 2;
        const ZERO_RANGE: i32 = 16;
        let mode = match mode {
            0 => AllocateMode::Grow,
            KEEP_SIZE => AllocateMode::KeepSize,
            m if m == PUNCH_HOLE | KEEP_SIZE => AllocateMode::PunchHole,
            ZERO_RANGE => AllocateMode::ZeroRange,
            m if m == ZERO_RANGE | KEEP_SIZE => AllocateMode::ZeroRangeKeepSize,
            _ => return reply.error(Errno::EOPNOTSUPP),
        };
        Self::empty(self.vfs.allocate(node(ino), offset, length, mode), reply);
    }

    fn lseek(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        self.meter.request();
        const SEEK_DATA: i32 = 3;
        const SEEK_HOLE: i32 = 4;
        let target = match whence {
            SEEK_DATA => SeekTarget::Data,
            SEEK_HOLE => SeekTarget::Hole,
            _ => return reply.error(Errno::EINVAL),
        };
        let Ok(offset) = u64::try_from(offset) else {
            return reply.error(Errno::ENXIO);
        };
        match self.vfs.seek(node(ino), offset, target) {
            Ok(found) => reply.offset(i64::try_from(found).unwrap_or(i64::MAX)),
            Err(e) => reply.error(fail(e)),
        }
    }

    fn copy_file_range(
        &self,
        _req: &Request,
        ino_in: INodeNo,
        _fh_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        _fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        self.meter.request();
        // One reply counts in 32 bits, and a step this long does not keep a reader for long.
        let len = len.min(8 << 20);
        let copied = self
            .vfs
            .copy_range(node(ino_in), offset_in, node(ino_out), offset_out, len);
        match copied {
            Ok(n) => reply.written(n as u32),
            Err(e) => reply.error(fail(e)),
        }
    }

    fn setxattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        // Once refused so, the kernel asks no more: otherwise every write would probe one.
        reply.error(Errno::ENOSYS);
    }

    fn getxattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _size: u32,
        reply: fuser::ReplyXattr,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _req: &Request, _ino: INodeNo, _size: u32, reply: fuser::ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn removexattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }
}
