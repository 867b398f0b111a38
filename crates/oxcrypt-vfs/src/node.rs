//! Nodes: what the frontend holds a lookup on, and the table that finds them.
//!
//! A node is one ciphertext object, known by the identity of the file that carries its content (the
//! content directory for a directory). Two names of one file are therefore one node, and a file
//! replaced behind our back is another node, with a number of its own.
//!
//! Invariants: a node is in `by_id` exactly while its lookup count is above zero (the root always);
//! `by_identity` leads to at most one node per identity, and only to nodes in `by_id`.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use oxcrypt_core::{DirHash, DirNames, FileHeader};
use oxcrypt_store::timing::{Phase, Span};
use oxcrypt_store::{Identity, Store, WatchId};
use rustc_hash::FxHashSet;

use crate::alias::AliasTable;
use crate::error::ErrorKind;
use crate::journal::{Logged, LogicalLen};
use crate::surplus::Surplus;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::types::{NodeId, NodeKind};
use crate::watch::OwnChanges;

/// Where a node is found: its parent and its cleartext name there.
#[derive(Debug)]
pub(crate) struct Place<S: Store> {
    pub(crate) parent: Arc<Node<S>>,
    pub(crate) name: Box<[u8]>,
}

impl<S: Store> Place<S> {
    /// Whether it is this one. A directory that was away for a moment comes back as another node, and
    /// is the same directory.
    pub(crate) fn is(&self, parent: &Node<S>, name: &[u8]) -> bool {
        self.parent.identity == parent.identity && &*self.name == name
    }
}

impl<S: Store> Clone for Place<S> {
    fn clone(&self) -> Self {
        Self {
            parent: Arc::clone(&self.parent),
            name: self.name.clone(),
        }
    }
}

/// One file, directory or symbolic link.
pub(crate) struct Node<S: Store> {
    pub(crate) id: NodeId,
    pub(crate) identity: Identity,
    lookups: AtomicU64,
    /// Set when the last name went. Without a place a node may have names all the same, made before
    /// anybody here knew it.
    is_nameless: AtomicBool,
    /// The name that was met last, or none: the root, and nodes whose last known name was removed.
    pub(crate) place: Mutex<Option<Place<S>>>,
    /// Further names of a file with hard links, older ones first; each takes over when the one
    /// before it goes.
    other_places: Mutex<Vec<Place<S>>>,
    /// The watch on the wrapper around this node.
    pub(crate) wrapper: Mutex<Option<WatchId>>,
    pub(crate) own: OwnChanges,
    pub(crate) body: Body<S>,
}

impl<S: Store> std::fmt::Debug for Node<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id)
            .field("kind", &self.kind())
            .finish()
    }
}

/// What a node carries by kind.
pub(crate) enum Body<S: Store> {
    File(Box<FileState<S>>),
    Dir(Box<DirState<S>>),
    Symlink,
}

/// A directory: its id never changes, its place may.
pub(crate) struct DirState<S: Store> {
    pub(crate) names: DirNames,
    pub(crate) hash: DirHash,
    /// Open content directory, if it was not evicted.
    pub(crate) handle: Mutex<Option<S::Dir>>,
    pub(crate) used: AtomicBool,
    /// Removed, but still held by somebody: the open handle is all that is left of it.
    pub(crate) is_removed: AtomicBool,
    /// Held shared while a name in this directory is resolved, exclusively while one changes.
    pub(crate) lock: RwLock<()>,
    /// Nodes shown under another name than their own, if any were met.
    pub(crate) aliases: Mutex<Option<Arc<AliasTable>>>,
    /// Set when nodes below were created, removed or renamed since the last sync.
    pub(crate) unsynced: AtomicBool,
    /// Set while what leads to the content of this directory was not synced.
    pub(crate) fresh: AtomicBool,
    /// The watch on the content directory.
    pub(crate) watch: Mutex<Option<WatchId>>,
}

impl<S: Store> DirState<S> {
    /// Names are being resolved.
    pub(crate) fn names_shared(&self) -> RwLockReadGuard<'_, ()> {
        let _wait = Span::of(Phase::Lock);
        self.lock.read()
    }

    /// A name is being changed.
    pub(crate) fn names_exclusive(&self) -> RwLockWriteGuard<'_, ()> {
        let _wait = Span::of(Phase::Lock);
        self.lock.write()
    }
}

