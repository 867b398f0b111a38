//! What a power cut leaves of a store in memory.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::MemStore;
use super::content::Content;
use super::object::{Attributes, Body, Entries, Inner, Object};

impl MemStore {
    /// The store as a machine would find it after losing power now.
    ///
    /// Each file and each directory is either as it was at its last sync or as it is now;
    /// `survives` decides for each one that differs. Never synced means empty. A file that has grown
    /// may also have a first part of what was added, and zeros or nothing behind. The choice is made
    /// per object, so a rename between two unsynced directories may leave both names or none, which
    /// is harsher than journaling hosts are.
    #[must_use]
    pub fn after_power_cut(&self, survives: &mut dyn FnMut() -> bool) -> Self {
        self.cut(&|_| false, survives)
    }

    /// As [`Self::after_power_cut`] of a host that had just made all names durable, but no content:
    /// files are as they were at their last sync, directories as they are now.
    #[must_use]
    pub fn after_power_cut_of_data(&self) -> Self {
        self.cut(&|body| matches!(body, Body::Dir(_)), &mut || false)
    }

    fn cut(&self, keeps: &dyn Fn(&Body) -> bool, survives: &mut dyn FnMut() -> bool) -> Self {
        let _tree = self.tree.lock();
        let mut copies = HashMap::new();
        let root = copy(&self.root, keeps, survives, &mut copies);
        recount_links(&root);
        Self {
            root,
            clock: Arc::clone(&self.clock),
            tree: Arc::new(Mutex::new(())),
            capabilities: self.capabilities,
            cuts: self.cuts + 1,
        }
    }
}

/// Depth is that of the stored tree, which for a vault is four.
fn copy(
    object: &Arc<Object>,
    keeps: &dyn Fn(&Body) -> bool,
    survives: &mut dyn FnMut() -> bool,
    copies: &mut HashMap<u64, Arc<Object>>,
) -> Arc<Object> {
    if let Some(done) = copies.get(&object.id.ino) {
        return Arc::clone(done);
    }
    let (attributes, body) = outcome(object, keeps, survives);
    let body = match body {
        Body::Dir(entries) => {
            let mut kept = Entries::default();
            for name in entries.by_cookie.values() {
                if let Some(child) = entries.get(name) {
                    kept.insert(name, copy(&child, keeps, survives, copies));
                }
            }
            Body::Dir(kept)
        }
        other => other,
    };
    let synced = Some((attributes.clone(), body.clone()));
    let made = Arc::new(Object {
        id: object.id,
        inner: Mutex::new(Inner {
            attributes,
            body,
            synced,
        }),
    });
    copies.insert(object.id.ino, Arc::clone(&made));
    made
}

fn outcome(
    object: &Object,
    keeps: &dyn Fn(&Body) -> bool,
    survives: &mut dyn FnMut() -> bool,
) -> (Attributes, Body) {
    let inner = object.inner.lock();
    let now = || (inner.attributes.clone(), inner.body.clone());
    if keeps(&inner.body) || survives() {
        return now();
    }
    if let Body::File(content) = &inner.body {
        let before = match &inner.synced {
            Some((_, Body::File(synced))) => synced.len(),
            _ => 0,
        };
        if content.len() > before && survives() {
            let mut torn = content.clone();
            torn.tear(before, survives);
            return (inner.attributes.clone(), Body::File(torn));
        }
    }
    match (&inner.synced, &inner.body) {
        (Some((attributes, body)), _) => (attributes.clone(), body.clone()),
        (None, Body::File(_)) => (inner.attributes.clone(), Body::File(Content::default())),
        (None, Body::Dir(_)) => (inner.attributes.clone(), Body::Dir(Entries::default())),
        (None, Body::Other(_)) => now(),
    }
}

/// Link counts follow from the names that are left.
fn recount_links(root: &Arc<Object>) {
    let mut names: HashMap<u64, (Arc<Object>, u64)> = HashMap::new();
    let mut pending = vec![Arc::clone(root)];
    let mut dirs_seen = std::collections::HashSet::new();
    while let Some(dir) = pending.pop() {
        if !dirs_seen.insert(dir.id.ino) {
            continue;
        }
        let mut subdirs = 0;
        if let Body::Dir(entries) = &dir.inner.lock().body {
            for (_, child) in entries.by_name.values() {
                if matches!(child.inner.lock().body, Body::Dir(_)) {
                    subdirs += 1;
                    pending.push(Arc::clone(child));
                } else {
                    names
                        .entry(child.id.ino)
                        .or_insert_with(|| (Arc::clone(child), 0))
                        .1 += 1;
                }
            }
        }
        dir.inner.lock().attributes.nlink = 2 + subdirs;
    }
    for (object, count) in names.into_values() {
        object.inner.lock().attributes.nlink = count;
    }
}
