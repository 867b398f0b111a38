//! Content of files (§12): sizes, headers, chunks.

#[cfg(feature = "aws-lc")]
mod aws_lc;
mod chunk;
pub(crate) mod header;
pub mod layout;
mod rust_crypto;
pub(crate) mod small;

#[cfg(test)]
pub(crate) use chunk::tests as cipher_tests;

pub use chunk::Backend;
pub(crate) use chunk::ContentKeys;
pub use header::FileHeader;
