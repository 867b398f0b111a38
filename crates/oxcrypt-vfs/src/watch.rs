//! Changes made to the vault by other programs (a sync client, a second mount).
//!
//! The kernel may cache names and attributes for long, because the ciphertext directories it has
//! entries of are watched. Events do not tell who caused them, so each is checked against what the
//! frontend was told last: an entry that is still what we said it is, and attributes that we told or
//! caused ourselves, are no news. Everything else is invalidated, precisely.

use std::ops::Deref;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use oxcrypt_core::name::{self, NameBuf};
use oxcrypt_store::{Identity, Kind, Store, StoreErrorKind, Timestamp, WatchEvent, WatchId};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::node::{Body, DirState, Node};
use crate::resolve::{
    CONTENTS_FILE, DIR_FILE, Found, LONG_SUFFIX, NodeName, SHORT_SUFFIX, SYMLINK_FILE,
};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::types::{NodeId, NodeKind};
use crate::vault_fs::VaultFs;

/// Starts and ends watches on directories of the store.
pub trait WatchSource<D>: Send + Sync {
    /// Watches a directory; `None` when no watch can be had, and its entries must be asked for
    /// again soon.
    fn add(&self, dir: &D) -> Option<WatchId>;
    /// The same for the directory `name` in `dir`. One that is watched already has one id.
    fn add_beneath(&self, dir: &D, name: &[u8]) -> Option<WatchId>;
    /// Ends a watch.
    fn remove(&self, id: WatchId);
}

impl WatchSource<oxcrypt_store::LocalDir> for Arc<oxcrypt_store::Watcher> {
    fn add(&self, dir: &oxcrypt_store::LocalDir) -> Option<WatchId> {
        self.deref().add(dir).ok()
    }

    fn add_beneath(&self, dir: &oxcrypt_store::LocalDir, name: &[u8]) -> Option<WatchId> {
        self.deref().add_beneath(dir, name).ok()
    }

    fn remove(&self, id: WatchId) {
        self.deref().remove(id);
    }
}

/// Makes a frontend forget what it cached.
pub trait Invalidate {
    /// The name in this directory, and what it leads to.
    fn entry(&self, parent: NodeId, name: &[u8]);
    /// The name in this directory may lead elsewhere. Unlike with [`Invalidate::entry`], nothing
    /// below it is disturbed as long as it leads to the same node.
    fn doubt(&self, parent: NodeId, name: &[u8]);
    /// Attributes of the node, and its content if it is a file.
    fn node(&self, node: NodeId);
}

/// What happened in the store since the last call.
#[derive(Debug, Default)]
pub struct Changes {
    /// Names of ciphertext nodes by directory, and whether the name itself came, went or was given
    /// to another object.
    pub names: FxHashMap<(WatchId, Box<[u8]>), bool>,
    /// Directories whose own attributes changed.
    pub dirs: FxHashSet<WatchId>,
    /// Events were lost: anything may have changed.
    pub lost: bool,
}

impl Changes {
    /// Adds what a watcher told.
    pub fn add(&mut self, event: WatchEvent<'_>) {
        match event {
            WatchEvent::Name(id, name) => {
                self.names.entry((id, name.into())).or_default();
            }
            WatchEvent::Entry(id, name) => {
                self.names.insert((id, name.into()), true);
            }
            WatchEvent::Dir(id) => {
                self.dirs.insert(id);
            }
            // The event of the directory around it tells.
            WatchEvent::Gone(_) => {}
            WatchEvent::Lost => self.lost = true,
        }
    }
}

/// The watched directories.
pub(crate) struct Watched<S: Store> {
    source: OnceLock<Box<dyn WatchSource<S::Dir>>>,
    dirs: Mutex<FxHashMap<WatchId, Weak<Node<S>>>>,
    /// Directories around a type file: what happens inside one is not seen from the directory
    /// that holds it, and a foreign program may give the node another content there.
    wrappers: Mutex<FxHashMap<WatchId, Wrapper<S>>>,
}

/// A ciphertext name about which something was heard.
struct Heard<S: Store> {
    parent: Arc<Node<S>>,
    node_name: Box<[u8]>,
    /// From inside the wrapper of this name.
    inside: bool,
    /// The name, or that of the type file inside, came, went or was given to another object.
    moved: bool,
}

