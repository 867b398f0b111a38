//! Does each operation twice, in a vault and in the reference, and compares.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use oxcrypt_store::Store;
use oxcrypt_vfs::{
    Attr, Caller, Entry, ErrorKind, NodeId, NodeKind, RenameFlags, SeekTarget, SetAttr, TimeChange,
    Timestamp, VaultFs,
};

use crate::bed::Bed;
use crate::op::{Name, Op, Pick, names};
use crate::reference::{Body, Id, ROOT, Reference};

/// Why a run failed.
pub(crate) type Outcome = Result<(), String>;
/// A node that is held: its number in the vault and in the reference.
type Held = (NodeId, Id);

const CALLER: Caller = Caller { uid: 0, gid: 0 };
/// Nodes held at most, besides the root.
const HOLD: usize = 24;

/// A listing that was stopped.
struct Cursor {
    dir: Held,
    next: u64,
    seen: Vec<String>,
    /// Entries that existed all the time since the listing began.
    stable: BTreeMap<String, Id>,
}

/// A run in progress.
pub(crate) struct Machine<S: Store> {
    bed: Bed<S>,
    vfs: VaultFs<S>,
    reference: Reference,
    names: Vec<Vec<u8>>,
    held: Vec<Held>,
    cursor: Option<Cursor>,
}

macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

impl<S: Store> Machine<S> {
    pub(crate) fn new(bed: Bed<S>) -> Self {
        Self {
            vfs: bed.open(),
            names: names(bed.setting.longest_short_name()),
            bed,
            reference: Reference::new(),
            held: vec![(NodeId::ROOT, ROOT)],
            cursor: None,
        }
    }

    /// Does all of it, then compares everything, before and after opening the vault again.
    pub(crate) fn run(mut self, ops: &[Op]) -> Outcome {
        for (step, op) in ops.iter().enumerate() {
            self.step(op)
                .map_err(|e| format!("step {step}, {op:?}: {e}"))?;
            self.watch_cursor();
        }
        self.compare_all().map_err(|e| format!("at the end: {e}"))?;
        self.reopen()
            .map_err(|e| format!("reopened at the end: {e}"))?;
        let findings = self.bed.findings();
        ensure!(
            findings.is_empty(),
            "the check of the vault finds {findings:?}"
        );
        Ok(())
    }

    fn step(&mut self, op: &Op) -> Outcome {
        match *op {
            Op::Lookup(..) | Op::Create(..) | Op::Mkdir(..) | Op::Symlink(..) | Op::Link(..) => {
                self.step_entry(op)
            }
            Op::Unlink(dir, name) => {
                let (dir, raw) = (self.dir(dir), self.raw(name));
                let got = self.vfs.unlink(dir.0, &raw);
                let want = lookup_name(&raw).and_then(|n| self.reference.unlink(dir.1, &n));
                same(got, want)
            }
            Op::Rmdir(dir, name) => {
                let (dir, raw) = (self.dir(dir), self.raw(name));
                let got = self.vfs.rmdir(dir.0, &raw);
                let want = lookup_name(&raw).and_then(|n| self.reference.rmdir(dir.1, &n));
                same(got, want)
            }
            Op::Rename(dir, name, to_dir, to_name, flags) => {
                let (dir, raw) = (self.real_dir(dir), self.raw(name));
                let (to, to_raw) = (self.real_dir(to_dir), self.raw(to_name));
                let got = self.vfs.rename(dir.0, &raw, to.0, &to_raw, flags);
                if flags == RenameFlags::Exchange
                    && got.is_err_and(|e| e.kind == ErrorKind::Unsupported)
                {
                    return self.may_be_refused((dir.1, &raw), (to.1, &to_raw));
                }
                let parsed = lookup_name(&raw).and_then(|a| Ok((a, new_name(&to_raw)?)));
                let want =
                    parsed.and_then(|(a, b)| self.reference.rename((dir.1, &a), (to.1, &b), flags));
                same(got, want)
            }
            Op::Forget(node) => {
                self.let_go(node as usize);
                Ok(())
            }
            Op::FlushHeaders => {
                self.vfs.flush_headers();
                Ok(())
            }
            Op::List(dir, plus) => {
                let dir = self.dir(dir);
                self.compare_listing(dir, plus)
            }
            Op::ListPart(dir, count) => self.list_part(dir, count),
            Op::ListRest => self.list_rest(),
            Op::CompareAll => self.compare_all(),
            Op::Reopen => self.reopen(),
            _ => self.step_content(op),
        }
    }

