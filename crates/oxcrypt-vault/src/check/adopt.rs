//! Moving what has no place to `LOST+FOUND`, with its name if that is known.

use oxcrypt_core::name::{MAX_NAME_FILE_LEN, NameFile};
use oxcrypt_core::{
    CipherName, CleartextName, Cryptor, DirId, DirNames, NameBuf, NodeKind, Rng, with_rng,
};
use oxcrypt_store::{Kind, RenameMode, Store, StoreError, StoreErrorKind, durable};

use super::leftover::is_leftover;
use super::survey::{Entry, entries};
use crate::create::make_content_dir;
use crate::dir_id_backup;
use crate::layout::{
    CONTENT_FILE, ContentPath, DIR_FILE, DIR_ID_BACKUP, DIR_MODE, FILE_MODE, LINK_FILE, NAME_FILE,
    lossy,
};

/// The directory that gets what was found, and the id other programs give it.
const LOST_FOUND: &str = "LOST+FOUND";
const LOST_FOUND_ID: &[u8] = b"recovery";
/// A node directory being made; too short a name for readers to notice.
const NEW_NODE: &[u8] = b"oxcrypt-new.tmp";
/// Names tried before giving up.
const MAX_NAMES: u32 = 1_000_000;

type Result<T> = std::result::Result<T, StoreError>;

/// A directory of the vault, open for putting nodes into it.
struct Target<S: Store> {
    id: DirId,
    names: DirNames,
    dir: S::Dir,
}

impl<S: Store> Target<S> {
    fn new(cryptor: &Cryptor, id: DirId, dir: S::Dir) -> Self {
        Self {
            names: cryptor.dir_names(&id),
            id,
            dir,
        }
    }
}

fn target<S: Store>(store: &S, cryptor: &Cryptor, id: DirId) -> Result<Target<S>> {
    let dir = ContentPath::of(cryptor, &id).open(store)?;
    Ok(Target::new(cryptor, id, dir))
}

fn cleartext(name: &str) -> Result<CleartextName<'_>> {
    CleartextName::from_text(name).map_err(|_| StoreErrorKind::InvalidInput.into())
}

/// `/LOST+FOUND`, made if it is missing.
fn lost_found<S: Store>(store: &S, cryptor: &Cryptor) -> Result<Target<S>> {
    let root = target(store, cryptor, DirId::ROOT)?;
    let id = DirId::parse(LOST_FOUND_ID).map_err(|_| StoreErrorKind::InvalidInput)?;
    subdirectory(store, cryptor, &root, LOST_FOUND, id)
}

