//! Content of files: opening, and reading and writing by chunk.

mod copy;
mod open;
mod read;
mod space;
mod sync;
mod truncate;
mod write;

pub(crate) use open::Need;
