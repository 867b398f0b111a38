//! The one door from a cleartext name to a ciphertext node.
//!
//! A node in a content directory has one of two forms: a *short* name carries the whole encrypted
//! name (`NAME.c9r`), a *long* one only its hash (`HASH.c9s`, a directory that holds `name.c9s`). A
//! regular file with a short name is a plain file; everything else is a directory around one type
//! file: `dir.c9r`, `symlink.c9r`, or, with a long name only, `contents.c9r`.

use std::sync::Arc;

use oxcrypt_core::name::{CipherName, CleartextName};
use oxcrypt_core::{DirHash, DirId};
use oxcrypt_store::timing::{Phase, Span};
use oxcrypt_store::{Kind, OpenMode, Stat, Store, StoreError, StoreErrorKind};

use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;
use crate::node::{DirState, Node};
use crate::types::NodeKind;
use crate::vault_fs::VaultFs;

pub(crate) const DIR_FILE: &[u8] = b"dir.c9r";
pub(crate) const SYMLINK_FILE: &[u8] = b"symlink.c9r";
pub(crate) const CONTENTS_FILE: &[u8] = b"contents.c9r";
pub(crate) const NAME_FILE: &[u8] = b"name.c9s";
pub(crate) const DIRID_FILE: &[u8] = b"dirid.c9r";
pub(crate) const SHORT_SUFFIX: &[u8] = b".c9r";
pub(crate) const LONG_SUFFIX: &[u8] = b".c9s";
/// Longest `dir.c9r` that is read.
pub(crate) const MAX_DIR_FILE: usize = 1000;

/// The on-disk name of a node inside a content directory.
#[derive(Clone)]
pub(crate) struct NodeName {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl NodeName {
    const MAX: usize = 512;

    /// Names longer than any host stores are refused.
    pub(crate) fn new(name: &[u8]) -> Result<Self> {
        // Room is left for one more component.
        if name.len() + 32 > Self::MAX {
            return Err(ErrorKind::NameTooLong.into());
        }
        let mut bytes = [0; Self::MAX];
        bytes[..name.len()].copy_from_slice(name);
        Ok(Self {
            bytes,
            len: name.len(),
        })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn is_long(&self) -> bool {
        self.as_bytes().ends_with(LONG_SUFFIX)
    }

    /// Whether `file` is inside of it.
    pub(crate) fn is_wrapper_of(&self, file: &NodeName) -> bool {
        file.len > self.len
    }

    /// `node/inner`.
    pub(crate) fn join(&self, inner: &[u8]) -> NodeName {
        let mut joined = self.clone();
        joined.bytes[joined.len] = b'/';
        joined.bytes[joined.len + 1..][..inner.len()].copy_from_slice(inner);
        joined.len += 1 + inner.len();
        joined
    }
}

/// What a name leads to on disk.
pub(crate) struct Found<S: Store> {
    pub(crate) node_name: NodeName,
    pub(crate) content: Content<S>,
    /// Of the content: the ciphertext file, or the content directory.
    pub(crate) stat: Stat,
}

/// The content behind a node, by kind.
pub(crate) enum Content<S: Store> {
    File,
    Symlink,
    Dir {
        dir_id: DirId,
        hash: DirHash,
        handle: S::Dir,
    },
}

impl<S: Store> Found<S> {
    pub(crate) fn kind(&self) -> NodeKind {
        match self.content {
            Content::File => NodeKind::File,
            Content::Symlink => NodeKind::Symlink,
            Content::Dir { .. } => NodeKind::Directory,
        }
    }

    /// Whether the node is a bare file and not a directory around a type file.
    pub(crate) fn is_plain_file(&self) -> bool {
        matches!(self.content, Content::File) && !self.node_name.is_long()
    }

    /// Path of the ciphertext file that makes the node what it is, relative to the content
    /// directory: moving this file onto another node's replaces that node in one step.
    pub(crate) fn type_path(&self) -> NodeName {
        match self.content {
            Content::File if self.node_name.is_long() => self.node_name.join(CONTENTS_FILE),
            Content::File => self.node_name.clone(),
            Content::Symlink => self.node_name.join(SYMLINK_FILE),
            Content::Dir { .. } => self.node_name.join(DIR_FILE),
        }
    }
}

/// A sealed name, ready for the store.
pub(crate) struct Sealed {
    pub(crate) node_name: NodeName,
    /// The full ciphertext name where `node_name` is only its hash.
    pub(crate) full: Option<CipherName>,
}

impl<S: Store> VaultFs<S> {
    /// Encrypts a name for a directory.
    pub(crate) fn seal(&self, dir: &DirState<S>, name: &CleartextName<'_>) -> Result<Sealed> {
        let _crypt = Span::of(Phase::Crypt);
        let cipher = self.cryptor.seal_name(&dir.names, name);
        let node_name = NodeName::new(cipher.node())?;
        let full = cipher.is_long().then_some(cipher);
        Ok(Sealed { node_name, full })
    }

    /// Finds `name` in `parent`. The caller holds the directory's lock.
    pub(crate) fn locate(
        &self,
        parent: &Arc<Node<S>>,
        name: &CleartextName<'_>,
    ) -> Result<Found<S>> {
        let dir = parent.dir()?;
        let content = self.content_dir(parent)?;
        let sealed = self.seal(dir, name)?;
        match self.look(parent, &content, &sealed.node_name) {
            Err(e) if e.kind == ErrorKind::NotFound => {
                match self.alias_target(parent, &content, name)? {
                    Some(node_name) => self.look(parent, &content, &node_name),
                    None => Err(e),
                }
            }
            other => other,
        }
    }

