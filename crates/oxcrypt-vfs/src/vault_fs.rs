//! The file system itself: its parts, and the small steps that all operations share.

use std::sync::Arc;
use std::time::Instant;

use oxcrypt_core::name::CleartextName;
use oxcrypt_core::{Cryptor, DirHash, DirId};
use oxcrypt_store::{Identity, Stat, Store, StoreErrorKind};

use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventKind, EventSink};
use crate::forgotten::Forgotten;
use crate::handles::HandleClock;
use crate::journal::{self, Claimed, Journal, JournalOptions, Replayed};
use crate::node::{Body, DirState, Node, NodeTable, Place};
use crate::own_names::OwnNames;
use crate::pending::PendingHeaders;
use crate::resolve::{Content, Found};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock};
use crate::types::{Attr, Durability, Entry, NodeId, NodeKind, Timestamp, VfsOptions};
use crate::watch::Watched;

/// An unlocked vault as a file system. Every method may be called from any thread.
///
/// # Locks, in the order in which they are taken
/// 1. `rename_tree`: moves of directories between directories, one at a time.
/// 2. `DirState::lock` of directories, by node id ascending when two are needed.
/// 3. `FileState::io` of one file, never of two at once.
/// 4. `dir_places`; only places are locked while it is held.
/// 5. Leaves, never held while another lock is taken: `Node::place` (and the further places inside
///    it), `DirState::handle`, `DirState::aliases`, the node table's shards (one of identities, then
///    one of numbers or what is known of a surplus), the handle clocks, the pending set. The clocks and
///    the search for idle nodes only *try* the locks of what they look at.
pub struct VaultFs<S: Store> {
    pub(crate) store: Arc<S>,
    pub(crate) cryptor: Arc<Cryptor>,
    pub(crate) options: VfsOptions,
    pub(crate) nodes: NodeTable<S>,
    pub(crate) rename_tree: Mutex<()>,
    /// Held while a directory gets a place, so that the chains of places always end at the root.
    dir_places: Mutex<()>,
    /// Directories moved so far: each may have changed the way to a file that was synced before.
    pub(crate) dir_moves: AtomicU64,
    /// When a file without a name went last.
    pub(crate) departed: Mutex<Option<Instant>>,
    pub(crate) open_files: HandleClock<S>,
    pub(crate) open_dirs: HandleClock<S>,
    pub(crate) pending: PendingHeaders<S>,
    /// The directory `d` of the vault.
    pub(crate) data_dir: S::Dir,
    pub(crate) events: Box<dyn EventSink>,
    pub(crate) watched: Watched<S>,
    pub(crate) own_names: OwnNames,
    pub(crate) forgotten: Forgotten,
    pub(crate) journal: Option<Journal<S>>,
    /// Keeps the journal's directory ours.
    pub(crate) claimed: Option<Claimed>,
    temp_names: AtomicU64,
    temp_salt: u64,
}

impl<S: Store> VaultFs<S> {
    /// Opens the file system of an unlocked vault.
    ///
    /// # Errors
    /// When the data directory or the root's content directory cannot be opened.
    pub fn new(
        store: Arc<S>,
        cryptor: Arc<Cryptor>,
        options: VfsOptions,
        events: Box<dyn EventSink>,
    ) -> Result<Self> {
        let data_dir = store.open_dir(&store.root(), b"d")?;
        let hash = cryptor.dir_hash(&DirId::ROOT);
        let content = store.open_dir(&data_dir, &hash_path(&hash))?;
        let stat = store.stat_dir(&content)?;
        let root = Box::new(new_dir_state(&cryptor, &DirId::ROOT, hash, content));
        let mut salt = [0u8; 8];
        oxcrypt_core::rng::with_rng(|rng| oxcrypt_core::rng::Rng::fill(rng, &mut salt));
        Ok(Self {
            nodes: NodeTable::new(stat.id, root, options.max_nodes),
            rename_tree: Mutex::new(()),
            dir_places: Mutex::new(()),
            dir_moves: AtomicU64::new(0),
            departed: Mutex::new(None),
            open_files: HandleClock::new(options.max_open_files),
            open_dirs: HandleClock::new(options.max_open_dirs),
            pending: PendingHeaders::new(options.max_open_files),
            data_dir,
            events,
            watched: Watched::new(),
            own_names: OwnNames::default(),
            forgotten: Forgotten::default(),
            journal: None,
            claimed: None,
            temp_names: AtomicU64::new(0),
            temp_salt: u64::from_le_bytes(salt),
            store,
            cryptor,
            options,
        })
    }

