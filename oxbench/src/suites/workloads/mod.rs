//! What people do with a vault. Fixed work, no sleeps inside the measured part, all content checked.

pub(crate) mod archive;
pub(crate) mod backup;
pub(crate) mod concurrent;
pub(crate) mod database;
pub(crate) mod git;
pub(crate) mod ide;
pub(crate) mod media;
pub(crate) mod start;
