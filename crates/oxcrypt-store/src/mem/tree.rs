//! Names in memory. Every function here runs under the store's tree lock, so object locks are taken
//! one at a time.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::object::{FIRST_COOKIE, Object};
use super::{MemFile, MemStore};
use crate::error::{Result, StoreErrorKind};
use crate::name::{self, Parts};
use crate::types::{Cookie, Create, DirEntry, Kind, OpenMode, RenameMode};

type Place<'a> = (&'a Arc<Object>, &'a [u8]);

fn child(dir: &Arc<Object>, name: &[u8]) -> Result<Arc<Object>> {
    if name.len() > 255 {
        return Err(StoreErrorKind::NameTooLong.into());
    }
    dir.with_entries(|entries, _| {
        entries
            .get(name)
            .ok_or_else(|| StoreErrorKind::NotFound.into())
    })
}

/// The directory that holds the last component, and that component.
pub(super) fn parent<'a>(at: &Arc<Object>, path: &'a [u8]) -> Result<(Arc<Object>, &'a [u8])> {
    let (dir, last) = match name::parts(path)? {
        Parts::One(last) => (Arc::clone(at), last),
        Parts::Two(first, last) => (child(at, first)?, last),
    };
    if dir.kind() != Kind::Dir {
        return Err(StoreErrorKind::NotDirectory.into());
    }
    if last.len() > 255 {
        return Err(StoreErrorKind::NameTooLong.into());
    }
    Ok((dir, last))
}

pub(super) fn find(at: &Arc<Object>, path: &[u8]) -> Result<Arc<Object>> {
    let (dir, last) = parent(at, path)?;
    child(&dir, last)
}

pub(super) fn open(
    store: &MemStore,
    at: &Arc<Object>,
    path: &[u8],
    how: OpenMode,
) -> Result<MemFile> {
    let _tree = store.tree.lock();
    let (dir, last) = parent(at, path)?;
    let object = match child(&dir, last) {
        Ok(_) if how.create == Create::New => return Err(StoreErrorKind::Exists.into()),
        Ok(found) => match found.kind() {
            Kind::File => found,
            Kind::Dir => return Err(StoreErrorKind::IsDirectory.into()),
            Kind::Symlink => return Err(StoreErrorKind::Loop.into()),
            Kind::Other => return Err(StoreErrorKind::NotRegular.into()),
        },
        Err(error) if error.is_not_found() && how.create != Create::No => {
            let made = Object::new_file(&store.clock, how.mode);
            dir.insert_new(&store.clock, last, Arc::clone(&made))?;
            made
        }
        Err(error) => return Err(error),
    };
    Ok(MemFile {
        object,
        read: how.read || !how.write,
        write: how.write,
    })
}

pub(super) fn remove_dir(store: &MemStore, at: &Arc<Object>, path: &[u8]) -> Result<()> {
    let _tree = store.tree.lock();
    let (dir, last) = parent(at, path)?;
    let target = child(&dir, last)?;
    bury_dir(&target)?;
    dir.with_entries(|entries, attributes| {
        entries.remove(last);
        attributes.nlink -= 1;
        attributes.touch(store.clock.step());
        Ok(())
    })
}

/// Marks an empty directory as removed.
fn bury_dir(target: &Object) -> Result<()> {
    target.with_entries(|entries, attributes| {
        if !entries.by_name.is_empty() {
            return Err(StoreErrorKind::NotEmpty.into());
        }
        entries.gone = true;
        attributes.nlink = 0;
        Ok(())
    })
}

pub(super) fn remove_file(store: &MemStore, at: &Arc<Object>, path: &[u8]) -> Result<()> {
    let _tree = store.tree.lock();
    let (dir, last) = parent(at, path)?;
    let target = child(&dir, last)?;
    if target.kind() == Kind::Dir {
        return Err(StoreErrorKind::IsDirectory.into());
    }
    let now = store.clock.step();
    target.change_attributes(now, |attributes| attributes.nlink -= 1);
    dir.with_entries(|entries, attributes| {
        entries.remove(last);
        attributes.touch(now);
        Ok(())
    })
}

pub(super) fn link(store: &MemStore, from: Place<'_>, to: Place<'_>) -> Result<()> {
    let _tree = store.tree.lock();
    let source = find(from.0, from.1)?;
    let (dir, last) = parent(to.0, to.1)?;
    if source.kind() == Kind::Dir {
        return Err(StoreErrorKind::PermissionDenied.into());
    }
    dir.insert_new(&store.clock, last, Arc::clone(&source))?;
    source.change_attributes(store.clock.step(), |attributes| attributes.nlink += 1);
    Ok(())
}

