//! First pass: which content directories exist, and which directory ids lead to them.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use oxcrypt_core::{Cryptor, DirId, DirIdError};
use oxcrypt_store::{Cookie, Kind, Store, StoreError, StoreErrorKind};

use super::jobs;
use super::leftover::is_leftover;
use crate::layout::{ContentPath, DATA_DIR, DIR_FILE, DIR_ID_BACKUP, lossy};

/// How many bytes of entries to ask the store for at once.
pub(super) const LIST_HINT: usize = 64 * 1024;

/// One content directory as found.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) path: ContentPath,
    pub(super) has_backup: bool,
    /// Nothing at all is in it.
    pub(super) is_empty: bool,
    /// The id that belongs here, once matched.
    pub(super) owner: Option<Owner>,
    /// Whether a directory of the vault leads here; else this is an orphan.
    pub(super) is_reached: bool,
}

/// Which id a content directory belongs to, and which node holds that id.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) id: DirId,
    /// `None` for the root, and for an id known from the `dirid.c9r` only.
    pub(super) node: Option<NodePlace>,
}

/// A node: the index of its content directory, and its name there. Without a name, the content
/// directory itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct NodePlace {
    pub(super) content: usize,
    pub(super) name: Vec<u8>,
}

/// A `dir.c9r` met on the walk.
#[derive(Debug)]
pub(super) struct DirFile {
    pub(super) place: NodePlace,
    pub(super) id: Result<DirId, DirFileFault>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum DirFileFault {
    /// Its directory is no node.
    Loose,
    /// It holds no id.
    Id(DirIdError),
    /// It could not be read.
    Unreadable(StoreError),
}

/// Everything the second pass needs to know beforehand.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// In order of their paths.
    pub(super) contents: Vec<Content>,
    /// In order of their places.
    pub(super) dir_files: Vec<DirFile>,
    /// Things between the content directories.
    pub(super) strays: Vec<String>,
    /// Places that could not be listed.
    pub(super) unreadable: Vec<(String, StoreError)>,
}

/// An entry worth keeping.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
}

/// All entries of a directory but `.` and `..`, in order of their names.
pub(super) fn entries<S: Store>(store: &S, dir: &S::Dir) -> Result<Vec<Entry>, StoreError> {
    let mut found = Vec::new();
    store.list(dir, Cookie::START, LIST_HINT, &mut |entry| {
        if entry.name != b"." && entry.name != b".." {
            found.push((entry.name.to_vec(), entry.kind));
        }
        ControlFlow::Continue(())
    })?;
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let with_kind = |(name, kind): (Vec<u8>, Option<Kind>)| {
        let kind = match kind {
            Some(kind) => kind,
            None => match store.stat(dir, &name) {
                Ok(stat) => stat.kind,
                // Gone since it was listed.
                Err(error) if error.is_not_found() => return None,
                Err(error) => return Some(Err(error)),
            },
        };
        Some(Ok(Entry { name, kind }))
    };
    found.into_iter().filter_map(with_kind).collect()
}

impl Survey {
    pub(super) fn take<S: Store>(store: &S, cryptor: &Cryptor, jobs: usize) -> Self {
        let mut survey = Self::default();
        let paths = survey.content_paths(store);
        let parts = jobs::map(jobs, &paths, |path| look_into(store, path));
        for (index, (path, part)) in paths.into_iter().zip(parts).enumerate() {
            let part = part.unwrap_or_else(|error| {
                survey.unreadable.push((path.to_string(), error));
                Part::default()
            });
            survey.contents.push(Content {
                path,
                has_backup: part.has_backup,
                is_empty: part.is_empty,
                owner: None,
                is_reached: false,
            });
            survey
                .dir_files
                .extend(part.dir_files.into_iter().map(|(name, id)| DirFile {
                    place: NodePlace {
                        content: index,
                        name,
                    },
                    id,
                }));
        }
        survey.match_owners(store, cryptor);
        survey
    }

    fn content_paths<S: Store>(&mut self, store: &S) -> Vec<ContentPath> {
        let mut paths = Vec::new();
        let data = match store.open_dir(&store.root(), DATA_DIR) {
            Ok(data) => data,
            Err(error) => {
                self.unreadable.push(("d".to_owned(), error));
                return paths;
            }
        };
        for outer in self.subdirs(store, &data, "d") {
            let shown = format!("d/{}", lossy(&outer));
            match store.open_dir(&data, &outer) {
                Ok(dir) => {
                    let inner = self.subdirs(store, &dir, &shown);
                    paths.extend(
                        inner
                            .into_iter()
                            .map(|rest| ContentPath::new(&outer, &rest)),
                    );
                }
                Err(error) => self.unreadable.push((shown, error)),
            }
        }
        paths
    }

