//! From paths to nodes of the file system, and back to the table when they are not needed.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use oxcrypt_vfs::{Attr, Entry, ErrorKind, NodeId, NodeKind};

use super::path::InnerPath;
use crate::exit::{Exit, SECOND_WAY};
use crate::failure::{At, Failure, Result};
use crate::open::Fs;

/// A node in use; given back when dropped.
pub(crate) struct Held {
    fs: Arc<Fs>,
    pub(crate) id: NodeId,
    pub(crate) attr: Attr,
}

impl Held {
    pub(crate) fn new(fs: &Arc<Fs>, entry: Entry) -> Self {
        Self {
            fs: Arc::clone(fs),
            id: entry.node,
            attr: entry.attr,
        }
    }

    pub(crate) fn root(fs: &Arc<Fs>) -> Result<Self> {
        let attr = fs.getattr(NodeId::ROOT).at("/")?;
        Ok(Self {
            fs: Arc::clone(fs),
            id: NodeId::ROOT,
            attr,
        })
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.attr.kind == NodeKind::Directory
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The file system never forgets its root.
        self.fs.forget(self.id, 1);
    }
}

/// Links followed in one path at most.
const MAX_LINKS: usize = 40;

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LastLink {
    Follow,
    Keep,
}

/// Finds the node at `path`. Links inside the path are followed within the vault.
pub(crate) fn find(fs: &Arc<Fs>, path: &InnerPath, last: LastLink) -> Result<Held> {
    let mut stack = vec![Held::root(fs)?];
    let mut todo: VecDeque<Vec<u8>> = path.names().iter().cloned().collect();
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == b".." {
            if stack.len() > 1 {
                stack.pop();
            }
            continue;
        }
        let Some(at) = stack.last() else { break };
        let entry = fs.lookup(at.id, &name).at(path)?;
        let held = Held::new(fs, entry);
        let follow = !todo.is_empty() || path.wants_dir || last == LastLink::Follow;
        if held.attr.kind != NodeKind::Symlink || !follow {
            stack.push(held);
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Failure::new(Exit::NotFound, "too many links after each other").at(path));
        }
        let target = fs.readlink(held.id).at(path)?;
        if target.first() == Some(&b'/') {
            return Err(Failure::new(Exit::NotFound, "a link leads out of the vault").at(path));
        }
        for part in target.rsplit(|b| *b == b'/') {
            if !matches!(part, b"" | b".") {
                todo.push_front(part.to_vec());
            }
        }
    }
    let found = match stack.pop() {
        Some(found) => found,
        None => Held::root(fs)?,
    };
    if path.wants_dir && !found.is_dir() {
        return Err(Failure::new(Exit::Other, "not a directory").at(path));
    }
    Ok(found)
}

/// As [`find`], `None` if there is nothing.
pub(crate) fn find_opt(fs: &Arc<Fs>, path: &InnerPath, last: LastLink) -> Result<Option<Held>> {
    match find(fs, path, last) {
        Ok(held) => Ok(Some(held)),
        Err(e) if e.exit == Exit::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The directory around `path`, and the name in it.
pub(crate) fn find_parent<'p>(fs: &Arc<Fs>, path: &'p InnerPath) -> Result<(Held, &'p [u8])> {
    let name = path
        .name()
        .ok_or_else(|| Failure::usage("the top directory itself cannot be changed this way"))?;
    let parent = find(fs, &path.parent(), LastLink::Follow)?;
    Ok((parent, name))
}

/// A name in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: NodeKind,
    /// Missing without [`children_with_attr`], and for nodes that cannot be looked up.
    pub(crate) attr: Option<Attr>,
}

/// Room for a listing's names at a time.
const ROOM: usize = 64 * 1024;

