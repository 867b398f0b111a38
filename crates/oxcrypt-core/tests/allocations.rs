//! Sealing and opening chunks and names needs no heap once warm.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use oxcrypt_core::{
    Backend, CHUNK_LEN, ChunkBuf, ChunkIndex, CipherCombo, CleartextName, Cryptor, DirId, IoBuf,
    MasterKey, NameBuf, with_rng,
};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every request goes to the system's allocator unchanged; the counter is a plain cell
// of the thread, needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while `work` runs, after it has run once.
fn allocations(mut work: impl FnMut()) -> usize {
    work();
    let before = COUNT.get();
    for _ in 0..100 {
        work();
    }
    COUNT.get() - before
}

fn cryptors() -> impl Iterator<Item = Cryptor> {
    [CipherCombo::SivGcm, CipherCombo::SivCtrMac]
        .into_iter()
        .flat_map(|combo| {
            let key = MasterKey::from_raw(&[3; 64]);
            Backend::ALL
                .iter()
                .map(move |backend| Cryptor::with_backend(&key, combo, 220, *backend))
        })
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 100);
}

#[test]
fn a_chunk_is_sealed_and_opened_without_heap() {
    for cryptor in cryptors() {
        let header = with_rng(|rng| cryptor.create_header(rng));
        let plain = vec![1; CHUNK_LEN];
        let count = allocations(|| {
            let mut sealed = ChunkBuf::take_for_cipher();
            let mut opened = ChunkBuf::take();
            let index = ChunkIndex(7);
            let len = with_rng(|rng| cryptor.seal_chunk(&header, index, rng, &plain, &mut sealed));
            let len = cryptor
                .open_chunk(&header, index, &sealed[..len], &mut opened)
                .unwrap();
            assert_eq!(opened[..len], plain);
        });
        assert_eq!(count, 0, "{cryptor:?}");
    }
}

#[test]
fn a_name_is_sealed_and_opened_without_heap() {
    let cryptor = cryptors().next().unwrap();
    let id = DirId::random(&mut oxcrypt_core::OsRng);
    for name in ["a", "holiday.jpg", "\u{e4}\u{20ac}.txt", &"x".repeat(255)] {
        let count = allocations(|| {
            let _ = cryptor.dir_hash(&id);
            let dir = cryptor.dir_names(&id);
            let clear = CleartextName::parse(name.as_bytes()).unwrap();
            let sealed = cryptor.seal_name(&dir, &clear);
            let mut buf = NameBuf::new();
            assert_eq!(cryptor.open_name(&dir, sealed.full(), &mut buf), Ok(name));
        });
        assert_eq!(count, 0, "{name}");
    }
}

#[test]
fn pools_are_reused() {
    assert_eq!(allocations(|| drop(IoBuf::take(100_000))), 0);
}
