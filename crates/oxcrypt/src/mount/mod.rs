//! Vaults in the file tree: mounting, watching over them, ending them.
//!
//! `table` is the truth about what is mounted; `run` makes a mount, `live` is what a mount's process
//! knows about itself, `control` how others ask it (at the file of `socket`), `look` what they make of
//! it.

#[cfg(feature = "ablation")]
mod ablation;
pub(crate) mod args;
pub(crate) mod busy;
pub(crate) mod claim;
pub(crate) mod control;
mod daemon;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod helper;
mod hooks;
mod idle;
mod live;
pub(crate) mod lock;
mod logging;
mod look;
pub(crate) mod run;
pub(crate) mod runtime;
mod signals;
mod socket;
pub(crate) mod status;
pub(crate) mod table;
