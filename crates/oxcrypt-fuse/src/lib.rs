//! A mounted vault.