pub(super) fn rename(
    store: &MemStore,
    from: Place<'_>,
    to: Place<'_>,
    mode: RenameMode,
) -> Result<()> {
    let _tree = store.tree.lock();
    let (from_dir, from_name) = parent(from.0, from.1)?;
    let (to_dir, to_name) = parent(to.0, to.1)?;
    let source = child(&from_dir, from_name)?;
    let target = match child(&to_dir, to_name) {
        Ok(target) => Some(target),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    refuse_cycle(&source, &to_dir)?;
    match (mode, target) {
        (RenameMode::NoReplace, Some(_)) => Err(StoreErrorKind::Exists.into()),
        (RenameMode::Exchange, None) => Err(StoreErrorKind::NotFound.into()),
        (RenameMode::Exchange, Some(target)) => {
            refuse_cycle(&target, &from_dir)?;
            put(store, &from_dir, from_name, target)?;
            put(store, &to_dir, to_name, source)
        }
        // Two names of one file: nothing to do, both stay.
        (RenameMode::Replace, Some(target)) if Arc::ptr_eq(&source, &target) => Ok(()),
        (RenameMode::Replace, Some(target)) => {
            displace(store, &source, &target)?;
            put(store, &to_dir, to_name, source)?;
            take(store, &from_dir, from_name)
        }
        (_, None) => {
            to_dir.with_entries(|entries, _| {
                if entries.gone {
                    Err(StoreErrorKind::NotFound.into())
                } else {
                    Ok(())
                }
            })?;
            put(store, &to_dir, to_name, source)?;
            take(store, &from_dir, from_name)
        }
    }
}

/// Checks that `source` may take the place of `target`, and drops the target's link.
fn displace(store: &MemStore, source: &Object, target: &Object) -> Result<()> {
    match (source.kind() == Kind::Dir, target.kind() == Kind::Dir) {
        (true, true) => bury_dir(target),
        (true, false) => Err(StoreErrorKind::NotDirectory.into()),
        (false, true) => Err(StoreErrorKind::IsDirectory.into()),
        (false, false) => {
            target.change_attributes(store.clock.step(), |attributes| attributes.nlink -= 1);
            Ok(())
        }
    }
}

/// Points a name at an object, keeping the directory's count of subdirectories.
fn put(store: &MemStore, dir: &Object, name: &[u8], object: Arc<Object>) -> Result<()> {
    let adds = u64::from(object.kind() == Kind::Dir);
    let now = store.clock.step();
    object.change_attributes(now, |_| {});
    let old = dir.with_entries(|entries, attributes| {
        attributes.nlink += adds;
        attributes.touch(now);
        Ok(entries.insert(name, object))
    })?;
    drop_subdir(dir, old.as_deref());
    Ok(())
}

fn take(store: &MemStore, dir: &Object, name: &[u8]) -> Result<()> {
    let old = dir.with_entries(|entries, attributes| {
        attributes.touch(store.clock.step());
        Ok(entries.remove(name))
    })?;
    drop_subdir(dir, old.as_deref());
    Ok(())
}

fn drop_subdir(dir: &Object, old: Option<&Object>) {
    if old.is_some_and(|object| object.kind() == Kind::Dir) {
        dir.inner.lock().attributes.nlink -= 1;
    }
}

/// Refuses to move a directory into itself or below.
fn refuse_cycle(moved: &Arc<Object>, into: &Arc<Object>) -> Result<()> {
    if moved.kind() != Kind::Dir {
        return Ok(());
    }
    let mut pending = vec![Arc::clone(moved)];
    while let Some(object) = pending.pop() {
        if Arc::ptr_eq(&object, into) {
            return Err(StoreErrorKind::InvalidInput.into());
        }
        // Files have no entries; the error only says so.
        let _ = object.with_entries(|entries, _| {
            pending.extend(entries.by_name.values().map(|(_, child)| Arc::clone(child)));
            Ok(())
        });
    }
    Ok(())
}

/// Takes the entries in batches, so that the visitor may call the store.
pub(super) fn list(
    store: &MemStore,
    dir: &Arc<Object>,
    from: Cookie,
    buf_hint: usize,
    visit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
) -> Result<()> {
    for (cookie, name) in [(1, &b"."[..]), (2, b"..")] {
        let dot = DirEntry {
            name,
            kind: Some(Kind::Dir),
            ino: dir.id.ino,
            next: Cookie(cookie),
        };
        if cookie > from.0 && visit(dot).is_break() {
            return Ok(());
        }
    }
    let batch_len = (buf_hint / 64).clamp(1, 4096);
    let mut next = from.0.max(FIRST_COOKIE - 1).saturating_add(1);
    loop {
        let batch: Vec<(u64, Vec<u8>, Arc<Object>)> = {
            let _tree = store.tree.lock();
            dir.with_entries(|entries, _| {
                let later = entries.by_cookie.range(next..).take(batch_len);
                Ok(later
                    .filter_map(|(&at, name)| Some((at, name.clone(), entries.get(name)?)))
                    .collect())
            })?
        };
        for (cookie, name, object) in &batch {
            let entry = DirEntry {
                name,
                kind: Some(object.kind()),
                ino: object.id.ino,
                next: Cookie(*cookie),
            };
            if visit(entry).is_break() {
                return Ok(());
            }
            next = cookie + 1;
        }
        if batch.is_empty() {
            return Ok(());
        }
    }
}
