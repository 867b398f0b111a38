//! Vaults to run in, and what can be varied about them.

use std::ops::ControlFlow;
use std::sync::Arc;

use oxcrypt_core::name::max_cleartext_len;
use oxcrypt_core::rng::with_rng;
use oxcrypt_core::{CipherCombo, Cryptor, DirId, MasterKey, seal_dir_id_file};
use oxcrypt_store::{OpenMode, Store};
use oxcrypt_vault::check::{CheckOptions, Event, check};
use oxcrypt_vfs::{JournalOptions, LogEvents, VaultFs, VfsOptions};

/// What a run is done with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) combo: CipherCombo,
    /// Names longer than this are shortened.
    pub(crate) threshold: u32,
    /// Keep descriptors open between operations.
    pub(crate) caches: bool,
}

impl Setting {
    /// Both ciphers, usual and short names, with caches and without.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [CipherCombo::SivGcm, CipherCombo::SivCtrMac]
            .into_iter()
            .flat_map(|combo| [220, 48].map(move |threshold| (combo, threshold)))
            .flat_map(|(combo, threshold)| {
                [true, false].map(move |caches| Self {
                    combo,
                    threshold,
                    caches,
                })
            })
    }

    pub(crate) fn longest_short_name(&self) -> usize {
        max_cleartext_len(self.threshold)
    }

    /// Half of the settings.
    fn journaled(&self) -> bool {
        self.threshold == 220
    }

    pub(crate) fn options(&self) -> VfsOptions {
        let mut options = VfsOptions::default();
        if !self.caches {
            options.max_open_files = 0;
            options.max_open_dirs = 0;
        }
        options
    }
}

/// An empty vault in a store.
pub(crate) struct Bed<S: Store> {
    pub(crate) setting: Setting,
    pub(crate) store: Arc<S>,
    /// Where the journal is kept.
    state: Arc<S>,
    pub(crate) cryptor: Arc<Cryptor>,
}

impl<S: Store> Bed<S> {
    pub(crate) fn new(store: S, state: S, setting: Setting) -> Self {
        let key = with_rng(MasterKey::random);
        let cryptor = Cryptor::new(&key, setting.combo, setting.threshold);
        let root = store.root();
        let hash = cryptor.dir_hash(&DirId::ROOT);
        store.create_dir(&root, b"d", 0o777).unwrap();
        let outer = format!("d/{}", hash.prefix());
        store.create_dir(&root, outer.as_bytes(), 0o777).unwrap();
        let data = store.open_dir(&root, b"d").unwrap();
        let path = format!("{}/{}", hash.prefix(), hash.rest());
        store.create_dir(&data, path.as_bytes(), 0o755).unwrap();
        let content = store.open_dir(&data, path.as_bytes()).unwrap();
        let backup = with_rng(|rng| seal_dir_id_file(&cryptor, &DirId::ROOT, rng));
        let file = store
            .open(&content, b"dirid.c9r", OpenMode::new_file(0o666))
            .unwrap();
        store.write_at(&file, &backup, 0).unwrap();
        Self {
            setting,
            store: Arc::new(store),
            state: Arc::new(state),
            cryptor: Arc::new(cryptor),
        }
    }

    pub(crate) fn open(&self) -> VaultFs<S> {
        let (store, cryptor) = (Arc::clone(&self.store), Arc::clone(&self.cryptor));
        let vfs =
            VaultFs::new(store, cryptor, self.setting.options(), Box::new(LogEvents)).unwrap();
        if !self.setting.journaled() {
            return vfs;
        }
        // Small enough to be full every few steps.
        let options = JournalOptions {
            capacity: 300 * 1024,
            ..JournalOptions::default()
        };
        let (vfs, replayed) = vfs.with_journal(&self.state, &[], options).unwrap();
        assert!(replayed.is_empty(), "every run ends cleanly: {replayed:?}");
        vfs
    }

    /// What the vault's own check says about it, empty when it is sound.
    pub(crate) fn findings(&self) -> Vec<String> {
        let options = CheckOptions {
            jobs: 1,
            ..CheckOptions::default()
        };
        let mut findings = Vec::new();
        check(&*self.store, &self.cryptor, &options, &mut |event| {
            if let Event::Finding(finding) = event {
                findings.push(format!("{finding:?}"));
            }
            ControlFlow::Continue(())
        });
        findings
    }
}
