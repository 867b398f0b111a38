//! The file system inside a vault.
