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

mod backup;
mod buf;
pub mod content;
mod cryptor;
mod dir_id;
mod dirid_file;
mod error;
mod key;
pub mod legacy;
mod masterkey_file;
pub mod name;
mod passphrase;
#[cfg(test)]
mod published_vectors;
pub mod recovery;
pub mod rng;
pub mod siv;
mod suite;
mod symlink;
mod vault_config;
mod wipe;

pub use backup::{BACKUP_SUFFIX, backup_name, is_backup_of};
pub use buf::{CHUNK_BUF_LEN, ChunkBuf, IoBuf, pool_misses, set_pooling};

pub use content::layout::{CHUNK_LEN, ChunkIndex, ChunkSpan, Layout, SizeError, Spans};
pub use content::{Backend, FileHeader};
pub use cryptor::{Cryptor, DirNames};
pub use dir_id::{DirHash, DirId, DirIdError};
pub use dirid_file::{DIR_ID_FILE_NAME, MAX_DIR_ID_FILE_LEN, open_dir_id_file, seal_dir_id_file};
pub use error::Error;
pub use key::MasterKey;
pub use masterkey_file::{MasterKeyFile, MasterKeyFileError, UnlockError, VERSION_IN_CONFIG};
pub use name::{CipherName, CipherNameBuf, CleartextName, NameBuf, NameError, NodeKind, ShortName};
pub use passphrase::{Passphrase, ScryptParams, ScryptParamsError};
pub use recovery::RecoveryError;
#[cfg(any(test, feature = "test-rng"))]
#[doc(hidden)]
pub use rng::TestRng;
pub use rng::{BufferedRng, OsRng, Rng, with_rng};
pub use suite::CipherCombo;
pub use symlink::{
    LinkTarget, MAX_SYMLINK_FILE_LEN, MAX_TARGET_LEN, TargetError, open_symlink, seal_symlink,
};
pub use vault_config::{
    Algorithm, ConfigError, DEFAULT_THRESHOLD, FORMAT, KeySource, UnverifiedVaultConfig,
    VaultConfig,
};