    /// The subdirectories; everything else is noted as stray.
    fn subdirs<S: Store>(&mut self, store: &S, dir: &S::Dir, shown: &str) -> Vec<Vec<u8>> {
        match entries(store, dir) {
            Ok(entries) => {
                let (dirs, others): (Vec<_>, Vec<_>) = entries
                    .into_iter()
                    .partition(|entry| entry.kind == Kind::Dir);
                let stray = |entry: Entry| format!("{shown}/{}", lossy(&entry.name));
                self.strays.extend(others.into_iter().map(stray));
                dirs.into_iter().map(|entry| entry.name).collect()
            }
            Err(error) => {
                self.unreadable.push((shown.to_owned(), error));
                Vec::new()
            }
        }
    }

    /// Gives each content directory the id that leads to it, and the node that holds it: the first
    /// on the way down from the root, so that a second way is one however the vault is forged.
    fn match_owners<S: Store>(&mut self, store: &S, cryptor: &Cryptor) {
        let by_path: HashMap<ContentPath, usize> = self
            .contents
            .iter()
            .enumerate()
            .map(|(index, content)| (content.path.clone(), index))
            .collect();
        let place_of = |id: &DirId| by_path.get(&ContentPath::of(cryptor, id)).copied();
        let mut held_in: Vec<Vec<usize>> = vec![Vec::new(); self.contents.len()];
        for (index, dir_file) in self.dir_files.iter().enumerate() {
            held_in[dir_file.place.content].push(index);
        }
        let mut todo = VecDeque::new();
        if let Some(root) = place_of(&DirId::ROOT) {
            self.contents[root].owner = Some(Owner {
                id: DirId::ROOT,
                node: None,
            });
            todo.push_back(root);
        }
        // What no way from the root leads to comes last: directories cut off with all above them.
        for start in (0..self.contents.len()).map(Some).chain([None]) {
            while let Some(content) = todo.pop_front() {
                for index in std::mem::take(&mut held_in[content]) {
                    let dir_file = &self.dir_files[index];
                    let Ok(id) = &dir_file.id else { continue };
                    let Some(below) = place_of(id) else { continue };
                    if self.contents[below].owner.is_none() {
                        self.contents[below].owner = Some(Owner {
                            id: id.clone(),
                            node: Some(dir_file.place.clone()),
                        });
                        todo.push_back(below);
                    }
                }
            }
            todo.extend(start);
        }
        for content in &mut self.contents {
            content.is_reached = content.owner.is_some();
        }
        for content in self
            .contents
            .iter_mut()
            .filter(|content| !content.is_reached)
        {
            let Ok(dir) = content.path.open(store) else {
                continue;
            };
            let backup = crate::dir_id_backup::read(store, cryptor, &dir);
            // Believed only if it names the very directory it lies in.
            if let Ok(id) = backup
                && ContentPath::of(cryptor, &id) == content.path
            {
                content.owner = Some(Owner { id, node: None });
            }
        }
    }
}

#[derive(Default)]
struct Part {
    has_backup: bool,
    is_empty: bool,
    dir_files: Vec<(Vec<u8>, Result<DirId, DirFileFault>)>,
}

fn look_into<S: Store>(store: &S, path: &ContentPath) -> Result<Part, StoreError> {
    let dir = path.open(store)?;
    let mut part = Part::default();
    let found = entries(store, &dir)?;
    part.is_empty = found.is_empty();
    for entry in found {
        if entry.name == DIR_ID_BACKUP {
            part.has_backup = true;
        } else if entry.name == DIR_FILE && entry.kind == Kind::File {
            part.dir_files.push((Vec::new(), Err(DirFileFault::Loose)));
        } else if entry.kind == Kind::Dir
            // What it leads to is reached by another node, or by none.
            && !is_leftover(&entry.name)
            && let Some(id) = read_dir_file(store, &dir, &entry.name)
        {
            part.dir_files.push((entry.name, id));
        }
    }
    Ok(part)
}

/// The id in `node/dir.c9r`; `None` if there is no such file.
fn read_dir_file<S: Store>(
    store: &S,
    dir: &S::Dir,
    node: &[u8],
) -> Option<Result<DirId, DirFileFault>> {
    let name = [node, b"/", DIR_FILE].concat();
    let bytes = match store.read_small(dir, &name, DirId::MAX_LEN) {
        Ok(bytes) => bytes,
        Err(error) => match error.kind {
            StoreErrorKind::NotFound
            | StoreErrorKind::IsDirectory
            | StoreErrorKind::NotRegular
            | StoreErrorKind::Loop => return None,
            StoreErrorKind::TooLarge => return Some(Err(DirFileFault::Id(DirIdError::TooLong))),
            _ => return Some(Err(DirFileFault::Unreadable(error))),
        },
    };
    if !(node.ends_with(b".c9r") || node.ends_with(b".c9s")) {
        return Some(Err(DirFileFault::Loose));
    }
    Some(DirId::parse(&bytes).map_err(DirFileFault::Id))
}
