//! Vaults in the file tree: mounting, watching over them, ending them.

pub(crate) mod args;
pub(crate) mod claim;
mod daemon;
pub(crate) mod lock;
pub(crate) mod run;
pub(crate) mod runtime;
pub(crate) mod table;