    /// A file changes places with something else only where both names are short.
    fn may_be_refused(&self, from: (Id, &[u8]), to: (Id, &[u8])) -> Outcome {
        let kind = |(dir, raw): (Id, &[u8])| {
            let id = lookup_name(raw).and_then(|name| self.reference.lookup(dir, &name));
            id.map(|id| self.reference.nodes[id].kind())
        };
        let kinds = [kind(from), kind(to)];
        let longest = self.bed.setting.longest_short_name();
        let is_long = |raw: &[u8]| lookup_name(raw).is_ok_and(|name| name.len() > longest);
        ensure!(
            kinds.contains(&Ok(NodeKind::File))
                && kinds[0] != kinds[1]
                && (is_long(from.1) || is_long(to.1)),
            "an exchange of {kinds:?} is refused"
        );
        Ok(())
    }

    /// Operations that give a lookup on an entry.
    fn step_entry(&mut self, op: &Op) -> Outcome {
        let (got, want) = match *op {
            Op::Lookup(dir, name) => {
                let (dir, raw) = (self.dir(dir), self.raw(name));
                let want = lookup_name(&raw).and_then(|n| self.reference.lookup(dir.1, &n));
                (self.vfs.lookup(dir.0, &raw), want)
            }
            Op::Create(dir, name, mode) => {
                let (dir, raw) = (self.dir(dir), self.raw(name));
                let want = new_name(&raw)
                    .and_then(|n| self.reference.make(dir.1, &n, Body::File(Vec::new()), mode));
                (self.vfs.create(CALLER, dir.0, &raw, mode), want)
            }
            Op::Mkdir(dir, name, mode) => {
                let (dir, raw) = (self.dir(dir), self.raw(name));
                let body = Body::Dir(BTreeMap::new());
                let want = new_name(&raw).and_then(|n| self.reference.make(dir.1, &n, body, mode));
                (self.vfs.mkdir(CALLER, dir.0, &raw, mode), want)
            }
            Op::Symlink(dir, name, target) => {
                let (dir, raw) = (self.dir(dir), self.raw(name));
                let target = format!("../{}", "t/é".repeat(target as usize + 1)).into_bytes();
                let got = self.vfs.symlink(CALLER, dir.0, &raw, &target);
                let body = Body::Link(target);
                (
                    got,
                    new_name(&raw).and_then(|n| self.reference.make(dir.1, &n, body, 0o777)),
                )
            }
            Op::Link(file, dir, name) => {
                let (file, dir, raw) = (self.file(file), self.real_dir(dir), self.raw(name));
                self.find_a_name(file.1)?;
                let linked = new_name(&raw).and_then(|n| self.reference.link(file.1, dir.1, &n));
                (self.vfs.link(file.0, dir.0, &raw), linked.map(|()| file.1))
            }
            _ => unreachable!("not an operation on entries"),
        };
        match (got, want) {
            (Ok(entry), Ok(id)) => self.hold(entry, id),
            (got, want) => same(got.map(|_| ()), want.map(|_| ())),
        }
    }