    /// As [`Self::locate`], `None` when there is no such node.
    pub(crate) fn locate_opt(
        &self,
        parent: &Arc<Node<S>>,
        name: &CleartextName<'_>,
    ) -> Result<Option<Found<S>>> {
        match self.locate(parent, name) {
            Ok(found) => Ok(Some(found)),
            Err(e) if e.kind == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// As [`Self::probe`], for a frontend that will be told of it.
    pub(crate) fn look(
        &self,
        parent: &Node<S>,
        content: &S::Dir,
        node_name: &NodeName,
    ) -> Result<Found<S>> {
        let mut stat = self.store.stat(content, node_name.as_bytes());
        if self.is_watching() {
            let now = stat.as_ref().map(|stat| stat.id).ok();
            if self.own_names.told(parent.id, node_name.as_bytes(), now) {
                // What was forgotten may have explained an event just before: the change back.
                stat = self.store.stat(content, node_name.as_bytes());
            }
        }
        self.probe_as(content, node_name, stat?)
    }

    /// Finds out what the node `node_name` in the content directory `content` is.
    pub(crate) fn probe(&self, content: &S::Dir, node_name: &NodeName) -> Result<Found<S>> {
        let stat = self.store.stat(content, node_name.as_bytes())?;
        self.probe_as(content, node_name, stat)
    }

    fn probe_as(&self, content: &S::Dir, node_name: &NodeName, stat: Stat) -> Result<Found<S>> {
        match stat.kind {
            Kind::File if !node_name.is_long() => Ok(Found {
                node_name: node_name.clone(),
                content: Content::File,
                stat,
            }),
            Kind::Dir => self.probe_wrapper(content, node_name),
            Kind::File | Kind::Symlink | Kind::Other => {
                self.event(EventKind::BrokenFileNode, node_name.as_bytes());
                Err(ErrorKind::Damaged.into())
            }
        }
    }

    fn probe_wrapper(&self, content: &S::Dir, node_name: &NodeName) -> Result<Found<S>> {
        if let Some(dir_id) = self.read_dir_file(content, node_name)? {
            let hash = self.cryptor.dir_hash(&dir_id);
            let handle = self.open_content_dir(&hash).inspect_err(|e| {
                if e.kind == ErrorKind::Damaged {
                    self.event(EventKind::BrokenDirFile, node_name.as_bytes());
                }
            })?;
            let stat = self.store.stat_dir(&handle)?;
            let content = Content::Dir {
                dir_id,
                hash,
                handle,
            };
            return Ok(Found {
                node_name: node_name.clone(),
                content,
                stat,
            });
        }
        if let Some(stat) = self.stat_type_file(content, node_name, SYMLINK_FILE)? {
            return Ok(Found {
                node_name: node_name.clone(),
                content: Content::Symlink,
                stat,
            });
        }
        if node_name.is_long()
            && let Some(stat) = self.stat_type_file(content, node_name, CONTENTS_FILE)?
        {
            return Ok(Found {
                node_name: node_name.clone(),
                content: Content::File,
                stat,
            });
        }
        self.event(EventKind::BrokenFileNode, node_name.as_bytes());
        Err(ErrorKind::Damaged.into())
    }

    fn stat_type_file(
        &self,
        content: &S::Dir,
        node_name: &NodeName,
        inner: &[u8],
    ) -> Result<Option<Stat>> {
        match self
            .store
            .stat_beneath(content, node_name.join(inner).as_bytes())
        {
            Ok(stat) if stat.kind == Kind::File => Ok(Some(stat)),
            Ok(_) => {
                self.event(EventKind::BrokenFileNode, node_name.as_bytes());
                Err(ErrorKind::Damaged.into())
            }
            Err(e) if e.kind == StoreErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The directory id of a node, `None` when it has no `dir.c9r`.
    pub(crate) fn read_dir_file(
        &self,
        content: &S::Dir,
        node_name: &NodeName,
    ) -> Result<Option<DirId>> {
        let path = node_name.join(DIR_FILE);
        let file = match self.store.open(content, path.as_bytes(), OpenMode::READ) {
            Ok(file) => file,
            Err(e) if e.kind == StoreErrorKind::NotFound => return Ok(None),
            Err(e) => {
                self.event(EventKind::BrokenDirFile, node_name.as_bytes());
                return Err(type_file_error(e));
            }
        };
        let mut id = [0u8; MAX_DIR_FILE + 1];
        let len = self.store.read_at(&file, &mut id, 0)?;
        match DirId::parse(&id[..len]) {
            // An empty id would be the root again.
            Ok(id) if !id.is_root() => Ok(Some(id)),
            Ok(_) | Err(_) => {
                self.event(EventKind::BrokenDirFile, node_name.as_bytes());
                Err(ErrorKind::Damaged.into())
            }
        }
    }
}

/// Why a type file cannot be read: whatever cannot be one is damage.
pub(crate) fn type_file_error(e: StoreError) -> Error {
    match e.kind {
        StoreErrorKind::IsDirectory | StoreErrorKind::NotDirectory | StoreErrorKind::TooLarge => {
            ErrorKind::Damaged.into()
        }
        _ => e.into(),
    }
}

/// Checks a name given by a program that looks something up: what can never exist is "not found".
pub(crate) fn parse_lookup(name: &[u8]) -> Result<CleartextName<'_>> {
    CleartextName::parse(name).map_err(|e| match Error::from(e).kind {
        ErrorKind::InvalidName => ErrorKind::NotFound.into(),
        kind => kind.into(),
    })
}