/// A file: all its openers share this.
pub(crate) struct FileState<S: Store> {
    pub(crate) io: RwLock<FileIo<S>>,
    /// The length that users see, while the disk shows another one.
    pub(crate) len: LogicalLen,
    /// Chunks of this file are, or are about to be, newer in the journal than on disk.
    pub(crate) has_logged: AtomicBool,
    /// A writer holds the lock and waits for room in the journal; nothing of this file is logged.
    pub(crate) awaits_room: AtomicBool,
    /// Content or length on disk changed since the last sync.
    pub(crate) dirty_data: AtomicBool,
    /// Attributes on disk changed since the last full sync.
    pub(crate) dirty_attrs: AtomicBool,
    pub(crate) used: AtomicBool,
    /// How many moves of directories there had been when all that leads to this file was synced
    /// last; [`NAMES_UNSYNCED`] when one of its own names was made or moved since, [`NAME_AS_MADE`]
    /// when the file still stands where it was made and nowhere else.
    pub(crate) names_synced: AtomicU64,
}

/// See [`FileState::names_synced`].
pub(crate) const NAMES_UNSYNCED: u64 = u64::MAX;
/// See [`FileState::names_synced`].
pub(crate) const NAME_AS_MADE: u64 = u64::MAX - 1;

/// The open ciphertext file behind a file node.
pub(crate) struct FileIo<S: Store> {
    pub(crate) backing: Option<Backing<S>>,
    /// Authenticated header, once read or created.
    pub(crate) header: Option<Box<FileHeader>>,
    /// Length of the ciphertext; meaningful while `backing` is open.
    pub(crate) cipher_len: u64,
    /// What lies behind was written since the last sync, and nobody was told that it lasts.
    pub(crate) durable_len: u64,
    /// The header exists only in memory yet; the file on disk is empty.
    pub(crate) header_pending: bool,
    /// The last name is gone: this descriptor is the only way to the content.
    pub(crate) pinned: bool,
    /// A write that had been acknowledged failed later; told once by fsync.
    pub(crate) failed: Option<ErrorKind>,
    /// Chunks and cuts that the journal holds.
    pub(crate) logged: Option<Box<Logged>>,
    /// Which use of the journal knows that this file is being extended, and from where on.
    pub(crate) extend_epoch: u64,
    pub(crate) extend_from: u64,
}

/// An open ciphertext file.
pub(crate) struct Backing<S: Store> {
    pub(crate) file: S::File,
    pub(crate) writable: bool,
}

impl<S: Store> Default for FileState<S> {
    fn default() -> Self {
        Self {
            io: RwLock::new(FileIo {
                backing: None,
                header: None,
                cipher_len: 0,
                durable_len: 0,
                header_pending: false,
                pinned: false,
                failed: None,
                logged: None,
                extend_epoch: 0,
                extend_from: 0,
            }),
            len: LogicalLen::default(),
            has_logged: AtomicBool::new(false),
            awaits_room: AtomicBool::new(false),
            // Somebody may have written to it before we knew it.
            dirty_data: AtomicBool::new(true),
            dirty_attrs: AtomicBool::new(true),
            used: AtomicBool::new(false),
            names_synced: AtomicU64::new(NAMES_UNSYNCED),
        }
    }
}

impl<S: Store> Node<S> {
    /// Whether nothing leads to this node any more but what holds it.
    pub(crate) fn is_nameless(&self) -> bool {
        self.is_nameless.load(Ordering::Acquire)
    }

    /// Notes that the last name went.
    pub(crate) fn lose_all_names(&self) {
        self.is_nameless.store(true, Ordering::Release);
    }

    /// How often it is held: by the frontend, and once by the journal while it logs changes.
    pub(crate) fn lookups(&self) -> u64 {
        self.lookups.load(Ordering::Relaxed)
    }

    /// Notes that the file on disk, not only its journal, is being changed.
    pub(crate) fn touch_data(&self) {
        if let Body::File(file) = &self.body {
            file.dirty_data.store(true, Ordering::Release);
            file.dirty_attrs.store(true, Ordering::Release);
        }
    }

    /// Notes that attributes on disk are being changed.
    pub(crate) fn touch_attrs(&self) {
        if let Body::File(file) = &self.body {
            file.dirty_attrs.store(true, Ordering::Release);
        }
    }

    pub(crate) fn kind(&self) -> NodeKind {
        match self.body {
            Body::File(_) => NodeKind::File,
            Body::Dir(_) => NodeKind::Directory,
            Body::Symlink => NodeKind::Symlink,
        }
    }

    pub(crate) fn dir(&self) -> Result<&DirState<S>, ErrorKind> {
        match &self.body {
            Body::Dir(d) => Ok(d),
            Body::File(_) | Body::Symlink => Err(ErrorKind::NotDirectory),
        }
    }

    pub(crate) fn file(&self) -> Result<&FileState<S>, ErrorKind> {
        match &self.body {
            Body::File(f) => Ok(f),
            Body::Dir(_) => Err(ErrorKind::IsDirectory),
            Body::Symlink => Err(ErrorKind::InvalidArgument),
        }
    }

