//! How many files this process may have open.
//!
//! A mount keeps ciphertext files open to be fast, and a burst of new files needs one for each of them
//! for a moment. Shells allow 1,024, and far more to whoever asks. Hooks and what `exec` runs get the
//! usual number back: old programs rely on it.

use std::process::Child;
use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

static USUAL: OnceLock<Rlimit> = OnceLock::new();

/// Asks for as many as this process can get; returns how many that are.
pub(crate) fn allow_many() -> usize {
    let usual = USUAL.get_or_init(|| getrlimit(Resource::Nofile));
    let many = Rlimit {
        current: usual.maximum,
        maximum: usual.maximum,
    };
    let allowed = match setrlimit(Resource::Nofile, many) {
        Ok(()) => many.current,
        Err(_) => usual.current,
    };
    allowed.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// Gives a program that was started here the number that this one began with, a moment after it began.
/// One that gained privileges keeps the other, which harms nothing.
pub(crate) fn usual_for(child: &Child) {
    if let Some(usual) = USUAL.get() {
        let _ = prlimit(Some(Pid::from_child(child)), Resource::Nofile, *usual);
    }
}