    /// Applies what earlier mounts left in `place` and in `left`, and journals all overwrites in
    /// `place` from now on, unless the options say otherwise. Call it before anything else.
    ///
    /// # Errors
    /// When a journal cannot be read or applied: the vault must not be used then, because parts of
    /// files may be older than what was synced.
    pub fn with_journal(
        mut self,
        place: &Arc<S>,
        left: &[Arc<S>],
        options: JournalOptions,
    ) -> Result<(Self, Replayed)> {
        let mut replayed = self.replay_all(left)?;
        replayed.add(self.replay_all(std::slice::from_ref(place))?);
        if !self.options.read_only && self.options.durability != Durability::None {
            self.journal = Some(Journal::open(&*self.store, place, options)?);
        }
        Ok((self, replayed))
    }

    /// Also for a read-only mount, as disks do it: its user wants what was synced.
    pub(crate) fn replay_all(&self, places: &[Arc<S>]) -> Result<Replayed> {
        let mut replayed = Replayed::default();
        for place in places {
            if !journal::is_empty(&**place)? {
                let done = journal::replay(&self.store, &self.data_dir, &self.cryptor, place)?;
                replayed.add(done);
            }
        }
        Ok(replayed)
    }

    /// The cipher of this vault.
    pub fn cryptor(&self) -> &Cryptor {
        &self.cryptor
    }

    /// The store below.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Nodes on which a frontend holds lookups.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Ciphertext files and content directories held open.
    pub fn open_handles(&self) -> usize {
        self.open_files.len() + self.open_dirs.len()
    }

    pub(crate) fn node(&self, id: NodeId) -> Result<Arc<Node<S>>> {
        self.nodes.get(id).ok_or(ErrorKind::Stale.into())
    }

    pub(crate) fn writable(&self) -> Result<()> {
        if self.options.read_only {
            Err(ErrorKind::ReadOnly.into())
        } else {
            Ok(())
        }
    }

    pub(crate) fn event(&self, kind: EventKind, path: &[u8]) {
        self.events.emit(Event {
            kind,
            path: String::from_utf8_lossy(path).into_owned(),
        });
    }

    /// The open content directory of `node`.
    pub(crate) fn content_dir(&self, node: &Arc<Node<S>>) -> Result<S::Dir> {
        let dir = node.dir()?;
        dir.used.store(true, Ordering::Relaxed);
        let opened = {
            let mut handle = dir.handle.lock();
            if let Some(open) = &*handle {
                return Ok(open.clone());
            }
            let open = self.open_content_dir(&dir.hash)?;
            *handle = Some(open.clone());
            open
        };
        self.open_dirs.opened(node);
        Ok(opened)
    }

    pub(crate) fn open_content_dir(&self, hash: &DirHash) -> Result<S::Dir> {
        self.store
            .open_dir(&self.data_dir, &hash_path(hash))
            .map_err(|e| match e.kind {
                StoreErrorKind::NotFound | StoreErrorKind::NotDirectory => {
                    ErrorKind::Damaged.into()
                }
                _ => Error::from(e),
            })
    }

    /// A name in a content directory that every reader of the format ignores.
    pub(crate) fn temp_name(&self) -> [u8; 24] {
        let n = self.temp_names.fetch_add(1, Ordering::Relaxed);
        let id = self
            .temp_salt
            .wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut name = *b".oxcrypt-0000000000000000"[..24]
            .first_chunk::<24>()
            .expect("24 bytes");
        name[8..].copy_from_slice(&hex16(id));
        name
    }

