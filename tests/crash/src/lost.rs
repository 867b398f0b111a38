//! The storage below goes away while a vault is mounted, and comes back: it turns read-only, it fails
//! altogether, its place is taken from under the mount.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use oxcrypt_tests::vaults;

use crate::checks::Checks;
use crate::daemon::{Bed, Daemon};
use crate::kill9::damage;
use crate::lower::Lower;

const READ_ONLY: i32 = 30;
const IO: i32 = 5;
/// Nothing may take so long, whatever the storage does.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(program: &Path) -> bool {
    let mut passed = true;
    for name in ["v8_empty_gcm", "v8_empty_ctrmac"] {
        passed &= with_vault(program, name);
    }
    passed
}

fn with_vault(program: &Path, name: &str) -> bool {
    let place = tempfile::tempdir().unwrap();
    let sample = vaults::v8(name);
    let lower = Lower::new(place.path(), 128);
    let vault = lower.dir.join("vault");
    let copied = Command::new("cp")
        .arg("-a")
        .args([&sample.path, &vault])
        .status();
    assert!(copied.unwrap().success());
    // The state, with the journal, stays on a disk that works.
    let home = place.path().join("home");
    let bed = Bed::new(program, &vault, place.path(), &home, sample.password());
    let mut checks = Checks::new("lost");
    read_only(&bed, &lower, &mut checks);
    out_of_reach(&bed, &lower, &mut checks);
    failed(&bed, &lower, &mut checks);
    let damage = damage(&vault, sample.password());
    checks.check(
        "nothing in the vault is damaged",
        if damage.is_empty() {
            Ok(())
        } else {
            Err(damage.join("; "))
        },
    );
    checks.print(name)
}

fn content(seed: u8) -> Vec<u8> {
    (0..150_000_u32).map(|i| (i / 5) as u8 ^ seed).collect()
}

/// Writes and syncs a file.
fn put(root: &Path, name: &str, seed: u8) -> io::Result<()> {
    let mut file = File::create(root.join(name))?;
    file.write_all(&content(seed))?;
    file.sync_all()
}

/// Reads a file past the kernel's cache.
fn get(root: &Path, name: &str) -> io::Result<Vec<u8>> {
    let mut file = File::open(root.join(name))?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn holds(root: &Path, name: &str, seed: u8) -> Result<(), String> {
    match get(root, name) {
        Ok(bytes) if bytes == content(seed) => Ok(()),
        Ok(bytes) => Err(format!("{name}: {} other bytes", bytes.len())),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// Runs something that may never end.
fn in_time<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(act());
    });
    ended.recv_timeout(PATIENCE).map_err(|_| "hangs".to_owned())
}

/// That an operation fails with one of these numbers, in time.
fn refused<T: Send + 'static>(
    errnos: &'static [i32],
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<(), String> {
    match in_time(act)? {
        Ok(_) => Err("reported as done".into()),
        Err(error) if error.raw_os_error().is_some_and(|no| errnos.contains(&no)) => Ok(()),
        Err(error) => Err(format!("{error}, not one of {errnos:?}")),
    }
}

fn works(act: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), String> {
    in_time(act)?.map_err(|error| error.to_string())
}

/// Something that a program does with a file.
type Operation = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// All that changes something.
fn changes(root: &Path, stage: &str) -> Vec<(&'static str, Operation)> {
    let at = |name: &str| root.join(format!("{stage} {name}"));
    let (new, dir, old, moved, link) = (at("new"), at("dir"), at("old"), at("moved"), at("link"));
    let (written, cut, gone) = (at("old"), at("old"), at("gone"));
    vec![
        (
            "create",
            Box::new(move || File::create_new(new)?.sync_all()),
        ),
        ("mkdir", Box::new(move || std::fs::create_dir(dir))),
        (
            "symlink",
            Box::new(move || std::os::unix::fs::symlink("to", link)),
        ),
        ("rename", Box::new(move || std::fs::rename(old, moved))),
        ("unlink", Box::new(move || std::fs::remove_file(gone))),
        (
            "write and fsync",
            Box::new(move || {
                let file = OpenOptions::new().write(true).open(written)?;
                file.write_all_at(&[1; 200_000], 0)?;
                file.sync_all()
            }),
        ),
        (
            "truncate",
            Box::new(move || OpenOptions::new().write(true).open(cut)?.set_len(70_000)),
        ),
    ]
}

