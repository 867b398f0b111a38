//! Buffers that are used again and again: [`ChunkBuf`] for one chunk on one thread, [`IoBuf`]
//! for a request's bytes on any thread.
//!
//! A buffer goes back when it is dropped, wiped if it may hold cleartext. The number kept is
//! bounded, per thread and overall; what is more is freed. [`set_pooling`] switches reuse off,
//! to measure what it gains.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::content::layout::CHUNK_LEN;
use crate::wipe::wipe;

/// Bytes of a [`ChunkBuf`]: the longest chunk on disk of any cipher combination.
pub const CHUNK_BUF_LEN: usize = CHUNK_LEN + 48;

const KEPT_PER_THREAD: usize = 16;

/// Buffers shared by all threads; together no more than 32 MiB.
const KEPT_SHARED: usize = 32;

/// Longer buffers are not kept.
const MAX_KEPT_LEN: usize = 1 << 20;

/// The shortest buffer worth keeping.
const MIN_IO_LEN: usize = 4096;

static POOLING: AtomicBool = AtomicBool::new(true);
static MISSES: AtomicU64 = AtomicU64::new(0);
static SHARED: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

thread_local! {
    static CHUNKS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Whether buffers are kept for reuse, from now on, in the whole process.
pub fn set_pooling(on: bool) {
    POOLING.store(on, Ordering::Relaxed);
}

fn pooling() -> bool {
    POOLING.load(Ordering::Relaxed)
}

/// How many buffers had to be allocated since the process started.
#[must_use]
pub fn pool_misses() -> u64 {
    MISSES.load(Ordering::Relaxed)
}

fn allocate(len: usize) -> Box<[u8]> {
    MISSES.fetch_add(1, Ordering::Relaxed);
    vec![0; len].into_boxed_slice()
}

/// [`CHUNK_BUF_LEN`] bytes for a chunk, cleartext or ciphertext, from this thread's pool. Not
/// `Send`: it is dropped where it was taken, so that pools cannot drain one thread and flood
/// another.
///
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<oxcrypt_core::ChunkBuf>();
/// ```
pub struct ChunkBuf {
    bytes: Box<[u8]>,
    holds_plain: bool,
    not_send: PhantomData<*const ()>,
}

impl ChunkBuf {
    /// A buffer for cleartext: wiped when dropped. Its content is unspecified.
    #[must_use]
    pub fn take() -> Self {
        Self::from_pool(true)
    }

    /// A buffer that will hold ciphertext only, and so need not be wiped. Its content is
    /// unspecified.
    #[must_use]
    pub fn take_for_cipher() -> Self {
        Self::from_pool(false)
    }

    fn from_pool(holds_plain: bool) -> Self {
        // No pool while the thread ends.
        let kept = CHUNKS
            .try_with(|pool| pool.borrow_mut().pop())
            .ok()
            .flatten();
        let bytes = kept.unwrap_or_else(|| allocate(CHUNK_BUF_LEN));
        Self {
            bytes,
            holds_plain,
            not_send: PhantomData,
        }
    }
}

impl Deref for ChunkBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for ChunkBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for ChunkBuf {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if self.holds_plain {
            wipe(&mut bytes);
        }
        if !pooling() {
            return;
        }
        // While the thread ends there is no pool: the buffer is freed.
        let _ = CHUNKS.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT_PER_THREAD {
                pool.push(bytes);
            }
        });
    }
}

impl std::fmt::Debug for ChunkBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkBuf { .. }")
    }
}

/// Bytes of one request, of the length it needs, from a pool shared by all threads. May be
/// dropped on another thread than it was taken on. Wiped when dropped.
pub struct IoBuf {
    /// At least `len` long.
    bytes: Box<[u8]>,
    len: usize,
}

impl IoBuf {
    /// A buffer of `len` bytes; their content is unspecified.
    #[must_use]
    pub fn take(len: usize) -> Self {
        let kept = if len <= MAX_KEPT_LEN {
            take_shared(len)
        } else {
            None
        };
        let bytes = kept.unwrap_or_else(|| allocate(kept_len(len)));
        Self { bytes, len }
    }

    /// A buffer that holds a copy of `content`.
    #[must_use]
    pub fn copy_of(content: &[u8]) -> Self {
        let mut buf = Self::take(content.len());
        buf.copy_from_slice(content);
        buf
    }

    /// Shortens the buffer; does nothing when it is shorter already.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            wipe(&mut self.bytes[len..self.len]);
            self.len = len;
        }
    }
}

/// Lengths are rounded up so that buffers fit later requests: to powers of two, as far as
/// buffers are kept at all.
fn kept_len(len: usize) -> usize {
    if len > MAX_KEPT_LEN {
        len
    } else {
        len.next_power_of_two().max(MIN_IO_LEN)
    }
}

fn take_shared(len: usize) -> Option<Box<[u8]>> {
    let mut pool = SHARED.lock().ok()?;
    let fits = pool.iter().rposition(|bytes| bytes.len() >= len)?;
    Some(pool.swap_remove(fits))
}

impl Deref for IoBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl DerefMut for IoBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl Drop for IoBuf {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        wipe(&mut bytes[..self.len]);
        if !pooling() || bytes.len() > MAX_KEPT_LEN {
            return;
        }
        if let Ok(mut pool) = SHARED.lock()
            && pool.len() < KEPT_SHARED
        {
            pool.push(bytes);
        }
    }
}

impl std::fmt::Debug for IoBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IoBuf({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_buffer_comes_back_wiped() {
        let mut buf = ChunkBuf::take();
        buf.fill(0xaa);
        let at = buf.as_ptr();
        drop(buf);
        let again = ChunkBuf::take();
        assert_eq!(again.as_ptr(), at);
        assert!(again.iter().all(|b| *b == 0));
    }

    #[test]
    fn a_thread_keeps_a_bounded_number_of_buffers() {
        drop(
            (0..2 * KEPT_PER_THREAD)
                .map(|_| ChunkBuf::take())
                .collect::<Vec<_>>(),
        );
        assert_eq!(CHUNKS.with(|pool| pool.borrow().len()), KEPT_PER_THREAD);
    }

    #[test]
    fn a_request_buffer_has_the_length_asked_for_and_crosses_threads() {
        for len in [0, 1, 4096, 4097, MAX_KEPT_LEN, MAX_KEPT_LEN + 1] {
            let mut buf = IoBuf::take(len);
            assert_eq!(buf.len(), len);
            buf.fill(1);
            std::thread::spawn(move || drop(buf)).join().unwrap();
        }
        let mut buf = IoBuf::copy_of(b"cleartext");
        buf.truncate(5);
        assert_eq!(&*buf, b"clear");
        assert_eq!(&buf.bytes[5..9], [0; 4]);
    }
}
