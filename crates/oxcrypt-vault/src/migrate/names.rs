//! Step 6 to 7: the names of all nodes.
//!
//! In formats 5 and 6 every node is one file; its prefix tells a directory (`0`) and a link
//! (`1S`). In format 7 these two become directories that hold the file.

use std::ops::ControlFlow;

use oxcrypt_core::DEFAULT_THRESHOLD;
use oxcrypt_core::legacy::{LegacyName, long_name_hash, long_name_path};
use oxcrypt_store::{Cookie, Kind, RenameMode, Store, StoreError, StoreErrorKind, durable};

use crate::error::VaultError;
use crate::layout::{DATA_DIR, DIR_MODE, FILE_MODE, LEGACY_NAMES_DIR, NAME_FILE, lossy};

const MAX_NAME_FILE_LEN: usize = 10_240;
/// Names tried when the right one is taken: a conflict copy, seen as such later.
const MAX_COPIES: u32 = 9;

/// What the renaming comes to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NamePlan {
    /// Files to rename, or renamed.
    pub files: u64,
    /// Directories likewise.
    pub dirs: u64,
    /// Links likewise.
    pub links: u64,
    /// Nodes with new names already: an earlier run was cut short.
    pub already_done: u64,
    /// The longest new name, in bytes; the host must be able to store it.
    pub longest_name: usize,
    /// Entries that keep their old names, and why.
    pub skipped: Vec<Skipped>,
}

/// An entry that was not renamed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// Where it is.
    pub path: String,
    /// Why it was left alone.
    pub reason: &'static str,
    /// Whether its name may still be found in `m`.
    pub needs_long_names: bool,
}

impl NamePlan {
    /// Everything to be renamed.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.files + self.dirs + self.links
    }

    pub(super) fn needs_long_names(&self) -> bool {
        self.skipped.iter().any(|skipped| skipped.needs_long_names)
    }
}

/// Finds out what the renaming comes to; changes nothing.
///
/// # Errors
/// [`VaultError::NotDownloaded`] if a file is only a placeholder; those of the storage.
pub(super) fn plan<S: Store>(store: &S) -> Result<NamePlan, VaultError> {
    let mut plan = NamePlan::default();
    for_each_content_dir(store, &mut |dir, shown| {
        for entry in entries(store, dir).map_err(VaultError::store(shown))? {
            if entry.ends_with(b".icloud") {
                let path = format!("{shown}/{}", lossy(&entry));
                return Err(VaultError::NotDownloaded { path });
            }
            match target(store, dir, &entry).map_err(VaultError::store(shown))? {
                Target::Done => plan.already_done += 1,
                Target::Rename(node) => plan.count(&node),
                Target::Skip {
                    reason,
                    needs_long_names,
                } => {
                    let path = format!("{shown}/{}", lossy(&entry));
                    plan.skipped.push(Skipped {
                        path,
                        reason,
                        needs_long_names,
                    });
                }
            }
        }
        Ok(())
    })?;
    Ok(plan)
}

impl NamePlan {
    fn count(&mut self, node: &NewNode) {
        self.longest_name = self.longest_name.max(node.name.len());
        match node.payload {
            Some("dir.c9r") => self.dirs += 1,
            Some("symlink.c9r") => self.links += 1,
            _ => self.files += 1,
        }
    }
}

/// Renames everything, directory by directory; each directory is durable before the next.
///
/// CRASH: one entry is one atomic rename at its end. What comes before it (a node directory, its
/// `name.c9s`) is found empty of payload and used by the next run.
///
/// # Errors
/// Those of the storage; [`NamePlan::skipped`] gets what could not be placed.
pub(super) fn rename_all<S: Store>(
    store: &S,
    plan: &mut NamePlan,
    progress: &mut dyn FnMut(u64),
) -> Result<(), VaultError> {
    let mut done = 0;
    for_each_content_dir(store, &mut |dir, shown| {
        let in_dir = |error| VaultError::store(shown)(error);
        let mut moves = Vec::new();
        for entry in entries(store, dir).map_err(in_dir)? {
            if let Target::Rename(node) = target(store, dir, &entry).map_err(in_dir)? {
                moves.push((entry, node));
            }
        }
        // An untouched name takes its place before a conflict copy of it does.
        moves.sort_by_key(|(entry, node)| (!node.is_exact, entry.clone()));
        for (entry, node) in &moves {
            if !place(store, dir, entry, node).map_err(in_dir)? {
                let path = format!("{shown}/{}", lossy(entry));
                let reason = "its new name is taken, and so are its variants";
                plan.skipped.push(Skipped {
                    path,
                    reason,
                    needs_long_names: true,
                });
            }
            done += 1;
            progress(done);
        }
        if moves.is_empty() {
            Ok(())
        } else {
            store.sync_dir(dir).map_err(in_dir)
        }
    })
}

