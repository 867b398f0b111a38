//! A whole vault with changed, cut, swapped, copied, moved and missing objects: it can be mounted or
//! not, but whatever is read is something that was written, nothing panics or goes on for ever, and
//! neither writing into it nor mending it does.

#![no_main]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use oxcrypt_core::Cryptor;
use oxcrypt_fuzz::tree::{Objects, store, vault, was_written};
use oxcrypt_store::MemStore;
use oxcrypt_vault::check::{CheckOptions, Event, check, repair};
use oxcrypt_vfs::{
    Caller, JournalOptions, LogEvents, NodeId, NodeKind, RenameFlags, VaultFs, VfsOptions,
};

const CALLER: Caller = Caller { uid: 0, gid: 0 };
/// More than there is, and less than a loop shows.
const MAX_NODES: usize = 300;

/// The input, bit by bit; zeros behind its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    fn number(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    fn path(&mut self, objects: &Objects) -> String {
        let at = usize::from(self.byte()) % objects.len();
        objects.keys().nth(at).expect("within").clone()
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte() & 63);
        (0..len).map(|_| self.byte()).collect()
    }
}

/// One change to one object.
fn change(objects: &mut Objects, input: &mut Input<'_>) {
    let kind = input.byte();
    let path = input.path(objects);
    let other = input.path(objects);
    match (kind % 11, objects.get_mut(&path)) {
        (0, Some(Some(bytes))) if !bytes.is_empty() => {
            let at = input.number() % bytes.len();
            bytes[at] ^= input.byte() | 1;
        }
        (1, Some(Some(bytes))) => bytes.truncate(input.number()),
        (2, Some(Some(bytes))) => {
            let cut = input.number().min(bytes.len());
            bytes.drain(bytes.len() - cut..);
        }
        (3, Some(Some(bytes))) => bytes.extend(input.bytes()),
        (4, Some(Some(bytes))) => *bytes = input.bytes(),
        (5, _) => {
            objects.retain(|at, _| *at != path && !at.starts_with(&format!("{path}/")));
        }
        (6, _) => copy(objects, &path, &other),
        (7, _) => {
            // To the name of another in the directory of a third.
            let dir = input.path(objects);
            let name = other.rsplit('/').next().unwrap_or_default();
            copy(objects, &path, &format!("{dir}/{name}"));
        }
        (8, _) => {
            let suffix = String::from_utf8_lossy(&input.bytes()).replace(['/', '\0'], "_");
            copy(objects, &path, &format!("{path}{suffix}"));
        }
        (9, _) => {
            let (one, two) = (objects.get(&path).cloned(), objects.get(&other).cloned());
            if let (Some(one @ Some(_)), Some(two @ Some(_))) = (one, two) {
                objects.insert(path, two);
                objects.insert(other, one);
            }
        }
        (_, Some(entry)) => {
            *entry = match entry {
                Some(_) => None,
                None => Some(input.bytes()),
            }
        }
        _ => {}
    }
    if objects.is_empty() {
        objects.insert("d".to_owned(), None);
    }
}

/// With all that is below it.
fn copy(objects: &mut Objects, from: &str, to: &str) {
    if to.starts_with(&format!("{from}/")) || objects.len() > 200 {
        return;
    }
    let copied: Vec<_> = objects
        .iter()
        .filter_map(|(path, body)| {
            let rest = path.strip_prefix(from)?;
            (rest.is_empty() || rest.starts_with('/'))
                .then(|| (format!("{to}{rest}"), body.clone()))
        })
        .collect();
    objects.extend(copied);
}

fn mount(vault: &MemStore, state: &MemStore, cryptor: &Arc<Cryptor>) -> Option<VaultFs<MemStore>> {
    let fs = VaultFs::new(
        Arc::new(vault.clone()),
        Arc::clone(cryptor),
        VfsOptions::default(),
        Box::new(LogEvents),
    )
    .ok()?;
    let options = JournalOptions {
        capacity: 300 * 1024,
        delay: Duration::from_secs(1),
    };
    Some(
        fs.with_journal(&Arc::new(state.clone()), &[], options)
            .ok()?
            .0,
    )
}

/// What can be seen: directories, and files that were read. All must be true.
#[derive(Default)]
struct Seen {
    dirs: Vec<NodeId>,
    files: Vec<(NodeId, Vec<u8>, NodeId)>,
    count: usize,
}