/// A watched wrapper.
struct Wrapper<S: Store> {
    /// Whose watch it is.
    node: NodeId,
    parent: Weak<Node<S>>,
    node_name: Box<[u8]>,
}

impl<S: Store> Watched<S> {
    pub(crate) fn new() -> Self {
        Self {
            source: OnceLock::new(),
            dirs: Mutex::new(FxHashMap::default()),
            wrappers: Mutex::new(FxHashMap::default()),
        }
    }

    /// The directory that a watch is about, and the name in it when it is about a wrapper.
    fn meant_by(&self, id: WatchId, name: &[u8], moved: bool) -> Option<Heard<S>> {
        if let Some(dir) = self.dirs.lock().get(&id) {
            return Some(Heard {
                parent: dir.upgrade()?,
                node_name: name.into(),
                inside: false,
                moved,
            });
        }
        let wrappers = self.wrappers.lock();
        let wrapper = wrappers.get(&id)?;
        Some(Heard {
            parent: wrapper.parent.upgrade()?,
            node_name: wrapper.node_name.clone(),
            inside: true,
            moved: moved && [DIR_FILE, SYMLINK_FILE, CONTENTS_FILE].contains(&name),
        })
    }
}

/// When this mount itself changed an object, and what it told about it.
#[derive(Debug, Default)]
pub(crate) struct OwnChanges {
    active: AtomicU32,
    /// The latest span of time in which this mount made changes; changes close to each other are
    /// one span.
    start: AtomicU64,
    end: AtomicU64,
    /// The span before it. An event of then may come when the next change has begun and not yet
    /// touched the object.
    previous: [AtomicU64; 2],
    /// The ctime in the attributes given out last.
    told: AtomicU64,
}

/// Changes of our own that follow each other this closely count as one: a foreign one in between is
/// taken for ours.
const SPAN_GAP_NANOS: u64 = 100_000_000;

/// The kernel stamps changes with a clock that may lag by a tick.
pub(crate) const TICK_NANOS: u64 = 12_000_000;

impl OwnChanges {
    /// Notes that a change is being made until the guard goes.
    pub(crate) fn begin(&self) -> OwnChange<'_> {
        if self.active.fetch_add(1, Ordering::AcqRel) == 0 {
            self.begin_at(now());
        }
        OwnChange(self)
    }

    fn begin_at(&self, now: u64) {
        let (start, end) = (
            self.start.load(Ordering::Acquire),
            self.end.load(Ordering::Acquire),
        );
        if start == 0 || now.saturating_sub(end) > SPAN_GAP_NANOS {
            self.previous[1].store(end, Ordering::Release);
            self.previous[0].store(start, Ordering::Release);
            self.start.store(now, Ordering::Release);
        }
    }

    /// Whether somebody else is changing the object at this moment.
    pub(crate) fn others(&self) -> bool {
        self.active.load(Ordering::Acquire) > 1
    }

    /// Notes that these attributes were given out, for a node of which nothing else is cached.
    pub(crate) fn tell(&self, ctime: Timestamp) {
        self.told.store(nanos(ctime), Ordering::Relaxed);
    }

    /// The same for a node whose content may be cached. That of a foreign change is old, however new
    /// the attributes: it is still to be noticed.
    pub(crate) fn tell_of_content(&self, ctime: Timestamp) {
        if self.told.load(Ordering::Relaxed) == 0 || self.caused(nanos(ctime)) {
            self.tell(ctime);
        }
    }

    /// Whether the present ctime is one that we told or caused.
    fn explains(&self, ctime: Timestamp) -> bool {
        let ctime = nanos(ctime);
        self.told.load(Ordering::Relaxed) == ctime || self.caused(ctime)
    }

    fn caused(&self, ctime: u64) -> bool {
        let within = |start: u64, end: u64| {
            start != 0 && ctime.saturating_add(TICK_NANOS) >= start && ctime <= end
        };
        let end = match self.active.load(Ordering::Acquire) {
            0 => self.end.load(Ordering::Acquire),
            _ => u64::MAX,
        };
        let [start, stop] = &self.previous;
        within(self.start.load(Ordering::Acquire), end)
            || within(start.load(Ordering::Acquire), stop.load(Ordering::Acquire))
    }
}

