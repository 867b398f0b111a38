//! The allocator, and what it keeps.

#[cfg(not(feature = "ablation"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "ablation")]
#[global_allocator]
static ALLOCATOR: choice::Choice = choice::Choice;

#[expect(unsafe_code, reason = "the allocator's crate does not declare it")]
mod foreign {
    // SAFETY: mimalloc's own function, linked with the allocator above; it takes any value.
    unsafe extern "C" {
        pub(super) safe fn mi_collect(force: bool);
    }
}

/// Gives freed memory back to the system now. Deriving a key takes 32 MiB and more, once, which the
/// allocator would keep for a process that never needs as much again.
pub(crate) fn give_back() {
    foreign::mi_collect(true);
}

/// The system's allocator instead, to measure what ours gains.
#[cfg(feature = "ablation")]
#[expect(unsafe_code, reason = "an allocator cannot be had without")]
mod choice {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicU8, Ordering};

    use mimalloc::MiMalloc;

    pub(super) struct Choice;

    const SYSTEM: u8 = 1;
    const OURS: u8 = 2;
    static CHOSEN: AtomicU8 = AtomicU8::new(0);

    /// Decided once, before the first allocation: memory goes back to where it came from.
    fn is_system() -> bool {
        match CHOSEN.load(Ordering::Relaxed) {
            0 => {
                // SAFETY: the name ends with a zero; nobody changes the environment before `main`.
                let set = !unsafe { libc::getenv(c"OXCRYPT_NO_MIMALLOC".as_ptr()) }.is_null();
                CHOSEN.store(if set { SYSTEM } else { OURS }, Ordering::Relaxed);
                set
            }
            chosen => chosen == SYSTEM,
        }
    }

    // SAFETY: every request goes unchanged to one of two allocators, always the same one.
    unsafe impl GlobalAlloc for Choice {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller keeps the contract of `alloc`.
            unsafe {
                if is_system() {
                    System.alloc(layout)
                } else {
                    MiMalloc.alloc(layout)
                }
            }
        }

        unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
            // SAFETY: the caller keeps the contract of `dealloc`.
            unsafe {
                if is_system() {
                    System.dealloc(ptr, layout);
                } else {
                    MiMalloc.dealloc(ptr, layout);
                }
            }
        }
    }
}