    fn step_content(&mut self, op: &Op) -> Outcome {
        match *op {
            Op::Write(file, at, len, fill) => {
                let (file, data) = (self.file(file), pattern(len, fill));
                let got = self.vfs.write(file.0, at, &data);
                same(got, self.reference.write(file.1, at, &data))?;
                self.compare_attr(file)
            }
            Op::Append(file, len, fill) => {
                let (file, data) = (self.file(file), pattern(len, fill));
                let end = match &self.reference.nodes[file.1].body {
                    Body::File(content) => content.len() as u64,
                    _ => 0,
                };
                let got = self.vfs.append(file.0, &data);
                let want = self.reference.write(file.1, end, &data);
                same(got, want.map(|()| end))?;
                self.compare_attr(file)
            }
            Op::Read(file, at, len) => {
                let file = self.file(file);
                let mut room = vec![0xAA; len];
                let got = self.vfs.read(file.0, at, &mut room).map(|n| {
                    room.truncate(n);
                    room
                });
                same_bytes(got, self.reference.read(file.1, at, len))
            }
            Op::SetSize(file, size) => {
                let file = self.file(file);
                let change = SetAttr {
                    size: Some(size),
                    ..SetAttr::default()
                };
                let got = self.vfs.setattr(file.0, change).map(|_| ());
                same_growth(got, self.reference.set_size(file.1, size))?;
                self.compare_attr(file)
            }
            Op::SetMode(node, mode) => {
                let node = self.any(node);
                let change = SetAttr {
                    mode: Some(mode),
                    ..SetAttr::default()
                };
                let got = self.vfs.setattr(node.0, change).map(|_| ());
                self.reference.nodes[node.1].mode = mode;
                self.alive(node, got)
            }
            Op::SetTime(node, secs) => {
                let node = self.any(node);
                let time = Timestamp { secs, nanos: 7000 };
                let change = SetAttr {
                    mtime: Some(TimeChange::At(time)),
                    ..SetAttr::default()
                };
                let got = self.vfs.setattr(node.0, change).map(|_| ());
                self.reference.nodes[node.1].mtime = Some(time);
                self.alive(node, got)
            }
            Op::Allocate(file, at, len, mode) => {
                let file = self.file(file);
                let got = self.vfs.allocate(file.0, at, len, mode);
                same_growth(got, self.reference.allocate(file.1, at, len, mode))?;
                self.compare_attr(file)
            }
            Op::Seek(file, at) => self.seek(file, at),
            Op::Copy(from, at, to, to_at, len) => {
                let (from, to) = (self.file(from), self.file(to));
                let got = self.vfs.copy_range(from.0, at, to.0, to_at, len);
                same(got, self.reference.copy((from.1, at), (to.1, to_at), len))?;
                self.compare_attr(to)
            }
            Op::Fsync(node, data_only) => {
                let node = self.any(node);
                let got = self.vfs.fsync(node.0, data_only);
                self.alive(node, got)
            }
            Op::Readlink(node) => {
                let node = self.any(node);
                let want = match &self.reference.nodes[node.1].body {
                    Body::Link(target) => Ok(target.clone()),
                    _ => Err(ErrorKind::InvalidArgument),
                };
                match (self.reference.nodes[node.1].nlink, want) {
                    // A link without a name has lost its target; the kernel keeps what it read.
                    (0, Ok(_)) => Ok(()),
                    (_, want) => same_bytes(self.vfs.readlink(node.0), want),
                }
            }
            Op::Getattr(node) => {
                let node = self.any(node);
                self.compare_attr(node)
            }
            _ => unreachable!("not an operation on content"),
        }
    }

    /// Looks a file up by one of its names, as the kernel does for a link by path.
    fn find_a_name(&self, id: Id) -> Outcome {
        let Some(path) = self.reference.path(id) else {
            return Ok(());
        };
        let mut lookups = vec![NodeId::ROOT];
        for name in path {
            let entry = self.vfs.lookup(lookups[lookups.len() - 1], name.as_bytes());
            lookups.push(entry.map_err(|e| format!("{name}: {e}"))?.node);
        }
        for node in &lookups[1..] {
            self.vfs.forget(*node, 1);
        }
        Ok(())
    }

    fn seek(&mut self, file: Pick, at: u64) -> Outcome {
        let file = self.file(file);
        let size = match &self.reference.nodes[file.1].body {
            Body::File(content) => content.len() as u64,
            _ => return Ok(()),
        };
        for (target, found) in [(SeekTarget::Data, at), (SeekTarget::Hole, size)] {
            let want = if at < size {
                Ok(found)
            } else {
                Err(ErrorKind::NoData)
            };
            same(self.vfs.seek(file.0, at, target), want)?;
        }
        Ok(())
    }

    /// The result of an operation that must work on every node that has a name, and on every file.
    fn alive(&mut self, node: Held, got: Result<(), oxcrypt_vfs::Error>) -> Outcome {
        let known = &self.reference.nodes[node.1];
        if known.nlink == 0 && known.kind() != NodeKind::File {
            return Ok(());
        }
        same(got, Ok(()))?;
        self.compare_attr(node)
    }