/// The names in a directory, sorted.
pub(crate) fn children(fs: &Arc<Fs>, dir: NodeId, path: &InnerPath) -> Result<Vec<Child>> {
    let mut all = Vec::new();
    fs.list(dir, 0, ROOM, &mut |item| {
        if !matches!(item.name, b"." | b"..") {
            all.push(Child {
                name: item.name.to_vec(),
                kind: item.kind,
                attr: None,
            });
        }
        ControlFlow::Continue(())
    })
    .at(path)?;
    all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// As [`children`], with attributes.
pub(crate) fn children_with_attr(
    fs: &Arc<Fs>,
    dir: NodeId,
    path: &InnerPath,
) -> Result<Vec<Child>> {
    let mut all = Vec::new();
    fs.list_plus(dir, 0, ROOM, &mut |item, entry| {
        if !matches!(item.name, b"." | b"..") {
            all.push(Child {
                name: item.name.to_vec(),
                kind: item.kind,
                attr: entry.map(|e| e.attr),
            });
        }
        if let Some(entry) = entry {
            fs.forget(entry.node, 1);
        }
        ControlFlow::Continue(())
    })
    .at(path)?;
    all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Nothing is followed deeper than this: far beyond any real tree, and well within the stack.
pub(crate) const MAX_DEPTH: usize = 512;

/// The way of a walk. Every directory is walked once: in a damaged vault nodes can lead to
/// directories above them, or several to one, and the paths have no end then.
#[derive(Default)]
pub(crate) struct Way {
    seen: HashSet<u64>,
}

impl Way {
    /// Goes into a directory, `depth` levels below the top.
    ///
    /// # Errors
    /// `Tampered` where the way has been there; also for what is too deep.
    pub(crate) fn enter(&mut self, dir: &Held, path: &InnerPath, depth: usize) -> Result<()> {
        if !self.seen.insert(dir.attr.ino) {
            return Err(Failure::new(Exit::Tampered, SECOND_WAY).at(path));
        }
        if depth > MAX_DEPTH {
            return Err(Failure::new(Exit::Other, "too deep; not looked at").at(path));
        }
        Ok(())
    }
}

/// A node in `dir` that was listed without attributes: why it cannot be used. `None` if it is gone,
/// or well by now.
pub(crate) fn trouble_of(
    fs: &Arc<Fs>,
    dir: &Held,
    child: &Child,
    path: &InnerPath,
) -> Option<Failure> {
    if child.attr.is_some() {
        return None;
    }
    match fs.lookup(dir.id, &child.name) {
        Ok(entry) => drop(Held::new(fs, entry)),
        Err(e) if e.kind == ErrorKind::NotFound => {}
        Err(e) => return Some(Failure::from(e).at(path)),
    }
    None
}

/// What a walk meets.
pub(crate) struct Met<'a> {
    pub(crate) path: &'a InnerPath,
    pub(crate) kind: NodeKind,
    /// Missing for a damaged node.
    pub(crate) attr: Option<Attr>,
    pub(crate) depth: usize,
}

/// Visits a node and everything below it, directories before what is in them. Errors of single
/// nodes are passed to `failed`; the walk goes on.
pub(crate) fn walk(
    fs: &Arc<Fs>,
    path: &InnerPath,
    visit: &mut dyn FnMut(Met<'_>) -> Result<ControlFlow<()>>,
    failed: &mut dyn FnMut(Failure),
) -> Result<()> {
    let top = find(fs, path, LastLink::Keep)?;
    let met = Met {
        path,
        kind: top.attr.kind,
        attr: Some(top.attr),
        depth: 0,
    };
    if visit(met)?.is_continue() && top.is_dir() {
        let mut walk = Walk {
            fs,
            way: Way::default(),
            visit,
            failed,
        };
        walk.dir(&top, path, 1)?;
    }
    Ok(())
}

struct Walk<'a> {
    fs: &'a Arc<Fs>,
    way: Way,
    visit: &'a mut dyn FnMut(Met<'_>) -> Result<ControlFlow<()>>,
    failed: &'a mut dyn FnMut(Failure),
}

impl Walk<'_> {
    fn dir(&mut self, dir: &Held, path: &InnerPath, depth: usize) -> Result<()> {
        let entered = self.way.enter(dir, path, depth);
        let children = match entered.and_then(|()| children_with_attr(self.fs, dir.id, path)) {
            Ok(children) => children,
            Err(e) => {
                (self.failed)(e);
                return Ok(());
            }
        };
        for child in children {
            let below = path.join(&child.name);
            let met = Met {
                path: &below,
                kind: child.kind,
                attr: child.attr,
                depth,
            };
            let flow = (self.visit)(met)?;
            if let Some(trouble) = trouble_of(self.fs, dir, &child, &below) {
                (self.failed)(trouble);
                continue;
            }
            if flow.is_break() || child.kind != NodeKind::Directory {
                continue;
            }
            match self.fs.lookup(dir.id, &child.name).at(&below) {
                Ok(entry) => self.dir(&Held::new(self.fs, entry), &below, depth + 1)?,
                Err(e) => (self.failed)(e),
            }
        }
        Ok(())
    }
}

/// `file`, `dir` or `symlink`.
pub(crate) fn kind_name(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::File => "file",
        NodeKind::Directory => "dir",
        NodeKind::Symlink => "symlink",
    }
}

/// `-rw-r--r--`
pub(crate) fn mode_text(kind: NodeKind, mode: u32) -> String {
    let first = match kind {
        NodeKind::File => '-',
        NodeKind::Directory => 'd',
        NodeKind::Symlink => 'l',
    };
    let bit = |shift: u32, letter: char| if mode >> shift & 1 == 1 { letter } else { '-' };
    let special =
        |shift: u32, on: u32, low: char, high: char| match (mode >> on & 1, mode >> shift & 1) {
            (1, 1) => low,
            (1, _) => high,
            (_, 1) => 'x',
            _ => '-',
        };
    [
        first,
        bit(8, 'r'),
        bit(7, 'w'),
        special(6, 11, 's', 'S'),
        bit(5, 'r'),
        bit(4, 'w'),
        special(3, 10, 's', 'S'),
        bit(2, 'r'),
        bit(1, 'w'),
        special(0, 9, 't', 'T'),
    ]
    .iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_like_ls() {
        for (kind, mode, expect) in [
            (NodeKind::File, 0o644, "-rw-r--r--"),
            (NodeKind::Directory, 0o1777, "drwxrwxrwt"),
            (NodeKind::File, 0o4750, "-rwsr-x---"),
            (NodeKind::File, 0o2640, "-rw-r-S---"),
            (NodeKind::Symlink, 0o777, "lrwxrwxrwx"),
        ] {
            assert_eq!(mode_text(kind, mode), expect);
        }
    }
}
