//! The file system inside a vault: inodes, open files, locks, and every operation with full POSIX
//! meaning. It knows no FUSE and no cipher details; frontends (the mount, the command line, tests)
//! are thin users of [`VaultFs`].
//!
//! Read in this order: `vault_fs` (the parts and the lock order), `node` (what is kept per file),
//! `resolve` (from cleartext names to ciphertext nodes), then `ops/` and `file/`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod alias;
mod departing;
mod error;
mod event;
mod file;
mod forgotten;
mod handles;
mod journal;
mod node;
mod ops;
mod own_names;
mod pending;
mod rescue;
mod resolve;
mod scratch;
mod surplus;
mod sync;
#[cfg(test)]
mod testing;
mod types;
mod vault_fs;
mod watch;

pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventKind, EventSink, LogEvents};
pub use journal::{Claimed, JournalOptions, Replayed, claim};
pub use types::{
    AllocateMode, Attr, Caller, Durability, Entry, ListItem, NodeId, NodeKind, RenameFlags,
    SeekTarget, SetAttr, Space, TimeChange, Timestamp, VfsOptions,
};
pub use vault_fs::VaultFs;
pub use watch::{Changes, Invalidate, WatchSource};
