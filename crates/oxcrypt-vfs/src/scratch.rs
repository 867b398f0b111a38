//! One reused, already touched buffer of ciphertext per thread.
//!
//! Ciphertext needs no wiping, and a request never outlives the thread it runs on, so a plain
//! thread-local vector is the whole pool. It keeps at most [`KEEP`] bytes between requests.

use std::cell::RefCell;

/// Fits the greatest run of chunks that is moved at once.
const KEEP: usize = 640 * 1024;

crate::sync::thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` bytes with unspecified content. Not reentrant.
pub(crate) fn with<R>(len: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
    BUFFER.with(|buffer| {
        let buffer = &mut *buffer.borrow_mut();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let result = f(&mut buffer[..len]);
        if buffer.len() > KEEP {
            buffer.truncate(KEEP);
            buffer.shrink_to_fit();
        }
        result
    })
}
