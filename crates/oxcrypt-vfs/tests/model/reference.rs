//! What a file system is: a tree in memory, simple enough to be believed.

use std::collections::BTreeMap;

use oxcrypt_vfs::{AllocateMode, ErrorKind, NodeKind, RenameFlags, Timestamp};

/// A node of the reference.
pub(crate) type Id = usize;
/// Result of a reference operation.
pub(crate) type Result<T> = std::result::Result<T, ErrorKind>;

pub(crate) enum Body {
    File(Vec<u8>),
    Dir(BTreeMap<String, Id>),
    Link(Vec<u8>),
}

pub(crate) struct Node {
    pub(crate) body: Body,
    pub(crate) mode: u32,
    /// Names; a directory has one while it exists.
    pub(crate) nlink: u32,
    /// Of a directory.
    pub(crate) parent: Id,
    /// Known while nothing changed the content since somebody set it.
    pub(crate) mtime: Option<Timestamp>,
}

impl Node {
    pub(crate) fn kind(&self) -> NodeKind {
        match self.body {
            Body::File(_) => NodeKind::File,
            Body::Dir(_) => NodeKind::Directory,
            Body::Link(_) => NodeKind::Symlink,
        }
    }
}

/// The tree. Nodes without a name stay until the run ends: whoever holds them still reaches them.
pub(crate) struct Reference {
    pub(crate) nodes: Vec<Node>,
}

pub(crate) const ROOT: Id = 0;
/// Greater sizes do not fit any store.
const HUGE: u64 = 1 << 40;

impl Reference {
    pub(crate) fn new() -> Self {
        let root = Node {
            body: Body::Dir(BTreeMap::new()),
            mode: 0o755,
            nlink: 1,
            parent: ROOT,
            mtime: None,
        };
        Self { nodes: vec![root] }
    }

    pub(crate) fn entries(&self, dir: Id) -> Result<&BTreeMap<String, Id>> {
        match &self.nodes[dir].body {
            Body::Dir(entries) => Ok(entries),
            _ => Err(ErrorKind::NotDirectory),
        }
    }

    /// The children of a directory that still exists, for a change.
    fn change(&mut self, dir: Id) -> Result<&mut BTreeMap<String, Id>> {
        let node = &mut self.nodes[dir];
        match &mut node.body {
            Body::Dir(_) if node.nlink == 0 => Err(ErrorKind::NotFound),
            Body::Dir(entries) => {
                node.mtime = None;
                Ok(entries)
            }
            _ => Err(ErrorKind::NotDirectory),
        }
    }

    fn file(&mut self, id: Id) -> Result<&mut Vec<u8>> {
        match &mut self.nodes[id].body {
            Body::File(content) => Ok(content),
            Body::Dir(_) => Err(ErrorKind::IsDirectory),
            Body::Link(_) => Err(ErrorKind::InvalidArgument),
        }
    }

    pub(crate) fn lookup(&self, dir: Id, name: &str) -> Result<Id> {
        self.entries(dir)?
            .get(name)
            .copied()
            .ok_or(ErrorKind::NotFound)
    }

    pub(crate) fn make(&mut self, dir: Id, name: &str, body: Body, mode: u32) -> Result<Id> {
        if self.lookup(dir, name).is_ok() {
            return Err(ErrorKind::Exists);
        }
        let id = self.nodes.len();
        self.change(dir)?.insert(name.to_owned(), id);
        self.nodes.push(Node {
            body,
            mode,
            nlink: 1,
            parent: dir,
            mtime: None,
        });
        Ok(id)
    }

    pub(crate) fn link(&mut self, file: Id, dir: Id, name: &str) -> Result<()> {
        self.entries(dir)?;
        self.file(file).map_err(|_| ErrorKind::NotPermitted)?;
        if self.nodes[file].nlink == 0 {
            return Err(ErrorKind::NotFound);
        }
        if self.lookup(dir, name).is_ok() {
            return Err(ErrorKind::Exists);
        }
        self.change(dir)?.insert(name.to_owned(), file);
        self.nodes[file].nlink += 1;
        Ok(())
    }

    pub(crate) fn unlink(&mut self, dir: Id, name: &str) -> Result<()> {
        let id = self.lookup(dir, name)?;
        if matches!(self.nodes[id].body, Body::Dir(_)) {
            return Err(ErrorKind::IsDirectory);
        }
        self.change(dir)?.remove(name);
        self.nodes[id].nlink -= 1;
        Ok(())
    }

    pub(crate) fn rmdir(&mut self, dir: Id, name: &str) -> Result<()> {
        let id = self.lookup(dir, name)?;
        if !self.entries(id)?.is_empty() {
            return Err(ErrorKind::NotEmpty);
        }
        self.change(dir)?.remove(name);
        self.nodes[id].nlink = 0;
        Ok(())
    }

    /// The names that lead to a node, if any do.
    pub(crate) fn path(&self, id: Id) -> Option<Vec<String>> {
        if id == ROOT {
            return Some(Vec::new());
        }
        (0..self.nodes.len()).find_map(|dir| {
            let entries = self
                .entries(dir)
                .ok()
                .filter(|_| self.nodes[dir].nlink > 0)?;
            let (name, _) = entries.iter().find(|(_, child)| **child == id)?;
            let mut path = self.path(dir)?;
            path.push(name.clone());
            Some(path)
        })
    }

