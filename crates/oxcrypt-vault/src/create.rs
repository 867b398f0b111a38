//! A new vault.

use std::ops::ControlFlow;
use std::sync::Arc;

use oxcrypt_core::{
    CipherCombo, Cryptor, DirId, MasterKey, MasterKeyFile, OsRng, Passphrase, ScryptParams,
    VERSION_IN_CONFIG, VaultConfig,
};
use oxcrypt_store::{Cookie, Store, StoreError, StoreErrorKind, durable};

use crate::dir_id_backup;
use crate::error::VaultError;
use crate::layout::{
    CONFIG_FILE, ContentPath, DATA_DIR, DIR_MODE, FILE_MODE, KEY_FILE_MODE, MASTERKEY_FILE,
};
use crate::unlock::Unlocked;

/// The smallest shortening threshold offered: no name fits below.
pub const MIN_THRESHOLD: u32 = 36;
/// The greatest shortening threshold offered, and the usual one.
pub const MAX_THRESHOLD: u32 = 220;

/// The cost of guessing a passphrase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyCost(ScryptParams);

impl KeyCost {
    /// What other programs write: N = 2^15.
    pub const DEFAULT: Self = Self(ScryptParams::DEFAULT);

    /// A cost of at least 2^15 and at most 2^20, which needs 1 GiB.
    ///
    /// # Errors
    /// [`VaultError::Cost`].
    pub fn new(n: u64) -> Result<Self, VaultError> {
        if n < ScryptParams::DEFAULT.n() {
            return Err(VaultError::Cost { n });
        }
        let params = ScryptParams::new(n, ScryptParams::DEFAULT.r());
        params.map(Self).map_err(|_| VaultError::Cost { n })
    }

    /// Worthless protection that takes no time: only for tests and throw-away demonstrations.
    #[must_use]
    pub fn worthless_for_tests_and_demos() -> Self {
        Self(ScryptParams::new(2, 8).unwrap_or(ScryptParams::DEFAULT))
    }

    pub(crate) fn params(self) -> ScryptParams {
        self.0
    }
}

impl Default for KeyCost {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How a new vault shall be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreateOptions {
    /// Its ciphers.
    pub combo: CipherCombo,
    /// Longer encrypted names are shortened; 36 to 220.
    pub threshold: u32,
    /// The cost of guessing its passphrase.
    pub cost: KeyCost,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            combo: CipherCombo::SivGcm,
            threshold: MAX_THRESHOLD,
            cost: KeyCost::DEFAULT,
        }
    }
}

/// Makes a vault in an empty directory, durably.
///
/// CRASH: first the top directory with its id, then the key file, the configuration last. Until
/// then no program takes the directory for a vault; what is left can simply be removed.
///
/// # Errors
/// [`VaultError::NotEmpty`], [`VaultError::Threshold`], and those of writing.
pub fn create<S: Store>(
    store: Arc<S>,
    passphrase: &Passphrase,
    options: CreateOptions,
) -> Result<Unlocked<S>, VaultError> {
    let CreateOptions {
        combo,
        threshold,
        cost,
    } = options;
    if !(MIN_THRESHOLD..=MAX_THRESHOLD).contains(&threshold) {
        return Err(VaultError::Threshold { threshold });
    }
    require_empty(&*store)?;
    let key = MasterKey::random(&mut OsRng);
    let config = VaultConfig::new(combo, threshold, &mut OsRng).map_err(VaultError::config)?;
    let key_file = MasterKeyFile::lock(
        &key,
        passphrase,
        cost.params(),
        VERSION_IN_CONFIG,
        &mut OsRng,
    );
    let cryptor = Cryptor::new(&key, combo, threshold);

    let root = ContentPath::of(&cryptor, &DirId::ROOT);
    make_content_dir(&*store, &cryptor, &DirId::ROOT)
        .map_err(VaultError::store(root.to_string()))?;
    let write = |name: &str, text: &str, mode| {
        durable::write_small_atomic(
            &*store,
            &store.root(),
            name.as_bytes(),
            text.as_bytes(),
            mode,
            false,
        )
        .map_err(VaultError::store(name))
    };
    write(MASTERKEY_FILE, &key_file.render(), KEY_FILE_MODE)?;
    write(CONFIG_FILE, &config.render(&key), FILE_MODE)?;
    Ok(Unlocked {
        store,
        cryptor: Arc::new(cryptor),
        config,
        warnings: Vec::new(),
    })
}

fn require_empty<S: Store>(store: &S) -> Result<(), VaultError> {
    let mut is_empty = true;
    let listed = store.list(&store.root(), Cookie::START, 4096, &mut |entry| {
        is_empty = matches!(entry.name, b"." | b"..");
        if is_empty {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    listed.map_err(VaultError::store("the vault directory"))?;
    if is_empty {
        Ok(())
    } else {
        Err(VaultError::NotEmpty)
    }
}

/// Makes `d/XX/YYYY…` of an id with its `dirid.c9r`, durably; what exists is kept.
pub(crate) fn make_content_dir<S: Store>(
    store: &S,
    cryptor: &Cryptor,
    id: &DirId,
) -> Result<S::Dir, StoreError> {
    let path = ContentPath::of(cryptor, id);
    let data = sub_dir(store, &store.root(), DATA_DIR)?;
    let outer = sub_dir(store, &data, path.outer())?;
    let dir = sub_dir(store, &outer, path.inner())?;
    match dir_id_backup::write_new(store, cryptor, &dir, id) {
        Ok(()) => {}
        // An id too long for the file has none; readers do without.
        Err(StoreError {
            kind: StoreErrorKind::Exists | StoreErrorKind::TooLarge,
            ..
        }) => {}
        Err(error) => return Err(error),
    }
    store.sync_dir(&dir)?;
    Ok(dir)
}

fn sub_dir<S: Store>(store: &S, at: &S::Dir, name: &[u8]) -> Result<S::Dir, StoreError> {
    match store.create_dir(at, name, DIR_MODE) {
        Ok(()) => store.sync_dir(at)?,
        Err(StoreError {
            kind: StoreErrorKind::Exists,
            ..
        }) => {}
        Err(error) => return Err(error),
    }
    store.open_dir(at, name)
}
