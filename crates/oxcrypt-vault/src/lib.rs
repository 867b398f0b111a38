//! Life cycle of a vault.
