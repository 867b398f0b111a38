//! Where the nodes of the cleartext tree lie in the vault.

use std::path::{Path, PathBuf};

use oxcrypt_core::{CleartextName, Cryptor, DirId, Layout, Passphrase};
use oxcrypt_store::LocalStore;
use oxcrypt_vault::open_key;

/// Paths relative to the vault.
pub(super) struct CipherTree {
    vault: PathBuf,
    cryptor: Cryptor,
}

impl CipherTree {
    pub(super) fn open(vault: &Path, password: &str) -> Self {
        let store = LocalStore::open(vault).unwrap();
        let open = open_key(&store, &Passphrase::new(password.to_owned())).unwrap();
        Self {
            vault: vault.to_owned(),
            cryptor: Cryptor::new(&open.key, open.config.combo(), open.config.threshold()),
        }
    }

    pub(super) fn layout(&self) -> Layout {
        self.cryptor.layout()
    }

    fn content_of(&self, id: &DirId) -> PathBuf {
        PathBuf::from(format!("d/{}", self.cryptor.dir_hash(id)))
    }

    fn id_of(&self, dir: &str) -> DirId {
        if dir.is_empty() {
            return DirId::ROOT;
        }
        let bytes = std::fs::read(self.vault.join(self.node(dir)).join("dir.c9r")).unwrap();
        DirId::parse(&bytes).unwrap()
    }

    /// The content directory of a directory; "" is the root.
    pub(super) fn content(&self, dir: &str) -> PathBuf {
        self.content_of(&self.id_of(dir))
    }

    /// The node of any path.
    pub(super) fn node(&self, path: &str) -> PathBuf {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let id = self.id_of(dir);
        let name = CleartextName::parse(name.as_bytes()).unwrap();
        let sealed = self.cryptor.seal_name(&self.cryptor.dir_names(&id), &name);
        self.content_of(&id).join(sealed.node_str())
    }
}