/// Remounted read-only under a live mount, as hosts do on errors, and writable again.
fn read_only(bed: &Bed, lower: &Lower, checks: &mut Checks) {
    let daemon = bed.mount().unwrap_or_else(|no| panic!("{}", no.words));
    let root = bed.mountpoint.clone();
    put(&root, "read-only old", 1).unwrap();
    put(&root, "read-only gone", 2).unwrap();
    put(&root, "untouched", 3).unwrap();
    checks.check("before: an orderly end", ended(daemon));
    // The host refuses this while anything is open for writing.
    let mut daemon = bed.mount().unwrap_or_else(|no| panic!("{}", no.words));
    checks.check("read-only: the disk", lower.read_only(true));
    for (what, act) in changes(&root, "read-only") {
        checks.check(
            &format!("read-only: {what}"),
            refused(&[READ_ONLY, IO], act),
        );
    }
    checks.check("read-only: reads go on", holds(&root, "untouched", 3));
    checks.check("read-only: the daemon lives", alive(&mut daemon));
    checks.check("writable again: the disk", lower.read_only(false));
    checks.check("writable again: reads", holds(&root, "untouched", 3));
    let path = root.clone();
    checks.check(
        "writable again: writes",
        works(move || put(&path, "later", 4)),
    );
    let path = root.clone();
    checks.check(
        "writable again: an old file",
        works(move || put(&path, "read-only old", 5)),
    );
    checks.check("writable again: read back", holds(&root, "later", 4));
    checks.check(
        "writable again: the old file",
        holds(&root, "read-only old", 5),
    );
    checks.check("writable again: an orderly end", ended(daemon));
}

/// Its place is unmounted lazily: what is open goes on, and nothing else is touched.
fn out_of_reach(bed: &Bed, lower: &Lower, checks: &mut Checks) {
    let daemon = bed.mount().unwrap_or_else(|no| panic!("{}", no.words));
    let root = bed.mountpoint.clone();
    lower.detach();
    checks.check("detached: reads go on", holds(&root, "untouched", 3));
    let path = root.clone();
    checks.check(
        "detached: writes go on",
        works(move || put(&path, "detached", 6)),
    );
    checks.check("detached: an orderly end", ended(daemon));
    let below = std::fs::read_dir(&lower.dir).unwrap().count();
    checks.check(
        "detached: nothing is written beside the disk",
        if below == 0 {
            Ok(())
        } else {
            Err(format!("{below} entries"))
        },
    );
    match bed.mount() {
        Ok(daemon) => {
            daemon.kill();
            checks.check(
                "detached: no vault there",
                Err("mounted all the same".into()),
            );
        }
        Err(refused) => checks.check("detached: no vault there", one_line(&refused.words)),
    }
    lower.attach();
    let daemon = bed.mount().unwrap_or_else(|no| panic!("{}", no.words));
    checks.check("back again: what was written", holds(&root, "detached", 6));
    checks.check("back again: an orderly end", ended(daemon));
}

/// The disk fails: every access is an error, none hangs, and after it came back all that was synced is
/// there.
fn failed(bed: &Bed, lower: &Lower, checks: &mut Checks) {
    let mut daemon = bed.mount().unwrap_or_else(|no| panic!("{}", no.words));
    let root = bed.mountpoint.clone();
    for (name, seed) in [("failed old", 1), ("failed gone", 2), ("synced", 7)] {
        put(&root, name, seed).unwrap();
    }
    lower.cut();
    for (what, act) in changes(&root, "failed") {
        checks.check(&format!("failed: {what}"), refused(&[READ_ONLY, IO], act));
    }
    let path = root.clone();
    let listed = in_time(move || std::fs::read_dir(path).map(Iterator::count));
    checks.check("failed: a listing ends", listed.map(|_| ()));
    let path = root.clone();
    let read = in_time(move || get(&path, "untouched"));
    checks.check(
        "failed: a read ends",
        match read {
            Ok(Ok(bytes)) if bytes != content(3) => Err("other bytes".into()),
            Ok(_) => Ok(()),
            Err(hangs) => Err(hangs),
        },
    );
    checks.check("failed: the daemon lives", alive(&mut daemon));
    let end = in_time(move || daemon.unmount());
    checks.check("failed: the mount ends", end.map(|_| ()));
    lower.restart();
    let daemon = match bed.mount() {
        Ok(daemon) => daemon,
        Err(refused) => return checks.check("back again: it mounts", Err(refused.words)),
    };
    checks.check("back again: what was synced", holds(&root, "synced", 7));
    checks.check("back again: what was old", holds(&root, "untouched", 3));
    let path = root.clone();
    checks.check("back again: writes", works(move || put(&path, "synced", 8)));
    checks.check("back again: read back", holds(&root, "synced", 8));
    checks.check("back again: an orderly end", ended(daemon));
}

fn alive(daemon: &mut Daemon) -> Result<(), String> {
    if daemon.is_alive() {
        Ok(())
    } else {
        Err(daemon.words())
    }
}

fn ended(daemon: Daemon) -> Result<(), String> {
    if daemon.unmount() {
        Ok(())
    } else {
        Err("it does not end well".into())
    }
}

fn one_line(words: &str) -> Result<(), String> {
    match words.trim().lines().count() {
        1 | 2 => Ok(()),
        _ => Err(format!("said {words:?}")),
    }
}