    /// Whether `id` is `below` or a directory above it.
    pub(crate) fn is_above(&self, id: Id, below: Id) -> bool {
        let mut at = below;
        loop {
            if at == id {
                return true;
            }
            if at == ROOT {
                return false;
            }
            at = self.nodes[at].parent;
        }
    }

    pub(crate) fn rename(
        &mut self,
        from: (Id, &str),
        to: (Id, &str),
        flags: RenameFlags,
    ) -> Result<()> {
        for dir in [from.0, to.0] {
            self.entries(dir)?;
        }
        let source = self.lookup(from.0, from.1)?;
        if self.nodes[to.0].nlink == 0 {
            return Err(ErrorKind::NotFound);
        }
        let target = self.lookup(to.0, to.1).ok();
        if flags == RenameFlags::NoReplace && target.is_some() {
            return Err(ErrorKind::Exists);
        }
        if from == to {
            return Ok(());
        }
        if flags == RenameFlags::Exchange && target.is_none() {
            return Err(ErrorKind::NotFound);
        }
        if self.is_above(source, to.0) && self.entries(source).is_ok() {
            return Err(ErrorKind::InvalidArgument);
        }
        let Some(target) = target else {
            self.change(to.0)?.insert(to.1.to_owned(), source);
            self.change(from.0)?.remove(from.1);
            self.nodes[source].parent = to.0;
            return Ok(());
        };
        let target_is_above = self.entries(target).is_ok() && self.is_above(target, from.0);
        if flags == RenameFlags::Exchange {
            if target_is_above {
                return Err(ErrorKind::InvalidArgument);
            }
            self.change(to.0)?.insert(to.1.to_owned(), source);
            self.change(from.0)?.insert(from.1.to_owned(), target);
            self.nodes[source].parent = to.0;
            self.nodes[target].parent = from.0;
            return Ok(());
        }
        if source == target {
            return Ok(());
        }
        match (&self.nodes[source].body, &self.nodes[target].body) {
            (Body::Dir(_), Body::Dir(inner)) if !inner.is_empty() => {
                return Err(ErrorKind::NotEmpty);
            }
            (Body::Dir(_), Body::Dir(_)) => {}
            (Body::Dir(_), _) => return Err(ErrorKind::NotDirectory),
            (_, Body::Dir(_)) => return Err(ErrorKind::IsDirectory),
            _ => {}
        }
        self.nodes[target].nlink -= 1;
        self.change(to.0)?.insert(to.1.to_owned(), source);
        self.change(from.0)?.remove(from.1);
        self.nodes[source].parent = to.0;
        Ok(())
    }

    pub(crate) fn write(&mut self, id: Id, at: u64, data: &[u8]) -> Result<()> {
        let content = self.file(id)?;
        if data.is_empty() {
            return Ok(());
        }
        let at = usize::try_from(at).map_err(|_| ErrorKind::TooLarge)?;
        if content.len() < at + data.len() {
            content.resize(at + data.len(), 0);
        }
        content[at..at + data.len()].copy_from_slice(data);
        self.nodes[id].mtime = None;
        Ok(())
    }

    pub(crate) fn read(&mut self, id: Id, at: u64, len: usize) -> Result<Vec<u8>> {
        let content = self.file(id)?;
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        Ok(content[at..(at + len).min(content.len())].to_vec())
    }

    pub(crate) fn set_size(&mut self, id: Id, size: u64) -> Result<()> {
        let content = self.file(id)?;
        if size >= HUGE {
            return Err(ErrorKind::TooLarge);
        }
        content.resize(size as usize, 0);
        self.nodes[id].mtime = None;
        Ok(())
    }

    pub(crate) fn allocate(&mut self, id: Id, at: u64, len: u64, mode: AllocateMode) -> Result<()> {
        if len == 0 {
            return Err(ErrorKind::InvalidArgument);
        }
        let content = self.file(id)?;
        let end = at.saturating_add(len);
        let zeroes = !matches!(mode, AllocateMode::Grow | AllocateMode::KeepSize);
        let grows = matches!(mode, AllocateMode::Grow | AllocateMode::ZeroRange);
        // Zeroing without growing needs no room behind the end.
        if end >= HUGE && (grows || mode == AllocateMode::KeepSize) {
            return Err(ErrorKind::TooLarge);
        }
        if zeroes {
            let stop = (end.min(content.len() as u64)) as usize;
            let start = (at as usize).min(stop);
            content[start..stop].fill(0);
        }
        if grows && end > content.len() as u64 {
            content.resize(end as usize, 0);
        }
        self.nodes[id].mtime = None;
        Ok(())
    }

    pub(crate) fn copy(&mut self, from: (Id, u64), to: (Id, u64), len: u64) -> Result<u64> {
        self.file(from.0)?;
        self.file(to.0)?;
        let data = self.read(from.0, from.1, len as usize)?;
        if from.0 == to.0 && from.1.abs_diff(to.1) < data.len() as u64 {
            return Err(ErrorKind::InvalidArgument);
        }
        self.write(to.0, to.1, &data)?;
        Ok(data.len() as u64)
    }
}