    /// Whether the node is recorded as `name` in `parent`.
    pub(crate) fn is_at(&self, parent: &Node<S>, name: &[u8]) -> bool {
        let place = self.place.lock();
        place.as_ref().is_some_and(|p| p.is(parent, name))
            || self.other_places.lock().iter().any(|p| p.is(parent, name))
    }

    /// Whether it was met last as `name` in just this node of the parent.
    pub(crate) fn was_met_at(&self, parent: &Arc<Node<S>>, name: &[u8]) -> bool {
        let place = self.place.lock();
        place
            .as_ref()
            .is_some_and(|p| Arc::ptr_eq(&p.parent, parent) && &*p.name == name)
    }

    /// Records `name` in `parent` as the way to this node; a file keeps the ways it had before.
    pub(crate) fn set_place(&self, parent: &Arc<Node<S>>, name: &[u8]) {
        let mut place = self.place.lock();
        if let Some(known) = place.as_mut().filter(|p| p.is(parent, name)) {
            // The parent may have been forgotten meanwhile, and have come back as another node.
            if !Arc::ptr_eq(&known.parent, parent) {
                known.parent = Arc::clone(parent);
            }
            return;
        }
        let new = Place {
            parent: Arc::clone(parent),
            name: name.into(),
        };
        if let Some(old) = place.replace(new)
            && self.kind() == NodeKind::File
        {
            let mut others = self.other_places.lock();
            others.retain(|p| !p.is(parent, name));
            others.push(old);
        }
    }

    /// Forgets that `name` in `parent` leads here; true while another name is known.
    pub(crate) fn drop_place(&self, parent: &Node<S>, name: &[u8]) -> bool {
        let mut place = self.place.lock();
        let mut others = self.other_places.lock();
        if place.as_ref().is_some_and(|p| p.is(parent, name)) {
            *place = others.pop();
        } else {
            others.retain(|p| !p.is(parent, name));
        }
        place.is_some()
    }
}

/// A node in a set that finds it by its number.
struct ById<S: Store>(Arc<Node<S>>);

/// A node in a set that finds it by its identity.
struct ByIdentity<S: Store>(Arc<Node<S>>);

/// The set keeps nothing but the pointer: there may be very many nodes.
macro_rules! found_by {
    ($entry:ident, $key:ident: $type:ty) => {
        impl<S: Store> Borrow<$type> for $entry<S> {
            fn borrow(&self) -> &$type {
                &self.0.$key
            }
        }

        impl<S: Store> Hash for $entry<S> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.$key.hash(state);
            }
        }

        impl<S: Store> PartialEq for $entry<S> {
            fn eq(&self, other: &Self) -> bool {
                self.0.$key == other.0.$key
            }
        }

        impl<S: Store> Eq for $entry<S> {}
    };
}

found_by!(ById, id: NodeId);
found_by!(ByIdentity, identity: Identity);

const SHARDS: usize = 16;

/// All nodes the frontend knows.
pub(crate) struct NodeTable<S: Store> {
    by_id: [RwLock<FxHashSet<ById<S>>>; SHARDS],
    by_identity: [Mutex<FxHashSet<ByIdentity<S>>>; SHARDS],
    /// Numbers outside the host's range given so far.
    next: AtomicU64,
    len: AtomicUsize,
    pub(crate) surplus: Surplus,
}

impl<S: Store> NodeTable<S> {
    /// Parts that [`NodeTable::visit_part`] shows.
    pub(crate) const PARTS: usize = SHARDS;

    /// A table that holds only the root.
    pub(crate) fn new(root_identity: Identity, root: Box<DirState<S>>, max_nodes: usize) -> Self {
        let table = Self {
            by_id: std::array::from_fn(|_| RwLock::new(FxHashSet::default())),
            by_identity: std::array::from_fn(|_| Mutex::new(FxHashSet::default())),
            next: AtomicU64::new(0),
            len: AtomicUsize::new(1),
            surplus: Surplus::new(max_nodes),
        };
        let root = Arc::new(Node {
            id: NodeId::ROOT,
            identity: root_identity,
            // The root is never forgotten.
            lookups: AtomicU64::new(1),
            place: Mutex::new(None),
            other_places: Mutex::new(Vec::new()),
            is_nameless: AtomicBool::new(false),
            wrapper: Mutex::new(None),
            own: OwnChanges::default(),
            body: Body::Dir(root),
        });
        table
            .identity_shard(&root_identity)
            .lock()
            .insert(ByIdentity(Arc::clone(&root)));
        table.id_shard(root.id).write().insert(ById(root));
        table
    }

