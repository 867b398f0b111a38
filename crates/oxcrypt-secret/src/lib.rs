//! Memory for keys.
//!
//! A [`Locked`] value has pages of its own between two that cannot be touched. They are locked in
//! memory, so that they are never swapped out, left out of core files, empty in a forked child,
//! and wiped when the value is dropped. Where the system refuses to lock (its limit for ordinary
//! users is a few megabytes) the value lives on unlocked: [`Locked::is_locked`] tells.
//!
//! Besides the rings of the mount, this is the only `unsafe` code of the product.
#![warn(missing_docs)]

mod pages;

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use pages::Pages;

/// A value in pages of its own.
pub struct Locked<T> {
    /// Holds an initialised `T` at its start, from [`Locked::build`] to the drop.
    pages: Pages,
    value: PhantomData<T>,
}

impl<T> Locked<T> {
    /// Makes a value and moves it into its pages. Copies that moves have left on the stack are
    /// overwritten.
    #[must_use]
    pub fn build(make: impl FnOnce() -> T) -> Self {
        let pages = Pages::new(size_of::<T>(), align_of::<T>());
        move_into(&pages, make);
        scrub_stack();
        Self {
            pages,
            value: PhantomData,
        }
    }

    /// Whether the value cannot be swapped out.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.pages.is_locked()
    }
}

/// In a frame of its own, which [`scrub_stack`] then covers.
#[inline(never)]
fn move_into<T>(pages: &Pages, make: impl FnOnce() -> T) {
    pages.put(make());
}

impl<const N: usize> Locked<[u8; N]> {
    /// Bytes that `fill` writes in place, so that there is no other copy of them.
    #[must_use]
    pub fn filled(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let pages = Pages::new(N, 1);
        pages.put([0_u8; N]);
        let mut locked = Self {
            pages,
            value: PhantomData,
        };
        fill(&mut locked);
        locked
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the pages hold an initialised `T`, and a shared borrow of `self` keeps it.
        #[expect(unsafe_code, reason = "this crate's purpose")]
        unsafe {
            self.pages.start::<T>().as_ref()
        }
    }
}

impl<T> DerefMut for Locked<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above; the borrow of `self` is exclusive.
        #[expect(unsafe_code, reason = "this crate's purpose")]
        unsafe {
            self.pages.start::<T>().as_mut()
        }
    }
}

impl<T> Drop for Locked<T> {
    fn drop(&mut self) {
        // SAFETY: the value is initialised, is dropped once, and nobody reads it again: the pages
        // are wiped and given back right after this.
        #[expect(unsafe_code, reason = "this crate's purpose")]
        unsafe {
            self.pages.start::<T>().drop_in_place();
        }
    }
}

// SAFETY: the pages are owned like a box: whoever may send or share a `T` may do so here.
#[expect(unsafe_code, reason = "this crate's purpose")]
unsafe impl<T: Send> Send for Locked<T> {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "this crate's purpose")]
unsafe impl<T: Sync> Sync for Locked<T> {}

impl<T> std::fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Locked { .. }")
    }
}

/// Overwrites the stack below the caller: what functions that have returned left there.
#[inline(never)]
pub fn scrub_stack() {
    let mut below = [0_u8; 32 * 1024];
    std::hint::black_box(&mut below);
}

/// Runs `f` and overwrites what it left on the stack: ciphers keep parts of their expanded keys
/// there. `N` bytes are as deep as that goes; a few thousand cost some tens of nanoseconds.
#[inline]
pub fn scrubbed<const N: usize, T>(f: impl FnOnce() -> T) -> T {
    /// In a frame of its own, at the depth that is then overwritten.
    #[inline(never)]
    fn call<T>(f: impl FnOnce() -> T) -> T {
        f()
    }
    #[inline(never)]
    fn cover<const N: usize>() {
        let mut below = [0_u8; N];
        std::hint::black_box(&mut below);
    }
    let result = call(f);
    cover::<N>();
    result
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// The line of the process' memory map that holds an address, with the fields below it.
    fn mapping(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut found = String::new();
        for line in maps.lines() {
            let range = line
                .split(' ')
                .next()
                .and_then(|first| first.split_once('-'));
            if let Some((from, to)) = range {
                let parse = |text| usize::from_str_radix(text, 16).unwrap_or(0);
                if !found.is_empty() {
                    break;
                }
                if !(parse(from)..parse(to)).contains(&address) {
                    continue;
                }
            } else if found.is_empty() {
                continue;
            }
            found.push_str(line);
            found.push('\n');
        }
        found
    }

    #[test]
    fn a_value_is_locked_and_stays_out_of_core_files() {
        let secret = Locked::filled(|bytes: &mut [u8; 64]| bytes.fill(0x5a));
        assert_eq!(*secret, [0x5a; 64]);
        let map = mapping(secret.as_ptr() as usize);
        let flags = map
            .lines()
            .find(|line| line.starts_with("VmFlags:"))
            .unwrap();
        assert!(flags.contains(" dd"), "not in core files: {map}");
        assert_eq!(secret.is_locked(), flags.contains(" lo"), "{map}");
    }

    #[test]
    fn neighbouring_pages_cannot_be_touched() {
        let secret = Locked::build(|| 7_u64);
        let at = &raw const *secret as usize;
        let page = rustix::param::page_size();
        for neighbour in [at - at % page - 1, at - at % page + page] {
            let map = mapping(neighbour);
            assert!(map.lines().next().unwrap().contains(" ---p "), "{map}");
        }
    }

    #[test]
    fn values_of_any_size_and_alignment() {
        #[repr(align(64))]
        struct Wide([u8; 10_000]);
        let wide = Locked::build(|| Wide([3; 10_000]));
        assert_eq!((&raw const *wide as usize) % 64, 0);
        assert!(wide.0.iter().all(|byte| *byte == 3));
        let empty = Locked::build(|| ());
        assert_eq!(*empty, ());
    }

    #[test]
    fn the_value_is_dropped_once() {
        struct Counts(Rc<Cell<u32>>);
        impl Drop for Counts {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let drops = Rc::new(Cell::new(0));
        let value = Locked::build(|| Counts(Rc::clone(&drops)));
        assert_eq!(drops.get(), 0);
        drop(value);
        assert_eq!(drops.get(), 1);
    }

    #[test]
    fn the_pages_are_gone_after_the_drop() {
        let secret = Locked::filled(|bytes: &mut [u8; 32]| bytes.fill(0x77));
        let at = secret.as_ptr() as usize;
        drop(secret);
        let map = mapping(at);
        assert!(map.is_empty() || !map.contains(" lo"), "{map}");
    }
}
