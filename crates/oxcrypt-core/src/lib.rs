//! The Cryptomator vault format (format 8) as pure functions: keys, names, headers, chunks, and
//! the two files that unlock a vault.
//!
//! Nothing here touches a file system, a clock or a thread; randomness comes from an
//! [`Rng`] the caller passes. "§" in comments means a section of `docs/format.md`.
//!
//! Hostile input never panics, hangs or allocates beyond what the format allows. Plaintext that
//! failed authentication is never handed out.
//!
//! Where to start: [`MasterKeyFile`] and [`VaultConfig`] unlock, [`Cryptor`] does the rest.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod content;
mod cryptor;
mod dir_id;
mod error;
mod key;
pub mod name;
pub mod rng;
pub mod siv;
mod suite;

pub use content::layout::{CHUNK_LEN, ChunkIndex, ChunkSpan, Layout, SizeError, Spans};
pub use content::{Backend, FileHeader};
pub use cryptor::{Cryptor, DirNames};
pub use dir_id::{DirHash, DirId, DirIdError};
pub use error::Error;
pub use key::MasterKey;
pub use name::{CipherName, CipherNameBuf, CleartextName, NameBuf, NameError, NodeKind, ShortName};
#[cfg(any(test, feature = "test-rng"))]
#[doc(hidden)]
pub use rng::TestRng;
pub use rng::{BufferedRng, OsRng, Rng, with_rng};
pub use suite::CipherCombo;
