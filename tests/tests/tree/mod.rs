//! A directory tree held in memory, changed in step with a vault: what the vault must contain.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use oxcrypt_store::LocalStore;
use oxcrypt_vfs::{Caller, NodeId, NodeKind, RenameFlags, SetAttr, VaultFs};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

type Vfs = VaultFs<LocalStore>;

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Dir,
    File(Vec<u8>),
    Link(String),
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dir => f.write_str("Dir"),
            Self::File(bytes) => write!(f, "File({} bytes)", bytes.len()),
            Self::Link(target) => write!(f, "Link({target:.40})"),
        }
    }
}

/// Nodes by absolute path; the root itself is not in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, Node>);

/// Bytes that differ between files and between chunks.
pub(crate) fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i.wrapping_mul(31) ^ (i >> 9) ^ seed) as u8)
        .collect()
}

impl Tree {
    /// All that is in a vault.
    pub(crate) fn read(vfs: &Vfs) -> Self {
        let mut tree = Self::default();
        tree.read_dir(vfs, NodeId::ROOT, "");
        tree
    }

    fn read_dir(&mut self, vfs: &Vfs, dir: NodeId, at: &str) {
        let mut names = Vec::new();
        vfs.list(dir, 0, 1 << 20, &mut |item| {
            if !matches!(item.name, b"." | b"..") {
                names.push(item.name.to_vec());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        for name in names {
            let path = format!("{at}/{}", String::from_utf8(name.clone()).unwrap());
            let entry = vfs.lookup(dir, &name).unwrap();
            let node = match entry.attr.kind {
                NodeKind::Directory => Node::Dir,
                NodeKind::Symlink => {
                    let target = vfs.readlink(entry.node).unwrap();
                    assert_eq!(entry.attr.size, target.len() as u64, "{path}");
                    Node::Link(String::from_utf8(target).unwrap())
                }
                NodeKind::File => Node::File(content(vfs, entry.node, entry.attr.size)),
            };
            let is_dir = node == Node::Dir;
            let twice = self.0.insert(path.clone(), node);
            assert_eq!(twice, None, "{path} is listed twice");
            if is_dir {
                self.read_dir(vfs, entry.node, &path);
            }
            vfs.forget(entry.node, 1);
        }
    }

    /// The nodes, parents before their children.
    pub(crate) fn nodes(&self) -> Vec<(String, Node)> {
        self.0.clone().into_iter().collect()
    }

    /// The entries of a manifest, in the order of the official one.
    pub(crate) fn entries(&self) -> Vec<Value> {
        let entry = |(path, node): (&String, &Node)| match node {
            Node::Dir => json!({"path": path, "type": "dir"}),
            Node::Link(target) => {
                json!({"path": path, "type": "symlink", "size": target.len(), "target": target})
            }
            Node::File(bytes) => {
                let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes));
                json!({"path": path, "type": "file", "size": bytes.len(), "sha256": sha256})
            }
        };
        self.0.iter().map(entry).collect()
    }

    pub(crate) fn mkdir(&mut self, vfs: &Vfs, path: &str) {
        at(vfs, path, |parent, name| {
            let made = vfs.mkdir(caller(), parent, name, 0o755).unwrap();
            vfs.forget(made.node, 1);
        });
        assert_eq!(self.0.insert(path.to_owned(), Node::Dir), None);
    }

    /// Writes into a file, which is made when it does not exist.
    pub(crate) fn write(&mut self, vfs: &Vfs, path: &str, offset: u64, data: &[u8]) {
        at(vfs, path, |parent, name| {
            let entry = if self.0.contains_key(path) {
                vfs.lookup(parent, name).unwrap()
            } else {
                vfs.create(caller(), parent, name, 0o644).unwrap()
            };
            vfs.write(entry.node, offset, data).unwrap();
            vfs.forget(entry.node, 1);
        });
        let file = self.0.entry(path.to_owned());
        let Node::File(bytes) = file.or_insert_with(|| Node::File(Vec::new())) else {
            panic!("{path} is no file");
        };
        let end = offset as usize + data.len();
        // Writing nothing does not grow a file.
        if !data.is_empty() && bytes.len() < end {
            bytes.resize(end, 0);
        }
        if !data.is_empty() {
            bytes[offset as usize..end].copy_from_slice(data);
        }
    }

    pub(crate) fn truncate(&mut self, vfs: &Vfs, path: &str, len: u64) {
        at(vfs, path, |parent, name| {
            let entry = vfs.lookup(parent, name).unwrap();
            let change = SetAttr {
                size: Some(len),
                ..SetAttr::default()
            };
            let attr = vfs.setattr(entry.node, change).unwrap();
            assert_eq!(attr.size, len);
            vfs.forget(entry.node, 1);
        });
        let Some(Node::File(bytes)) = self.0.get_mut(path) else {
            panic!("{path} is no file");
        };
        bytes.resize(len as usize, 0);
    }

    pub(crate) fn symlink(&mut self, vfs: &Vfs, path: &str, target: &str) {
        at(vfs, path, |parent, name| {
            let made = vfs.symlink(caller(), parent, name, target.as_bytes());
            vfs.forget(made.unwrap().node, 1);
        });
        let link = Node::Link(target.to_owned());
        assert_eq!(self.0.insert(path.to_owned(), link), None);
    }

    pub(crate) fn link(&mut self, vfs: &Vfs, from: &str, to: &str) {
        at(vfs, from, |parent, name| {
            let source = vfs.lookup(parent, name).unwrap();
            at(vfs, to, |parent, name| {
                vfs.link(source.node, parent, name).unwrap();
                vfs.forget(source.node, 2);
            });
        });
        let node = self.0[from].clone();
        self.0.insert(to.to_owned(), node);
    }

    /// Takes over what a file holds now: it has a hard link that was written to.
    pub(crate) fn adopt(&mut self, vfs: &Vfs, path: &str) {
        let bytes = at(vfs, path, |parent, name| {
            let entry = vfs.lookup(parent, name).unwrap();
            let bytes = content(vfs, entry.node, entry.attr.size);
            vfs.forget(entry.node, 1);
            bytes
        });
        self.0.insert(path.to_owned(), Node::File(bytes));
    }

    pub(crate) fn rename(&mut self, vfs: &Vfs, from: &str, to: &str) {
        at(vfs, from, |parent, name| {
            at(vfs, to, |to_parent, to_name| {
                vfs.rename(parent, name, to_parent, to_name, RenameFlags::Replace)
                    .unwrap_or_else(|error| panic!("{from:.60} -> {to:.60}: {error}"));
            });
        });
        let below = format!("{from}/");
        let moved: Vec<_> = self
            .0
            .keys()
            .filter(|path| *path == from || path.starts_with(&below))
            .cloned()
            .collect();
        assert!(!moved.is_empty(), "{from} is not in the tree");
        for path in moved {
            let node = self.0.remove(&path).unwrap();
            self.0.insert(format!("{to}{}", &path[from.len()..]), node);
        }
    }

    pub(crate) fn unlink(&mut self, vfs: &Vfs, path: &str) {
        at(vfs, path, |parent, name| vfs.unlink(parent, name).unwrap());
        assert!(self.0.remove(path).is_some());
    }

    pub(crate) fn rmdir(&mut self, vfs: &Vfs, path: &str) {
        at(vfs, path, |parent, name| vfs.rmdir(parent, name).unwrap());
        assert_eq!(self.0.remove(path), Some(Node::Dir));
    }
}

/// Reads past the end too, where nothing must come.
fn content(vfs: &Vfs, node: NodeId, size: u64) -> Vec<u8> {
    let mut bytes = vec![0; size as usize + 4096];
    let mut len = 0;
    loop {
        let end = bytes.len().min(len + 100_000);
        match vfs.read(node, len as u64, &mut bytes[len..end]).unwrap() {
            0 => break,
            read => len += read,
        }
    }
    assert_eq!(len as u64, size, "the size is what can be read");
    bytes.truncate(len);
    bytes
}

/// Runs `f` with the directory above `path` and the name in it.
fn at<T>(vfs: &Vfs, path: &str, f: impl FnOnce(NodeId, &[u8]) -> T) -> T {
    let (dirs, name) = path.rsplit_once('/').unwrap();
    let mut walked = vec![NodeId::ROOT];
    for dir in dirs.split('/').filter(|dir| !dir.is_empty()) {
        let parent = *walked.last().unwrap();
        let entry = vfs.lookup(parent, dir.as_bytes());
        walked.push(
            entry
                .unwrap_or_else(|error| panic!("{dir} of {path}: {error}"))
                .node,
        );
    }
    let result = f(*walked.last().unwrap(), name.as_bytes());
    for node in walked.into_iter().skip(1) {
        vfs.forget(node, 1);
    }
    result
}

fn caller() -> Caller {
    Caller { uid: 0, gid: 0 }
}
