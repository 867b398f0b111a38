//! Many threads at once on a few names: nothing hangs, nobody sees what nobody made, and what is left
//! is sound. Without a kernel between, which would let only one thread at a time change a directory.
//! What a frontend owes is kept: no directory is forgotten while something below it is held.
//!
//! `OXCRYPT_THREADS_SECONDS=600` goes on for so long, with seeds of the moment.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oxcrypt_core::{CipherCombo, Cryptor, DirId, MasterKey};
use oxcrypt_store::{MemStore, Store};
use oxcrypt_vault::check::{CheckOptions, Event, Severity, check};
use oxcrypt_vfs::{
    Caller, ErrorKind, JournalOptions, LogEvents, NodeId, NodeKind, RenameFlags, SetAttr, VaultFs,
    VfsOptions,
};

const CALLER: Caller = Caller { uid: 0, gid: 0 };
const THREADS: u64 = 6;
const CHUNK: usize = 32 * 1024;
/// Each write covers the whole chunk with one byte, so that a mixture shows.
const LENGTHS: [usize; 3] = [1000, CHUNK, 2 * CHUNK + 5];

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn names() -> Vec<String> {
    let long = "l".repeat(180);
    ["a", "b", "c", "d"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("{long}1"), format!("{long}2")])
        .collect()
}

fn vault(combo: CipherCombo) -> (MemStore, Arc<Cryptor>) {
    let (store, key) = (MemStore::new(), MasterKey::from_raw(&[7; MasterKey::LEN]));
    let cryptor = Cryptor::new(&key, combo, 220);
    let hash = cryptor.dir_hash(&DirId::ROOT);
    let root = store.root();
    store.create_dir(&root, b"d", 0o700).unwrap();
    let top = [b"d/", hash.prefix().as_bytes()].concat();
    store.create_dir(&root, &top, 0o700).unwrap();
    let top = store.open_dir(&root, &top).unwrap();
    store
        .create_dir(&top, hash.rest().as_bytes(), 0o700)
        .unwrap();
    (store, Arc::new(cryptor))
}

/// The kinds of errors that a race may end in.
fn is_allowed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::Exists
            | ErrorKind::NotEmpty
            | ErrorKind::IsDirectory
            | ErrorKind::NotDirectory
            | ErrorKind::InvalidArgument
            | ErrorKind::NotPermitted
            | ErrorKind::Unsupported
            | ErrorKind::Busy
            | ErrorKind::Stale
    )
}

/// One thread: it looks nodes up and forgets them again, as the kernel does.
struct Actor<'a> {
    fs: &'a VaultFs<MemStore>,
    names: Vec<String>,
    dice: Dice,
    held: Vec<(NodeId, NodeKind)>,
}

impl Actor<'_> {
    fn name(&mut self) -> Vec<u8> {
        let i = self.dice.below(self.names.len() as u64);
        self.names[i as usize].clone().into_bytes()
    }

    fn held(&mut self, kind: NodeKind) -> Option<NodeId> {
        let fit: Vec<_> = self.held.iter().filter(|held| held.1 == kind).collect();
        let i = self.dice.below(fit.len().max(1) as u64);
        fit.get(i as usize).map(|held| held.0)
    }

    fn dir(&mut self) -> NodeId {
        if self.dice.below(3) == 0 {
            return NodeId::ROOT;
        }
        self.held(NodeKind::Directory).unwrap_or(NodeId::ROOT)
    }

    /// Directories are held to the end.
    fn hold(&mut self, entry: oxcrypt_vfs::Entry) {
        let i = self.dice.below(self.held.len().max(8) as u64) as usize;
        if let Some((node, kind)) = self.held.get(i).copied()
            && kind != NodeKind::Directory
        {
            self.held.swap_remove(i);
            self.fs.forget(node, 1);
        }
        self.held.push((entry.node, entry.attr.kind));
    }

    fn step(&mut self) -> oxcrypt_vfs::Result<()> {
        let (dir, name) = (self.dir(), self.name());
        match self.dice.below(14) {
            0 | 1 => self.fs.lookup(dir, &name).map(|entry| self.hold(entry)),
            2 | 3 => {
                let made = self.fs.create(CALLER, dir, &name, 0o600)?;
                self.hold(made);
                self.write(made.node)
            }
            4 => {
                let made = self.fs.mkdir(CALLER, dir, &name, 0o700)?;
                self.hold(made);
                Ok(())
            }
            5 => {
                let made = self.fs.symlink(CALLER, dir, &name, b"target")?;
                self.hold(made);
                Ok(())
            }
            6 => self.fs.unlink(dir, &name),
            7 => self.fs.rmdir(dir, &name),
            8 | 9 => {
                let (to, to_name) = (self.dir(), self.name());
                let flags = match self.dice.below(5) {
                    0 => RenameFlags::NoReplace,
                    1 => RenameFlags::Exchange,
                    _ => RenameFlags::Replace,
                };
                self.fs.rename(dir, &name, to, &to_name, flags)
            }
            10 => match self.held(NodeKind::File) {
                Some(file) => {
                    let linked = self.fs.link(file, dir, &name)?;
                    self.hold(linked);
                    Ok(())
                }
                None => Ok(()),
            },
            11 => match self.held(NodeKind::File) {
                Some(file) => self.write(file),
                None => Ok(()),
            },
            12 => match self.held(NodeKind::File) {
                Some(file) => self.read(file),
                None => self.list(dir),
            },
            _ => match self.held(NodeKind::File) {
                Some(file) if self.dice.below(2) == 0 => self.fs.fsync(file, false),
                Some(file) => {
                    let change = SetAttr {
                        size: Some(0),
                        ..SetAttr::default()
                    };
                    self.fs.setattr(file, change).map(drop)
                }
                None => self.list(dir),
            },
        }
    }

    fn write(&mut self, file: NodeId) -> oxcrypt_vfs::Result<()> {
        let len = LENGTHS[self.dice.below(3) as usize];
        let fill = 1 + self.dice.below(250) as u8;
        self.fs.write(file, 0, &vec![fill; len])
    }

    /// A write is one step for each chunk at least.
    fn read(&mut self, file: NodeId) -> oxcrypt_vfs::Result<()> {
        let mut content = vec![0; 3 * CHUNK];
        let got = self.fs.read(file, 0, &mut content)?;
        for chunk in content[..got].chunks(CHUNK) {
            // A shorter write leaves the rest of the chunk as it was.
            let changes = chunk.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(changes <= 2, "a chunk is a mixture of writes");
        }
        Ok(())
    }

    fn list(&mut self, dir: NodeId) -> oxcrypt_vfs::Result<()> {
        self.fs.list(dir, 0, 4096, &mut |item| {
            let name = std::str::from_utf8(item.name).unwrap();
            let is_known = self.names.iter().any(|known| known == name);
            assert!(is_known || matches!(name, "." | ".."), "{name}: by nobody");
            ControlFlow::Continue(())
        })
    }
}

