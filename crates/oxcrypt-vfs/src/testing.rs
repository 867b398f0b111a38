//! What the tests beside the code begin with.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use oxcrypt_core::{CipherCombo, Cryptor, DirId, MasterKey};
use oxcrypt_store::{MemStore, Store};

use crate::vault_fs::{VaultFs, hash_path};
use crate::{Caller, LogEvents, VfsOptions};

pub(crate) const ROOT: Caller = Caller { uid: 0, gid: 0 };

/// An empty vault in memory.
pub(crate) fn fresh(options: VfsOptions) -> VaultFs<MemStore> {
    let store = Arc::new(MemStore::new());
    let key = MasterKey::from_raw(&[7; MasterKey::LEN]);
    let cryptor = Arc::new(Cryptor::new(&key, CipherCombo::SivGcm, 220));
    let root = hash_path(&cryptor.dir_hash(&DirId::ROOT));
    for path in [&b"d"[..], &[b"d/", &root[..2]].concat()] {
        store.create_dir(&store.root(), path, 0o755).unwrap();
    }
    let data = store.open_dir(&store.root(), b"d").unwrap();
    store.create_dir(&data, &root, 0o755).unwrap();
    VaultFs::new(store, cryptor, options, Box::new(LogEvents)).unwrap()
}