    /// Notes how we left the name `node_name` in `parent`.
    pub(crate) fn note_name(&self, parent: &Node<S>, content: &S::Dir, node_name: &[u8]) {
        if !self.is_watching() {
            return;
        }
        match self.store.stat(content, node_name) {
            Ok(stat) => self.own_names.note(parent.id, node_name, Some(stat.id)),
            Err(e) if e.kind == StoreErrorKind::NotFound => {
                self.own_names.note(parent.id, node_name, None);
            }
            Err(_) => {}
        }
    }

    /// Takes a lookup on a found node and records its name.
    ///
    /// # Errors
    /// `Loop` for a directory that has another place: see [`VaultFs::refuse_second_way`].
    pub(crate) fn intern_found(
        &self,
        parent: &Arc<Node<S>>,
        name: &[u8],
        found: &Found<S>,
    ) -> Result<(Arc<Node<S>>, Entry)> {
        self.refuse_second_way(parent, name, found)?;
        let mut is_new = false;
        let node = self.nodes.intern(found.stat.id, found.kind(), || {
            is_new = true;
            match &found.content {
                Content::File => Body::File(Box::default()),
                Content::Symlink => Body::Symlink,
                Content::Dir {
                    dir_id,
                    hash,
                    handle,
                } => {
                    let dir = new_dir_state(&self.cryptor, dir_id, *hash, handle.clone());
                    let fresh = self.forgotten.take(&found.stat.id);
                    dir.fresh.store(fresh, Ordering::Release);
                    Body::Dir(Box::new(dir))
                }
            }
        });
        self.place(&node, parent, name)
            .inspect_err(|_| self.forget(node.id, 1))?;
        if is_new && found.kind() == NodeKind::Directory {
            self.open_dirs.opened(&node);
        }
        if let Content::Dir { handle, .. } = &found.content {
            self.watch_dir(&node, handle);
        }
        if !found.is_plain_file()
            && let Ok(content) = self.content_dir(parent)
        {
            self.watch_wrapper(&node, parent, &content, found.node_name.as_bytes());
        }
        let entry = Entry {
            node: node.id,
            attr: self.attr_from(&node, &found.stat),
        };
        Ok((node, entry))
    }

    /// A directory has one place. Where nodes hold the id of one directory, which only damage or a
    /// forger brings about, all but the first are no way into it while that one is in use: below
    /// itself a directory would never end, and a few doubled directories inside each other have
    /// more paths than anybody can walk.
    ///
    /// # Errors
    /// `Loop`.
    pub(crate) fn refuse_second_way(
        &self,
        parent: &Arc<Node<S>>,
        name: &[u8],
        found: &Found<S>,
    ) -> Result<()> {
        let Content::Dir { dir_id, .. } = &found.content else {
            return Ok(());
        };
        let known = self.nodes.find(&found.stat.id);
        // Before the question whether it is here: another lookup may be giving it this very place.
        let first = known.as_ref().and_then(|node| node.place.lock().clone());
        if known.is_some_and(|node| node.is_at(parent, name)) {
            return Ok(());
        }
        if is_in(parent, &found.stat.id) || first.is_some_and(|first| self.holds_id(&first, dir_id))
        {
            self.event(EventKind::BrokenDirFile, found.node_name.as_bytes());
            return Err(ErrorKind::Loop.into());
        }
        Ok(())
    }

    /// Whether the node at `place` holds this id. Without a lock: a change at the same time makes
    /// either answer true.
    fn holds_id(&self, place: &Place<S>, dir_id: &DirId) -> bool {
        let held = || -> Result<Option<DirId>> {
            let content = self.content_dir(&place.parent)?;
            let name = CleartextName::parse(&place.name)?;
            let sealed = self.seal(place.parent.dir()?, &name)?;
            self.read_dir_file(&content, &sealed.node_name)
        };
        matches!(held(), Ok(Some(id)) if id == *dir_id)
    }