/// A directory below another; if it is missing it is made, with the given id.
///
/// CRASH: content directory, then the node under a temporary name, then its real name. What an
/// interrupted run leaves is an orphan or a temporary directory, which the next run uses.
fn subdirectory<S: Store>(
    store: &S,
    cryptor: &Cryptor,
    parent: &Target<S>,
    name: &str,
    id: DirId,
) -> Result<Target<S>> {
    let sealed = cryptor.seal_name(&parent.names, &cleartext(name)?);
    let dir_file = [sealed.node(), b"/", DIR_FILE].concat();
    match store.read_small(&parent.dir, &dir_file, DirId::MAX_LEN) {
        Ok(id) => {
            let id = DirId::parse(&id).map_err(|_| StoreErrorKind::InvalidInput)?;
            let dir = make_content_dir(store, cryptor, &id)?;
            return Ok(Target::new(cryptor, id, dir));
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let dir = make_content_dir(store, cryptor, &id)?;
    match store.create_dir(&parent.dir, NEW_NODE, DIR_MODE) {
        Ok(())
        | Err(StoreError {
            kind: StoreErrorKind::Exists,
            ..
        }) => {}
        Err(error) => return Err(error),
    }
    let node = store.open_dir(&parent.dir, NEW_NODE)?;
    durable::write_small_atomic(store, &node, DIR_FILE, id.as_bytes(), FILE_MODE, true)?;
    if sealed.is_long() {
        durable::write_small_atomic(store, &node, NAME_FILE, sealed.full(), FILE_MODE, true)?;
    } else {
        remove_if_there(store, &node, NAME_FILE)?;
    }
    let (from, to) = (&parent.dir, &parent.dir);
    store.rename(from, NEW_NODE, to, sealed.node(), RenameMode::NoReplace)?;
    store.sync_dir(&parent.dir)?;
    Ok(Target::new(cryptor, id, dir))
}

fn remove_if_there<S: Store>(store: &S, dir: &S::Dir, name: &[u8]) -> Result<()> {
    match store.remove_file(dir, name) {
        Err(error) if error.is_not_found() => Ok(()),
        done => done,
    }
}

/// Moves everything in an orphaned content directory to a directory below `LOST+FOUND` named
/// after it, then removes the empty orphan.
pub(super) fn orphan<S: Store>(store: &S, cryptor: &Cryptor, content: &ContentPath) -> Result<()> {
    let lost = lost_found(store, cryptor)?;
    if *content == ContentPath::of(cryptor, &lost.id) {
        // The orphan was the content of LOST+FOUND itself, which has a node again.
        return Ok(());
    }
    let dir = content.open(store)?;
    let old_id = dir_id_backup::read(store, cryptor, &dir).ok();
    let old_names = old_id.as_ref().map(|id| cryptor.dir_names(id));
    let name = match content.hash() {
        Some(hash) => hash.as_str().to_owned(),
        None => format!("{}-{}", lossy(content.outer()), lossy(content.inner())),
    };
    let name = if cleartext(&name).is_ok() {
        name
    } else {
        "orphan".to_owned()
    };
    let new_id = with_rng(DirId::random);
    let step = subdirectory(store, cryptor, &lost, &name, new_id)?;
    let mover = Mover {
        store,
        cryptor,
        to: &step,
        run: random_tag(),
    };
    for entry in entries(store, &dir)? {
        if entry.name == DIR_ID_BACKUP {
            continue;
        }
        match NodeKind::of(&entry.name) {
            NodeKind::Regular | NodeKind::Shortened => {
                let name = old_names
                    .as_ref()
                    .and_then(|names| mover.name_of(&dir, &entry, names));
                mover.move_node(&dir, &entry, name.as_deref())?;
            }
            NodeKind::InUse | NodeKind::Foreign => mover.move_as_is(&dir, &entry.name)?,
        }
    }
    // What it tells is told by nothing else if it is not the id of this very place.
    if old_id.is_some_and(|id| ContentPath::of(cryptor, &id) == *content) {
        store.remove_file(&dir, DIR_ID_BACKUP)?;
    } else if store.stat(&dir, DIR_ID_BACKUP).is_ok() {
        mover.move_as_is(&dir, DIR_ID_BACKUP)?;
    }
    store.sync_dir(&step.dir)?;
    let data = store.open_dir(&store.root(), crate::layout::DATA_DIR)?;
    let outer = store.open_dir(&data, content.outer())?;
    store.remove_dir(&outer, content.inner())?;
    store.sync_dir(&outer)
}

/// Moves one node to `LOST+FOUND`, under its own name if that can be read. A node that is gone
/// was moved by another fix.
pub(super) fn node<S: Store>(
    store: &S,
    cryptor: &Cryptor,
    content: &ContentPath,
    name: &[u8],
) -> Result<()> {
    let dir = content.open(store)?;
    let kind = match store.stat(&dir, name) {
        Ok(stat) => stat.kind,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    let entry = Entry {
        name: name.to_vec(),
        kind,
    };
    let to = lost_found(store, cryptor)?;
    let mover = Mover {
        store,
        cryptor,
        to: &to,
        run: random_tag(),
    };
    let id = dir_id_backup::read(store, cryptor, &dir).ok();
    let cleartext = id.and_then(|id| mover.name_of(&dir, &entry, &cryptor.dir_names(&id)));
    mover.move_node(&dir, &entry, cleartext.as_deref())?;
    store.sync_dir(&to.dir)?;
    store.sync_dir(&dir)
}

/// Moves a `dir.c9r` that is in no node to the content directory of `LOST+FOUND`. Without a
/// holder it lies in the content directory itself.
pub(super) fn loose_file<S: Store>(
    store: &S,
    cryptor: &Cryptor,
    content: &ContentPath,
    holder: &[u8],
) -> Result<()> {
    let to = lost_found(store, cryptor)?;
    let dir = content.open(store)?;
    let holder = if holder.is_empty() {
        dir
    } else {
        store.open_dir(&dir, holder)?
    };
    let mover = Mover {
        store,
        cryptor,
        to: &to,
        run: random_tag(),
    };
    mover.move_as_is(&holder, DIR_FILE)?;
    store.sync_dir(&to.dir)?;
    store.sync_dir(&holder)
}

/// Whether a node's name is in a file in it.
fn holds_its_name(entry: &Entry) -> bool {
    entry.name.ends_with(b".c9s") || is_leftover(&entry.name)
}

fn random_tag() -> String {
    let mut bytes = [0; 4];
    with_rng(|rng| rng.fill(&mut bytes));
    bytes
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect()
}

struct Mover<'a, S: Store> {
    store: &'a S,
    cryptor: &'a Cryptor,
    to: &'a Target<S>,
    /// Makes the names of this run differ from those of others.
    run: String,
}

impl<S: Store> Mover<'_, S> {
    /// The cleartext name of a node by the directory it was in.
    fn name_of(&self, dir: &S::Dir, entry: &Entry, names: &DirNames) -> Option<String> {
        let mut buf = NameBuf::new();
        if !holds_its_name(entry) {
            return self
                .cryptor
                .open_name(names, &entry.name, &mut buf)
                .ok()
                .map(str::to_owned);
        }
        let file = [&entry.name, &b"/"[..], NAME_FILE].concat();
        let content = self.store.read_small(dir, &file, MAX_NAME_FILE_LEN).ok()?;
        let full = NameFile::parse(&content).ok()?;
        self.cryptor
            .open_name(names, full.full(), &mut buf)
            .ok()
            .map(str::to_owned)
    }

    /// Moves a node under `name`, or a new name if that is taken or unknown.
    fn move_node(&self, dir: &S::Dir, entry: &Entry, name: Option<&str>) -> Result<()> {
        let form = self.form_of(dir, entry)?;
        if let Some(name) = name.and_then(|name| CleartextName::from_text(name).ok()) {
            match self.place(dir, entry, form, &name) {
                Err(StoreError {
                    kind: StoreErrorKind::Exists,
                    ..
                }) => {}
                done => return done,
            }
        }
        for number in 1..=MAX_NAMES {
            let name = format!("{}{number}_{}", form.noun(), self.run);
            match self.place(dir, entry, form, &cleartext(&name)?) {
                Err(StoreError {
                    kind: StoreErrorKind::Exists,
                    ..
                }) => {}
                done => return done,
            }
        }
        Err(StoreErrorKind::Exists.into())
    }

    fn form_of(&self, dir: &S::Dir, entry: &Entry) -> Result<Form> {
        if entry.kind != Kind::Dir {
            return Ok(Form::PlainFile);
        }
        let inside = self.store.open_dir(dir, &entry.name)?;
        let has = |file: &[u8]| self.store.stat(&inside, file).is_ok();
        Ok(match (has(DIR_FILE), has(LINK_FILE), has(CONTENT_FILE)) {
            (true, ..) => Form::Directory,
            (_, true, _) => Form::Link,
            (.., true) if holds_its_name(entry) => Form::FileInside,
            _ => Form::Unknown,
        })
    }

    /// Moves a node to its place under `name`, changing between the plain and the shortened
    /// form as the name needs.
    ///
    /// CRASH: the last step of each way is one rename; before it only `name.c9s` is written.
    fn place(
        &self,
        dir: &S::Dir,
        entry: &Entry,
        form: Form,
        name: &CleartextName<'_>,
    ) -> Result<()> {
        let (store, to) = (self.store, &self.to.dir);
        let sealed = self.cryptor.seal_name(&self.to.names, name);
        let target = sealed.node();
        if store.stat(to, target).is_ok() {
            return Err(StoreErrorKind::Exists.into());
        }
        let write_name = |node: &S::Dir| {
            durable::write_small_atomic(store, node, NAME_FILE, sealed.full(), FILE_MODE, true)
        };
        match (form, &sealed) {
            (Form::PlainFile, CipherName::Short(_)) => {
                store.rename(dir, &entry.name, to, target, RenameMode::NoReplace)
            }
            (Form::PlainFile, CipherName::Long { .. }) => {
                store.create_dir(to, target, DIR_MODE)?;
                let node = store.open_dir(to, target)?;
                write_name(&node)?;
                store.rename(dir, &entry.name, &node, CONTENT_FILE, RenameMode::NoReplace)?;
                store.sync_dir(&node)
            }
            (Form::FileInside, CipherName::Short(_)) => {
                let node = store.open_dir(dir, &entry.name)?;
                store.rename(&node, CONTENT_FILE, to, target, RenameMode::NoReplace)?;
                remove_if_there(store, &node, NAME_FILE)?;
                self.retire(dir, &entry.name, &node)
            }
            (_, CipherName::Long { .. }) => {
                write_name(&store.open_dir(dir, &entry.name)?)?;
                store.rename(dir, &entry.name, to, target, RenameMode::NoReplace)
            }
            (_, CipherName::Short(_)) => {
                store.rename(dir, &entry.name, to, target, RenameMode::NoReplace)?;
                remove_if_there(store, &store.open_dir(to, target)?, NAME_FILE)
            }
        }
    }

    /// Removes a node directory whose content was moved out; what is foreign in it is moved too.
    fn retire(&self, dir: &S::Dir, name: &[u8], node: &S::Dir) -> Result<()> {
        for left in entries(self.store, node)? {
            self.move_as_is(node, &left.name)?;
        }
        self.store.remove_dir(dir, name)
    }

    /// Moves something that is no node; its new name is none either.
    fn move_as_is(&self, dir: &S::Dir, name: &[u8]) -> Result<()> {
        let (store, to) = (self.store, &self.to.dir);
        let is_vault_file = name == DIR_ID_BACKUP || name == DIR_FILE;
        for number in 0..=MAX_NAMES {
            let new_name = match number {
                0 if !is_vault_file => name.to_vec(),
                _ => {
                    // Cut so that it stays a name the host can store.
                    let kept = &name[..name.len().min(200)];
                    [kept, format!(".{}{number}.lost", self.run).as_bytes()].concat()
                }
            };
            match store.rename(dir, name, to, &new_name, RenameMode::NoReplace) {
                Err(StoreError {
                    kind: StoreErrorKind::Exists,
                    ..
                }) => {}
                done => return done,
            }
        }
        Err(StoreErrorKind::Exists.into())
    }
}

/// How a node lies in its content directory.
#[derive(Clone, Copy)]
enum Form {
    /// `X.c9r` is the file.
    PlainFile,
    /// `X.c9s/contents.c9r`
    FileInside,
    /// With a `dir.c9r`.
    Directory,
    /// With a `symlink.c9r`.
    Link,
    /// A node directory without any of these.
    Unknown,
}

impl Form {
    /// Starts the names given to what has lost its own.
    const fn noun(self) -> &'static str {
        match self {
            Self::PlainFile | Self::FileInside => "file",
            Self::Directory => "directory",
            Self::Link => "symlink",
            Self::Unknown => "node",
        }
    }
}