/// The new form of a node.
struct NewNode {
    name: String,
    /// Content of `name.c9s`.
    full: Option<String>,
    /// Name of the file inside the node; `None` if the file is the node.
    payload: Option<&'static str>,
    /// Whether the old name was just the name, nothing added to it.
    is_exact: bool,
}

enum Target {
    Done,
    Rename(NewNode),
    Skip {
        reason: &'static str,
        needs_long_names: bool,
    },
}

fn target<S: Store>(store: &S, dir: &S::Dir, entry: &[u8]) -> Result<Target, StoreError> {
    let skip = |reason, needs_long_names| {
        Ok(Target::Skip {
            reason,
            needs_long_names,
        })
    };
    if entry.ends_with(b".c9r") || entry.ends_with(b".c9s") {
        return Ok(Target::Done);
    }
    let Ok(text) = std::str::from_utf8(entry) else {
        return skip("it is not part of the vault", false);
    };
    let (name, is_exact) = if text.ends_with(".lng") {
        let Some(hash) = long_name_hash(text) else {
            return skip("it is not part of the vault", false);
        };
        let Some(name) = inflate(store, hash)? else {
            return skip("its long name is missing in m", true);
        };
        (name, text.len() == hash.len() + ".lng".len())
    } else {
        let Some(name) = LegacyName::find(text) else {
            return skip("it is not part of the vault", false);
        };
        let is_exact = name.as_str() == text;
        (name, is_exact)
    };
    if store.stat(dir, entry)?.kind != Kind::File {
        return skip("it is not a file", false);
    }
    let (new_name, full) = name.migrated_node(DEFAULT_THRESHOLD);
    let payload = name.kind().migrated_payload(full.is_some());
    Ok(Target::Rename(NewNode {
        name: new_name,
        full,
        payload,
        is_exact,
    }))
}