    fn id_shard(&self, id: NodeId) -> &RwLock<FxHashSet<ById<S>>> {
        &self.by_id[id.0 as usize % SHARDS]
    }

    fn identity_shard(&self, identity: &Identity) -> &Mutex<FxHashSet<ByIdentity<S>>> {
        &self.by_identity[identity.ino as usize % SHARDS]
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<Arc<Node<S>>> {
        let shard = self.id_shard(id).read();
        shard.get(&id).map(|entry| Arc::clone(&entry.0))
    }

    /// The node of this identity without taking a lookup on it.
    pub(crate) fn find(&self, identity: &Identity) -> Option<Arc<Node<S>>> {
        let shard = self.identity_shard(identity).lock();
        shard.get(identity).map(|entry| Arc::clone(&entry.0))
    }

    /// Takes one lookup on the node of `identity`, made by `body` when it is new or of another kind.
    pub(crate) fn intern(
        &self,
        identity: Identity,
        kind: NodeKind,
        body: impl FnOnce() -> Body<S>,
    ) -> Arc<Node<S>> {
        let mut identities = self.identity_shard(&identity).lock();
        if let Some(ByIdentity(node)) = identities.get(&identity)
            && node.kind() == kind
        {
            node.lookups.fetch_add(1, Ordering::Relaxed);
            return Arc::clone(node);
        }
        let id = self.choose_id(identity.ino);
        let node = Arc::new(Node {
            id,
            identity,
            lookups: AtomicU64::new(1),
            place: Mutex::new(None),
            other_places: Mutex::new(Vec::new()),
            is_nameless: AtomicBool::new(false),
            wrapper: Mutex::new(None),
            own: OwnChanges::default(),
            body: body(),
        });
        self.id_shard(id).write().insert(ById(Arc::clone(&node)));
        let others = self.len.fetch_add(1, Ordering::Relaxed);
        self.surplus.consider(others + 1);
        // One of another kind stays known by its number only.
        identities.replace(ByIdentity(Arc::clone(&node)));
        node
    }

    /// The ciphertext object's inode number, so that programs see the same number on every mount;
    /// a number outside the host's range while another node still has it (a file that was removed
    /// or replaced and is still in use).
    ///
    /// LOCK: the identity shard of `ino` is held, so nobody else chooses for this number.
    fn choose_id(&self, ino: u64) -> NodeId {
        const OUTSIDE: u64 = 1 << 63;
        let id = NodeId(ino);
        if id > NodeId::ROOT && ino < OUTSIDE && !self.id_shard(id).read().contains(&id) {
            return id;
        }
        NodeId(OUTSIDE | self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes one more lookup on a node, given back by [`NodeTable::forget`].
    pub(crate) fn keep(&self, node: &Node<S>) {
        let _identities = self.identity_shard(&node.identity).lock();
        node.lookups.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops `count` lookups; returns the node when these were the last.
    pub(crate) fn forget(&self, id: NodeId, count: u64) -> Option<Arc<Node<S>>> {
        if id == NodeId::ROOT {
            return None;
        }
        let node = self.get(id)?;
        let mut identities = self.identity_shard(&node.identity).lock();
        let before = node.lookups.load(Ordering::Relaxed);
        let after = before.saturating_sub(count);
        node.lookups.store(after, Ordering::Relaxed);
        if after > 0 {
            return None;
        }
        remove(&mut identities, &node);
        if self.id_shard(id).write().remove(&id) {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        Some(node)
    }

    /// The next lookup of this object finds a new node. Called when the last name goes (its inode
    /// number may be reused) and when foreign content must not meet cached pages.
    pub(crate) fn detach(&self, node: &Node<S>) {
        let mut identities = self.identity_shard(&node.identity).lock();
        remove(&mut identities, node);
    }

    /// All nodes, as they are at the moment.
    pub(crate) fn all(&self) -> Vec<Arc<Node<S>>> {
        self.by_id
            .iter()
            .flat_map(|s| {
                s.read()
                    .iter()
                    .map(|e| Arc::clone(&e.0))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Nodes known at the moment.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Shows the nodes of one part of the table; the numbers of parts begin again after the last.
    pub(crate) fn visit_part(&self, part: usize, mut show: impl FnMut(&Arc<Node<S>>)) {
        let shard = self.by_id[part % SHARDS].read();
        shard.iter().for_each(|entry| show(&entry.0));
    }
}

/// Unless another node has taken its place.
#[expect(
    clippy::mutable_key_type,
    reason = "number and identity of a node never change"
)]
fn remove<S: Store>(identities: &mut FxHashSet<ByIdentity<S>>, node: &Node<S>) {
    if identities
        .get(&node.identity)
        .is_some_and(|entry| entry.0.id == node.id)
    {
        identities.remove(&node.identity);
    }
}
