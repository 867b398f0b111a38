//! One entry of a content directory: its name, its form, its type (§20.2 to §20.4).

use oxcrypt_core::name::conflict::extract;
use oxcrypt_core::name::{MAX_NAME_FILE_LEN, NameFile, NameFileError};
use oxcrypt_core::{CleartextName, Cryptor, DirNames, NameBuf, NameError, NodeKind, ShortName};
use oxcrypt_store::{Kind, Store, StoreError, StoreErrorKind};

use super::finding::{Code, Fix};
use super::leftover::{Holds, holds, is_leftover};
use super::survey::{Entry, entries};
use crate::layout::{
    CONTENT_FILE, ContentPath, DIR_FILE, DIR_ID_BACKUP, LINK_FILE, NAME_FILE, NEW_NAME_FILE, lossy,
};

/// What one entry came to.
#[derive(Default)]
pub(super) struct Node {
    /// Cleartext name, if it could be found out; as it would be listed.
    pub(super) name: Option<String>,
    /// Files to authenticate, relative to the content directory.
    pub(super) files: Vec<Vec<u8>>,
    /// The `symlink.c9r` to look into.
    pub(super) link: Option<Vec<u8>>,
    pub(super) flaws: Vec<NodeFlaw>,
}

pub(super) struct NodeFlaw {
    pub(super) code: Code,
    /// Below the node; empty for the node itself.
    pub(super) inside: &'static str,
    pub(super) detail: String,
    pub(super) fix: Option<Fix>,
}

impl Node {
    fn flaw(&mut self, code: Code, inside: &'static str, detail: impl Into<String>) {
        self.flaws.push(NodeFlaw {
            code,
            inside,
            detail: detail.into(),
            fix: None,
        });
    }

    fn flaw_with(&mut self, code: Code, inside: &'static str, detail: &str, fix: Fix) {
        let detail = detail.to_owned();
        self.flaws.push(NodeFlaw {
            code,
            inside,
            detail,
            fix: Some(fix),
        });
    }
}

/// Looks at entries of one content directory.
pub(super) struct Examiner<'a, S: Store> {
    pub(super) store: &'a S,
    pub(super) cryptor: &'a Cryptor,
    pub(super) content: &'a ContentPath,
    pub(super) dir: &'a S::Dir,
    /// The directory's part of name encryption; `None` if its id is unknown.
    pub(super) names: Option<&'a DirNames>,
}

