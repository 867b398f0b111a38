//! Sources of random bytes. Keys come from [`OsRng`]; nonces from [`with_rng`], which asks the
//! operating system for 1 KiB at a time.
//!
//! A process that forks must not seal in both halves: they would share the buffered bytes, and
//! with them nonces.

use std::cell::RefCell;

use zeroize::Zeroize;

/// A source of bytes that nobody can predict.
pub trait Rng {
    /// Fills all of `out`.
    fn fill(&mut self, out: &mut [u8]);
}

impl<R: Rng + ?Sized> Rng for &mut R {
    fn fill(&mut self, out: &mut [u8]) {
        (**self).fill(out);
    }
}

/// The operating system's generator, asked at each call.
///
/// # Panics
/// When the operating system has no randomness: nothing can be encrypted safely then.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRng;

impl Rng for OsRng {
    fn fill(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("the operating system provides random bytes");
    }
}

const BUFFERED: usize = 1024;

/// The operating system's generator, asked for 1 KiB at a time. Bytes are wiped from the buffer
/// as they are handed out, so that none is ever given twice or found in memory later.
pub struct BufferedRng {
    bytes: Box<[u8; BUFFERED]>,
    used: usize,
}

impl BufferedRng {
    /// An empty buffer; the first call fills it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: Box::new([0; BUFFERED]),
            used: BUFFERED,
        }
    }
}

impl Default for BufferedRng {
    fn default() -> Self {
        Self::new()
    }
}

impl Rng for BufferedRng {
    fn fill(&mut self, out: &mut [u8]) {
        if out.len() > BUFFERED / 4 {
            return OsRng.fill(out);
        }
        if BUFFERED - self.used < out.len() {
            OsRng.fill(&mut self.bytes[..]);
            self.used = 0;
        }
        let given = &mut self.bytes[self.used..self.used + out.len()];
        out.copy_from_slice(given);
        given.fill(0);
        self.used += out.len();
    }
}

impl Drop for BufferedRng {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl std::fmt::Debug for BufferedRng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BufferedRng { .. }")
    }
}

thread_local! {
    static THREAD_RNG: RefCell<BufferedRng> = RefCell::new(BufferedRng::new());
}

/// Runs `f` with this thread's [`BufferedRng`].
///
/// # Panics
/// When called again from inside `f`.
pub fn with_rng<T>(f: impl FnOnce(&mut BufferedRng) -> T) -> T {
    THREAD_RNG.with(|rng| f(&mut rng.borrow_mut()))
}

/// A predictable generator for tests; never to be used where anything is kept.
#[cfg(any(test, feature = "test-rng"))]
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct TestRng(u64);

#[cfg(any(test, feature = "test-rng"))]
impl TestRng {
    /// The generator with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
}

#[cfg(any(test, feature = "test-rng"))]
impl Rng for TestRng {
    // SplitMix64: every 64-bit state is visited once.
    fn fill(&mut self, out: &mut [u8]) {
        for piece in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            piece.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..piece.len()]);
        }
    }
}
