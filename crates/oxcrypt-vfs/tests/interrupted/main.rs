//! Operations that are interrupted: calls of the store that fail, a process that dies, power that
//! goes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod faults;
mod journal;
mod machine;
mod tree;
