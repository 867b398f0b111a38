//! A full disk: nothing old is damaged, nothing is promised that is not kept, and it works again
//! when there is room.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use oxcrypt_tests::vaults;

use crate::checks::Checks;
use crate::daemon::{Bed, Daemon};
use crate::kill9::damage;
use crate::lower::Lower;
use crate::walk::{Seen, walk};

const DISK_MIB: u64 = 64;
const MIB: usize = 1 << 20;
const OLD_FILES: usize = 20;
const NO_SPACE: i32 = 28;
const TOO_LARGE: i32 = 27;

/// A different run of bytes for each seed.
fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed as u8)
        .collect()
}

fn is_full<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.raw_os_error() == Some(NO_SPACE))
}

fn only_full<T: std::fmt::Debug>(result: io::Result<T>) -> Result<(), String> {
    match result {
        Err(error) if error.raw_os_error() != Some(NO_SPACE) => Err(format!("{error}, not ENOSPC")),
        _ => Ok(()),
    }
}

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
    let lower = Lower::new(place.path(), DISK_MIB);
    let vault = lower.dir.join("vault");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(&sample.path)
        .arg(&vault)
        .status()
        .unwrap();
    assert!(copied.success());
    // State on the same disk: the journal must cope as well.
    let bed = Bed::new(
        program,
        &vault,
        place.path(),
        &lower.dir.join("home"),
        sample.password(),
    );
    let mut checks = Checks::new("enospc");
    let mut daemon = bed.mount().unwrap();
    let root = bed.mountpoint.clone();
    for i in 0..OLD_FILES {
        let mut file = File::create(root.join(format!("old {i}"))).unwrap();
        file.write_all(&pattern(i, 100_000 + i * 7919)).unwrap();
        file.sync_all().unwrap();
    }
    let acked = fill(&root, &mut checks);
    full(&root, acked, &mut checks);
    huge(&root, &lower, &mut daemon, &mut checks);
    free(&root, &mut checks);
    daemon.unmount();
    again(&bed, &mut checks);
    let damage = damage(&vault, sample.password());
    let damage = if damage.is_empty() {
        Ok(())
    } else {
        Err(damage.join("; "))
    };
    checks.check("nothing in the vault is damaged", damage);
    checks.print(name)
}

/// Fills the disk in synced pieces; returns how much was acknowledged.
fn fill(root: &Path, checks: &mut Checks) -> usize {
    let file = File::create(root.join("filler")).unwrap();
    let piece = pattern(99, MIB);
    let mut acked = 0;
    let failed = loop {
        let done = file
            .write_all_at(&piece, acked as u64)
            .and_then(|()| file.sync_all());
        match done {
            Ok(()) => acked += MIB,
            Err(error) => break error,
        }
        if acked > 4 * DISK_MIB as usize * MIB {
            break io::Error::other("more was accepted than the disk holds");
        }
    };
    drop(file);
    checks.check("filling ends in ENOSPC", only_full::<()>(Err(failed)));
    let got = std::fs::read(root.join("filler"));
    let kept = match got {
        Ok(bytes) if bytes.len() >= acked && bytes[..acked].chunks(MIB).all(|c| c == piece) => {
            Ok(())
        }
        Ok(bytes) => Err(format!(
            "{} bytes are there or differ, {acked} were acknowledged",
            bytes.len()
        )),
        Err(error) => Err(error.to_string()),
    };
    checks.check("what was acknowledged can be read", kept);
    acked
}

fn old_files(root: &Path) -> Result<(), String> {
    for i in 0..OLD_FILES {
        match std::fs::read(root.join(format!("old {i}"))) {
            Ok(bytes) if bytes == pattern(i, 100_000 + i * 7919) => {}
            Ok(_) => return Err(format!("old {i} has other bytes")),
            Err(error) => return Err(format!("old {i}: {error}")),
        }
    }
    Ok(())
}

