//! Targets: what is measured, how it is made, mounted, made cold, and ended in any case.

mod fast_kdf;
mod instance;
pub(crate) mod kernel;
pub(crate) mod programs;
mod recipe;
pub(crate) mod target;
mod workdir;

pub(crate) use instance::{Guard, Instance, Setup, Watch};
pub(crate) use programs::Programs;
pub(crate) use target::{Kind, Target};
pub(crate) use workdir::WorkDir;
