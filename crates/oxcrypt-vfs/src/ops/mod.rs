//! The operations on names and attributes, one concept a file.

mod attr;
mod create;
mod doomed;
mod link;
mod list;
mod lookup;
mod remove;
pub(crate) mod rename;
mod replace;
mod scout;
mod wrapper;

pub(crate) use wrapper::NEW_NAME_FILE;
