//! A machine that can be interrupted: its disks, and the file system that runs on it.

use std::sync::Arc;
use std::time::Duration;

use oxcrypt_core::{CipherCombo, Cryptor, DirId, MasterKey};
use oxcrypt_store::{FaultStore, Faults, MemStore, OpenMode, Store};
use oxcrypt_vfs::{Caller, JournalOptions, LogEvents, NodeId, Replayed, VaultFs, VfsOptions};

pub(crate) const CHUNK: usize = 32 * 1024;
pub(crate) const ROOT: NodeId = NodeId::ROOT;
pub(crate) const CALLER: Caller = Caller { uid: 0, gid: 0 };

/// A small generator: the tests must be repeatable by their seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }
}

pub(crate) type Disk = FaultStore<MemStore>;

/// The two disks of a machine: the vault's and that of the state directory.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) vault: MemStore,
    pub(crate) state: MemStore,
    pub(crate) combo: CipherCombo,
}

impl Machine {
    pub(crate) fn new(combo: CipherCombo) -> Self {
        let machine = Self {
            vault: MemStore::new(),
            state: MemStore::new(),
            combo,
        };
        let hash = machine.cryptor().dir_hash(&DirId::ROOT);
        let root = machine.vault.root();
        machine.vault.create_dir(&root, b"d", 0o700).unwrap();
        let top = [b"d/", hash.prefix().as_bytes()].concat();
        machine.vault.create_dir(&root, &top, 0o700).unwrap();
        let top = machine.vault.open_dir(&root, &top).unwrap();
        machine
            .vault
            .create_dir(&top, hash.rest().as_bytes(), 0o700)
            .unwrap();
        machine.vault.sync_everything().unwrap();
        machine
    }

    pub(crate) fn cryptor(&self) -> Cryptor {
        let key = MasterKey::from_raw(&[7; MasterKey::LEN]);
        Cryptor::new(&key, self.combo, 220)
    }

    pub(crate) fn boot(&self) -> (VaultFs<Disk>, Faults, Replayed) {
        let (vault, faults) = FaultStore::new(self.vault.clone());
        let state = Arc::new(FaultStore::sharing(self.state.clone(), &faults));
        let fs = VaultFs::new(
            Arc::new(vault),
            Arc::new(self.cryptor()),
            VfsOptions::default(),
            Box::new(LogEvents),
        )
        .unwrap();
        let options = JournalOptions {
            capacity: 600 * 1024,
            delay: Duration::from_secs(1),
        };
        let (fs, replayed) = fs.with_journal(&state, &[], options).unwrap();
        (fs, faults, replayed)
    }

    /// The background thread does this half a second after the first extension.
    pub(crate) fn commit_notes_of_extensions(&self) {
        for name in [b"extends.a", b"extends.b"] {
            let root = self.state.root();
            let file = self.state.open(&root, name, OpenMode::READ).unwrap();
            self.state.sync_all(&file).unwrap();
        }
    }

    pub(crate) fn after_power_cut(&self, dice: &mut Dice) -> Self {
        Self {
            vault: self.vault.after_power_cut(&mut || dice.coin()),
            state: self.state.after_power_cut(&mut || dice.coin()),
            combo: self.combo,
        }
    }
}

impl Machine {
    /// In the vault nothing survives that was not synced.
    pub(crate) fn after_the_harshest_cut(self) -> Self {
        Self {
            vault: self.vault.after_power_cut(&mut || false),
            ..self
        }
    }

    /// In the vault all names survive, but no content that was not synced.
    pub(crate) fn after_a_cut_of_data(self) -> Self {
        Self {
            vault: self.vault.after_power_cut_of_data(),
            ..self
        }
    }
}