/// The name in `m` that a hash stands for.
fn inflate<S: Store>(store: &S, hash: &str) -> Result<Option<LegacyName>, StoreError> {
    let [first, second, file] = long_name_path(hash);
    let absent = |error: &StoreError| {
        matches!(
            error.kind,
            StoreErrorKind::NotFound
                | StoreErrorKind::NotDirectory
                | StoreErrorKind::Loop
                | StoreErrorKind::TooLarge
                | StoreErrorKind::IsDirectory
                | StoreErrorKind::NotRegular
        )
    };
    let read = || {
        let names = store.open_dir(&store.root(), LEGACY_NAMES_DIR)?;
        let dir = store.open_dir(&names, format!("{first}/{second}").as_bytes())?;
        store.read_small(&dir, file.as_bytes(), MAX_NAME_FILE_LEN)
    };
    match read() {
        Ok(bytes) => Ok(std::str::from_utf8(&bytes).ok().and_then(LegacyName::find)),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Moves one file to its new place; false if that and its variants are taken.
fn place<S: Store>(
    store: &S,
    dir: &S::Dir,
    entry: &[u8],
    node: &NewNode,
) -> Result<bool, StoreError> {
    for copy in 0..=MAX_COPIES {
        let name = match copy {
            0 => node.name.clone(),
            _ => variant(&node.name, copy),
        };
        let placed = match node.payload {
            None => store.rename(dir, entry, dir, name.as_bytes(), RenameMode::NoReplace),
            Some(payload) => place_inside(store, dir, entry, &name, payload, node.full.as_deref()),
        };
        match placed {
            Ok(()) => return Ok(true),
            Err(StoreError {
                kind: StoreErrorKind::Exists,
                ..
            }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// `base_1.c9r`: readers take it for a conflict copy of `base.c9r`.
fn variant(name: &str, copy: u32) -> String {
    let (base, suffix) = name.split_at(name.len() - ".c9r".len());
    format!("{base}_{copy}{suffix}")
}

fn place_inside<S: Store>(
    store: &S,
    dir: &S::Dir,
    entry: &[u8],
    name: &str,
    payload: &str,
    full: Option<&str>,
) -> Result<(), StoreError> {
    match store.create_dir(dir, name.as_bytes(), DIR_MODE) {
        Ok(()) => {}
        // Left by a run that was cut short, if it holds no payload yet.
        Err(StoreError {
            kind: StoreErrorKind::Exists,
            ..
        }) => {}
        Err(error) => return Err(error),
    }
    let node = match store.open_dir(dir, name.as_bytes()) {
        Ok(node) => node,
        Err(StoreError {
            kind: StoreErrorKind::NotDirectory | StoreErrorKind::Loop,
            ..
        }) => {
            return Err(StoreErrorKind::Exists.into());
        }
        Err(error) => return Err(error),
    };
    for taken in ["dir.c9r", "symlink.c9r", "contents.c9r"] {
        match store.stat(&node, taken.as_bytes()) {
            Ok(_) => return Err(StoreErrorKind::Exists.into()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(full) = full {
        durable::write_small_atomic(store, &node, NAME_FILE, full.as_bytes(), FILE_MODE, true)?;
    }
    store.rename(dir, entry, &node, payload.as_bytes(), RenameMode::NoReplace)?;
    store.sync_dir(&node)
}

/// Deletes the directory of long names: three levels, only files with names it made.
///
/// # Errors
/// Those of the storage. Foreign things in it stay, and with them their directories.
pub(super) fn remove_long_names<S: Store>(store: &S, name: &[u8]) -> Result<(), StoreError> {
    let root = store.root();
    let top = match store.open_dir(&root, name) {
        Ok(top) => top,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    for first in entries(store, &top)? {
        let Ok(outer) = store.open_dir(&top, &first) else {
            continue;
        };
        for second in entries(store, &outer)? {
            let Ok(inner) = store.open_dir(&outer, &second) else {
                continue;
            };
            for file in entries(store, &inner)?
                .iter()
                .filter(|file| file.ends_with(b".lng"))
            {
                store.remove_file(&inner, file)?;
            }
            remove_if_empty(store, &outer, &second)?;
        }
        remove_if_empty(store, &top, &first)?;
    }
    remove_if_empty(store, &root, name)?;
    store.sync_dir(&root)
}

fn remove_if_empty<S: Store>(store: &S, at: &S::Dir, name: &[u8]) -> Result<(), StoreError> {
    match store.remove_dir(at, name) {
        Err(StoreError {
            kind: StoreErrorKind::NotEmpty,
            ..
        }) => Ok(()),
        done => done,
    }
}

type VisitDir<'a, S> = &'a mut dyn FnMut(&<S as Store>::Dir, &str) -> Result<(), VaultError>;

fn for_each_content_dir<S: Store>(store: &S, visit: VisitDir<'_, S>) -> Result<(), VaultError> {
    let data = store
        .open_dir(&store.root(), DATA_DIR)
        .map_err(VaultError::store("d"))?;
    for first in entries(store, &data).map_err(VaultError::store("d"))? {
        let Ok(outer) = store.open_dir(&data, &first) else {
            continue;
        };
        let shown = format!("d/{}", lossy(&first));
        for second in entries(store, &outer).map_err(VaultError::store(&*shown))? {
            let shown = format!("{shown}/{}", lossy(&second));
            match store.open_dir(&outer, &second) {
                Ok(dir) => visit(&dir, &shown)?,
                Err(error) if error.kind == StoreErrorKind::NotDirectory => {}
                Err(error) => return Err(VaultError::store(shown)(error)),
            }
        }
    }
    Ok(())
}

fn entries<S: Store>(store: &S, dir: &S::Dir) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut names = Vec::new();
    store.list(dir, Cookie::START, 64 * 1024, &mut |entry| {
        if entry.name != b"." && entry.name != b".." {
            names.push(entry.name.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    Ok(names)
}
