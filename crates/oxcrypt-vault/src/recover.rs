//! Ways back when a key file, the configuration or the passphrase is lost.

use oxcrypt_core::{
    CipherCombo, ConfigError, Cryptor, DEFAULT_THRESHOLD, DirId, MasterKey, MasterKeyFile, OsRng,
    Passphrase, UnverifiedVaultConfig, VERSION_IN_CONFIG, VaultConfig,
};
use oxcrypt_store::{Store, StoreErrorKind, durable};

use crate::backup::{MAX_KEY_FILE_LEN, keep_copy, newest_backup};
use crate::create::KeyCost;
use crate::error::VaultError;
use crate::layout::{CONFIG_FILE, ContentPath, FILE_MODE, KEY_FILE_MODE, MASTERKEY_FILE};
use crate::passphrase::{unlock_file, write_key_file};
use crate::samples::Samples;
use crate::unlock::{open_with_key, read_key_file};

/// Opens the key file with its passphrase, without looking at the configuration: for rebuilding
/// that.
///
/// # Errors
/// [`VaultError::WrongPassphrase`] and those of the key file.
pub fn open_key_file<S: Store>(
    store: &S,
    passphrase: &Passphrase,
) -> Result<MasterKey, VaultError> {
    let (_, file) = read_key_file(store, MASTERKEY_FILE)?;
    unlock_file(&file, MASTERKEY_FILE, passphrase)
}

/// Makes a new key file for `key`, which comes from the recovery words; whatever was there is
/// kept as a copy. The key is first checked against the signature of the configuration.
///
/// CRASH: the copy is durable before the new file takes the old one's place in one step.
///
/// # Errors
/// [`VaultError::ForeignRecoveryKey`]; [`VaultError::ConfigMissing`], which
/// [`rebuild_config`] mends; those of writing.
pub fn reset_passphrase<S: Store>(
    store: &S,
    key: MasterKey,
    new: &Passphrase,
    cost: KeyCost,
) -> Result<(), VaultError> {
    let open = open_with_key(store, key)?;
    let name = &open.key_file_name;
    keep_existing(store, name)?;
    let file = MasterKeyFile::lock(&open.key, new, cost.params(), VERSION_IN_CONFIG, &mut OsRng);
    write_key_file(store, name, &file)
}

/// Keeps a copy of a file, if there is one and it has a size such files can have.
fn keep_existing<S: Store>(store: &S, name: &str) -> Result<(), VaultError> {
    match store.read_small(&store.root(), name.as_bytes(), MAX_KEY_FILE_LEN) {
        Ok(old) => {
            keep_copy(store, name, &old).map_err(VaultError::store(format!("backup of {name}")))?;
            Ok(())
        }
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) if error.kind == StoreErrorKind::TooLarge => {
            // No key file is so long; it is set aside whole instead of copied.
            let aside = format!("{name}.damaged");
            let (root, mode) = (store.root(), oxcrypt_store::RenameMode::NoReplace);
            store
                .rename(&root, name.as_bytes(), &root, aside.as_bytes(), mode)
                .map_err(VaultError::store(name))
        }
        Err(error) => Err(VaultError::file(name)(error)),
    }
}

/// What is known about a vault whose configuration is to be rebuilt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RebuildOptions {
    /// The ciphers; `None` finds out from the files.
    pub combo: Option<CipherCombo>,
    /// The shortening threshold; `None` takes 220 if the names agree.
    pub threshold: Option<u32>,
    /// Finds out and checks everything, but writes nothing.
    pub dry_run: bool,
}

/// A rebuilt configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rebuilt {
    /// The new configuration.
    pub config: VaultConfig,
    /// How many files were opened to find the ciphers.
    pub files_opened: usize,
}

