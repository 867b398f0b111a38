//! All that a file system shows.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use oxcrypt_vfs::{NodeId, NodeKind, Result, VaultFs};

use crate::machine::{Disk, ROOT};

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Dir,
    File(Vec<u8>),
    Link(Vec<u8>),
    /// It is listed, and that is all.
    Broken(String),
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dir => write!(f, "dir"),
            Self::File(content) => {
                write!(f, "file of {} ({:?})", content.len(), content.first())
            }
            Self::Link(target) => write!(f, "link to {}", String::from_utf8_lossy(target)),
            Self::Broken(why) => write!(f, "BROKEN: {why}"),
        }
    }
}

/// By path.
pub(crate) type Tree = BTreeMap<String, Item>;

pub(crate) fn tree(fs: &VaultFs<Disk>) -> Tree {
    let mut tree = Tree::new();
    visit(fs, ROOT, "", &mut tree);
    tree
}

fn visit(fs: &VaultFs<Disk>, dir: NodeId, at: &str, tree: &mut Tree) {
    let mut names = Vec::new();
    let listed = fs.list(dir, 0, 4096, &mut |item| {
        if !matches!(item.name, b"." | b"..") {
            names.push(item.name.to_vec());
        }
        ControlFlow::Continue(())
    });
    if let Err(e) = listed {
        tree.insert(format!("{at}?"), Item::Broken(e.to_string()));
    }
    for name in names {
        let path = format!("{at}{}", String::from_utf8_lossy(&name));
        let entry = match fs.lookup(dir, &name) {
            Ok(entry) => entry,
            Err(e) => {
                tree.insert(path, Item::Broken(e.to_string()));
                continue;
            }
        };
        let item = look(fs, entry.node, entry.attr.kind, entry.attr.size);
        let item = item.unwrap_or_else(|e| Item::Broken(e.to_string()));
        if item == Item::Dir {
            visit(fs, entry.node, &format!("{path}/"), tree);
        }
        let twice = tree.insert(path.clone(), item);
        assert!(twice.is_none(), "{path:.20} is listed twice");
        fs.forget(entry.node, 1);
    }
}

fn look(fs: &VaultFs<Disk>, node: NodeId, kind: NodeKind, size: u64) -> Result<Item> {
    Ok(match kind {
        NodeKind::Directory => Item::Dir,
        NodeKind::Symlink => Item::Link(fs.readlink(node)?),
        NodeKind::File => {
            let mut content = vec![0; size as usize + 1];
            let got = fs.read(node, 0, &mut content)?;
            assert_eq!(got as u64, size, "size and content");
            content.truncate(got);
            Item::File(content)
        }
    })
}
