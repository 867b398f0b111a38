//! The requests.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite,
    Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{self, AtFlags, Mode, OFlags, Stat};

use super::attr::{attr, kind, timespec};
use super::faults::{Fault, Faults};
use super::inodes::{Inodes, Node};

const LIFETIME: Duration = Duration::from_secs(86_400);
const GENERATION: Generation = Generation(0);
const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

#[derive(Debug)]
struct Listing {
    entries: Vec<(CString, FileType)>,
}

#[derive(Debug)]
pub(crate) struct Through {
    inodes: Inodes,
    files: Mutex<HashMap<u64, Arc<OwnedFd>>>,
    listings: Mutex<HashMap<u64, Arc<Listing>>>,
    last_handle: AtomicU64,
    faults: Faults,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_i32(error.raw_os_error())
}

/// Answers with the error, or goes on with the value.
macro_rules! or_error {
    ($reply:ident, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return $reply.error(errno(error)),
        }
    };
}

impl Through {
    pub(crate) fn new(source: &Path, fault: Option<Fault>) -> io::Result<Self> {
        let root = fs::open(
            source,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let stat = fs::fstat(&root)?;
        Ok(Self {
            inodes: Inodes::new(root, &stat),
            files: Mutex::default(),
            listings: Mutex::default(),
            last_handle: AtomicU64::new(0),
            faults: Faults::new(fault),
        })
    }

    fn node(&self, number: INodeNo) -> rustix::io::Result<Arc<Node>> {
        self.inodes.get(number).ok_or(rustix::io::Errno::STALE)
    }

    fn file(&self, handle: FileHandle) -> rustix::io::Result<Arc<OwnedFd>> {
        lock(&self.files)
            .get(&handle.0)
            .cloned()
            .ok_or(rustix::io::Errno::BADF)
    }

    fn keep(&self, fd: OwnedFd) -> FileHandle {
        let handle = self.last_handle.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.files).insert(handle, Arc::new(fd));
        FileHandle(handle)
    }

    fn find(&self, parent: INodeNo, name: &OsStr) -> rustix::io::Result<(INodeNo, Stat)> {
        let fd = fs::openat(&self.node(parent)?.fd, name, PATH_ONLY, Mode::empty())?;
        let stat = fs::fstat(&fd)?;
        Ok((self.inodes.remember(fd, &stat), stat))
    }

    fn answer_entry(&self, reply: ReplyEntry, parent: INodeNo, name: &OsStr) {
        match self.find(parent, name) {
            Ok((number, stat)) => reply.entry(&LIFETIME, &attr(number, &stat), GENERATION),
            Err(error) => reply.error(errno(error)),
        }
    }

    /// Opens what an `O_PATH` descriptor stands for.
    fn reopen(node: &Node, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        fs::open(
            through_proc(&node.fd),
            flags | OFlags::CLOEXEC,
            Mode::empty(),
        )
    }

    fn change(
        &self,
        number: INodeNo,
        mode: Option<u32>,
        owner: (Option<u32>, Option<u32>),
        size: Option<u64>,
        times: (Option<TimeOrNow>, Option<TimeOrNow>),
    ) -> rustix::io::Result<Stat> {
        let node = self.node(number)?;
        let path = through_proc(&node.fd);
        if let Some(mode) = mode {
            fs::chmod(&path, Mode::from_raw_mode(mode))?;
        }
        if owner.0.is_some() || owner.1.is_some() {
            let uid = owner.0.map(fs::Uid::from_raw);
            let gid = owner.1.map(fs::Gid::from_raw);
            fs::chownat(
                &node.fd,
                "",
                uid,
                gid,
                AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW,
            )?;
        }
        if let Some(size) = size {
            fs::ftruncate(Self::reopen(&node, OFlags::WRONLY)?, size)?;
        }
        if times.0.is_some() || times.1.is_some() {
            let stamps = fs::Timestamps {
                last_access: timespec(times.0),
                last_modification: timespec(times.1),
            };
            fs::utimensat(fs::CWD, &path, &stamps, AtFlags::empty())?;
        }
        fs::fstat(&node.fd)
    }

