//! Nodes that are not stored the way we would store them.
//!
//! Foreign programs leave names in another Unicode form, the long form of a name beside its short
//! one, or conflict copies of a sync client (`NAME (1).c9r`). None of them may hide another node,
//! and each must be reachable under the name a listing shows. On a writable mount conflict copies
//! are given a proper name of their own, as the official clients do; all others, and every oddity
//! of a read-only mount, are shown under an alias that exists in memory only.
//!
//! The table of a directory is built by one pass over it, when a listing meets the first odd node,
//! and serves until the directory changes. Undecryptable names therefore cost one bounded check.

use std::ops::ControlFlow;
use std::sync::Arc;

use oxcrypt_core::name::{self, CleartextName, NameBuf, NameFile, conflict};
use oxcrypt_store::timing::{Phase, Span};
use oxcrypt_store::{Cookie, Store, Timestamp};
use rustc_hash::FxHashMap;

use crate::error::{ErrorKind, Result};
use crate::event::EventKind;
use crate::node::{DirState, Node};
use crate::ops::NEW_NAME_FILE;
use crate::ops::rename::Side;
use crate::resolve::{LONG_SUFFIX, NAME_FILE, NodeName, SHORT_SUFFIX};
use crate::vault_fs::VaultFs;

/// Aliases of one directory.
#[derive(Debug, Default)]
pub(crate) struct AliasTable {
    by_name: FxHashMap<Box<str>, Box<[u8]>>,
    by_node: FxHashMap<Box<[u8]>, Box<str>>,
    stamp: Timestamp,
}

impl AliasTable {
    /// The name under which the odd node `node_name` is shown; `None` when it is not shown.
    pub(crate) fn shown_as(&self, node_name: &[u8]) -> Option<&str> {
        self.by_node.get(node_name).map(|s| &**s)
    }

    fn add(&mut self, shown: &str, node_name: &[u8]) {
        self.by_name.insert(shown.into(), node_name.into());
        self.by_node.insert(node_name.into(), shown.into());
    }
}

/// What a name in a content directory is.
pub(crate) enum Class<'b> {
    /// No node of the format.
    Foreign,
    /// Stored exactly as we would store this cleartext name.
    Normal(&'b str),
    /// A node, or what may be one, that needs the alias table.
    Odd,
}

