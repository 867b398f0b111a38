//! A mounted vault: thin transports between the kernel and the file system.
//!
//! `filesystem` is wiring only: decode, call, reply. Every rule lives in `oxcrypt-vfs`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod attr;
mod errno;
mod filesystem;
mod meter;
mod options;
mod pool;
mod session;
mod watch;

pub use meter::Meter;
pub use options::{Access, MountOptions};
pub use session::{Mount, Unmounter};