/// Fills what is left to the last block, so that nothing at all fits.
fn to_the_brim(root: &Path) {
    for size in [64 * 1024, 4096, 1] {
        for i in 0..2000 {
            let write = || -> io::Result<()> {
                let mut file = File::create(root.join(format!("brim {size} {i}")))?;
                file.write_all(&pattern(i, size))?;
                file.sync_all()
            };
            if write().is_err() {
                break;
            }
        }
    }
}

fn full(root: &Path, acked: usize, checks: &mut Checks) {
    to_the_brim(root);
    checks.check("old files are intact on a full disk", old_files(root));
    checks.check("a small file is refused or kept", small_file(root));
    checks.check(
        "a buffered file is refused before its end, or kept",
        buffered(root),
    );
    let dir = std::fs::create_dir(root.join("full dir"));
    let listed = if dir.is_ok() {
        std::fs::read_dir(root.join("full dir"))
            .map(|_| ())
            .map_err(|e| e.to_string())
    } else {
        only_full(dir)
    };
    checks.check("a directory is refused or usable", listed);
    let renamed = std::fs::rename(root.join("old 0"), root.join("renamed"));
    let back = if renamed.is_ok() {
        std::fs::rename(root.join("renamed"), root.join("old 0"))
    } else {
        Ok(())
    };
    let one = root.join("old 0").exists() != root.join("renamed").exists();
    let renamed = only_full(renamed)
        .and(only_full(back))
        .and(one.then_some(()).ok_or("two or no names".into()));
    checks.check("a rename is refused or done", renamed);
    if root.join("renamed").exists() {
        let _ = std::fs::rename(root.join("renamed"), root.join("old 0"));
    }
    checks.check("an overwrite is refused or done", overwrite(root, acked));
}

fn small_file(root: &Path) -> Result<(), String> {
    let path = root.join("small");
    let write = || -> io::Result<()> {
        let mut file = File::create(&path)?;
        file.write_all(b"small")?;
        file.sync_all()
    };
    let wrote = write();
    if wrote.is_ok() && std::fs::read(&path).ok().as_deref() != Some(b"small") {
        return Err("acknowledged and lost".into());
    }
    only_full(wrote)
}

/// close(2) with its error, which std throws away.
#[expect(unsafe_code, reason = "closing by number has no safe form")]
fn close(file: File) -> io::Result<()> {
    let fd = std::os::fd::IntoRawFd::into_raw_fd(file);
    // SAFETY: the descriptor was given up by the file above and is used by nobody else.
    Ok(unsafe { rustix::io::try_close(fd) }?)
}

/// Success of write and close alone promises that the data is not lost while the machine runs.
fn buffered(root: &Path) -> Result<(), String> {
    let path = root.join("buffered");
    let content = pattern(7, 8 * MIB);
    let write = || -> io::Result<()> {
        let file = File::create(&path)?;
        file.write_all_at(&content, 0)?;
        close(file)
    };
    let wrote = write();
    if wrote.is_ok() {
        let synced = OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|file| file.sync_all());
        if is_full(&synced) {
            return Ok(());
        }
        if std::fs::read(&path).ok() != Some(content) {
            return Err("8 MiB were accepted to the end, and are not there".into());
        }
    }
    only_full(wrote)
}

fn overwrite(root: &Path, acked: usize) -> Result<(), String> {
    let path = root.join("filler");
    let at = acked as u64 / 2 + 100;
    let wrote = OpenOptions::new().write(true).open(&path).and_then(|file| {
        file.write_all_at(b"overwritten", at)?;
        file.sync_all()
    });
    let mut got = [0; 11];
    File::open(&path)
        .and_then(|file| file.read_exact_at(&mut got, at))
        .map_err(|e| format!("cannot be read afterwards: {e}"))?;
    let old = &pattern(99, MIB)[at as usize % MIB..][..11];
    match wrote.is_ok() {
        true if &got != b"overwritten" => Err("acknowledged, but old".into()),
        false if got != old && &got != b"overwritten" => Err("neither old nor new".into()),
        _ => only_full(wrote),
    }
}

