//! What tests of more than one crate share: the sample vaults, and the official checker.
//!
//! This library depends on none of the product's crates, so that each of them may use it in its own
//! tests.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "a broken test bed is best reported by a panic"
)]

pub mod official;
pub mod vaults;
