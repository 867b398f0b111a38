//! The file system itself with every lock, atomic, thread and call of the store in the hand of a
//! scheduler, which tries one order of all steps after another: a few threads do a few things, and
//! whatever the order was, nobody waits for ever and what is left is right.
//!
//!     cargo test -p oxcrypt-vfs --features shuttle --test interleaved
//!
//! `OXCRYPT_INTERLEAVINGS=50` tries fifty times as many orders, with seeds of the moment. A failure
//! prints its seed; `OXCRYPT_SEED` begins there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod anything;
mod bed;
mod journal;
mod names;
