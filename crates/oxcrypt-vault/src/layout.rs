//! The names of a vault's own files, and the places of its content directories.

use oxcrypt_core::{Cryptor, DirHash, DirId};
use oxcrypt_store::{Store, StoreError};

/// The signed configuration.
pub const CONFIG_FILE: &str = "vault.cryptomator";
/// The wrapped keys.
pub const MASTERKEY_FILE: &str = "masterkey.cryptomator";
/// Holds all content directories.
pub(crate) const DATA_DIR: &[u8] = b"d";
/// Holds the long names of formats 5 and 6.
pub(crate) const LEGACY_NAMES_DIR: &[u8] = b"m";
/// A directory's id, inside its node.
pub(crate) const DIR_FILE: &[u8] = b"dir.c9r";
/// A link's target, inside its node.
pub(crate) const LINK_FILE: &[u8] = b"symlink.c9r";
/// The content of a file with a shortened name.
pub(crate) const CONTENT_FILE: &[u8] = b"contents.c9r";
/// The whole name of a node with a shortened name.
pub(crate) const NAME_FILE: &[u8] = b"name.c9s";
/// The name that such a node is about to get.
pub(crate) const NEW_NAME_FILE: &[u8] = b"name.c9s.new";
/// A directory's own id, encrypted, inside its content directory.
pub(crate) const DIR_ID_BACKUP: &[u8] = b"dirid.c9r";

/// Permissions of what is made here, before the umask: as any program's files.
pub(crate) const FILE_MODE: u32 = 0o666;
pub(crate) const DIR_MODE: u32 = 0o777;
/// Permissions of the files that hold keys.
pub(crate) const KEY_FILE_MODE: u32 = 0o600;

/// The place `d/XX/YYYY…` of a content directory; also of junk two levels below `d`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContentPath {
    /// `XX/YYYY…`
    path: Vec<u8>,
    outer_len: usize,
}

impl ContentPath {
    pub(crate) fn new(outer: &[u8], inner: &[u8]) -> Self {
        Self {
            path: [outer, b"/", inner].concat(),
            outer_len: outer.len(),
        }
    }

    /// Where the content of a directory with this id lies.
    #[must_use]
    pub fn of(cryptor: &Cryptor, id: &DirId) -> Self {
        let hash = cryptor.dir_hash(id);
        Self::new(hash.prefix().as_bytes(), hash.rest().as_bytes())
    }

    /// `XX`.
    #[must_use]
    pub fn outer(&self) -> &[u8] {
        &self.path[..self.outer_len]
    }

    /// `YYYY…`.
    #[must_use]
    pub fn inner(&self) -> &[u8] {
        &self.path[self.outer_len + 1..]
    }

    /// The hash, unless this is junk.
    #[must_use]
    pub fn hash(&self) -> Option<DirHash> {
        DirHash::parse(self.outer(), self.inner())
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// As [`Store::open_dir`].
    pub fn open<S: Store>(&self, store: &S) -> Result<S::Dir, StoreError> {
        store.open_dir(&store.open_dir(&store.root(), DATA_DIR)?, &self.path)
    }
}

/// `d/XX/YYYY…`, readable whatever the bytes.
impl std::fmt::Display for ContentPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "d/{}", lossy(&self.path))
    }
}

/// Text for people: bytes that are no text are replaced.
pub(crate) fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
