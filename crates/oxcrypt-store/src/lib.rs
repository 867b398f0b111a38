//! Places for opaque ciphertext objects.
//!
//! A [`Store`] holds a tree of directories and regular files under names that mean nothing to it.
//! It never sees cleartext, never follows a symbolic link and never leaves the tree it was opened
//! on: every call takes a directory handle and a name of one component, or two where the
//! documentation of the call says so.
//!
//! The trait is synchronous. On a local disk a call is one system call and waiting is rare; a slow
//! store simply blocks its caller, announces [`Latency::Slow`], and is given more threads.
//!
//! [`LocalStore`] is a directory of the host, [`MemStore`] its twin in memory for tests, and
//! [`FaultStore`] wraps any store to make chosen calls fail.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod durable;
mod error;
mod fault;
mod local;
mod mem;
pub mod mountinfo;
mod name;
mod store;
pub mod timing;
mod types;

pub use error::{Result, StoreError, StoreErrorKind};
pub use fault::{At, Call, Fault, FaultStore, Faults};
pub use local::{LocalDir, LocalFile, LocalStore, WatchEvent, WatchId, Watcher};
pub use mem::{MemDir, MemFile, MemStore};
pub use store::{Node, Store};
pub use types::{
    Capabilities, Cookie, Create, DirEntry, Identity, Incarnation, Kind, Latency, OpenMode,
    RenameMode, Space, Stat, TimeSet, Timestamp,
};
