//! Whole pages from the system, guarded on both sides.

use std::ffi::c_void;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use zeroize::Zeroize;

/// Writable pages between two that cannot be touched; wiped and given back when dropped.
#[derive(Debug)]
pub(crate) struct Pages {
    /// The lower guard page; the writable ones follow.
    map: NonNull<c_void>,
    page: usize,
    /// Bytes of the writable pages.
    len: usize,
    locked: bool,
}

impl Pages {
    /// Room for a value of this size.
    ///
    /// # Panics
    /// When the system has no memory left, or for an alignment beyond a page.
    pub(crate) fn new(size: usize, align: usize) -> Self {
        let page = rustix::param::page_size();
        assert!(align <= page, "pages are aligned to pages");
        let len = size.max(1).next_multiple_of(page);
        let all = len + 2 * page;
        // SAFETY: a fresh private mapping at an address the system chooses touches nothing else.
        #[expect(unsafe_code, reason = "this crate's purpose")]
        let map = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                all,
                ProtFlags::empty(),
                MapFlags::PRIVATE,
            )
        };
        let map = NonNull::new(map.expect("the system has memory for a key"))
            .expect("a mapping is not at address 0");
        let mut pages = Self {
            map,
            page,
            len,
            locked: false,
        };
        let start = pages.start::<c_void>().as_ptr();
        // SAFETY: `start` and `len` are the inner pages of the mapping just made; nobody else
        // knows of it. Advice and locking do not change what it holds.
        #[expect(unsafe_code, reason = "this crate's purpose")]
        unsafe {
            rustix::mm::mprotect(start, len, MprotectFlags::READ | MprotectFlags::WRITE)
                .expect("pages just mapped can be made writable");
            // Both fail only on kernels that do not know them.
            let _ = rustix::mm::madvise(start, len, Advice::LinuxDontDump);
            let _ = rustix::mm::madvise(start, len, Advice::LinuxWipeOnFork);
            pages.locked = rustix::mm::mlock(start, len).is_ok();
        }
        pages
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }

    /// The first writable byte.
    pub(crate) fn start<T>(&self) -> NonNull<T> {
        // SAFETY: one page into a mapping of at least three.
        #[expect(unsafe_code, reason = "this crate's purpose")]
        unsafe {
            self.map.byte_add(self.page).cast()
        }
    }

    /// Puts a value at the start.
    pub(crate) fn put<T>(&self, value: T) {
        debug_assert!(size_of::<T>() <= self.len, "room was made for it");
        // SAFETY: there is room for it, at an address aligned to a page, and nothing is there yet.
        #[expect(unsafe_code, reason = "this crate's purpose")]
        unsafe {
            self.start::<T>().write(value);
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the pages are writable and ours; the value in them was dropped before.
        #[expect(unsafe_code, reason = "this crate's purpose")]
        unsafe {
            std::slice::from_raw_parts_mut(self.start::<u8>().as_ptr(), self.len).zeroize();
            // Unmapping unlocks as well.
            let _ = rustix::mm::munmap(self.map.as_ptr(), self.len + 2 * self.page);
        }
    }
}
