//! A mounted vault: thin transports between the kernel and the file system.
//!
//! Read in this order: `wire` (requests and replies as bytes), `ops` (from a request to its reply;
//! every rule behind it lives in `oxcrypt-vfs`), `transport` (how they travel: `dev` reads and writes
//! /dev/fuse, `ring` shares memory with the kernel), `session` (mounting, serving, ending).
//!
//! `unsafe` code is in `transport/ring/memory.rs`, and one call of it in `uring.rs` beside.
#![warn(missing_docs)]

mod device;
mod errno;
mod latency;
mod meter;
mod mount;
mod ops;
mod options;
mod pool;
mod readahead;
mod session;
mod support;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by a panic")]
mod tests;
mod trace;
mod transport;
mod trim;
mod watch;
pub mod wire;

pub use latency::Operation;
pub use meter::Meter;
pub use options::{Access, MountOptions, Transport};
pub use session::{Mount, Unmounter};
pub use support::{RING_SWITCH, RingSupport};
