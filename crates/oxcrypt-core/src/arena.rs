//! Short-lived memory of one operation: names, joined paths, listings.
//!
//! Everything allocated during an operation is released at once when it ends, also when it
//! panics. The memory is used again by the thread's next operation. An arena neither drops nor
//! wipes what is in it: names may go in, keys and file content never.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use bumpalo::Bump;

/// The most memory a thread keeps between operations, in bytes: one listing of a huge
/// directory must not pin its size for ever.
const MAX_KEPT: usize = 256 * 1024;

static REUSE: AtomicBool = AtomicBool::new(true);

thread_local! {
    static KEPT: Cell<Option<Bump>> = const { Cell::new(None) };
}

/// Whether threads keep an arena's memory between operations, from now on, in the whole
/// process. To measure what it gains.
pub fn set_arena_reuse(on: bool) {
    REUSE.store(on, Ordering::Relaxed);
}

/// The memory of one operation. Not `Sync`, and references to it are not `Send`: nothing in it
/// can reach another thread.
///
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<&oxcrypt_core::OpArena>();
/// ```
pub struct OpArena {
    bump: Bump,
}

impl OpArena {
    /// Runs `operation` with an arena. Operations may nest; each has its own.
    pub fn with<T>(operation: impl FnOnce(&Self) -> T) -> T {
        let bump = KEPT.try_with(Cell::take).ok().flatten().unwrap_or_default();
        let arena = ReturnOnDrop(Some(Self { bump }));
        operation(arena.0.as_ref().expect("taken on drop only"))
    }

    /// The allocator, for collections.
    #[must_use]
    pub fn bump(&self) -> &Bump {
        &self.bump
    }

    /// A copy of `text`.
    pub fn alloc_str(&self, text: &str) -> &mut str {
        self.bump.alloc_str(text)
    }

    /// A copy of `bytes`.
    pub fn alloc_bytes(&self, bytes: &[u8]) -> &mut [u8] {
        self.bump.alloc_slice_copy(bytes)
    }
}

impl std::fmt::Debug for OpArena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpArena({} bytes)", self.bump.allocated_bytes())
    }
}

struct ReturnOnDrop(Option<OpArena>);

impl Drop for ReturnOnDrop {
    fn drop(&mut self) {
        let Some(OpArena { mut bump }) = self.0.take() else {
            return;
        };
        if !REUSE.load(Ordering::Relaxed) {
            return;
        }
        bump.reset();
        if bump.allocated_bytes() <= MAX_KEPT {
            // While the thread ends nothing is kept.
            let _ = KEPT.try_with(|kept| kept.set(Some(bump)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> usize {
        KEPT.with(|kept| {
            let bump = kept.take();
            let bytes = bump.as_ref().map_or(0, Bump::allocated_bytes);
            kept.set(bump);
            bytes
        })
    }

    #[test]
    fn memory_is_kept_up_to_a_bound() {
        OpArena::with(|arena| _ = arena.alloc_bytes(&[1; 10_000]));
        assert!((10_000..=MAX_KEPT).contains(&kept()));
        OpArena::with(|arena| _ = arena.alloc_bytes(&vec![1; 4 * MAX_KEPT]));
        assert_eq!(kept(), 0);
    }

    #[test]
    fn memory_is_released_when_an_operation_panics() {
        OpArena::with(|arena| _ = arena.alloc_bytes(&[1; 1000]));
        let before = kept();
        let result = std::panic::catch_unwind(|| {
            OpArena::with(|arena| {
                arena.alloc_bytes(&[1; 100]);
                panic!("on purpose");
            })
        });
        assert!(result.is_err());
        assert_eq!(kept(), before);
    }

    #[test]
    fn nested_operations_do_not_share_memory() {
        OpArena::with(|outer| {
            let text = outer.alloc_str("outer");
            OpArena::with(|inner| _ = inner.alloc_str("inner"));
            assert_eq!(text, "outer");
        });
    }
}