/// No sync client passes a change on and gets another one back in less than this.
const JUST_NOW_NANOS: u64 = 2_000_000_000;

/// A change of our own in progress.
pub(crate) struct OwnChange<'a>(&'a OwnChanges);

impl Drop for OwnChange<'_> {
    fn drop(&mut self) {
        self.0.end.store(now(), Ordering::Release);
        self.0.active.fetch_sub(1, Ordering::AcqRel);
    }
}

fn now() -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "nanoseconds fit 64 bits until 2554"
    )]
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as u64)
}

/// A time as one number; what lies before 1970 or beyond the range is its border.
pub(crate) fn nanos(t: Timestamp) -> u64 {
    u64::try_from(t.secs)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(t.nanos))
}

impl<S: Store> VaultFs<S> {
    /// Watches directories from now on. Call it once, before the frontend's first request.
    pub fn watch(&self, source: Box<dyn WatchSource<S::Dir>>) {
        if self.watched.source.set(source).is_ok()
            && let Some(root) = self.nodes.get(NodeId::ROOT)
            && let Ok(content) = self.content_dir(&root)
        {
            self.watch_dir(&root, &content);
        }
    }

    /// Whether anything is watched at all.
    pub(crate) fn is_watching(&self) -> bool {
        self.watched.source.get().is_some()
    }

    /// Starts watching a directory that the frontend is about to learn of.
    pub(crate) fn watch_dir(&self, node: &Arc<Node<S>>, content: &S::Dir) {
        let (Some(source), Ok(dir)) = (self.watched.source.get(), node.dir()) else {
            return;
        };
        let mut held = dir.watch.lock();
        if held.is_some() {
            return;
        }
        let mut dirs = self.watched.dirs.lock();
        *held = source.add(content);
        let before = held.and_then(|id| dirs.insert(id, Arc::downgrade(node)));
        drop((dirs, held));
        // A node of the same directory that lost its name, and is used all the same: there is one
        // watch on a directory, and it tells of the new node from now on.
        if let Some(before) = before.and_then(|node| node.upgrade())
            && let Ok(dir) = before.dir()
        {
            dir.watch.lock().take();
        }
    }

    /// Ends the watch of a directory that the frontend forgot.
    pub(crate) fn unwatch_dir(&self, node: &Arc<Node<S>>) {
        let (Some(source), Ok(dir)) = (self.watched.source.get(), node.dir()) else {
            return;
        };
        let Some(id) = dir.watch.lock().take() else {
            return;
        };
        let mut dirs = self.watched.dirs.lock();
        // Another node of the same directory may have taken it over.
        if dirs
            .get(&id)
            .is_some_and(|w| w.as_ptr() == Arc::as_ptr(node))
        {
            dirs.remove(&id);
            source.remove(id);
        }
    }

    /// Starts watching the wrapper `node_name` in `content` around a node that the frontend is about
    /// to learn of, or that was moved into it; the watch on the one before ends.
    pub(crate) fn watch_wrapper(
        &self,
        node: &Node<S>,
        parent: &Arc<Node<S>>,
        content: &S::Dir,
        node_name: &[u8],
    ) {
        let Some(source) = self.watched.source.get() else {
            return;
        };
        let mut held = node.wrapper.lock();
        let mut wrappers = self.watched.wrappers.lock();
        let is_this = |w: &Wrapper<S>| {
            w.node == node.id
                && *w.node_name == *node_name
                && w.parent.as_ptr() == Arc::as_ptr(parent)
        };
        if held.is_some_and(|id| wrappers.get(&id).is_some_and(is_this)) {
            return;
        }
        let new = source.add_beneath(content, node_name);
        if let Some(id) = new {
            let wrapper = Wrapper {
                node: node.id,
                parent: Arc::downgrade(parent),
                node_name: node_name.into(),
            };
            wrappers.insert(id, wrapper);
        }
        let old = std::mem::replace(&mut *held, new).filter(|old| new != Some(*old));
        self.end_wrapper_watch(&mut wrappers, node, old);
    }

    /// Ends the watch on the wrapper of a node that the frontend forgot, or that is in none now.
    pub(crate) fn unwatch_wrapper(&self, node: &Node<S>) {
        let old = node.wrapper.lock().take();
        if old.is_some() {
            self.end_wrapper_watch(&mut self.watched.wrappers.lock(), node, old);
        }
    }

