//! What the redo journal promises, by interrupting a file system at any call and cutting the power
//! at any moment: what was synced is there, an interrupted write is old or new by chunk, and nothing
//! is unreadable.

use std::collections::BTreeMap;

use oxcrypt_core::CipherCombo;
use oxcrypt_store::{At, Call, Fault, Store};
use oxcrypt_vfs::{NodeId, RenameFlags, SetAttr, VaultFs};

use crate::machine::{CALLER, CHUNK, Dice, Disk, Machine, ROOT};

/// What a file may be after a crash: the content at its last sync and after each change since.
struct Known {
    node: NodeId,
    states: Vec<Vec<u8>>,
}

impl Known {
    fn now(&self) -> &Vec<u8> {
        self.states.last().expect("never empty")
    }
}

struct World {
    fs: VaultFs<Disk>,
    files: BTreeMap<String, Known>,
}

impl World {
    fn open(fs: VaultFs<Disk>, contents: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut files = BTreeMap::new();
        for (name, content) in contents {
            let node = fs.lookup(ROOT, name.as_bytes()).unwrap().node;
            let states = vec![content.clone()];
            files.insert(name.clone(), Known { node, states });
        }
        Self { fs, files }
    }

    /// One random change. The new content counts as possible even if the change fails.
    fn step(&mut self, dice: &mut Dice) -> oxcrypt_vfs::Result<()> {
        let names: Vec<_> = self.files.keys().cloned().collect();
        let name = &names[dice.below(names.len() as u64) as usize];
        let known = self.files.get_mut(name).unwrap();
        let mut next = known.now().clone();
        let fill = (dice.next() & 0xff) as u8 | 1;
        match dice.below(10) {
            0 => {
                self.fs.fsync(known.node, dice.coin())?;
                known.states = vec![next];
                Ok(())
            }
            1 => {
                let len = match dice.below(3) {
                    0 => 0,
                    1 => dice.below(next.len() as u64 + 1),
                    _ => next.len() as u64 + dice.below(2 * CHUNK as u64),
                };
                next.resize(len as usize, 0);
                known.states.push(next);
                let change = SetAttr {
                    size: Some(len),
                    ..SetAttr::default()
                };
                self.fs.setattr(known.node, change).map(drop)
            }
            kind => {
                let len = 1 + match kind {
                    2 => dice.below(12 * CHUNK as u64),
                    _ => dice.below(3000),
                };
                let at = match kind {
                    3..6 => next.len() as u64,
                    _ => dice.below(next.len() as u64 + 1),
                };
                let end = (at + len) as usize;
                next.resize(next.len().max(end), 0);
                next[at as usize..end].fill(fill);
                known.states.push(next);
                self.fs.write(known.node, at, &vec![fill; len as usize])
            }
        }
    }
}

fn read(fs: &VaultFs<Disk>, name: &str) -> oxcrypt_vfs::Result<Vec<u8>> {
    let entry = fs.lookup(ROOT, name.as_bytes())?;
    let mut content = vec![0; entry.attr.size as usize + 1];
    let got = fs.read(entry.node, 0, &mut content)?;
    assert_eq!(got as u64, entry.attr.size, "{name}: size and content");
    content.truncate(got);
    Ok(content)
}

fn read_all(fs: &VaultFs<Disk>, name: &str) -> Vec<u8> {
    read(fs, name).unwrap()
}

