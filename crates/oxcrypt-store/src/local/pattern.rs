//! Whether a file is read from end to end or here and there.
//!
//! The host reads ahead, up to several MiB, also where it takes reads that happen to lie beside
//! earlier ones for the beginning of a stream. Who reads here and there then waits for what nobody asked
//! for, so the host is told.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::fs::{Advice, fadvise};

use super::handle::LocalFile;

/// A read that begins so close to the end of the last one goes on with it: requests of one stream come
/// through several threads, in any order.
const CLOSE: u64 = 1 << 20;
/// So many jumps in a row are a habit.
const HABIT: u32 = 4;
/// And so many reads that go on end it.
const STREAM: u32 = 2;

/// What the last reads of a file were like. All of it is a guess: updates may get lost.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    /// Where the last read ended.
    end: AtomicU64,
    /// Jumps in a row; once they are a habit, `HABIT` and the reads in a row that were none.
    state: AtomicU32,
}

impl Pattern {
    /// A read is about to be made. Returns what to tell the host, when that has changed.
    fn next(&self, offset: u64, len: u64) -> Option<Advice> {
        let end = self.end.swap(offset.saturating_add(len), Ordering::Relaxed);
        let jump = offset.abs_diff(end) > CLOSE;
        let state = self.state.load(Ordering::Relaxed);
        let (state, advice) = match (state < HABIT, jump) {
            (true, true) if state + 1 == HABIT => (HABIT, Some(Advice::Random)),
            (true, true) => (state + 1, None),
            (true, false) => (0, None),
            (false, true) => (HABIT, None),
            (false, false) if state + 1 == HABIT + STREAM => (0, Some(Advice::Normal)),
            (false, false) => (state + 1, None),
        };
        self.state.store(state, Ordering::Relaxed);
        advice
    }
}

/// Tells the host about the way `file` is read, as far as that is news.
pub(super) fn note_read(file: &LocalFile, offset: u64, len: usize) {
    if let Some(advice) = file.reads().next(offset, len as u64) {
        // Good or bad, reading works without.
        let _ = fadvise(file, 0, None, advice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: u64 = 10 << 20;

    #[test]
    fn jumps_become_a_habit_and_a_stream_ends_it() {
        let reads = Pattern::default();
        for jump in 1..4 {
            assert_eq!(reads.next(jump * FAR, 4096), None);
        }
        assert_eq!(reads.next(4 * FAR, 4096), Some(Advice::Random));
        assert_eq!(reads.next(5 * FAR, 4096), None);
        // By chance beside the last one, then away again.
        assert_eq!(reads.next(5 * FAR + 4096, 4096), None);
        assert_eq!(reads.next(6 * FAR, 4096), None);
        assert_eq!(reads.next(6 * FAR + 4096, 4096), None);
        assert_eq!(reads.next(6 * FAR + 8192, 4096), Some(Advice::Normal));
        assert_eq!(reads.next(6 * FAR + 12288, 4096), None);
    }

    #[test]
    fn a_stream_through_two_threads_is_one() {
        let reads = Pattern::default();
        for pair in 0..100 {
            let at = pair * 262_144;
            assert_eq!(reads.next(at + 131_072, 131_072), None);
            assert_eq!(reads.next(at, 131_072), None);
        }
    }
}