    fn raw(&self, name: Name) -> Vec<u8> {
        self.names[name as usize % self.names.len()].clone()
    }

    fn any(&self, pick: Pick) -> Held {
        self.held[pick as usize % self.held.len()]
    }

    fn kind(&self, pick: Pick, kind: NodeKind) -> Held {
        let fit: Vec<Held> = self
            .held
            .iter()
            .filter(|held| self.reference.nodes[held.1].kind() == kind)
            .copied()
            .collect();
        // Now and then one of the wrong kind.
        if fit.is_empty() || pick >= 250 {
            return self.any(pick);
        }
        fit[pick as usize % fit.len()]
    }

    fn dir(&self, pick: Pick) -> Held {
        self.kind(pick, NodeKind::Directory)
    }

    /// A real directory, where a wrong one would leave open which of two errors comes first.
    fn real_dir(&self, pick: Pick) -> Held {
        let dir = self.dir(pick);
        if self.reference.entries(dir.1).is_ok() {
            dir
        } else {
            self.held[0]
        }
    }

    fn file(&self, pick: Pick) -> Held {
        self.kind(pick, NodeKind::File)
    }

    /// Keeps a lookup, after comparing what came with it.
    fn hold(&mut self, entry: Entry, id: Id) -> Outcome {
        for (node, known) in &self.held {
            ensure!(
                (*node == entry.node) == (*known == id),
                "{:?} is also {known}, not only {id}",
                entry.node
            );
        }
        ensure!(
            entry.attr.ino == entry.node.0,
            "inode number and node differ"
        );
        self.compare_told(id, &entry.attr)?;
        self.held.push((entry.node, id));
        if self.held.len() > HOLD {
            self.let_go(0);
        }
        Ok(())
    }

    /// Forgets a held node, or the next one below which nothing else is held.
    fn let_go(&mut self, pick: usize) {
        let count = self.held.len() - 1;
        let free = (0..count).map(|step| 1 + (pick + step) % count).find(|at| {
            let id = self.held[*at].1;
            let above = |other: &Held| other.1 != id && self.reference.is_above(id, other.1);
            !self.held.iter().any(above)
        });
        if let Some(at) = free {
            let held = self.held.remove(at);
            self.vfs.forget(held.0, 1);
        }
    }

    fn compare_attr(&self, node: Held) -> Outcome {
        let known = &self.reference.nodes[node.1];
        match self.vfs.getattr(node.0) {
            Ok(attr) => self.compare_told(node.1, &attr),
            // Only files outlive their names.
            Err(_) if known.nlink == 0 && known.kind() != NodeKind::File => Ok(()),
            Err(e) => Err(format!("getattr: {e}")),
        }
    }

    fn compare_told(&self, id: Id, attr: &Attr) -> Outcome {
        let known = &self.reference.nodes[id];
        ensure!(attr.kind == known.kind(), "kind {:?}", attr.kind);
        if known.nlink == 0 && known.kind() != NodeKind::File {
            return Ok(());
        }
        match &known.body {
            Body::File(content) => {
                ensure!(
                    attr.size == content.len() as u64,
                    "size {} not {}",
                    attr.size,
                    content.len()
                );
                ensure!(
                    attr.nlink == known.nlink,
                    "nlink {} not {}",
                    attr.nlink,
                    known.nlink
                );
            }
            Body::Link(target) => {
                ensure!(
                    attr.size == target.len() as u64,
                    "length of a link {}",
                    attr.size
                );
            }
            Body::Dir(_) => {}
        }
        if known.kind() != NodeKind::Symlink {
            ensure!(
                attr.mode == known.mode,
                "mode {:o} not {:o}",
                attr.mode,
                known.mode
            );
        }
        if let Some(mtime) = known.mtime {
            ensure!(attr.mtime == mtime, "mtime {:?} not {mtime:?}", attr.mtime);
        }
        Ok(())
    }

