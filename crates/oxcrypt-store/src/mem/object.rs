//! Files, directories and foreign things in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::MemFile;
use super::content::Content;
use crate::error::{Result, StoreErrorKind};
use crate::types::{Identity, Kind, Stat, Timestamp};

/// Gives out inode numbers and moments, each later than the one before.
#[derive(Debug, Default)]
pub(super) struct Clock {
    inodes: AtomicU64,
    micros: AtomicU64,
}

impl Clock {
    pub(super) fn step(&self) -> Timestamp {
        let micros = self.micros.fetch_add(1, Ordering::Relaxed) + 1;
        // 2020-01-01: any fixed start does; tests compare times only with each other.
        let secs = 1_577_836_800 + i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX / 2);
        Timestamp {
            secs,
            nanos: (micros % 1_000_000) as u32 * 1000,
        }
    }

    fn next_ino(&self) -> u64 {
        self.inodes.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[derive(Clone, Debug)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nlink: u64,
    pub(super) atime: Timestamp,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
}

/// The names in a directory, also by the order they were made in: that order is the listing's.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    pub(super) by_name: BTreeMap<Vec<u8>, (u64, Arc<Object>)>,
    pub(super) by_cookie: BTreeMap<u64, Vec<u8>>,
    last_cookie: u64,
    /// Set when the directory itself was removed: nothing can be made in it any more.
    pub(super) gone: bool,
}

/// Cookies 1 and 2 stand for `.` and `..`.
pub(super) const FIRST_COOKIE: u64 = 3;

impl Entries {
    pub(super) fn insert(&mut self, name: &[u8], object: Arc<Object>) -> Option<Arc<Object>> {
        let old = self.remove(name);
        self.last_cookie = self.last_cookie.max(FIRST_COOKIE - 1) + 1;
        self.by_cookie.insert(self.last_cookie, name.to_vec());
        self.by_name
            .insert(name.to_vec(), (self.last_cookie, object));
        old
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Arc<Object>> {
        let (cookie, object) = self.by_name.remove(name)?;
        self.by_cookie.remove(&cookie);
        Some(object)
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Arc<Object>> {
        self.by_name.get(name).map(|(_, object)| Arc::clone(object))
    }
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    File(Content),
    Dir(Entries),
    Other(Kind),
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) attributes: Attributes,
    pub(super) body: Body,
    /// What a power cut would leave; `None` before the first sync.
    pub(super) synced: Option<(Attributes, Body)>,
}

#[derive(Debug)]
pub(super) struct Object {
    pub(super) id: Identity,
    pub(super) inner: Mutex<Inner>,
}

impl Object {
    fn new(clock: &Clock, mode: u32, nlink: u64, body: Body) -> Arc<Self> {
        let now = clock.step();
        let attributes = Attributes {
            mode,
            uid: 0,
            gid: 0,
            nlink,
            atime: now,
            mtime: now,
            ctime: now,
        };
        Arc::new(Self {
            id: Identity {
                dev: 1,
                ino: clock.next_ino(),
                btime: Some(now),
            },
            inner: Mutex::new(Inner {
                attributes,
                body,
                synced: None,
            }),
        })
    }

    pub(super) fn new_dir(clock: &Clock, mode: u32) -> Arc<Self> {
        Self::new(clock, mode & 0o7777, 2, Body::Dir(Entries::default()))
    }

    pub(super) fn new_file(clock: &Clock, mode: u32) -> Arc<Self> {
        Self::new(clock, mode & 0o7777, 1, Body::File(Content::default()))
    }

    pub(super) fn new_other(clock: &Clock, kind: Kind) -> Arc<Self> {
        Self::new(clock, 0o777, 1, Body::Other(kind))
    }

    pub(super) fn kind(&self) -> Kind {
        match self.inner.lock().body {
            Body::File(_) => Kind::File,
            Body::Dir(_) => Kind::Dir,
            Body::Other(kind) => kind,
        }
    }

    pub(super) fn stat(&self) -> Stat {
        let kind = self.kind();
        let inner = self.inner.lock();
        let (size, blocks) = match &inner.body {
            Body::File(content) => (content.len(), content.blocks()),
            Body::Dir(entries) => (entries.by_name.len() as u64 * 32, 8),
            Body::Other(_) => (0, 0),
        };
        let Attributes {
            mode,
            uid,
            gid,
            nlink,
            atime,
            mtime,
            ctime,
        } = inner.attributes;
        Stat {
            kind,
            id: self.id,
            mode,
            nlink,
            uid,
            gid,
            size,
            blocks,
            atime,
            mtime,
            ctime,
        }
    }

    pub(super) fn with_entries<T>(
        &self,
        visit: impl FnOnce(&mut Entries, &mut Attributes) -> Result<T>,
    ) -> Result<T> {
        let mut inner = self.inner.lock();
        let Inner {
            attributes, body, ..
        } = &mut *inner;
        match body {
            Body::Dir(entries) => visit(entries, attributes),
            _ => Err(StoreErrorKind::NotDirectory.into()),
        }
    }

    pub(super) fn with_content<T>(
        &self,
        visit: impl FnOnce(&mut Content, &mut Attributes) -> Result<T>,
    ) -> Result<T> {
        let mut inner = self.inner.lock();
        let Inner {
            attributes, body, ..
        } = &mut *inner;
        match body {
            Body::File(content) => visit(content, attributes),
            _ => Err(StoreErrorKind::NotRegular.into()),
        }
    }

    pub(super) fn change_attributes(&self, now: Timestamp, change: impl FnOnce(&mut Attributes)) {
        let mut inner = self.inner.lock();
        change(&mut inner.attributes);
        inner.attributes.ctime = now;
    }

    /// Adds a new object under a free name; a new directory counts in its parent's links.
    pub(super) fn insert_new(&self, clock: &Clock, name: &[u8], object: Arc<Self>) -> Result<()> {
        let links = u64::from(object.kind() == Kind::Dir);
        self.with_entries(|entries, attributes| {
            if entries.gone {
                return Err(StoreErrorKind::NotFound.into());
            }
            if entries.by_name.contains_key(name) {
                return Err(StoreErrorKind::Exists.into());
            }
            entries.insert(name, object);
            attributes.nlink += links;
            attributes.touch(clock.step());
            Ok(())
        })
    }

    pub(super) fn sync(&self) {
        let mut inner = self.inner.lock();
        inner.synced = Some((inner.attributes.clone(), inner.body.clone()));
    }

    /// Syncs this and everything below. Depth is that of the stored tree, which for a vault is four.
    pub(super) fn sync_tree(&self) {
        self.sync();
        let children: Vec<_> = match &self.inner.lock().body {
            Body::Dir(entries) => entries
                .by_name
                .values()
                .map(|(_, child)| Arc::clone(child))
                .collect(),
            Body::File(_) | Body::Other(_) => Vec::new(),
        };
        for child in children {
            child.sync_tree();
        }
    }
}

impl Attributes {
    /// The content changed.
    pub(super) fn touch(&mut self, now: Timestamp) {
        self.mtime = now;
        self.ctime = now;
    }
}

impl MemFile {
    pub(super) fn change(
        &self,
        clock: &Clock,
        change: impl FnOnce(&mut Content) -> Result<()>,
    ) -> Result<()> {
        if !self.write {
            return Err(StoreErrorKind::InvalidInput.into());
        }
        self.object.with_content(|content, attributes| {
            change(content)?;
            attributes.touch(clock.step());
            Ok(())
        })
    }
}
