//! The life of a vault: recognise, unlock, create, change the passphrase, recover, migrate, check.
//!
//! Works on any [`Store`](oxcrypt_store::Store) and knows nothing about mounting. Every change
//! keeps a copy of what it replaces, is written aside and moved into place, and can be repeated
//! after a crash at any point.
//!
//! Where to start: [`detect()`], then [`unlock()`]; [`create()`] for a new vault.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod backup;
pub mod check;
mod create;
mod detect;
mod dir_id_backup;
mod error;
mod layout;
mod migrate;
mod passphrase;
mod recover;
mod samples;
mod unlock;

pub use backup::{KeptCopy, keep_copy, newest_backup};
pub use create::{CreateOptions, KeyCost, MAX_THRESHOLD, MIN_THRESHOLD, create};
pub use detect::{Damage, Detected, detect};
pub use error::VaultError;
pub use layout::{CONFIG_FILE, ContentPath, MASTERKEY_FILE};
pub use migrate::{Migration, NamePlan, Progress as MigrationProgress, Run, Skipped, migrate};
pub use passphrase::change_passphrase;
pub use recover::{
    RebuildOptions, Rebuilt, Restorable, detect_combo, open_key_file, rebuild_config,
    reset_passphrase, restore_backup,
};
pub use unlock::{Backups, OpenKey, Unlocked, open_key, open_with_key, unlock, unlock_with_key};