    fn list(&self, number: INodeNo) -> rustix::io::Result<Listing> {
        let fd = Self::reopen(&*self.node(number)?, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut entries = Vec::new();
        for entry in fs::Dir::read_from(&fd)? {
            let entry = entry?;
            entries.push((entry.file_name().to_owned(), kind(entry.file_type())));
        }
        Ok(Listing { entries })
    }

    fn listing(&self, handle: FileHandle) -> rustix::io::Result<Arc<Listing>> {
        lock(&self.listings)
            .get(&handle.0)
            .cloned()
            .ok_or(rustix::io::Errno::BADF)
    }
}

fn through_proc(fd: &OwnedFd) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

const fn is_dot(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

impl Filesystem for Through {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in [
            InitFlags::FUSE_WRITEBACK_CACHE,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
        ] {
            // What this kernel does not have stays off.
            let _ = config.add_capabilities(flag);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.faults.request();
        self.answer_entry(reply, parent, name);
    }

    fn forget(&self, _: &Request, ino: INodeNo, nlookup: u64) {
        self.inodes.forget(ino, nlookup);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.faults.request();
        let stat = or_error!(reply, self.node(ino).and_then(|node| fs::fstat(&node.fd)));
        reply.attr(&LIFETIME, &attr(ino, &stat));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.faults.request();
        let stat = or_error!(
            reply,
            self.change(ino, mode, (uid, gid), size, (atime, mtime))
        );
        reply.attr(&LIFETIME, &attr(ino, &stat));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        self.faults.request();
        let node = or_error!(reply, self.node(ino));
        let target = or_error!(reply, fs::readlinkat(&node.fd, "", Vec::new()));
        reply.data(target.as_bytes());
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        self.faults.request();
        let node = or_error!(reply, self.node(parent));
        or_error!(
            reply,
            fs::mkdirat(&node.fd, name, Mode::from_raw_mode(mode & !umask))
        );
        self.answer_entry(reply, parent, name);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.faults.request();
        let node = or_error!(reply, self.node(parent));
        or_error!(reply, fs::unlinkat(&node.fd, name, AtFlags::empty()));
        reply.ok();
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.faults.request();
        let node = or_error!(reply, self.node(parent));
        or_error!(reply, fs::unlinkat(&node.fd, name, AtFlags::REMOVEDIR));
        reply.ok();
    }

    fn symlink(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        self.faults.request();
        let node = or_error!(reply, self.node(parent));
        or_error!(reply, fs::symlinkat(target, &node.fd, name));
        self.answer_entry(reply, parent, name);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.faults.request();
        let (from, to) = (
            or_error!(reply, self.node(parent)),
            or_error!(reply, self.node(newparent)),
        );
        let flags = fs::RenameFlags::from_bits_retain(flags.bits());
        or_error!(
            reply,
            fs::renameat_with(&from.fd, name, &to.fd, newname, flags)
        );
        reply.ok();
    }

    fn link(
        &self,
        _: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        self.faults.request();
        let (node, to) = (
            or_error!(reply, self.node(ino)),
            or_error!(reply, self.node(newparent)),
        );
        or_error!(
            reply,
            fs::linkat(
                fs::CWD,
                through_proc(&node.fd),
                &to.fd,
                newname,
                AtFlags::SYMLINK_FOLLOW
            )
        );
        self.answer_entry(reply, newparent, newname);
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.faults.request();
        let node = or_error!(reply, self.node(ino));
        let fd = or_error!(reply, Self::reopen(&node, backing_flags(flags.0)));
        reply.opened(
            self.keep(fd),
            FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH,
        );
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        self.faults.request();
        let node = or_error!(reply, self.node(parent));
        let flags = backing_flags(flags) | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(mode & !umask);
        let fd = or_error!(reply, fs::openat(&node.fd, name, flags, mode));
        let (number, stat) = or_error!(reply, self.find(parent, name));
        let open = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
        reply.created(
            &LIFETIME,
            &attr(number, &stat),
            GENERATION,
            self.keep(fd),
            open,
        );
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.faults.request();
        let file = or_error!(reply, self.file(fh));
        let mut buf = vec![0; size as usize];
        let n = or_error!(reply, rustix::io::pread(&file, &mut buf, offset));
        self.faults.read(&mut buf[..n]);
        reply.data(&buf[..n]);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.faults.request();
        let file = or_error!(reply, self.file(fh));
        let n = or_error!(reply, rustix::io::pwrite(file.as_fd(), data, offset));
        reply.written(n as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        lock(&self.files).remove(&fh.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        self.faults.request();
        let file = or_error!(reply, self.file(fh));
        or_error!(
            reply,
            if datasync {
                fs::fdatasync(&file)
            } else {
                fs::fsync(&file)
            }
        );
        reply.ok();
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.faults.request();
        let listing = or_error!(reply, self.list(ino));
        let handle = self.last_handle.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.listings).insert(handle, Arc::new(listing));
        reply.opened(
            FileHandle(handle),
            FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE,
        );
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.faults.request();
        let listing = or_error!(reply, self.listing(fh));
        for (i, (name, kind)) in listing.entries.iter().enumerate().skip(offset as usize) {
            let name = OsStr::from_bytes(name.to_bytes());
            // The kernel wants some number here, and asks again before it uses it.
            let number = INodeNo(ino.0.wrapping_add(i as u64 + 2));
            if reply.add(number, i as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.faults.request();
        let listing = or_error!(reply, self.listing(fh));
        let own = or_error!(reply, self.node(ino).and_then(|node| fs::fstat(&node.fd)));
        for (i, (name, _)) in listing.entries.iter().enumerate().skip(offset as usize) {
            let (bytes, next) = (name.to_bytes(), i as u64 + 1);
            let name = OsStr::from_bytes(bytes);
            let full = if is_dot(bytes) {
                reply.add(ino, next, name, &LIFETIME, &attr(ino, &own), GENERATION)
            } else {
                // Gone since it was listed: it has no place in the answer.
                let Ok((number, stat)) = self.find(ino, name) else {
                    continue;
                };
                let full = reply.add(
                    number,
                    next,
                    name,
                    &LIFETIME,
                    &attr(number, &stat),
                    GENERATION,
                );
                if full {
                    self.inodes.forget(number, 1);
                }
                full
            };
            if full {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        lock(&self.listings).remove(&fh.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let node = or_error!(reply, self.node(ino));
        let s = or_error!(reply, fs::fstatvfs(&node.fd));
        reply.statfs(
            s.f_blocks,
            s.f_bfree,
            s.f_bavail,
            s.f_files,
            s.f_ffree,
            s.f_bsize as u32,
            s.f_namemax as u32,
            s.f_frsize as u32,
        );
    }
}

/// With write-back the kernel reads pages to complete them, even of files opened for writing only,
/// and it places appended data itself.
fn backing_flags(flags: i32) -> OFlags {
    let mut flags = OFlags::from_bits_retain(flags as u32);
    if flags.contains(OFlags::WRONLY) {
        flags.remove(OFlags::WRONLY);
        flags.insert(OFlags::RDWR);
    }
    flags.remove(OFlags::APPEND | OFlags::DIRECT | OFlags::NOFOLLOW);
    flags
}
