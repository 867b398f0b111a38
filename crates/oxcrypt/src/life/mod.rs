//! The life of a vault: made, checked, mended, given another passphrase, brought back.

pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod info;
pub(crate) mod init;
pub(crate) mod migrate;
pub(crate) mod passwd;
pub(crate) mod recover;
pub(crate) mod recovery;
