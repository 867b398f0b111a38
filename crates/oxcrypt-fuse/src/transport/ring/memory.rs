//! Memory shared with the kernel, and the two calls that need it: all `unsafe` of this crate.
//!
//! A [`Mapping`] lives until it is dropped and is reached through offsets that are checked. What the
//! kernel may write at any time is read through atomics only; the rest belongs either to us or to the
//! kernel, and the caller keeps account of that: see `uring`, the only user.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::io_uring::{
    IoringEnterFlags, io_uring_enter_arg, io_uring_getevents_arg, io_uring_params, io_uring_ptr,
    io_uring_setup,
};
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::thread::Timespec;

/// Pages of our address space.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it is memory, owned by this value, and bound to no thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Zeroed memory; a page becomes resident when it is touched.
    pub(super) fn anonymous(len: usize) -> io::Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
            )?
        };
        let mapping = Self::of(start, len)?;
        // Large pages would make much resident that is not used; core files must not have it.
        for advice in [Advice::LinuxNoHugepage, Advice::LinuxDontDump] {
            // SAFETY: neither changes what the memory holds. Refused, nothing depends on it.
            let _ = unsafe { rustix::mm::madvise(start, len, advice) };
        }
        Ok(mapping)
    }

    /// A part of a ring.
    pub(super) fn of_ring(ring: &OwnedFd, len: usize, offset: u64) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::POPULATE,
                ring,
                offset,
            )?
        };
        Self::of(start, len)
    }

    fn of(start: *mut std::ffi::c_void, len: usize) -> io::Result<Self> {
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        let end = offset.checked_add(len);
        assert!(end.is_some_and(|end| end <= self.len), "beyond the mapping");
        // SAFETY: within the mapping, as was just checked.
        unsafe { self.start.as_ptr().add(offset) }
    }

    /// The address the kernel is told.
    pub(super) fn address(&self, offset: usize, len: usize) -> u64 {
        self.at(offset, len) as u64
    }

    /// A number that both sides read and write.
    pub(super) fn atomic(&self, offset: usize) -> &AtomicU32 {
        let number = self.at(offset, 4).cast::<u32>();
        assert!(number.is_aligned(), "not a place for a number");
        // SAFETY: aligned, within the mapping, which lives as long as the reference; nobody reaches
        // these bytes but through atomics.
        unsafe { AtomicU32::from_ptr(number) }
    }

    /// Copies bytes out. They must not be the kernel's to write just now.
    pub(super) fn read<const N: usize>(&self, offset: usize) -> [u8; N] {
        let from = self.at(offset, N).cast::<[u8; N]>();
        // SAFETY: within the mapping; bytes have no alignment and no invalid value.
        unsafe { from.read() }
    }

    /// Copies bytes in. They must not be the kernel's just now.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: within the mapping, and `bytes` is no part of it: it is borrowed exclusively.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Bytes that are ours just now.
    pub(super) fn bytes_mut(&mut self, offset: usize, len: usize) -> &mut [u8] {
        let start = self.at(offset, len);
        // SAFETY: within the mapping, initialised by the kernel to zero, borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }

    /// Gives the pages back; they read as zero afterwards. The kernel must not be writing.
    pub(super) fn release(&mut self, offset: usize, len: usize) {
        let start = self.at(offset, len).cast();
        // SAFETY: within an anonymous mapping, and no reference into it exists.
        let _ = unsafe { rustix::mm::madvise(start, len, Advice::LinuxDontNeed) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference into it is left.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Makes a ring.
pub(super) fn setup(entries: u32, params: &mut io_uring_params) -> io::Result<OwnedFd> {
    // SAFETY: the flags that are used here ask for no memory of ours.
    Ok(unsafe { io_uring_setup(entries, params)? })
}

/// Submits `submit` commands; waits for one to complete if `wait` says so, and how long.
///
/// # Safety
/// Memory that the commands name must stay until they are completed, and must not be used meanwhile.
pub(super) unsafe fn enter(
    ring: impl AsFd,
    submit: u32,
    wait: bool,
    patience: Option<Duration>,
) -> rustix::io::Result<u32> {
    let time = patience.map(|t| Timespec {
        tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: t.subsec_nanos().into(),
    });
    let mut arg = io_uring_getevents_arg::default();
    if let Some(time) = &time {
        arg.ts = io_uring_ptr::new(std::ptr::from_ref(time).cast_mut().cast());
    }
    let flags = IoringEnterFlags::GETEVENTS | IoringEnterFlags::EXT_ARG;
    // SAFETY: the time outlives the call; the rest is the caller's promise.
    unsafe { io_uring_enter_arg(ring, submit, u32::from(wait), flags, Some(&arg)) }
}
