//! Opening the ciphertext behind a file node, on demand and again after eviction.

use std::sync::Arc;

use oxcrypt_core::content::layout::SizeError;
use oxcrypt_core::name::CleartextName;
use oxcrypt_store::timing::{Phase, Span};
use oxcrypt_store::{OpenMode, Store, StoreErrorKind};

use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;
use crate::node::{Backing, FileIo, Node, Place};
use crate::resolve::NodeName;
use crate::sync::atomic::Ordering;
use crate::sync::{RwLockReadGuard, RwLockWriteGuard};
use crate::vault_fs::VaultFs;

/// What an operation needs from the open file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Read chunks.
    Read,
    /// Change chunks or the length.
    Write,
}

impl<S: Store> VaultFs<S> {
    /// Locks the file for reading, opened and with its header known.
    pub(crate) fn file_for_read<'n>(
        &self,
        node: &'n Arc<Node<S>>,
    ) -> Result<RwLockReadGuard<'n, FileIo<S>>> {
        let file = node.file()?;
        file.used.store(true, Ordering::Relaxed);
        let io = locked(|| file.io.read());
        if is_ready(&io, Need::Read) {
            return Ok(io);
        }
        drop(io);
        let io = self.file_for(node, Need::Read)?;
        Ok(RwLockWriteGuard::downgrade(io))
    }

    /// Locks the file exclusively, opened as needed and with its header known.
    pub(crate) fn file_for<'n>(
        &self,
        node: &'n Arc<Node<S>>,
        need: Need,
    ) -> Result<RwLockWriteGuard<'n, FileIo<S>>> {
        let file = node.file()?;
        file.used.store(true, Ordering::Relaxed);
        let io = locked(|| file.io.write());
        if is_ready(&io, need) {
            return Ok(io);
        }
        if io.backing.is_some() && (io.pinned || need == Need::Read || is_writable(&io)) {
            return self.with_header(node, io);
        }
        // The path is needed, and with it the directory lock, which comes before the file's.
        drop(io);
        let opened = self.at_its_place(node, |place| {
            let mut io = locked(|| file.io.write());
            if !is_ready(&io, need) {
                self.open_backing(node, &mut io, place, need)?;
            }
            self.with_header(node, io)
        })?;
        if let Some(io) = opened {
            return Ok(io);
        }
        // The last name went meanwhile, and who removed it opened the file for those who hold it.
        let io = locked(|| file.io.write());
        if io.backing.is_none() {
            return Err(ErrorKind::Stale.into());
        }
        self.with_header(node, io)
    }

    /// Calls `f` with the place of a node while nobody can move it away; nothing for a node without
    /// a place. The directory lock is taken, so the caller holds no file's.
    pub(crate) fn at_its_place<R>(
        &self,
        node: &Node<S>,
        f: impl FnOnce(&Place<S>) -> Result<R>,
    ) -> Result<Option<R>> {
        loop {
            let Some(place) = node.place.lock().clone() else {
                return Ok(None);
            };
            let _names = place.parent.dir()?.names_shared();
            // Moved between the look and the lock?
            if node.is_at(&place.parent, &place.name) {
                return f(&place).map(Some);
            }
        }
    }

    /// Opens the ciphertext file so that it survives the removal of its name.
    ///
    /// LOCK: the caller holds the parent directory's lock.
    pub(crate) fn pin(&self, node: &Arc<Node<S>>, place: &Place<S>) -> Result<()> {
        let file = node.file()?;
        let mut io = file.io.write();
        if io.backing.as_ref().is_none_or(|b| !b.writable) && !io.pinned {
            self.open_backing(node, &mut io, place, Need::Write)
                .or_else(|e| {
                    // Read-only is better than nothing for a file that we may not write.
                    if e.kind == ErrorKind::PermissionDenied {
                        Ok(())
                    } else {
                        Err(e)
                    }
                })?;
        }
        io.pinned = true;
        Ok(())
    }

    /// LOCK: the caller holds the parent directory's lock and the file's.
    fn open_backing(
        &self,
        node: &Arc<Node<S>>,
        io: &mut FileIo<S>,
        place: &Place<S>,
        need: Need,
    ) -> Result<()> {
        let content = self.content_dir(&place.parent)?;
        let path = self.content_path(&content, place)?;
        let read_only = self.options.read_only;
        let (file, writable) = if read_only {
            (
                self.store.open(&content, path.as_bytes(), OpenMode::READ)?,
                false,
            )
        } else {
            match self
                .store
                .open(&content, path.as_bytes(), OpenMode::READ_WRITE)
            {
                Ok(file) => (file, true),
                Err(e) => match e.kind {
                    StoreErrorKind::PermissionDenied if need == Need::Write => {
                        (self.open_against_mode(node, &content, &path)?, true)
                    }
                    StoreErrorKind::PermissionDenied
                    | StoreErrorKind::ReadOnly
                    | StoreErrorKind::Busy
                        if need == Need::Read =>
                    {
                        (self.open_for_read(node, &content, &path)?, false)
                    }
                    _ => return Err(e.into()),
                },
            }
        };
        let stat = self.store.stat_file(&file)?;
        if stat.id != node.identity {
            return Err(ErrorKind::Stale.into());
        }
        io.cipher_len = stat.size;
        io.durable_len = stat.size;
        io.backing = Some(Backing { file, writable });
        self.open_files.opened(node);
        Ok(())
    }

    fn content_path(&self, content: &S::Dir, place: &Place<S>) -> Result<NodeName> {
        let name = CleartextName::parse(&place.name)?;
        let sealed = self.seal(place.parent.dir()?, &name)?;
        if !sealed.node_name.is_long() {
            // The common case without a look: a plain file, or an alias.
            match self.store.stat(content, sealed.node_name.as_bytes()) {
                Ok(_) => return Ok(sealed.node_name),
                Err(e) if e.kind == StoreErrorKind::NotFound => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(self.locate(&place.parent, &name)?.type_path())
    }

    fn open_for_read(&self, node: &Node<S>, content: &S::Dir, path: &NodeName) -> Result<S::File> {
        match self.store.open(content, path.as_bytes(), OpenMode::READ) {
            Ok(file) => Ok(file),
            Err(e) if e.kind == StoreErrorKind::PermissionDenied => {
                self.open_against_mode(node, content, path)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Opens a file whose mode forbids it although the request was allowed: the kernel checked the
    /// opener's rights when it opened, and the mode may have changed since (a read-only object is
    /// still writable through the descriptor that made it). Only the owner can do this.
    fn open_against_mode(
        &self,
        node: &Node<S>,
        content: &S::Dir,
        path: &NodeName,
    ) -> Result<S::File> {
        let _own = node.own.begin();
        let at = oxcrypt_store::Node::<S>::Name(content, path.as_bytes());
        let mode = self.store.stat_beneath(content, path.as_bytes())?.mode;
        self.store.set_mode(at, mode | 0o600)?;
        let opened = self
            .store
            .open(content, path.as_bytes(), OpenMode::READ_WRITE);
        self.store.set_mode(at, mode)?;
        Ok(opened?)
    }

    fn with_header<'n>(
        &self,
        node: &Arc<Node<S>>,
        mut io: RwLockWriteGuard<'n, FileIo<S>>,
    ) -> Result<RwLockWriteGuard<'n, FileIo<S>>> {
        if io.header.is_none() && io.cipher_len > 0 {
            io.header = Some(Box::new(self.read_header(node, &io)?));
        }
        Ok(io)
    }

    fn read_header(&self, node: &Node<S>, io: &FileIo<S>) -> Result<oxcrypt_core::FileHeader> {
        let backing = io.backing.as_ref().ok_or(ErrorKind::Internal)?;
        let mut buf = [0u8; 128];
        let len = self.cryptor.layout().header_len();
        let got = self.store.read_at(&backing.file, &mut buf[..len], 0)?;
        self.cryptor
            .open_header(&buf[..got])
            .map_err(|_| self.corrupt(node, "header"))
    }

    /// Reports that a part of `node` failed its authentication.
    pub(crate) fn corrupt(&self, node: &Node<S>, part: &'static str) -> Error {
        let path = node.place.lock().as_ref().and_then(|p| {
            let dir = p.parent.dir().ok()?;
            let sealed = self.seal(dir, &CleartextName::parse(&p.name).ok()?).ok()?;
            let node_name = String::from_utf8_lossy(sealed.node_name.as_bytes()).into_owned();
            Some(format!("d/{}/{node_name} ({part})", dir.hash))
        });
        let path = path.unwrap_or_else(|| format!("inode {} ({part})", node.identity.ino));
        self.event(EventKind::DecryptionFailed, path.as_bytes());
        ErrorKind::Corrupt.into()
    }

    /// The cleartext length of the open file; an impossible ciphertext length is damage.
    pub(crate) fn plain_len(&self, node: &Node<S>, io: &FileIo<S>) -> Result<u64> {
        match self.cryptor.layout().plain_len(io.cipher_len) {
            Ok(len) => Ok(len),
            Err(SizeError::Empty) => Ok(0),
            Err(
                SizeError::TornHeader | SizeError::TornChunk | SizeError::EmptyTrailingChunk { .. },
            ) => Err(self.corrupt(node, "length")),
        }
    }
}

/// Takes a lock, and counts how long that took.
fn locked<G>(take: impl FnOnce() -> G) -> G {
    let _wait = Span::of(Phase::Lock);
    take()
}

fn is_writable<S: Store>(io: &FileIo<S>) -> bool {
    io.backing.as_ref().is_some_and(|b| b.writable)
}

fn is_ready<S: Store>(io: &FileIo<S>, need: Need) -> bool {
    io.backing
        .as_ref()
        .is_some_and(|b| b.writable || need == Need::Read)
        && (io.header.is_some() || io.cipher_len == 0)
}