    /// Records `name` in `parent` as the way to `node`; never below itself.
    ///
    /// # Errors
    /// `Loop`.
    pub(crate) fn place(
        &self,
        node: &Arc<Node<S>>,
        parent: &Arc<Node<S>>,
        name: &[u8],
    ) -> Result<()> {
        if node.kind() == NodeKind::Directory && !node.was_met_at(parent, name) {
            let _places = self.dir_places.lock();
            if is_in(parent, &node.identity) {
                return Err(ErrorKind::Loop.into());
            }
            node.set_place(parent, name);
            return Ok(());
        }
        node.set_place(parent, name);
        Ok(())
    }

    /// Attributes from the ciphertext object's.
    pub(crate) fn attr_from(&self, node: &Node<S>, stat: &Stat) -> Attr {
        let kind = node.kind();
        match kind {
            NodeKind::Directory => node.own.tell(stat.ctime),
            NodeKind::File | NodeKind::Symlink => node.own.tell_of_content(stat.ctime),
        }
        let size = match kind {
            NodeKind::Directory => stat.size,
            NodeKind::Symlink => self.shown_size(stat.size),
            NodeKind::File => self.shown_size(match &node.body {
                Body::File(file) => file.len.correct(stat.size, stat.ctime),
                Body::Dir(_) | Body::Symlink => stat.size,
            }),
        };
        let mode = match kind {
            NodeKind::Symlink => 0o777,
            NodeKind::File | NodeKind::Directory => stat.mode,
        };
        Attr {
            ino: node.id.0,
            kind,
            size,
            blocks: stat.blocks,
            mode,
            nlink: u32::try_from(stat.nlink).unwrap_or(u32::MAX),
            uid: stat.uid,
            gid: stat.gid,
            atime: stat.atime.into(),
            mtime: stat.mtime.into(),
            ctime: stat.ctime.into(),
            btime: stat.id.btime.map(Timestamp::from).unwrap_or_default(),
            watched: self.is_watched(node),
        }
    }

    /// The size to show for a ciphertext length. A length that no file can have is shown one byte
    /// longer than its whole chunks, so that reading to the end meets the error instead of a
    /// plausible end of file.
    fn shown_size(&self, cipher_len: u64) -> u64 {
        use oxcrypt_core::content::layout::SizeError;
        let layout = self.cryptor.layout();
        match layout.plain_len(cipher_len) {
            Ok(len) => len,
            Err(SizeError::Empty) => 0,
            Err(SizeError::TornHeader) => 1,
            Err(SizeError::TornChunk | SizeError::EmptyTrailingChunk { .. }) => {
                let whole =
                    (cipher_len - layout.header_len() as u64) / layout.cipher_chunk_len() as u64;
                whole * oxcrypt_core::content::layout::CHUNK_LEN as u64 + 1
            }
        }
    }
}

/// Whether `dir` is the directory with this identity or lies below it.
pub(crate) fn is_in<S: Store>(dir: &Arc<Node<S>>, top: &Identity) -> bool {
    let mut at = Some(Arc::clone(dir));
    while let Some(node) = at {
        if node.identity == *top {
            return true;
        }
        at = node.place.lock().as_ref().map(|p| Arc::clone(&p.parent));
    }
    false
}

pub(crate) fn new_dir_state<S: Store>(
    cryptor: &Cryptor,
    dir_id: &DirId,
    hash: DirHash,
    handle: S::Dir,
) -> DirState<S> {
    DirState {
        names: cryptor.dir_names(dir_id),
        hash,
        handle: Mutex::new(Some(handle)),
        used: AtomicBool::new(true),
        is_removed: AtomicBool::new(false),
        lock: RwLock::new(()),
        aliases: Mutex::new(None),
        // Names may have changed here while the directory was not known for a moment.
        unsynced: AtomicBool::new(true),
        fresh: AtomicBool::new(false),
        watch: Mutex::new(None),
    }
}

/// `XX/YYYY…`, relative to the data directory.
pub(crate) fn hash_path(hash: &DirHash) -> [u8; 33] {
    let mut path = [b'/'; 33];
    path[..2].copy_from_slice(hash.prefix().as_bytes());
    path[3..].copy_from_slice(hash.rest().as_bytes());
    path
}

fn hex16(mut value: u64) -> [u8; 16] {
    let mut out = [0u8; 16];
    for byte in out.iter_mut().rev() {
        *byte = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
    out
}