    fn end_wrapper_watch(
        &self,
        wrappers: &mut FxHashMap<WatchId, Wrapper<S>>,
        node: &Node<S>,
        id: Option<WatchId>,
    ) {
        // The node that is in this wrapper now, after an exchange, has taken the watch over.
        if let (Some(id), Some(source)) = (id, self.watched.source.get())
            && wrappers.get(&id).is_some_and(|w| w.node == node.id)
        {
            wrappers.remove(&id);
            source.remove(id);
        }
    }

    /// Whether a change of this node behind our back will be noticed.
    pub(crate) fn is_watched(&self, node: &Node<S>) -> bool {
        let wrapped = || node.wrapper.lock().is_some();
        if let Body::Dir(dir) = &node.body {
            return dir.watch.lock().is_some() && (node.id == NodeId::ROOT || wrapped());
        }
        let place = node.place.lock();
        let Some(place) = place.as_ref() else {
            return false;
        };
        let long = place.name.len() > name::max_cleartext_len(self.cryptor.threshold());
        let watched = place
            .parent
            .dir()
            .is_ok_and(|dir| dir.watch.lock().is_some());
        watched && (!long && node.kind() == NodeKind::File || wrapped())
    }

    /// Whether foreign changes of names in this directory will be noticed.
    pub fn watches(&self, id: NodeId) -> bool {
        self.nodes
            .get(id)
            .is_some_and(|node| node.dir().is_ok_and(|dir| dir.watch.lock().is_some()))
    }

    /// Compares what happened with what the frontend believes, and invalidates what is wrong.
    pub fn changed_behind(&self, changes: &Changes, invalidate: &dyn Invalidate) {
        if changes.lost {
            self.invalidate_all(invalidate);
            return;
        }
        let mut places = None;
        for ((watch, node_name), moved) in &changes.names {
            if let Some(heard) = self.watched.meant_by(*watch, node_name, *moved)
                && !self.left_so(&heard)
            {
                self.name_changed(&heard, &mut places, invalidate);
            }
        }
        for watch in &changes.dirs {
            let known = self.watched.dirs.lock().get(watch).and_then(Weak::upgrade);
            if let Some(node) = known
                && let Ok(content) = self.content_dir(&node)
                && let Ok(stat) = self.store.stat_dir(&content)
                && !node.own.explains(stat.ctime)
            {
                invalidate.node(node.id);
            }
        }
    }

    fn invalidate_all(&self, invalidate: &dyn Invalidate) {
        for node in self.nodes.all() {
            let place = node.place.lock().clone();
            if let Some(place) = place {
                self.forget_content(&node);
                match node.kind() {
                    // Programs work in it, and other file systems may be mounted there.
                    NodeKind::Directory => invalidate.doubt(place.parent.id, &place.name),
                    // The kernel would not believe another size of a file that it knows.
                    NodeKind::File | NodeKind::Symlink => {
                        invalidate.entry(place.parent.id, &place.name);
                    }
                }
            }
            invalidate.node(node.id);
        }
    }

    /// Whether a name is as we left it ourselves: gone, or leading to the wrapper that we made.
    fn left_so(&self, heard: &Heard<S>) -> bool {
        let Ok(content) = self.content_dir(&heard.parent) else {
            return false;
        };
        let found = match self.store.stat(&content, &heard.node_name) {
            // What happens inside a wrapper says nothing about its name, and for a bare file the
            // same event tells of its content.
            Ok(stat) if stat.kind == Kind::Dir && !heard.inside => Some(stat.id),
            Err(e) if e.kind == StoreErrorKind::NotFound => None,
            Ok(_) | Err(_) => return false,
        };
        let (parent, name) = (heard.parent.id, &*heard.node_name);
        let left = self.own_names.explains(parent, name, found);
        if !left {
            // What others make of it now, the frontend is told; also should it come back.
            self.own_names.told(parent, name, found);
        }
        left
    }

    /// Whether it was us who put the object of a node where it is. That of a wrapper has been asked
    /// for already, by [`VaultFs::left_so`].
    fn was_left(&self, heard: &Heard<S>, node: &Node<S>, found: &Found<S>) -> bool {
        if heard.inside {
            return node.own.caused(nanos(found.stat.ctime));
        }
        let (parent, id) = (heard.parent.id, Some(found.stat.id));
        found.is_plain_file() && self.own_names.explains(parent, &heard.node_name, id)
    }