/// Makes a new `vault.cryptomator` for `key`; a broken one is kept as a copy.
///
/// # Errors
/// [`VaultError::NothingToDo`] if the present one is right; [`VaultError::CipherUnknown`];
/// [`VaultError::ThresholdContradicted`]; those of writing.
pub fn rebuild_config<S: Store>(
    store: &S,
    key: &MasterKey,
    options: RebuildOptions,
) -> Result<Rebuilt, VaultError> {
    match present_config(store, key)? {
        Present::Right => return Err(VaultError::NothingToDo { file: CONFIG_FILE }),
        Present::Refused(error) => return Err(VaultError::config(error)),
        Present::Missing | Present::Broken => {}
    }
    let samples = Samples::take(store, key)?;
    let combo = match options.combo.or(samples.combo()) {
        Some(combo) if samples.opened() > 0 || has_root(store, key, combo) => combo,
        _ => return Err(VaultError::CipherUnknown),
    };
    let threshold = options.threshold.unwrap_or(DEFAULT_THRESHOLD);
    let (least, most) = samples.threshold_range();
    if !(least..=most).contains(&threshold) {
        return Err(VaultError::ThresholdContradicted {
            threshold,
            least,
            most,
        });
    }
    let config = VaultConfig::new(combo, threshold, &mut OsRng).map_err(VaultError::config)?;
    if !options.dry_run {
        keep_existing(store, CONFIG_FILE)?;
        let text = config.render(key);
        let (root, name) = (store.root(), CONFIG_FILE.as_bytes());
        durable::write_small_atomic(store, &root, name, text.as_bytes(), FILE_MODE, true)
            .map_err(VaultError::store(CONFIG_FILE))?;
    }
    Ok(Rebuilt {
        config,
        files_opened: samples.opened(),
    })
}

/// The ciphers of a vault by opening many of its files with `key`: one damaged file decides
/// nothing.
///
/// # Errors
/// [`VaultError::CipherUnknown`] if no file opens.
pub fn detect_combo<S: Store>(store: &S, key: &MasterKey) -> Result<CipherCombo, VaultError> {
    Samples::take(store, key)?
        .combo()
        .ok_or(VaultError::CipherUnknown)
}

enum Present {
    Missing,
    Broken,
    Right,
    /// Authentic, but not usable here: must not be replaced.
    Refused(ConfigError),
}

fn present_config<S: Store>(store: &S, key: &MasterKey) -> Result<Present, VaultError> {
    let bytes = match store.read_small(&store.root(), CONFIG_FILE.as_bytes(), MAX_KEY_FILE_LEN) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(Present::Missing),
        Err(error) if error.kind == StoreErrorKind::TooLarge => return Ok(Present::Broken),
        Err(error) => return Err(VaultError::file(CONFIG_FILE)(error)),
    };
    let Ok(config) = UnverifiedVaultConfig::parse(&bytes) else {
        return Ok(Present::Broken);
    };
    Ok(match (config.key_source(), config.verify(key)) {
        (Err(ConfigError::Hub), _) => Present::Refused(ConfigError::Hub),
        (Ok(_), Ok(_)) => Present::Right,
        (_, Err(error @ (ConfigError::Format(Some(_)) | ConfigError::Combo(Some(_))))) => {
            Present::Refused(error)
        }
        _ => Present::Broken,
    })
}

/// Whether the root's content directory is where this key puts it. The place does not depend on
/// the ciphers.
fn has_root<S: Store>(store: &S, key: &MasterKey, combo: CipherCombo) -> bool {
    let cryptor = Cryptor::new(key, combo, DEFAULT_THRESHOLD);
    ContentPath::of(&cryptor, &DirId::ROOT).open(store).is_ok()
}

/// Puts the newest usable backup of a key file or configuration in the place of a missing or
/// broken one, and returns the backup's name.
///
/// # Errors
/// [`VaultError::NothingToDo`] if the file can be read; [`VaultError::NoBackup`].
pub fn restore_backup<S: Store>(store: &S, which: Restorable) -> Result<String, VaultError> {
    let (file, mode) = match which {
        Restorable::Config => (CONFIG_FILE, FILE_MODE),
        Restorable::MasterKey => (MASTERKEY_FILE, KEY_FILE_MODE),
    };
    let is_good = |bytes: &[u8]| match which {
        Restorable::Config => UnverifiedVaultConfig::parse(bytes).is_ok(),
        Restorable::MasterKey => MasterKeyFile::parse(bytes).is_ok(),
    };
    let root = store.root();
    let present = store.read_small(&root, file.as_bytes(), MAX_KEY_FILE_LEN);
    if present.is_ok_and(|bytes| is_good(&bytes)) {
        return Err(VaultError::NothingToDo { file });
    }
    let found = newest_backup(store, file, is_good).map_err(VaultError::store(file))?;
    let (name, content) = found.ok_or(VaultError::NoBackup { file })?;
    keep_existing(store, file)?;
    durable::write_small_atomic(store, &root, file.as_bytes(), &content, mode, true)
        .map_err(VaultError::store(file))?;
    Ok(name)
}

/// A file that has backups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restorable {
    /// `vault.cryptomator`
    Config,
    /// `masterkey.cryptomator`
    MasterKey,
}