    fn compare_listing(&self, dir: Held, plus: bool) -> Outcome {
        let want = self.reference.entries(dir.1);
        let mut seen = Vec::new();
        let mut told = Vec::new();
        let got = if plus {
            self.vfs.list_plus(dir.0, 0, 4096, &mut |item, entry| {
                seen.push((text(item.name), item.kind, item.ino));
                told.extend(entry.map(|e| (text(item.name), e)));
                ControlFlow::Continue(())
            })
        } else {
            self.vfs.list(dir.0, 0, 4096, &mut |item| {
                seen.push((text(item.name), item.kind, item.ino));
                ControlFlow::Continue(())
            })
        };
        for (name, entry) in told {
            let id = self
                .reference
                .lookup(dir.1, &name)
                .map_err(|_| format!("{name} is too much"))?;
            self.compare_told(id, &entry.attr)
                .map_err(|e| format!("{name}: {e}"))?;
            self.vfs.forget(entry.node, 1);
        }
        if self.reference.nodes[dir.1].nlink == 0 {
            return Ok(());
        }
        same(got, want.map(|_| ()))?;
        let Ok(want) = want else { return Ok(()) };
        seen.retain(|(name, ..)| !matches!(name.as_str(), "." | ".."));
        let mut wanted: Vec<_> = want.keys().cloned().collect();
        let mut names: Vec<_> = seen.iter().map(|(name, ..)| name.clone()).collect();
        wanted.sort();
        names.sort();
        ensure!(names == wanted, "listed {names:?}, not {wanted:?}");
        for (name, kind, ino) in seen {
            ensure!(ino != 0, "{name} has inode number 0");
            let id = want[&name];
            ensure!(
                kind == self.reference.nodes[id].kind(),
                "{name} is listed as {kind:?}"
            );
        }
        Ok(())
    }

    fn list_part(&mut self, dir: Pick, count: u8) -> Outcome {
        let dir = self.dir(dir);
        let Ok(entries) = self.reference.entries(dir.1) else {
            return Ok(());
        };
        let mut cursor = Cursor {
            dir,
            next: 0,
            seen: Vec::new(),
            stable: entries.clone(),
        };
        if self.reference.nodes[dir.1].nlink == 0 {
            return Ok(());
        }
        self.vfs
            .list(dir.0, 0, 4096, &mut |item| {
                if cursor.seen.len() > count as usize {
                    return ControlFlow::Break(());
                }
                cursor.seen.push(text(item.name));
                cursor.next = item.next;
                ControlFlow::Continue(())
            })
            .map_err(|e| format!("listing: {e}"))?;
        self.cursor = Some(cursor);
        Ok(())
    }

    /// What was removed or replaced since a listing began may be missing from it, or not.
    fn watch_cursor(&mut self) {
        if let Some(cursor) = &mut self.cursor {
            let now = self
                .reference
                .entries(cursor.dir.1)
                .expect("a directory stays one");
            cursor.stable.retain(|name, id| now.get(name) == Some(id));
        }
    }

    fn list_rest(&mut self) -> Outcome {
        let Some(mut cursor) = self.cursor.take() else {
            return Ok(());
        };
        let held = self.held.contains(&cursor.dir);
        if !held || self.reference.nodes[cursor.dir.1].nlink == 0 {
            return Ok(());
        }
        self.vfs
            .list(cursor.dir.0, cursor.next, 4096, &mut |item| {
                cursor.seen.push(text(item.name));
                ControlFlow::Continue(())
            })
            .map_err(|e| format!("listing: {e}"))?;
        for name in cursor.stable.keys() {
            let times = cursor.seen.iter().filter(|seen| *seen == name).count();
            ensure!(
                times == 1,
                "{name} was there all the time and is listed {times} times"
            );
        }
        Ok(())
    }

    fn reopen(&mut self) -> Outcome {
        self.compare_all()?;
        self.vfs.stop();
        // What has no name ends here.
        self.held.truncate(1);
        self.cursor = None;
        self.vfs = self.bed.open();
        self.compare_all()
    }

