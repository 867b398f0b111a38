//! Changes to the ciphertext behind the back of the program, one at a time, on a fresh copy each.
//!
//! What is read afterwards must be what was written, or an error, or not there; nothing else of the
//! vault may be affected; and the program must neither crash, hang, leave the vault's directory
//! nor take memory without bound. An untouched vault comes first, as a control of the test itself.

mod cases;
mod cipher_tree;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oxcrypt_tests::vaults;

use crate::daemon::{Bed, Daemon};
use crate::walk::{Seen, parse};
use cases::{Case, Wanted};
use cipher_tree::CipherTree;

/// In a file and a directory outside the vault that links lead to.
const SENTINEL: &[u8] = b"outside the vault";
const PATIENCE: Duration = Duration::from_secs(20);
/// Far above what a mount of a few files needs, far below a bomb.
const MAX_MEMORY_KIB: u64 = 512 * 1024;

type Tree = BTreeMap<String, Seen>;

#[derive(Debug, PartialEq, Eq, Clone, Copy, PartialOrd, Ord)]
enum Outcome {
    Refused,
    Same,
    Affected,
    // From here on failures.
    Silent,
    Blast,
    Hang,
    Crash,
    Escape,
    Memory,
    Opened,
    NotOpened,
    Unclear,
}

pub(crate) fn run(program: &Path, every: usize) -> bool {
    let mut passed = true;
    for name in ["v8_empty_gcm", "v8_empty_ctrmac"] {
        passed &= with_vault(program, name, every);
    }
    passed
}

fn with_vault(program: &Path, name: &str, every: usize) -> bool {
    let place = tempfile::tempdir().unwrap();
    let sample = vaults::v8(name);
    let base = sample.path.clone();
    let bed = |vault: &Path| {
        Bed::new(
            program,
            vault,
            place.path(),
            &place.path().join("home"),
            sample.password(),
        )
    };
    fill(&bed(&base));
    let tree = CipherTree::open(&base, sample.password());
    let control = place.path().join("control");
    copy(&base, &control);
    let baseline = match look(&bed(&control)) {
        Ok((Some(seen), _)) => seen,
        other => panic!("the untouched vault cannot be read: {other:?}"),
    };
    assert!(
        baseline.len() > 12
            && !baseline
                .values()
                .any(|seen| matches!(seen, Seen::Broken(_)))
    );
    let outside = place.path().join("outside");
    let mut outcomes = BTreeMap::new();
    let mut bad = 0;
    let all = cases::all(&tree);
    let ran = all.iter().step_by(every).map(|case| {
        let vault = place.path().join("case");
        let _ = std::fs::remove_dir_all(&vault);
        copy(&base, &vault);
        plant(&outside);
        (case.change)(&vault, &outside);
        let (outcome, detail) = judge(&bed(&vault), case, &baseline);
        let outcome = if is_planted(&outside) {
            outcome
        } else {
            Outcome::Escape
        };
        if outcome >= Outcome::Silent {
            bad += 1;
            println!("adversary {name} {}: {outcome:?} {detail}", case.name);
        }
        *outcomes.entry(outcome).or_insert(0) += 1;
    });
    let ran = ran.count();
    println!(
        "adversary {name}: {ran} of {} changes, {bad} bad: {outcomes:?}",
        all.len()
    );
    bad == 0
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(done.success());
}

/// The cleartext tree all cases start from.
fn fill(bed: &Bed) {
    let daemon = bed.mount().unwrap();
    let root = &bed.mountpoint;
    let write = |path: &str, len: usize| {
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + (i >> 8) + len) as u8).collect();
        std::fs::write(root.join(path), bytes).unwrap();
    };
    for dir in ["dir", "dir/sub", "other"] {
        std::fs::create_dir(root.join(dir)).unwrap();
    }
    let (long_dir, long_file) = (cases::long('d'), cases::long('f'));
    std::fs::create_dir(root.join(&long_dir)).unwrap();
    write("big.bin", 70_000);
    write("small.txt", 100);
    write("twin.txt", 101);
    write("empty", 0);
    write("dir/inner.txt", 5000);
    write("dir/sub/deep.txt", 33_000);
    write("other/inner.txt", 777);
    write(&long_file, 1234);
    write(&format!("{long_dir}/within"), 99);
    std::os::unix::fs::symlink("small.txt", root.join("link")).unwrap();
    std::os::unix::fs::symlink("dir", root.join("dirlink")).unwrap();
    daemon.unmount();
}

