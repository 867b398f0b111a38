//! From formats 5, 6 and 7 to 8, one step at a time (§21). File contents never change.
//!
//! Every step can be repeated: a crash at any point leaves a vault of the old or the new format,
//! or one that migrating again completes. The key file is copied before each step.

mod names;

use oxcrypt_core::{
    CipherCombo, DEFAULT_THRESHOLD, MasterKey, MasterKeyFile, OsRng, Passphrase, ScryptParams,
    VERSION_IN_CONFIG, VaultConfig,
};
use oxcrypt_store::{Store, durable};

pub use names::{NamePlan, Skipped};

use crate::backup::keep_copy;
use crate::detect::{Detected, detect};
use crate::error::VaultError;
use crate::layout::{CONFIG_FILE, FILE_MODE, LEGACY_NAMES_DIR, MASTERKEY_FILE};
use crate::passphrase::{replace_key_file, unlock_file};
use crate::unlock::read_key_file;

/// What a migration did, or would do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Migration {
    /// The format found.
    pub from: u32,
    /// The renaming of the step from 6 to 7; `None` if that step was not needed.
    pub names: Option<NamePlan>,
    /// Whether anything was changed.
    pub changed: bool,
}

/// How far a migration is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The step, named by the format it starts from.
    pub step: u32,
    /// Entries done.
    pub done: u64,
    /// Entries in all; 0 where the step has none.
    pub total: u64,
}

/// Whether to change anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Run {
    /// Checks the passphrase and plans; writes nothing.
    Dry,
    /// Migrates.
    Real,
}

/// Brings a vault of format 5, 6 or 7 to format 8.
///
/// # Errors
/// [`VaultError::NothingToDo`] for a current vault; [`VaultError::TooOld`];
/// [`VaultError::WrongPassphrase`] and [`VaultError::VersionMac`] before anything is changed;
/// [`VaultError::NotDownloaded`]; those of writing, after which it can be run again.
pub fn migrate<S: Store>(
    store: &S,
    passphrase: &Passphrase,
    run: Run,
    progress: &mut dyn FnMut(Progress),
) -> Result<Migration, VaultError> {
    let (_, file) = match detect(store)? {
        Detected::Legacy { version: 5.. } => read_key_file(store, MASTERKEY_FILE)?,
        // The last step may have been cut short between its two files.
        Detected::Vault => match read_key_file(store, MASTERKEY_FILE) {
            Ok((bytes, file)) if file.version() == 7 => (bytes, file),
            _ => return Err(VaultError::NothingToDo { file: CONFIG_FILE }),
        },
        other => {
            return Err(other
                .refusal()
                .unwrap_or(VaultError::NothingToDo { file: CONFIG_FILE }));
        }
    };
    let from = file.version();
    let key = unlock_file(&file, MASTERKEY_FILE, passphrase)?;
    let names = if from <= 6 {
        Some(names::plan(store)?)
    } else {
        None
    };
    let mut report = Migration {
        from,
        names,
        changed: false,
    };
    if run == Run::Real {
        perform(store, &key, passphrase, &mut report, progress)?;
    }
    Ok(report)
}

fn perform<S: Store>(
    store: &S,
    key: &MasterKey,
    passphrase: &Passphrase,
    report: &mut Migration,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), VaultError> {
    report.changed = true;
    if report.from == 5 {
        progress(Progress {
            step: 5,
            done: 0,
            total: 0,
        });
        bump(store, key, passphrase, 6)?;
    }
    if let Some(plan) = &mut report.names {
        let total = plan.total();
        names::rename_all(store, plan, &mut |done| {
            progress(Progress {
                step: 6,
                done,
                total,
            });
        })?;
        bump(store, key, passphrase, 7)?;
    }
    // Also when an earlier run came just so far. Kept while names in it were not resolved.
    if report
        .names
        .as_ref()
        .is_none_or(|plan| !plan.needs_long_names())
    {
        names::remove_long_names(store, LEGACY_NAMES_DIR).map_err(VaultError::store("m"))?;
    }
    progress(Progress {
        step: 7,
        done: 0,
        total: 0,
    });
    write_config(store, key)?;
    bump(store, key, passphrase, VERSION_IN_CONFIG)
}

/// Locks the key anew under `version`; the old key file is kept as a copy.
///
/// CRASH: [`replace_key_file`] leaves the old file or the new one.
fn bump<S: Store>(
    store: &S,
    key: &MasterKey,
    passphrase: &Passphrase,
    version: u32,
) -> Result<(), VaultError> {
    let (bytes, old) = read_key_file(store, MASTERKEY_FILE)?;
    // Never cheaper to guess than before, nor than what is written today.
    let default = ScryptParams::DEFAULT;
    let n = old.params().n().max(default.n());
    let params = ScryptParams::new(n, default.r()).unwrap_or(default);
    let file = MasterKeyFile::lock(key, passphrase, params, version, &mut OsRng);
    replace_key_file(store, MASTERKEY_FILE, &bytes, &file)
}

/// Writes the configuration that formats up to 7 had no need of.
///
/// CRASH: afterwards the vault is one of format 8 already; only the key file's version is
/// behind, which no reader minds and the next run mends.
fn write_config<S: Store>(store: &S, key: &MasterKey) -> Result<(), VaultError> {
    let root = store.root();
    match store.stat(&root, CONFIG_FILE.as_bytes()) {
        Ok(_) => return Ok(()),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(VaultError::store(CONFIG_FILE)(error)),
    }
    let config = VaultConfig::new(CipherCombo::SivCtrMac, DEFAULT_THRESHOLD, &mut OsRng)
        .map_err(VaultError::config)?;
    let text = config.render(key);
    let name = CONFIG_FILE.as_bytes();
    durable::write_small_atomic(store, &root, name, text.as_bytes(), FILE_MODE, false)
        .map_err(VaultError::store(CONFIG_FILE))?;
    keep_copy(store, CONFIG_FILE, text.as_bytes()).map_err(VaultError::store(CONFIG_FILE))?;
    Ok(())
}