impl<S: Store> Examiner<'_, S> {
    pub(super) fn examine(&self, entry: &Entry) -> Result<Node, StoreError> {
        let mut node = Node::default();
        if is_leftover(&entry.name) {
            self.examine_leftover(entry, &mut node)?;
            return Ok(node);
        }
        let is_node_dir = entry.kind == Kind::Dir
            && (entry.name.ends_with(b".c9r") || entry.name.ends_with(b".c9s"));
        if is_node_dir {
            self.examine_dir(entry, &mut node)?;
            return Ok(node);
        }
        match (NodeKind::of(&entry.name), entry.kind) {
            // Both have findings of their own.
            _ if entry.name == DIR_ID_BACKUP => {}
            (_, Kind::File) if entry.name == DIR_FILE => {}
            (NodeKind::Regular, kind) => {
                self.examine_name(&entry.name, &entry.name, &mut node);
                if kind == Kind::File {
                    node.files.push(entry.name.clone());
                } else {
                    let detail = format!("{} where a file or directory belongs", noun(kind));
                    node.flaw(Code::UnknownType, "", detail);
                }
            }
            (NodeKind::InUse, Kind::File) => {
                node.flaw(
                    Code::InUseMarker,
                    "",
                    "a file was open for writing elsewhere",
                );
            }
            // What ends so was a node once, but for copies of `dirid.c9r` made on a conflict.
            (NodeKind::Foreign, Kind::File)
                if entry.name.ends_with(b".c9r") && !entry.name.starts_with(b"dirid") =>
            {
                self.examine_name(&entry.name, &entry.name, &mut node);
                node.files.push(entry.name.clone());
            }
            _ => node.flaw(
                Code::ForeignFile,
                "",
                "not part of the vault; it is not shown",
            ),
        }
        Ok(node)
    }

    fn examine_leftover(&self, entry: &Entry, node: &mut Node) -> Result<(), StoreError> {
        let (content, name) = (self.content.clone(), entry.name.clone());
        match holds(self.store, self.dir, entry)? {
            Holds::Nothing => node.flaw_with(
                Code::Leftover,
                "",
                "left by an interrupted change; nothing is in it",
                Fix::RemoveLeftover {
                    content,
                    node: name,
                },
            ),
            Holds::Content => node.flaw_with(
                Code::LeftoverData,
                "",
                "left by an interrupted removal or move, with the content of a file",
                Fix::AdoptNode {
                    content,
                    node: name,
                },
            ),
            Holds::Foreign => node.flaw(
                Code::ForeignFile,
                "",
                "named as our own temporary files are, but not one",
            ),
        }
        Ok(())
    }

    /// A directory that ends in `.c9r` or `.c9s`.
    fn examine_dir(&self, entry: &Entry, node: &mut Node) -> Result<(), StoreError> {
        let dir = self.store.open_dir(self.dir, &entry.name)?;
        let shortened = entry.name.ends_with(b".c9s");
        let inside = entries(self.store, &dir)?;
        let has = |file: &[u8]| {
            inside
                .iter()
                .any(|e| e.kind == Kind::File && e.name == file)
        };
        let types = [DIR_FILE, LINK_FILE, CONTENT_FILE];
        let present: Vec<&[u8]> = types
            .into_iter()
            .filter(|&file| has(file) && (shortened || file != CONTENT_FILE))
            .collect();
        match present[..] {
            [] if inside.is_empty() => {
                let fix = Fix::RemoveEmptyNode {
                    content: self.content.clone(),
                    node: entry.name.clone(),
                };
                node.flaw_with(
                    Code::UnknownType,
                    "",
                    "an empty node, left by an interrupted program",
                    fix,
                );
            }
            [] => node.flaw(Code::UnknownType, "", "neither directory, link nor file"),
            [_] => {}
            _ => node.flaw(
                Code::AmbiguousType,
                "",
                "more than one of directory, link and file",
            ),
        }
        for other in &inside {
            let known = types.contains(&&*other.name) && other.kind == Kind::File
                || other.name == NAME_FILE && shortened;
            if !known && other.name == b"contents.c9u" {
                node.flaw(
                    Code::InUseMarker,
                    "contents.c9u",
                    "a file was open for writing elsewhere",
                );
            } else if !known || other.name == CONTENT_FILE && !shortened {
                let detail = format!(
                    "holds {}, which is not part of the vault",
                    lossy(&other.name)
                );
                node.flaw(Code::ForeignFile, "", detail);
            }
        }
        let file = |file: &[u8]| [&entry.name, &b"/"[..], file].concat();
        if present.contains(&LINK_FILE) {
            node.link = Some(file(LINK_FILE));
            node.files.push(file(LINK_FILE));
        }
        if present.contains(&CONTENT_FILE) {
            node.files.push(file(CONTENT_FILE));
        }
        if shortened {
            self.examine_long_name(entry, &dir, node)
        } else {
            if NodeKind::of(&entry.name) == NodeKind::Regular {
                self.examine_name(&entry.name, &entry.name, node);
            }
            Ok(())
        }
    }

    /// The `name.c9s` of a node.
    fn examine_long_name(
        &self,
        entry: &Entry,
        dir: &S::Dir,
        node: &mut Node,
    ) -> Result<(), StoreError> {
        const INSIDE: &str = "name.c9s";
        let content = match self.store.read_small(dir, NAME_FILE, MAX_NAME_FILE_LEN) {
            Ok(content) => content,
            Err(error) => match error.kind {
                StoreErrorKind::TooLarge => {
                    node.flaw(Code::ObeseNameFile, INSIDE, "longer than 10240 bytes");
                    return Ok(());
                }
                StoreErrorKind::NotFound
                | StoreErrorKind::IsDirectory
                | StoreErrorKind::NotRegular
                | StoreErrorKind::Loop => {
                    node.flaw(
                        Code::MissingLongName,
                        INSIDE,
                        "the name of this node is lost",
                    );
                    return Ok(());
                }
                _ => return Err(error),
            },
        };
        let name = match NameFile::parse(&content) {
            Ok(name) => name,
            Err(error @ (NameFileError::NoName | NameFileError::NotBase64)) => {
                node.flaw(Code::NotDecodable, INSIDE, error.to_string());
                return Ok(());
            }
            Err(NameFileError::TooLong) => {
                node.flaw(Code::ObeseNameFile, INSIDE, "longer than 10240 bytes");
                return Ok(());
            }
        };
        let place = || (self.content.clone(), entry.name.clone());
        if name.trailing_len() > 0 {
            let (content, node_name) = place();
            let fix = Fix::CutNameFile {
                content,
                node: node_name,
            };
            let detail = format!("{} bytes follow the name", name.trailing_len());
            node.flaw_with(Code::TrailingBytes, INSIDE, &detail, fix);
        }
        if !name.belongs_to(&entry.name) && self.is_interrupted_rename(entry) {
            let (content, node_name) = place();
            let fix = Fix::FinishRename {
                content,
                node: node_name,
            };
            let detail = "a rename was interrupted; its name.c9s still has the old name";
            node.flaw_with(Code::NameMismatch, "", detail, fix);
            return Ok(());
        }
        let right = ShortName::of(name.full());
        if !name.belongs_to(&entry.name) {
            let (content, node_name) = place();
            let taken = self.store.stat(self.dir, right.as_bytes()).is_ok();
            let detail = format!("by its name.c9s it should be called {}", right.as_str());
            // A node that is there already is not overwritten.
            let fix = (!taken).then_some(Fix::RenameToHash {
                content,
                node: node_name,
            });
            node.flaws.push(NodeFlaw {
                code: Code::NameMismatch,
                inside: "",
                detail,
                fix,
            });
        }
        self.examine_name(name.full(), &entry.name, node);
        Ok(())
    }

    /// Whether the name that a node should have stands beside the one it had.
    fn is_interrupted_rename(&self, entry: &Entry) -> bool {
        let path = [&entry.name, b"/".as_slice(), NEW_NAME_FILE].concat();
        let new = self.store.read_small(self.dir, &path, MAX_NAME_FILE_LEN);
        new.is_ok_and(|new| NameFile::parse(&new).is_ok_and(|name| name.belongs_to(&entry.name)))
    }

    /// The encrypted name `full` of the node `node_name`.
    fn examine_name(&self, full: &[u8], node_name: &[u8], node: &mut Node) {
        let Some(names) = self.names else { return };
        let mut buf = NameBuf::new();
        match self.cryptor.open_name(names, full, &mut buf) {
            Ok(text) => {
                let name = CleartextName::from_text(text).ok();
                if name.as_ref().is_some_and(|name| name.as_str() != text) {
                    node.flaw(Code::NotNfc, "", "the name is not in composed form (NFC)");
                }
                let is_long = full.len() as u64 > u64::from(self.cryptor.threshold());
                match (is_long, node_name.ends_with(b".c9s")) {
                    (true, false) => node.flaw(
                        Code::WrongForm,
                        "",
                        "a long name, not shortened: readers do not find it",
                    ),
                    (false, true) => node.flaw(
                        Code::WrongForm,
                        "",
                        "a short name, yet shortened: readers do not find it",
                    ),
                    _ => {}
                }
                node.name = Some(name.map_or_else(|| text.to_owned(), |n| n.as_str().to_owned()));
            }
            Err(error) => self.examine_bad_name(error, full, node_name, names, node),
        }
    }

    fn examine_bad_name(
        &self,
        error: NameError,
        full: &[u8],
        node_name: &[u8],
        names: &DirNames,
        node: &mut Node,
    ) {
        let mut opened = None;
        let mut opens = |text: &[u8]| {
            let mut buf = NameBuf::new();
            let name = self
                .cryptor
                .open_name(names, &[text, b".c9r"].concat(), &mut buf);
            opened = name.ok().map(str::to_owned);
            opened.is_some()
        };
        let is_copy = extract(full, &mut opens).is_some();
        if is_copy {
            let of = opened.unwrap_or_default();
            node.flaw(
                Code::ConflictCopy,
                "",
                format!("a copy of {of:?} made on a conflict"),
            );
            return;
        }
        let fix = Fix::AdoptNode {
            content: self.content.clone(),
            node: node_name.to_vec(),
        };
        node.flaw_with(Code::NameAuth, "", &error.to_string(), fix);
    }
}

/// What stands in the place of a node.
const fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "a file",
        Kind::Dir => "a directory",
        Kind::Symlink => "a symbolic link",
        Kind::Other => "a pipe, socket or device",
    }
}