    /// Everything that is held, and everything that has a name.
    fn compare_all(&mut self) -> Outcome {
        for held in self.held.clone() {
            self.compare_attr(held)
                .map_err(|e| format!("held {held:?}: {e}"))?;
            self.compare_content(held)?;
        }
        let mut todo = vec![((NodeId::ROOT, ROOT), String::new())];
        let mut lookups = BTreeSet::new();
        while let Some((dir, path)) = todo.pop() {
            self.compare_listing(dir, true)
                .map_err(|e| format!("{path}/: {e}"))?;
            self.compare_listing(dir, false)
                .map_err(|e| format!("{path}/: {e}"))?;
            let entries = self
                .reference
                .entries(dir.1)
                .map_err(|e| format!("{e:?}"))?
                .clone();
            for (name, id) in entries {
                let path = format!("{path}/{name}");
                let entry = self
                    .vfs
                    .lookup(dir.0, name.as_bytes())
                    .map_err(|e| format!("{path}: {e}"))?;
                self.compare_told(id, &entry.attr)
                    .map_err(|e| format!("{path}: {e}"))?;
                self.compare_content((entry.node, id))
                    .map_err(|e| format!("{path}: {e}"))?;
                if entry.attr.kind == NodeKind::Directory {
                    todo.push(((entry.node, id), path));
                    lookups.insert(entry.node);
                } else {
                    self.vfs.forget(entry.node, 1);
                }
            }
        }
        for node in lookups {
            self.vfs.forget(node, 1);
        }
        Ok(())
    }

    fn compare_content(&self, node: Held) -> Outcome {
        let known = &self.reference.nodes[node.1];
        match &known.body {
            Body::File(content) => {
                let mut room = vec![0xAA; content.len() + 100];
                let got = self
                    .vfs
                    .read(node.0, 0, &mut room)
                    .map_err(|e| format!("read: {e}"))?;
                same_bytes(Ok(room[..got].to_vec()), Ok(content.clone()))
            }
            Body::Link(target) if known.nlink > 0 => {
                same_bytes(self.vfs.readlink(node.0), Ok(target.clone()))
            }
            Body::Link(_) | Body::Dir(_) => Ok(()),
        }
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn pattern(len: usize, fill: u8) -> Vec<u8> {
    (0..len)
        .map(|i| (i.wrapping_mul(7) + (i >> 8) * 13) as u8 ^ fill)
        .collect()
}

/// The one spelling under which a name is kept.
fn new_name(raw: &[u8]) -> Result<String, ErrorKind> {
    let name = std::str::from_utf8(raw).map_err(|_| ErrorKind::InvalidName)?;
    if name.len() > 255 {
        return Err(ErrorKind::NameTooLong);
    }
    Ok(name.replace("e\u{301}", "é"))
}

/// The same for a name that is looked for: what cannot be stored is not there.
fn lookup_name(raw: &[u8]) -> Result<String, ErrorKind> {
    new_name(raw).map_err(|kind| match kind {
        ErrorKind::InvalidName => ErrorKind::NotFound,
        kind => kind,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "callers have temporaries")]
fn same<T: PartialEq + std::fmt::Debug>(
    got: Result<T, oxcrypt_vfs::Error>,
    want: Result<T, ErrorKind>,
) -> Outcome {
    let got = got.map_err(|e| e.kind);
    ensure!(got == want, "got {got:?}, not {want:?}");
    Ok(())
}

/// The disk is smaller than the format allows, so both ways to refuse are right.
fn same_growth(got: Result<(), oxcrypt_vfs::Error>, want: Result<(), ErrorKind>) -> Outcome {
    match (got.map_err(|e| e.kind), want) {
        (Err(ErrorKind::NoSpace), Err(ErrorKind::TooLarge)) => Ok(()),
        (got, want) => same(got.map_err(Into::into), want),
    }
}

fn same_bytes(
    got: Result<Vec<u8>, oxcrypt_vfs::Error>,
    want: Result<Vec<u8>, ErrorKind>,
) -> Outcome {
    match (got, want) {
        (Ok(got), Ok(want)) => {
            if got == want {
                return Ok(());
            }
            let at = got.iter().zip(&want).position(|(a, b)| a != b);
            let lens = (got.len(), want.len());
            Err(format!(
                "read {} bytes, not {}, first difference at {at:?}",
                lens.0, lens.1
            ))
        }
        (got, want) => same(got, want),
    }
}