impl<S: Store> VaultFs<S> {
    /// Classifies a name met in a content directory.
    pub(crate) fn classify<'b>(
        &self,
        dir: &DirState<S>,
        content: &S::Dir,
        node_name: &[u8],
        plain: &'b mut NameBuf,
    ) -> Class<'b> {
        if node_name.len() < name::MIN_NODE_NAME_LEN {
            return Class::Foreign;
        }
        if node_name.ends_with(SHORT_SUFFIX) {
            let fits = node_name.len() <= self.cryptor.threshold() as usize;
            let _crypt = Span::of(Phase::Crypt);
            return match self.cryptor.open_name(&dir.names, node_name, plain) {
                Ok(name) if fits && is_proper(name) => Class::Normal(name),
                Ok(_) | Err(_) => Class::Odd,
            };
        }
        if !node_name.ends_with(LONG_SUFFIX) {
            return Class::Foreign;
        }
        match self.open_long_name(dir, content, node_name, plain) {
            Some((name, true)) if is_proper(name) => Class::Normal(name),
            _ => Class::Odd,
        }
    }

    /// The cleartext name in `name.c9s`, and whether the node is stored as it should be.
    pub(crate) fn open_long_name<'b>(
        &self,
        dir: &DirState<S>,
        content: &S::Dir,
        node_name: &[u8],
        plain: &'b mut NameBuf,
    ) -> Option<(&'b str, bool)> {
        let node = NodeName::new(node_name).ok()?;
        let read = |inner| {
            let path = node.join(inner);
            self.store
                .read_small(content, path.as_bytes(), name::MAX_NAME_FILE_LEN)
                .ok()
        };
        let mut bytes = read(NAME_FILE)?;
        let belongs =
            |bytes: &[u8]| NameFile::parse(bytes).is_ok_and(|file| file.belongs_to(node_name));
        // The last step of a rename may be missing: the new name is beside the old one.
        if !belongs(&bytes)
            && let Some(new) = read(NEW_NAME_FILE).filter(|new| belongs(new))
        {
            bytes = new;
        }
        let file = NameFile::parse(&bytes).ok()?;
        let fits = file.full().len() > self.cryptor.threshold() as usize;
        let proper = fits && file.belongs_to(node_name);
        let name = self
            .cryptor
            .open_name(&dir.names, file.full(), plain)
            .ok()?;
        Some((name, proper))
    }

    /// The node that is *shown* as `name` without being stored under it.
    pub(crate) fn alias_target(
        &self,
        parent: &Arc<Node<S>>,
        content: &S::Dir,
        name: &CleartextName<'_>,
    ) -> Result<Option<NodeName>> {
        let dir = parent.dir()?;
        let table = dir.aliases.lock().clone();
        if let Some(node_name) = table.and_then(|t| t.by_name.get(name.as_str()).cloned()) {
            let node_name = NodeName::new(&node_name)?;
            if self.store.stat(content, node_name.as_bytes()).is_ok() {
                return Ok(Some(node_name));
            }
        }
        // Without a listing before: the one other spelling that exists in the wild.
        let Some(decomposed) = name.decomposed() else {
            return Ok(None);
        };
        let sealed = self.seal(dir, &decomposed)?;
        let found = self
            .store
            .stat(content, sealed.node_name.as_bytes())
            .is_ok();
        Ok(found.then_some(sealed.node_name))
    }

    /// The alias table of a directory, built anew when the directory changed.
    ///
    /// LOCK: takes the directory's lock exclusively; the caller holds none of it.
    pub(crate) fn alias_table(&self, parent: &Arc<Node<S>>) -> Result<Arc<AliasTable>> {
        let dir = parent.dir()?;
        let content = self.content_dir(parent)?;
        let _names = dir.names_exclusive();
        let stamp = self.store.stat_dir(&content)?.ctime;
        if let Some(table) = &*dir.aliases.lock()
            && table.stamp == stamp
        {
            return Ok(Arc::clone(table));
        }
        let mut odd = Vec::new();
        self.store
            .list(&content, Cookie::START, 32 * 1024, &mut |entry| {
                let mut plain = NameBuf::new();
                if matches!(
                    self.classify(dir, &content, entry.name, &mut plain),
                    Class::Odd
                ) {
                    odd.push(Box::<[u8]>::from(entry.name));
                }
                ControlFlow::Continue(())
            })?;
        // A fixed order, so that aliases do not depend on the order of the host.
        odd.sort();
        let mut table = AliasTable {
            stamp,
            ..AliasTable::default()
        };
        for node_name in &odd {
            self.admit_odd(parent, &content, &mut table, node_name);
        }
        table.stamp = self.store.stat_dir(&content)?.ctime;
        let table = Arc::new(table);
        *dir.aliases.lock() = Some(Arc::clone(&table));
        Ok(table)
    }

    /// Finds the name to show for an odd node, if there is one.
    fn admit_odd(
        &self,
        parent: &Arc<Node<S>>,
        content: &S::Dir,
        table: &mut AliasTable,
        node_name: &[u8],
    ) {
        let Ok(dir) = parent.dir() else { return };
        let mut plain = NameBuf::new();
        let whole = if node_name.ends_with(LONG_SUFFIX) {
            self.open_long_name(dir, content, node_name, &mut plain)
                .map(|(name, _)| name)
        } else {
            self.cryptor
                .open_name(&dir.names, node_name, &mut plain)
                .ok()
        };
        if let Some(name) = whole {
            self.show_free(dir, content, table, node_name, name, b"");
            return;
        }
        if node_name.ends_with(SHORT_SUFFIX) && !node_name.starts_with(b".") {
            let mut plain = NameBuf::new();
            let extracted = conflict::extract(node_name, |text| {
                self.cryptor.open_name(&dir.names, text, &mut plain).is_ok()
            });
            if let Some(extracted) = extracted
                && let Ok(name) = self
                    .cryptor
                    .open_name(&dir.names, extracted.text, &mut plain)
            {
                self.admit_conflict(parent, content, table, node_name, &extracted, name);
                return;
            }
        }
        self.event(EventKind::DecryptionFailed, node_name);
    }

    /// A conflict copy: resolved on disk where that is allowed and safe, otherwise shown.
    fn admit_conflict(
        &self,
        parent: &Arc<Node<S>>,
        content: &S::Dir,
        table: &mut AliasTable,
        node_name: &[u8],
        extracted: &conflict::Extracted<'_>,
        name: &str,
    ) {
        let Ok(dir) = parent.dir() else { return };
        if !self.options.read_only {
            match self.resolve_conflict(parent, content, node_name, extracted, name) {
                Ok(true) => return self.event(EventKind::ConflictResolved, node_name),
                Ok(false) => {}
                Err(e) => {
                    tracing::debug!(error = %e, "conflict not resolved");
                    self.event(EventKind::ConflictResolutionFailed, node_name);
                }
            }
        }
        self.show_free(dir, content, table, node_name, name, extracted.suffix);
    }

    /// Shows a node under `name` or, if that is taken, under the first free conflict name.
    fn show_free(
        &self,
        dir: &DirState<S>,
        content: &S::Dir,
        table: &mut AliasTable,
        node_name: &[u8],
        name: &str,
        suffix: &[u8],
    ) {
        let Ok(plain) = CleartextName::from_text(name) else {
            return self.event(EventKind::DecryptionFailed, node_name);
        };
        let others = conflict::conflict_names(name, suffix, self.cryptor.threshold());
        let free = std::iter::once(plain.into_owned())
            .chain(others)
            .find(|candidate| {
                !table.by_name.contains_key(candidate.as_str())
                    && self.seal(dir, candidate).is_ok_and(|sealed| {
                        self.store
                            .stat(content, sealed.node_name.as_bytes())
                            .is_err()
                    })
            });
        match free {
            Some(free) => table.add(free.as_str(), node_name),
            None => self.event(EventKind::ConflictResolutionFailed, node_name),
        }
    }

    /// Gives a conflict copy its own place as the official clients do (format page §16). False when
    /// it must stay, because somebody has it open.
    ///
    /// LOCK: the caller holds the directory's lock exclusively.
    fn resolve_conflict(
        &self,
        parent: &Arc<Node<S>>,
        content: &S::Dir,
        node_name: &[u8],
        extracted: &conflict::Extracted<'_>,
        name: &str,
    ) -> Result<bool> {
        let source = self.probe(content, &NodeName::new(node_name)?)?;
        if self.nodes.find(&source.stat.id).is_some() {
            return Ok(false);
        }
        let plain = CleartextName::from_text(name)?;
        let mut canonical = extracted.text.to_vec();
        canonical.extend_from_slice(SHORT_SUFFIX);
        let canonical = NodeName::new(&canonical)?;
        let target = match self.probe(content, &canonical) {
            Ok(found) => Some(found),
            Err(e) if e.kind == ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        let from = self.side(parent, plain.clone())?;
        let Some(target) = target else {
            self.move_to_free(&from, &source, &from)?;
            return Ok(true);
        };
        if !source.is_plain_file() && source.kind() == target.kind() {
            let same = |found: &crate::resolve::Found<S>| {
                self.store
                    .read_small(content, found.type_path().as_bytes(), 64 * 1024)
            };
            if same(&source)? == same(&target)? {
                self.remove_type_file(content, &source)?;
                return Ok(true);
            }
        }
        let threshold = self.cryptor.threshold();
        for candidate in conflict::conflict_names(name, extracted.suffix, threshold) {
            let sealed = self.seal(parent.dir()?, &candidate)?;
            if self
                .store
                .stat(content, sealed.node_name.as_bytes())
                .is_err()
            {
                let to = Side {
                    parent,
                    content: content.clone(),
                    name: candidate,
                    sealed,
                };
                self.move_to_free(&from, &source, &to)?;
                return Ok(true);
            }
        }
        Err(ErrorKind::Exists.into())
    }
}

/// Whether a decrypted name is one that we would have written.
fn is_proper(name: &str) -> bool {
    CleartextName::from_text(name).is_ok_and(|normal| normal.as_str() == name)
}