fn run(combo: CipherCombo, seed: u64, time: Duration) {
    let (store, cryptor) = vault(combo);
    let fs = VaultFs::new(
        Arc::new(store.clone()),
        Arc::clone(&cryptor),
        VfsOptions {
            max_open_files: 4,
            max_open_dirs: 4,
            header_delay: Duration::from_millis(5),
            ..VfsOptions::default()
        },
        Box::new(LogEvents),
    )
    .unwrap();
    let options = JournalOptions {
        capacity: 400 * 1024,
        delay: Duration::from_millis(20),
    };
    let (fs, _) = fs
        .with_journal(&Arc::new(MemStore::new()), &[], options)
        .unwrap();
    let at_rest = fs.node_count();
    let stop = AtomicBool::new(false);
    let steps: Vec<AtomicU64> = (0..THREADS).map(|_| AtomicU64::new(0)).collect();
    let fs_ref = &fs;
    std::thread::scope(|scope| {
        let background = scope.spawn(move || fs_ref.run_background());
        let actors: Vec<_> = (0..THREADS)
            .map(|i| {
                let (stop, steps) = (&stop, &steps[i as usize]);
                scope.spawn(move || {
                    let mut actor = Actor {
                        fs: fs_ref,
                        names: names(),
                        dice: Dice((seed * THREADS + i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
                        held: Vec::new(),
                    };
                    while !stop.load(Ordering::Relaxed) {
                        if let Err(e) = actor.step() {
                            assert!(is_allowed(e.kind), "{e}");
                        }
                        steps.fetch_add(1, Ordering::Relaxed);
                    }
                    for (node, _) in actor.held {
                        fs_ref.forget(node, 1);
                    }
                })
            })
            .collect();
        let end = Instant::now() + time;
        // On a machine that gives no time, time says nothing.
        let begun = || total(&steps) > 500;
        while (Instant::now() < end || !begun()) && !actors.iter().any(|a| a.is_finished()) {
            std::thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
        // Counted in rounds of its own: whoever is stopped for a while has not waited.
        let mut rounds = 0;
        while !actors.iter().all(|actor| actor.is_finished()) {
            std::thread::sleep(Duration::from_millis(50));
            rounds += 1;
            if rounds == 1200 {
                eprintln!("seed {seed}: somebody waits for ever");
                std::process::abort();
            }
        }
        let ends: Vec<_> = actors.into_iter().map(|actor| actor.join()).collect();
        fs.stop();
        background.join().unwrap();
        assert!(ends.iter().all(Result::is_ok), "seed {seed}: see above");
    });
    assert_eq!(
        fs.node_count(),
        at_rest,
        "seed {seed}: nodes that nobody holds"
    );
    drop(fs);
    let options = CheckOptions {
        jobs: 1,
        ..CheckOptions::default()
    };
    let mut findings = Vec::new();
    check(&store, &cryptor, &options, &mut |event| {
        if let Event::Finding(finding) = event
            && finding.severity() >= Severity::Warning
        {
            findings.push(format!("{finding:?}"));
        }
        ControlFlow::Continue(())
    });
    assert_eq!(findings, Vec::<String>::new(), "seed {seed}");
    println!("{combo:?} seed {seed}: {} steps", total(&steps));
}

fn total(steps: &[AtomicU64]) -> u64 {
    steps.iter().map(|s| s.load(Ordering::Relaxed)).sum()
}

fn rounds(combo: CipherCombo) {
    let seconds = std::env::var("OXCRYPT_THREADS_SECONDS");
    let seconds: u64 = seconds.map_or(4, |n| n.parse().expect("a number"));
    let start = Instant::now();
    let first = if seconds > 4 {
        std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
    } else {
        1
    };
    for seed in first.. {
        run(combo, seed, Duration::from_millis(1000));
        if start.elapsed() > Duration::from_secs(seconds) {
            break;
        }
    }
}

#[test]
fn many_threads_agree_gcm() {
    rounds(CipherCombo::SivGcm);
}

#[test]
fn many_threads_agree_ctrmac() {
    rounds(CipherCombo::SivCtrMac);
}