/// Whether `found` can be left of a file that went through `states`.
pub(crate) fn explain(found: &[u8], states: &[Vec<u8>]) -> Result<(), String> {
    let shortest = states.iter().map(Vec::len).min().unwrap_or(0);
    let longest = states.iter().map(Vec::len).max().unwrap_or(0);
    if found.len() < shortest || found.len() > longest {
        return Err(format!(
            "{} bytes, expected {shortest} to {longest}",
            found.len()
        ));
    }
    for (i, chunk) in found.chunks(CHUNK).enumerate() {
        let at = i * CHUNK;
        let fits = states.iter().any(|state| {
            let old = state.get(at..).unwrap_or(&[]);
            let old = &old[..old.len().min(CHUNK)];
            old == chunk || (old.len() > chunk.len() && old.starts_with(chunk))
        });
        // Behind the length that it had at least, an interrupted extension may leave zeros.
        let zeros = at >= shortest && chunk.iter().all(|b| *b == 0);
        if !fits && !zeros {
            return Err(format!("chunk {i} is of no state"));
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Kill,
    Power,
    KillThenPower,
}

/// Runs random changes, ends them somehow, and looks at what is left; several lives long.
fn run(seed: u64, combo: CipherCombo) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut machine = Machine::new(combo);
    let mut contents = BTreeMap::new();
    {
        let (fs, _, _) = machine.boot();
        for name in ["a", "b", "c"] {
            let entry = fs.create(CALLER, ROOT, name.as_bytes(), 0o600).unwrap();
            fs.fsync(entry.node, false).unwrap();
            contents.insert(name.to_owned(), Vec::new());
        }
        fs.stop();
    }
    machine.vault.sync_everything().unwrap();
    for life in 0..6 {
        let (fs, faults, _) = machine.boot();
        let mut world = World::open(fs, &contents);
        let end = match dice.below(3) {
            0 => End::Kill,
            1 => End::Power,
            _ => End::KillThenPower,
        };
        let steps = 1 + dice.below(60);
        if end != End::Power {
            // A kill tears a write between pages.
            let at = At::Mutation(1 + dice.below(200));
            faults.arm(at, Fault::TornWrite(4096 * dice.below(10) as usize));
        }
        for _ in 0..steps {
            if world.step(&mut dice).is_err() {
                assert!(faults.struck().is_some(), "seed {seed} life {life}");
                break;
            }
        }
        if end == End::Kill {
            // What was acknowledged before the kill is there; only the last change may be missing.
            for known in world.files.values_mut() {
                let keep = if faults.struck().is_some() { 2 } else { 1 };
                let drop = known.states.len().saturating_sub(keep);
                known.states.drain(..drop);
            }
        } else {
            if dice.coin() {
                machine.commit_notes_of_extensions();
            }
            machine = machine.after_power_cut(&mut dice);
        }
        let (fs, _, _) = machine.boot();
        for (name, known) in &world.files {
            let found = read(&fs, name)
                .unwrap_or_else(|e| panic!("seed {seed}, life {life}, {end:?}, file {name}: {e}"));
            if let Err(why) = explain(&found, &known.states) {
                panic!("seed {seed}, life {life}, {end:?}, file {name}: {why}");
            }
            contents.insert(name.clone(), found);
        }
        fs.stop();
        machine.vault.sync_everything().unwrap();
        let (fs, _, replayed) = machine.boot();
        assert!(replayed.is_empty(), "a clean end leaves nothing to replay");
        for (name, content) in &contents {
            assert_eq!(&read_all(&fs, name), content, "seed {seed}, life {life}");
        }
        fs.stop();
    }
}

/// `OXCRYPT_JOURNAL_SEEDS=5000` runs so many; `OXCRYPT_JOURNAL_SEED=17` runs just that one.
fn seeds() -> std::ops::RangeInclusive<u64> {
    let number = |name| std::env::var(name).map(|n| n.parse().expect("a number"));
    match number("OXCRYPT_JOURNAL_SEED") {
        Ok(seed) => seed..=seed,
        Err(_) => 1..=number("OXCRYPT_JOURNAL_SEEDS").unwrap_or(40),
    }
}

#[test]
fn nothing_synced_is_lost_and_nothing_else_is_torn_gcm() {
    for seed in seeds() {
        run(seed, CipherCombo::SivGcm);
    }
}

#[test]
fn nothing_synced_is_lost_and_nothing_else_is_torn_ctrmac() {
    for seed in seeds() {
        run(seed + 1_000_000, CipherCombo::SivCtrMac);
    }
}

#[test]
fn a_file_that_was_renamed_meanwhile_is_found() {
    let machine = Machine::new(CipherCombo::SivGcm);
    let (fs, _, _) = machine.boot();
    let node = fs.create(CALLER, ROOT, b"old", 0o600).unwrap().node;
    fs.write(node, 0, &vec![1; 2 * CHUNK]).unwrap();
    fs.fsync(node, false).unwrap();
    fs.write(node, 5, b"new").unwrap();
    fs.fsync(node, false).unwrap();
    fs.rename(ROOT, b"old", ROOT, b"moved", RenameFlags::Replace)
        .unwrap();
    drop(fs);
    let (fs, _, replayed) = machine.boot();
    assert_eq!(replayed.files, 1);
    assert_eq!(&read_all(&fs, "moved")[3..9], &[1, 1, b'n', b'e', b'w', 1]);
}

#[test]
fn sizes_are_true_while_an_addition_waits_in_the_log() {
    let machine = Machine::new(CipherCombo::SivGcm);
    let (fs, _, _) = machine.boot();
    let node = fs.create(CALLER, ROOT, b"f", 0o600).unwrap().node;
    fs.write(node, 0, b"one").unwrap();
    fs.append(node, b" two").unwrap();
    assert_eq!(fs.getattr(node).unwrap().size, 7);
    assert_eq!(fs.lookup(ROOT, b"f").unwrap().attr.size, 7);
    fs.forget(node, 2);
    assert_eq!(read_all(&fs, "f"), b"one two");
}

#[test]
fn a_sync_of_an_overwrite_needs_the_log_only() {
    let machine = Machine::new(CipherCombo::SivGcm);
    let (fs, faults, _) = machine.boot();
    let node = fs.create(CALLER, ROOT, b"f", 0o600).unwrap().node;
    fs.write(node, 0, &vec![1; CHUNK]).unwrap();
    fs.fsync(node, false).unwrap();
    faults.disarm();
    fs.write(node, 9, b"x").unwrap();
    fs.fsync(node, false).unwrap();
    let syncs = faults.calls().into_iter().filter(|call| {
        matches!(
            call,
            Call::SyncData | Call::SyncAll | Call::SyncDir | Call::SyncEverything
        )
    });
    assert_eq!(syncs.count(), 1);
}

#[test]
fn a_synced_file_is_found_below_a_directory_that_moved_after_its_first_sync() {
    let machine = Machine::new(CipherCombo::SivGcm);
    let (fs, _, _) = machine.boot();
    let dir = fs.mkdir(CALLER, ROOT, b"dir", 0o700).unwrap().node;
    let file = fs.create(CALLER, dir, b"f", 0o600).unwrap().node;
    fs.write(file, 0, b"one").unwrap();
    fs.fsync(file, false).unwrap();
    fs.rename(ROOT, b"dir", ROOT, b"moved", RenameFlags::Replace)
        .unwrap();
    fs.append(file, b" two").unwrap();
    fs.fsync(file, false).unwrap();
    drop(fs);
    let machine = Machine {
        vault: machine.vault.after_power_cut(&mut || false),
        state: machine.state.after_power_cut(&mut || false),
        ..machine
    };
    let (fs, _, _) = machine.boot();
    let dir = fs.lookup(ROOT, b"moved").unwrap().node;
    let file = fs.lookup(dir, b"f").unwrap();
    assert_eq!(file.attr.size, 7);
}

#[test]
fn a_synced_file_with_a_long_name_is_found_whoever_else_was_synced() {
    let long = "long ".repeat(50);
    let machine = Machine::new(CipherCombo::SivGcm);
    let (fs, _, _) = machine.boot();
    let file = fs.create(CALLER, ROOT, long.as_bytes(), 0o600).unwrap();
    let other = fs.create(CALLER, ROOT, b"other", 0o600).unwrap();
    fs.fsync(other.node, false).unwrap();
    fs.fsync(file.node, false).unwrap();
    drop(fs);
    let machine = machine.after_the_harshest_cut();
    let (fs, _, _) = machine.boot();
    fs.lookup(ROOT, long.as_bytes()).unwrap();
}

/// Something old moves to where only new things lead, and the power goes.
#[test]
fn nothing_old_is_lost_with_what_is_new() {
    type Move = fn(&VaultFs<Disk>);
    let long = "long ".repeat(50);
    let cases: [(&str, Move); 4] = [
        ("new/old", |fs| {
            let dir = fs.mkdir(CALLER, ROOT, b"new", 0o700).unwrap().node;
            fs.rename(ROOT, b"old", dir, b"old", RenameFlags::Replace)
                .unwrap();
        }),
        (&long, |fs| {
            let long = "long ".repeat(50);
            fs.rename(ROOT, b"old", ROOT, long.as_bytes(), RenameFlags::Replace)
                .unwrap();
        }),
        (&long, |fs| {
            let long = "long ".repeat(50);
            fs.create(CALLER, ROOT, long.as_bytes(), 0o600).unwrap();
            fs.rename(ROOT, b"old", ROOT, long.as_bytes(), RenameFlags::Replace)
                .unwrap();
        }),
        (&long, |fs| {
            let long = "long ".repeat(50);
            fs.unlink(ROOT, b"old").unwrap();
            fs.rename(ROOT, b"dir", ROOT, long.as_bytes(), RenameFlags::Replace)
                .unwrap();
        }),
    ];
    for (case, (path, act)) in cases.into_iter().enumerate() {
        let machine = Machine::new(CipherCombo::SivGcm);
        let (fs, _, _) = machine.boot();
        let node = fs.create(CALLER, ROOT, b"old", 0o600).unwrap().node;
        fs.mkdir(CALLER, ROOT, b"dir", 0o700).unwrap();
        fs.write(node, 0, b"precious").unwrap();
        fs.stop();
        machine.vault.sync_everything().unwrap();
        let (fs, _, _) = machine.boot();
        act(&fs);
        drop(fs);
        // Names are durable before data, as on hosts with a journal: files keep what was synced.
        let machine = machine.after_a_cut_of_data();
        let (fs, _, _) = machine.boot();
        let mut at = ROOT;
        for name in path.split('/') {
            at = fs
                .lookup(at, name.as_bytes())
                .unwrap_or_else(|e| panic!("case {case}: {name:.10}: {e}"))
                .node;
        }
    }
}

/// What a power cut leaves of new nodes that nobody synced leads somewhere, or is not there.
#[test]
fn unborn_nodes_are_removed() {
    let long = "long ".repeat(50);
    let machine = Machine::new(CipherCombo::SivGcm);
    let (fs, _, _) = machine.boot();
    fs.mkdir(CALLER, ROOT, b"dir", 0o700).unwrap();
    fs.mkdir(CALLER, ROOT, long.as_bytes(), 0o700).unwrap();
    fs.symlink(CALLER, ROOT, b"link", b"to").unwrap();
    let file = format!("{long}file");
    fs.create(CALLER, ROOT, file.as_bytes(), 0o600).unwrap();
    drop(fs);
    let machine = machine.after_a_cut_of_data();
    let (fs, _, replayed) = machine.boot();
    assert_eq!(replayed.mended, 4);
    for name in ["dir", &long, "link", &file] {
        let error = fs.lookup(ROOT, name.as_bytes()).unwrap_err();
        assert_eq!(error.kind, oxcrypt_vfs::ErrorKind::NotFound, "{name}");
    }
    fs.mkdir(CALLER, ROOT, b"dir", 0o700).unwrap();
}

#[test]
fn the_log_keeps_no_removed_file() {
    let machine = Machine::new(CipherCombo::SivGcm);
    let (fs, _, _) = machine.boot();
    let node = fs.create(CALLER, ROOT, b"f", 0o600).unwrap().node;
    fs.write(node, 0, &vec![1; CHUNK]).unwrap();
    let without_log = fs.node_count();
    fs.write(node, 9, b"x").unwrap();
    fs.unlink(ROOT, b"f").unwrap();
    assert_eq!(fs.node_count(), without_log);
    let mut content = [0; 10];
    fs.read(node, 0, &mut content).unwrap();
    assert_eq!(&content[8..], &[1, b'x'], "whoever has it open still can");
    fs.forget(node, 1);
    assert_eq!(fs.node_count(), without_log - 1);
}

#[test]
fn a_synced_file_is_found_however_deep_it_lies() {
    let long = "long ".repeat(50);
    for names in [["a", "b", "f"], [&long, "b", "f"], ["a", &long, &long]] {
        let machine = Machine::new(CipherCombo::SivGcm);
        let (fs, _, _) = machine.boot();
        let mut dir = ROOT;
        for name in &names[..2] {
            dir = fs.mkdir(CALLER, dir, name.as_bytes(), 0o700).unwrap().node;
        }
        let file = fs.create(CALLER, dir, names[2].as_bytes(), 0o600).unwrap();
        fs.write(file.node, 0, b"content").unwrap();
        fs.fsync(file.node, false).unwrap();
        drop(fs);
        let machine = machine.after_the_harshest_cut();
        let (fs, _, _) = machine.boot();
        let mut node = ROOT;
        for name in names {
            node = fs.lookup(node, name.as_bytes()).unwrap().node;
        }
        let mut content = [0; 10];
        assert_eq!(fs.read(node, 0, &mut content).unwrap(), 7);
        assert_eq!(&content[..7], b"content");
    }
}

/// A frontend may forget a directory before anything in it was synced, and look it up again.
#[test]
fn a_synced_file_is_found_in_a_new_directory_that_was_forgotten() {
    let moved: fn(&VaultFs<Disk>, NodeId) = |fs, dir| {
        fs.rename(ROOT, b"old", dir, b"f", RenameFlags::Replace)
            .unwrap();
    };
    let synced: fn(&VaultFs<Disk>, NodeId) = |fs, dir| {
        let file = fs.lookup(dir, b"f").unwrap().node;
        fs.fsync(file, false).unwrap();
    };
    for (what, act) in [("moved", moved), ("synced", synced)] {
        let machine = Machine::new(CipherCombo::SivGcm);
        let (fs, _, _) = machine.boot();
        fs.create(CALLER, ROOT, b"old", 0o600).unwrap();
        fs.stop();
        machine.vault.sync_everything().unwrap();
        let (fs, _, _) = machine.boot();
        let dir = fs.mkdir(CALLER, ROOT, b"new", 0o700).unwrap().node;
        if what == "synced" {
            let file = fs.create(CALLER, dir, b"f", 0o600).unwrap().node;
            fs.forget(file, 1);
        }
        // The names are durable, as they are after a while; what is in new files is not.
        fs.forget(dir, 1);
        let dir = fs.lookup(ROOT, b"new").unwrap().node;
        act(&fs, dir);
        drop(fs);
        let machine = machine.after_a_cut_of_data();
        let (fs, _, _) = machine.boot();
        let dir = fs.lookup(ROOT, b"new");
        let dir = dir.unwrap_or_else(|e| panic!("{what}: {e}")).node;
        fs.lookup(dir, b"f").unwrap();
    }
}