/// Growing to sizes no disk holds.
fn huge(root: &Path, lower: &Lower, daemon: &mut Daemon, checks: &mut Checks) {
    let before = used(&lower.dir);
    let start = Instant::now();
    let grown =
        File::create(root.join("huge")).and_then(|file| file.set_len(1_000_000_000_000_000));
    let took = start.elapsed();
    let result = match grown {
        Err(error) if matches!(error.raw_os_error(), Some(TOO_LARGE | NO_SPACE)) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    checks.check("growing to 10^15 bytes is refused", result);
    let quick = took < Duration::from_secs(1) && used(&lower.dir) < before + MIB as u64;
    checks.check(
        "at once, and writes nothing",
        quick.then_some(()).ok_or(format!("{took:?}")),
    );
    let alive = daemon.is_alive();
    checks.check(
        "the daemon lives",
        alive.then_some(()).ok_or(daemon.words()),
    );
    let _ = std::fs::remove_file(root.join("huge"));
}

fn used(dir: &Path) -> u64 {
    let space = rustix::fs::statvfs(dir).unwrap();
    (space.f_blocks - space.f_bfree) * space.f_frsize
}

fn free(root: &Path, checks: &mut Checks) {
    let shrunk = OpenOptions::new()
        .write(true)
        .open(root.join("old 1"))
        .and_then(|file| file.set_len(50_000));
    let kept = std::fs::read(root.join("old 1")).ok()
        == Some(pattern(1, 100_000 + 7919)[..50_000].to_vec());
    let untouched = std::fs::read(root.join("old 1")).ok() == Some(pattern(1, 100_000 + 7919));
    let result = match shrunk {
        Ok(()) if kept => Ok(()),
        Err(error) if untouched => only_full::<()>(Err(error)),
        other => Err(format!("{other:?}, and neither old nor new bytes")),
    };
    checks.check("a file is cut or left as it was", result);
    let mut removed = Ok(());
    for (path, what) in walk(root) {
        let filler = path == "filler" || path.starts_with("brim") || path == "buffered";
        if filler && matches!(what, Seen::File(_) | Seen::Broken(_)) {
            removed = removed.and(std::fs::remove_file(root.join(path)));
        }
    }
    checks.check(
        "files can be removed from a full disk",
        removed.map_err(|e| e.to_string()),
    );
    let again = || -> io::Result<bool> {
        let mut file = File::create(root.join("again"))?;
        file.write_all(&pattern(3, 5 * MIB))?;
        file.sync_all()?;
        Ok(std::fs::read(root.join("again"))? == pattern(3, 5 * MIB))
    };
    let result = match again() {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    checks.check("it works again when there is room", result);
}

fn again(bed: &Bed, checks: &mut Checks) {
    let result = match bed.mount() {
        Ok(daemon) => {
            let cut = std::fs::read(bed.mountpoint.join("old 1")).map(|bytes| bytes.len());
            // The file that was cut is not among the old ones any more.
            if cut.is_ok_and(|len| len == 50_000) {
                let whole = pattern(1, 100_000 + 7919);
                let _ = std::fs::write(bed.mountpoint.join("old 1"), whole);
            }
            let old = old_files(&bed.mountpoint);
            let broken: Vec<_> = walk(&bed.mountpoint)
                .into_iter()
                .filter(|(_, what)| matches!(what, Seen::Broken(_)))
                .map(|(path, _)| path)
                .collect();
            daemon.unmount();
            match broken.is_empty() {
                true => old,
                false => Err(format!("cannot be read: {broken:?}")),
            }
        }
        Err(refused) => Err(refused.words),
    };
    checks.check("after a new mount everything can be read", result);
}
