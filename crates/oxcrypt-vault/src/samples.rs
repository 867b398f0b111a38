//! What the files of a vault tell about its configuration.

use std::ops::ControlFlow;

use oxcrypt_core::name::NameFile;
use oxcrypt_core::{CipherCombo, Cryptor, DEFAULT_THRESHOLD, MasterKey, NodeKind};
use oxcrypt_store::{Cookie, Kind, OpenMode, Store, StoreError};

use crate::error::VaultError;
use crate::layout::{CONTENT_FILE, DATA_DIR, DIR_ID_BACKUP, LINK_FILE, NAME_FILE};

/// Headers tried at most; each costs one read of 88 bytes.
const MAX_TRIED: usize = 400;
/// This many authentic headers settle the question.
const ENOUGH_OPENED: usize = 8;
/// Entries looked at for the lengths of their names.
const MAX_ENTRIES: usize = 100_000;
/// Files `name.c9s` read.
const MAX_NAME_FILES: usize = 400;
const MAX_NAME_FILE_LEN: usize = 10_240;

/// Greatest header of any combination.
const MAX_HEADER: usize = 88;

/// Findings of a bounded walk.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    gcm: usize,
    ctr_mac: usize,
    tried: usize,
    entries: usize,
    name_files: usize,
    longest_plain: usize,
    shortest_shortened: Option<usize>,
}

impl Samples {
    pub(crate) fn take<S: Store>(store: &S, key: &MasterKey) -> Result<Self, VaultError> {
        let mut samples = Self::default();
        let ciphers = [CipherCombo::SivGcm, CipherCombo::SivCtrMac]
            .map(|combo| Cryptor::new(key, combo, DEFAULT_THRESHOLD));
        let data = store
            .open_dir(&store.root(), DATA_DIR)
            .map_err(VaultError::store("d"))?;
        for outer in subdirs(store, &data).map_err(VaultError::store("d"))? {
            let Ok(outer) = store.open_dir(&data, &outer) else {
                continue;
            };
            for inner in subdirs(store, &outer).unwrap_or_default() {
                // What cannot be read says nothing; the rest may.
                if let Ok(dir) = store.open_dir(&outer, &inner) {
                    samples.look_into(store, &ciphers, &dir);
                }
                if samples.is_done() {
                    return Ok(samples);
                }
            }
        }
        Ok(samples)
    }

    fn is_done(&self) -> bool {
        self.entries >= MAX_ENTRIES
    }

    pub(crate) fn opened(&self) -> usize {
        self.gcm.max(self.ctr_mac)
    }

    /// The combination whose headers are authentic. Only a forger with the key could make both.
    pub(crate) fn combo(&self) -> Option<CipherCombo> {
        match (self.gcm, self.ctr_mac) {
            (0, 0) => None,
            (gcm, ctr_mac) if gcm >= ctr_mac => Some(CipherCombo::SivGcm),
            _ => Some(CipherCombo::SivCtrMac),
        }
    }

    /// The thresholds under which the names met would have the forms they have.
    pub(crate) fn threshold_range(&self) -> (u32, u32) {
        let least = u32::try_from(self.longest_plain).unwrap_or(u32::MAX).max(1);
        let most = self
            .shortest_shortened
            .map_or(10_240, |len| len.saturating_sub(1));
        (least, u32::try_from(most).unwrap_or(u32::MAX))
    }

    fn look_into<S: Store>(&mut self, store: &S, ciphers: &[Cryptor; 2], dir: &S::Dir) {
        let mut names = Vec::new();
        let room = MAX_ENTRIES - self.entries;
        // A listing that breaks off gives what it gave.
        let _ = store.list(dir, Cookie::START, 32 * 1024, &mut |entry| {
            names.push((entry.name.to_vec(), entry.kind));
            if names.len() < room {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        self.entries += names.len();
        for (name, kind) in names {
            let inside = |file: &[u8]| [&name, &b"/"[..], file].concat();
            if name == DIR_ID_BACKUP {
                self.try_header(store, ciphers, dir, &name);
                continue;
            }
            match NodeKind::of(&name) {
                NodeKind::Regular => {
                    self.longest_plain = self.longest_plain.max(name.len());
                    if kind == Some(Kind::Dir) {
                        self.try_header(store, ciphers, dir, &inside(LINK_FILE));
                    } else {
                        self.try_header(store, ciphers, dir, &name);
                    }
                }
                NodeKind::Shortened => {
                    self.measure_name(store, dir, &inside(NAME_FILE));
                    self.try_header(store, ciphers, dir, &inside(CONTENT_FILE));
                }
                NodeKind::InUse | NodeKind::Foreign => {}
            }
        }
    }

    fn measure_name<S: Store>(&mut self, store: &S, dir: &S::Dir, name_file: &[u8]) {
        if self.name_files >= MAX_NAME_FILES {
            return;
        }
        self.name_files += 1;
        if let Ok(content) = store.read_small(dir, name_file, MAX_NAME_FILE_LEN)
            && let Ok(name) = NameFile::parse(&content)
        {
            let len = name.full().len();
            self.shortest_shortened = Some(self.shortest_shortened.map_or(len, |s| s.min(len)));
        }
    }

    fn try_header<S: Store>(
        &mut self,
        store: &S,
        ciphers: &[Cryptor; 2],
        dir: &S::Dir,
        name: &[u8],
    ) {
        if self.tried >= MAX_TRIED || self.opened() >= ENOUGH_OPENED {
            return;
        }
        let mut start = [0; MAX_HEADER];
        let Ok(file) = store.open(dir, name, OpenMode::READ) else {
            return;
        };
        let Ok(read) = store.read_at(&file, &mut start, 0) else {
            return;
        };
        self.tried += 1;
        for (cryptor, count) in ciphers.iter().zip([&mut self.gcm, &mut self.ctr_mac]) {
            let header = start[..read].get(..cryptor.layout().header_len());
            if header.is_some_and(|header| cryptor.open_header(header).is_ok()) {
                *count += 1;
            }
        }
    }
}

fn subdirs<S: Store>(store: &S, dir: &S::Dir) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut names = Vec::new();
    store.list(dir, Cookie::START, 32 * 1024, &mut |entry| {
        let may_be_dir = matches!(entry.kind, None | Some(Kind::Dir));
        if may_be_dir && entry.name != b"." && entry.name != b".." {
            names.push(entry.name.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    Ok(names)
}