fn walk(fs: &VaultFs<MemStore>, dir: NodeId, depth: usize, seen: &mut Seen) {
    seen.dirs.push(dir);
    let mut entries = Vec::new();
    let _ = fs.list_plus(dir, 0, 4096, &mut |item, entry| {
        if let Some(entry) = entry {
            entries.push((item.name.to_vec(), entry));
        }
        ControlFlow::Continue(())
    });
    for (name, entry) in entries {
        seen.count += 1;
        if seen.count > MAX_NODES || depth > 12 {
            return;
        }
        match entry.attr.kind {
            NodeKind::Directory => walk(fs, entry.node, depth + 1, seen),
            NodeKind::Symlink => {
                if let Ok(target) = fs.readlink(entry.node) {
                    assert!(was_written(&target), "a link nobody made");
                }
            }
            NodeKind::File => {
                if let Some(content) = read(fs, entry.node, entry.attr.size) {
                    assert!(
                        was_written(&content),
                        "{} bytes nobody wrote",
                        content.len()
                    );
                    seen.files.push((dir, name, entry.node));
                }
            }
        }
    }
}

fn read(fs: &VaultFs<MemStore>, node: NodeId, size: u64) -> Option<Vec<u8>> {
    let mut content = vec![0; usize::try_from(size).ok()?.min(1 << 20) + 1];
    let got = fs.read(node, 0, &mut content).ok()?;
    content.truncate(got);
    Some(content)
}

/// Works in what is left, wherever that is possible.
fn work(fs: &VaultFs<MemStore>, seen: &Seen) {
    for (i, dir) in seen.dirs.iter().take(20).enumerate() {
        let name = format!("new {i} {}", "n".repeat(i % 3 * 100));
        if let Ok(made) = fs.create(CALLER, *dir, name.as_bytes(), 0o600) {
            let _ = fs.write(made.node, 40_000, b"new");
            let _ = fs.fsync(made.node, false);
        }
        let _ = fs.mkdir(CALLER, *dir, b"new dir", 0o700);
        let _ = fs.rename(*dir, b"one", *dir, b"moved", RenameFlags::Replace);
    }
    for (dir, name, node) in seen.files.iter().take(20) {
        let before = fs.getattr(*node).map(|attr| attr.size);
        if fs.write(*node, 5, b"changed").is_ok() {
            let mut got = [0; 7];
            let read = fs.read(*node, 5, &mut got);
            assert_eq!((read, &got), (Ok(7), b"changed"), "was {before:?}");
        }
        let _ = fs.unlink(*dir, name);
    }
    for name in ["sub", "link", "many", "one"] {
        let _ = fs.rmdir(NodeId::ROOT, name.as_bytes());
        let _ = fs.unlink(NodeId::ROOT, name.as_bytes());
    }
    fs.stop();
}

/// Finds, mends, and finds again; no repair may make anything worse.
fn mend(vault: &MemStore, cryptor: &Cryptor) {
    let options = CheckOptions {
        jobs: 1,
        ..CheckOptions::default()
    };
    let find = || {
        let mut findings = Vec::new();
        check(vault, cryptor, &options, &mut |event| {
            if let Event::Finding(finding) = event {
                findings.push(finding);
            }
            ControlFlow::Continue(())
        });
        findings
    };
    for fix in find().iter().filter_map(|finding| finding.fix.as_ref()) {
        let _ = repair(vault, cryptor, fix);
    }
    find();
}

/// Contents of files that can be read, with how often each is there.
fn readable(fs: &VaultFs<MemStore>) -> BTreeMap<Vec<u8>, usize> {
    let mut seen = Seen::default();
    walk(fs, NodeId::ROOT, 0, &mut seen);
    let mut all = BTreeMap::new();
    for (_, _, node) in seen.files {
        let size = fs.getattr(node).map_or(0, |attr| attr.size);
        if let Some(content) = read(fs, node, size) {
            *all.entry(content).or_insert(0) += 1;
        }
    }
    all
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let cryptor = Arc::new(oxcrypt_fuzz::cryptor(input.byte()));
    let mut objects = vault(&cryptor);
    while !input.0.is_empty() {
        change(&mut objects, &mut input);
    }

    // Once used, once mended.
    let (used, state) = (store(&objects), MemStore::new());
    if let Some(fs) = mount(&used, &state, &cryptor) {
        let mut seen = Seen::default();
        walk(&fs, NodeId::ROOT, 0, &mut seen);
        work(&fs, &seen);
    }
    mend(&used, &cryptor);

    let mended = store(&objects);
    let before = mount(&mended, &MemStore::new(), &cryptor).map(|fs| readable(&fs));
    mend(&mended, &cryptor);
    let after = mount(&mended, &MemStore::new(), &cryptor).map(|fs| readable(&fs));
    if let (Some(before), Some(after)) = (before, after) {
        for content in before.keys() {
            assert!(
                after.contains_key(content),
                "a repair lost {} bytes",
                content.len()
            );
        }
    }
});