fn plant(outside: &Path) {
    let _ = std::fs::remove_dir_all(outside);
    std::fs::create_dir(outside).unwrap();
    std::fs::write(outside.join("file"), SENTINEL).unwrap();
    std::fs::write(outside.join("dir.c9r"), SENTINEL).unwrap();
}

fn is_planted(outside: &Path) -> bool {
    let list = std::fs::read_dir(outside).unwrap().count();
    let untouched = |name| std::fs::read(outside.join(name)).is_ok_and(|bytes| bytes == SENTINEL);
    list == 2 && untouched("file") && untouched("dir.c9r")
}

/// What one mount shows; `None` if the walk did not end. With the greatest memory use in KiB.
fn look(bed: &Bed) -> Result<(Option<Tree>, u64), crate::daemon::Refused> {
    let mut daemon = bed.mount()?;
    let seen = walk_aside(&bed.mountpoint, &daemon);
    let memory = high_water(daemon.pid());
    if seen.is_none() || !daemon.is_alive() {
        let words = daemon.words();
        let alive = daemon.is_alive();
        daemon.kill();
        if !alive {
            return Err(crate::daemon::Refused {
                words,
                signal: Some(0),
            });
        }
        return Ok((None, memory));
    }
    daemon.unmount();
    Ok((seen, memory))
}

/// In a process of its own, which may hang.
fn walk_aside(root: &Path, daemon: &Daemon) -> Option<Tree> {
    let out = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("walk")
        .arg(root)
        .stdout(out.reopen().unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            // It can only end when the mount it waits for ends.
            let _ = Command::new("kill")
                .args(["-9", &daemon.pid().to_string()])
                .status();
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    parse(&std::fs::read_to_string(out.path()).unwrap_or_default())
}

fn high_water(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap_or("");
    line.split_whitespace()
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0)
}

fn judge(bed: &Bed, case: &Case, baseline: &Tree) -> (Outcome, String) {
    let (seen, memory) = match look(bed) {
        Ok(looked) => looked,
        Err(refused) => return judge_refusal(case, &refused),
    };
    let Some(seen) = seen else {
        return (Outcome::Hang, String::new());
    };
    if memory > MAX_MEMORY_KIB {
        return (Outcome::Memory, format!("{memory} KiB"));
    }
    if case.wanted == Wanted::Refusal {
        return (Outcome::Opened, "opens".into());
    }
    let mut outcome = Outcome::Same;
    for (path, was) in baseline {
        let now = seen.get(path);
        if now == Some(was) {
            continue;
        }
        if !case.touches(path) {
            return (Outcome::Blast, format!("{path:.60} is {}", brief(now)));
        }
        outcome = Outcome::Affected;
        let honest = matches!(now, None | Some(Seen::Broken(_)));
        if !honest && case.wanted != Wanted::Undetectable {
            return (Outcome::Silent, format!("{path:.60} is {}", brief(now)));
        }
    }
    for (path, now) in &seen {
        if let Seen::File(bytes) = now
            && bytes
                .windows(SENTINEL.len())
                .any(|window| window == SENTINEL)
        {
            return (Outcome::Escape, path.clone());
        }
        let known = baseline.contains_key(path) || baseline.values().any(|was| was == now);
        if !known && !matches!(now, Seen::Broken(_)) && case.wanted != Wanted::Undetectable {
            return (
                Outcome::Silent,
                format!("{path:.60} appeared: {}", brief(Some(now))),
            );
        }
    }
    (outcome, String::new())
}

/// A refusal is one line of its own words.
fn judge_refusal(case: &Case, refused: &crate::daemon::Refused) -> (Outcome, String) {
    let words = refused.words.trim().to_owned();
    if words.starts_with("TIMEOUT") {
        return (Outcome::Hang, words);
    }
    if refused.signal.is_some() || words.contains("panicked") {
        return (Outcome::Crash, words);
    }
    if case.wanted == Wanted::Opens || case.wanted == Wanted::Undetectable {
        return (Outcome::NotOpened, words);
    }
    let lines = words.lines().filter(|line| !line.trim().is_empty()).count();
    // A second line may say what to do.
    if lines == 0 || lines > 2 || words.len() > 500 {
        return (Outcome::Unclear, format!("{lines} lines: {words}"));
    }
    (Outcome::Refused, words)
}

fn brief(seen: Option<&Seen>) -> String {
    match seen {
        None => "missing".into(),
        Some(Seen::Dir) => "a directory".into(),
        Some(Seen::File(bytes)) => format!("{} bytes", bytes.len()),
        Some(Seen::Link(target)) => format!("a link to {target:.40}"),
        Some(Seen::Broken(errno)) => format!("errno {errno}"),
        Some(Seen::Odd) => "something else".into(),
    }
}