    fn name_changed(
        &self,
        heard: &Heard<S>,
        places: &mut Option<Places<S>>,
        invalidate: &dyn Invalidate,
    ) {
        let (parent, node_name) = (&heard.parent, &*heard.node_name);
        let Ok(dir) = parent.dir() else { return };
        if !(node_name.ends_with(SHORT_SUFFIX) || node_name.ends_with(LONG_SUFFIX)) {
            return;
        }
        let (Ok(content), Ok(path)) = (self.content_dir(parent), NodeName::new(node_name)) else {
            return;
        };
        // What we do to names ourselves must not come between the looks at the store and at what we
        // know. Nobody is told anything before the lock is gone: the kernel may hold an operation in
        // this directory back until then.
        let names = dir.names_shared();
        let found = self.probe(&content, &path).ok();
        let mut plain = NameBuf::new();
        let shown = self.shown_name(dir, &content, node_name, &mut plain);
        let Some(name) = shown.or_else(|| self.name_by_place(parent, node_name, places)) else {
            // A name we never showed; listings may still have to change.
            drop(names);
            return invalidate.node(parent.id);
        };
        if let Some(found) = &found
            && let Some(node) = self.nodes.find(&found.stat.id)
            && node.is_at(parent, name.as_bytes())
        {
            drop(names);
            return self.content_changed(heard, &name, &node, found, invalidate);
        }
        let places = places.get_or_insert_with(|| self.places());
        let old = places.get(&(parent.identity, name.as_bytes().into()));
        // Others may have come to this name since the places were noted.
        let old = old.and_then(Weak::upgrade).filter(|old| {
            let other = found.as_ref().is_none_or(|f| f.stat.id != old.identity);
            other && old.is_at(parent, name.as_bytes())
        });
        drop(names);
        match (old, &found) {
            // Removed by us, or never shown to the frontend but in a listing.
            (None, None) => return invalidate.node(parent.id),
            // There may be an entry that says that there is nothing.
            (None, Some(_)) => {}
            (Some(old), _) => {
                self.lost_its_name(&old, parent, &name, found.is_some(), invalidate);
            }
        }
        invalidate.entry(parent.id, name.as_bytes());
    }

    /// The same node as before: was its content changed by somebody else?
    fn content_changed(
        &self,
        heard: &Heard<S>,
        name: &str,
        node: &Arc<Node<S>>,
        found: &Found<S>,
        invalidate: &dyn Invalidate,
    ) {
        let parent = &heard.parent;
        if node.kind() == NodeKind::Directory {
            // It may have been away for a moment in which the frontend was told so.
            return invalidate.doubt(parent.id, name.as_bytes());
        }
        if node.own.explains(found.stat.ctime) {
            // The content is known. The name may have been away for a moment all the same, in which
            // the frontend was told so, or have led elsewhere.
            if heard.moved && !self.was_left(heard, node, found) {
                invalidate.entry(parent.id, name.as_bytes());
            }
            return;
        }
        let logged = node
            .file()
            .is_ok_and(|file| file.has_logged.load(Ordering::Acquire));
        if logged {
            // Ours is not in the file yet, and must not be mixed with what is there now.
            self.lost_its_name(node, parent, name, true, invalidate);
            invalidate.entry(parent.id, name.as_bytes());
            return;
        }
        self.forget_content(node);
        // The kernel owns the size of a file it writes back; only a new node shows the new one.
        self.nodes.detach(node);
        invalidate.entry(parent.id, name.as_bytes());
        invalidate.node(node.id);
    }

    /// Reads the header and length again at the next use.
    fn forget_content(&self, node: &Node<S>) {
        if let Body::File(file) = &node.body {
            let mut io = file.io.write();
            if !io.pinned && !io.header_pending && io.logged.is_none() {
                io.backing = None;
                io.header = None;
            }
        }
    }

