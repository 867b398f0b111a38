//! The allocator, and what it keeps.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
