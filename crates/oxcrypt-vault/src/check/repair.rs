//! Mends one finding. Nothing is deleted but an empty node directory, our own leftovers without content,
//! and what was read and found to be redundant; everything else is moved.

use oxcrypt_core::name::{MAX_NAME_FILE_LEN, NameFile};
use oxcrypt_core::{Cryptor, DirId, ShortName};
use oxcrypt_store::{Kind, RenameMode, Store, StoreError, StoreErrorKind, durable};

use super::adopt;
use super::finding::Fix;
use super::leftover::{self, Holds};
use super::survey::Entry;
use crate::create::make_content_dir;
use crate::dir_id_backup;
use crate::error::VaultError;
use crate::layout::{ContentPath, DIR_FILE, FILE_MODE, NAME_FILE, NEW_NAME_FILE, lossy};

/// Applies one fix, durably. To be used on a vault nobody else is writing to, with findings of a
/// check just made; a fix that does not apply any more fails and changes nothing.
///
/// CRASH: what is moved is moved in one step each; applying the fixes of a new check continues.
///
/// # Errors
/// Those of the storage, with the place.
pub fn repair<S: Store>(store: &S, cryptor: &Cryptor, fix: &Fix) -> Result<(), VaultError> {
    match fix {
        Fix::WriteDirIdBackup { content, id } => at(content, || {
            if ContentPath::of(cryptor, id) != *content {
                return Err(StoreErrorKind::InvalidInput.into());
            }
            dir_id_backup::replace(store, cryptor, &content.open(store)?, id)
        }),
        Fix::CreateContentDir { id } => at(&ContentPath::of(cryptor, id), || {
            make_content_dir(store, cryptor, id).map(|_| ())
        }),
        Fix::AdoptOrphan { content } => at(content, || adopt::orphan(store, cryptor, content)),
        Fix::AdoptNode { content, node } => {
            at_node(content, node, || adopt::node(store, cryptor, content, node))
        }
        Fix::SetLooseFileAside { content, node } => at_node(content, node, || {
            adopt::loose_file(store, cryptor, content, node)
        }),
        Fix::CutNameFile { content, node } => {
            at_node(content, node, || cut_name_file(store, content, node))
        }
        Fix::FinishRename { content, node } => at_node(content, node, || {
            let node = store.open_dir(&content.open(store)?, node)?;
            let mode = RenameMode::Replace;
            store.rename(&node, NEW_NAME_FILE, &node, NAME_FILE, mode)?;
            store.sync_dir(&node)
        }),
        Fix::RenameToHash { content, node } => {
            at_node(content, node, || rename_to_hash(store, content, node))
        }
        Fix::RemoveSecondWay {
            content,
            node,
            other,
        } => at_node(content, node, || {
            remove_second_way(store, content, node, other)
        }),
        Fix::RemoveLeftover { content, node } => at_node(content, node, || {
            leftover::remove(store, &content.open(store)?, node)
        }),
        Fix::RemoveEmptyNode { content, node } => at_node(content, node, || {
            let dir = content.open(store)?;
            store.remove_dir(&dir, node)?;
            store.sync_dir(&dir)
        }),
    }
}

fn at(
    content: &ContentPath,
    act: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), VaultError> {
    act().map_err(VaultError::store(content.to_string()))
}

fn at_node(
    content: &ContentPath,
    node: &[u8],
    act: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), VaultError> {
    act().map_err(VaultError::store(format!("{content}/{}", lossy(node))))
}

/// The whole name in a node's `name.c9s`, without what follows it.
fn full_name<S: Store>(store: &S, node: &S::Dir) -> Result<Vec<u8>, StoreError> {
    let content = store.read_small(node, NAME_FILE, MAX_NAME_FILE_LEN)?;
    let name = NameFile::parse(&content).map_err(|_| StoreErrorKind::InvalidInput)?;
    Ok(name.full().to_vec())
}

fn cut_name_file<S: Store>(
    store: &S,
    content: &ContentPath,
    node: &[u8],
) -> Result<(), StoreError> {
    let node = store.open_dir(&content.open(store)?, node)?;
    let full = full_name(store, &node)?;
    durable::write_small_atomic(store, &node, NAME_FILE, &full, FILE_MODE, true)
}

fn rename_to_hash<S: Store>(
    store: &S,
    content: &ContentPath,
    node: &[u8],
) -> Result<(), StoreError> {
    let dir = content.open(store)?;
    let full = full_name(store, &store.open_dir(&dir, node)?)?;
    let right = ShortName::of(&full);
    store.rename(&dir, node, &dir, right.as_bytes(), RenameMode::NoReplace)?;
    store.sync_dir(&dir)
}

/// Removes a node whose id another one holds, too.
///
/// CRASH: it goes out of sight in one step; what is left then is a leftover.
fn remove_second_way<S: Store>(
    store: &S,
    content: &ContentPath,
    node: &[u8],
    (other_content, other): &(ContentPath, Vec<u8>),
) -> Result<(), StoreError> {
    let (dir, other_dir) = (content.open(store)?, other_content.open(store)?);
    let id_in = |dir: &S::Dir, node: &[u8]| {
        let path = [node, b"/", DIR_FILE].concat();
        store.read_small(dir, &path, DirId::MAX_LEN)
    };
    let same_node = content == other_content && node == other;
    let (name, kind) = (node.to_vec(), Kind::Dir);
    let is_bare = leftover::holds(store, &dir, &Entry { name, kind })? == Holds::Nothing;
    if same_node || !is_bare || id_in(&dir, node)? != id_in(&other_dir, other)? {
        return Err(StoreErrorKind::InvalidInput.into());
    }
    let aside = leftover::new_name();
    store.rename(&dir, node, &dir, &aside, RenameMode::NoReplace)?;
    leftover::remove(store, &dir, &aside)
}