    /// Another program removed or replaced a file under its name. Whoever has it open keeps what he
    /// has, as on any disk, as long as we have it open too.
    fn lost_its_name(
        &self,
        node: &Arc<Node<S>>,
        parent: &Arc<Node<S>>,
        name: &str,
        replaced: bool,
        invalidate: &dyn Invalidate,
    ) {
        let mut kept = false;
        let mut other_names = 0;
        if let Body::File(file) = &node.body {
            let mut io = file.io.write();
            if let Some(backing) = &io.backing {
                let stat = self.store.stat_file(&backing.file);
                other_names = stat.map_or(0, |stat| stat.nlink);
                io.pinned = true;
                kept = true;
            }
        }
        self.name_gone(node, parent, name.as_bytes(), other_names + 1);
        if replaced && kept {
            // What the kernel still holds of our version is handed over now.
            invalidate.node(node.id);
            if self.is_unseen(node) {
                self.rescue(node, parent, name);
            }
        }
    }

    /// Whether a file holds changes that no other program can have seen for long.
    fn is_unseen(&self, node: &Node<S>) -> bool {
        let Body::File(file) = &node.body else {
            return false;
        };
        let just_now = now().saturating_sub(node.own.end.load(Ordering::Acquire)) < JUST_NOW_NANOS;
        let changed = node.own.start.load(Ordering::Relaxed) > 0 && just_now;
        let io = file.io.read();
        let logged = io.logged.as_ref().is_some_and(|l| !l.chunks.is_empty());
        !self.options.read_only && (changed || logged || io.header_pending)
    }

    /// The cleartext name of a node, from its own ciphertext name.
    fn shown_name(
        &self,
        dir: &DirState<S>,
        content: &S::Dir,
        node_name: &[u8],
        plain: &mut NameBuf,
    ) -> Option<String> {
        let shown = if node_name.ends_with(LONG_SUFFIX) {
            self.open_long_name(dir, content, node_name, plain)
                .map(|(name, _)| name)
        } else {
            self.cryptor.open_name(&dir.names, node_name, plain).ok()
        }?;
        Some(
            name::CleartextName::from_text(shown)
                .ok()?
                .as_str()
                .to_owned(),
        )
    }

    /// The name of a vanished long node can only be told by who knew it.
    fn name_by_place(
        &self,
        parent: &Arc<Node<S>>,
        node_name: &[u8],
        places: &mut Option<Places<S>>,
    ) -> Option<String> {
        let dir = parent.dir().ok()?;
        let places = places.get_or_insert_with(|| self.places());
        places
            .keys()
            .filter(|(identity, _)| *identity == parent.identity)
            .find_map(|(_, plain)| {
                let cleartext = name::CleartextName::parse(plain).ok()?;
                let sealed = self.seal(dir, &cleartext).ok()?;
                (sealed.node_name.as_bytes() == node_name).then(|| cleartext.as_str().to_owned())
            })
    }

    fn places(&self) -> Places<S> {
        let mut places = FxHashMap::default();
        for node in self.nodes.all() {
            if let Some(place) = &*node.place.lock() {
                let key = (place.parent.identity, place.name.clone());
                places.insert(key, Arc::downgrade(&node));
            }
        }
        places
    }
}

type Places<S> = FxHashMap<(Identity, Box<[u8]>), Weak<Node<S>>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Timestamp {
        Timestamp {
            secs: (nanos / 1_000_000_000) as i64,
            nanos: (nanos % 1_000_000_000) as u32,
        }
    }

    #[test]
    fn a_change_is_ours_also_when_the_next_one_has_begun() {
        const MS: u64 = 1_000_000;
        let now = 1_000_000 * MS;
        for pause in [1, 50, 150, 5_000] {
            let own = OwnChanges::default();
            own.begin_at(now);
            own.end.store(now + 5 * MS, Ordering::Release);
            let next = now + (5 + pause) * MS;
            own.begin_at(next);
            own.active.store(1, Ordering::Release);
            assert!(own.explains(at(now + 3 * MS)), "after {pause} ms");
            assert!(!own.explains(at(now - 50 * MS)), "before all, {pause} ms");
            own.end.store(next + MS, Ordering::Release);
            own.active.store(0, Ordering::Release);
            assert!(own.explains(at(next)) && !own.explains(at(next + 90 * MS)));
            if pause > 100 {
                assert!(!own.explains(at(now + 80 * MS)), "between, {pause} ms");
            }
        }
    }
}
