//! Mounted vaults: the daemon, its end, who is told what.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::schema::check_lines;
use support::{Ox, PASSPHRASE, can_mount};

const PW: &str = "--password-file pw";

/// A vault with two directories to mount it at. Whatever is left mounted goes at the end.
struct Bed(Ox);

impl Bed {
    fn new() -> Option<Self> {
        if !can_mount() {
            return None;
        }
        let ox = Ox::new();
        ox.vault();
        for name in ["m", "m2"] {
            std::fs::create_dir(ox.path(name)).unwrap();
        }
        Some(Self(ox))
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for name in ["m", "m2"] {
            let point = self.0.path(name);
            if is_mounted(&point) {
                let _ = self
                    .0
                    .words(&["lock".as_ref(), "--force".as_ref(), point.as_os_str()]);
            }
        }
    }
}

fn is_mounted(point: &Path) -> bool {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    table
        .lines()
        .any(|line| line.split(' ').nth(4) == point.to_str())
}

/// Whether a process runs; one that nobody collects does not.
fn runs(pid: &impl std::fmt::Display) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "not in time: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn status(ox: &Ox) -> serde_json::Value {
    status_of(ox, "v")
}

fn status_of(ox: &Ox, what: &str) -> serde_json::Value {
    let done = ox.run(&format!("--json status {what}")).good();
    check_lines(&done.out).remove(0)["mounts"][0].clone()
}

fn sit_in(dir: &Path) -> Child {
    Command::new("sleep")
        .arg("600")
        .current_dir(dir)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn mount_use_lock() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("mount v m {PW}")).good();
    assert_eq!(
        std::fs::read_to_string(ox.path("m/docs/hello.txt")).unwrap(),
        "hello\n"
    );
    std::fs::write(ox.path("m/docs/new"), "written through the mount").unwrap();
    let state = status(ox);
    assert_eq!(state["state"], "live");
    let pid = state["pid"].as_u64().unwrap();
    for file in ["environ", "cmdline"] {
        let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains(PASSPHRASE));
    }
    // The truth is the kernel's table, also for other programs.
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(table.contains(" - fuse.oxcrypt "), "{table}");
    ox.run("lock v").good();
    assert!(!is_mounted(&ox.path("m")));
    assert!(!runs(&pid));
    ox.run("lock m").failed(6, "no vault is mounted");
    ox.run(&format!("mount v nowhere {PW}"))
        .failed(6, "make it with mkdir");
    // Who locks from inside does not keep it busy.
    ox.run(&format!("mount v m {PW}")).good();
    let inside = ox
        .command(&["lock".as_ref(), ox.path("v").as_os_str()])
        .current_dir(ox.path("m/docs"))
        .output()
        .unwrap();
    assert!(inside.status.success(), "{inside:?}");
    let read = ox.run(&format!("cat v /docs/new {PW}")).good();
    assert_eq!(read.out, "written through the mount");
}

/// Nodes that lead to directories above them must not send a program down for ever.
#[test]
fn a_directory_inside_itself_is_an_error_in_the_mount() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("mkdir v -p top/deep/one top/deep/two {PW}"))
        .good();
    let node = |path: &str| {
        let place = ox.run(&format!("locate v {path} {PW}")).good().out;
        ox.path("v")
            .join(place.trim().split('\t').next().unwrap())
            .join("dir.c9r")
    };
    std::fs::copy(node("/top"), node("/top/deep/one")).unwrap();
    std::fs::copy(node("/top/deep"), node("/top/deep/two")).unwrap();
    ox.run(&format!("mount v m {PW}")).good();
    for second in ["one", "two"] {
        let path = ox.path("m/top/deep").join(second);
        let error = std::fs::metadata(&path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(40), "{error}");
    }
    let find = Command::new("timeout")
        .args(["60", "find", "m"])
        .current_dir(ox.dir.path())
        .output()
        .unwrap();
    assert_eq!(find.status.code(), Some(1), "find ends by itself");
    let mut seen: Vec<_> = std::str::from_utf8(&find.stdout).unwrap().lines().collect();
    seen.sort_unstable();
    let expect = [
        "",
        "/docs",
        "/docs/deep",
        "/docs/hello.txt",
        "/top",
        "/top/deep",
    ]
    .map(|path| format!("m{path}"));
    assert_eq!(seen, expect);
    ox.run("lock v").good();
}

#[test]
fn the_transport_is_chosen_and_told() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    let has_rings = has_rings();
    let usual = if has_rings { "ring" } else { "dev" };
    for (wanted, expected) in [("dev", "dev"), ("auto", usual), ("ring", "ring")] {
        let mount = ox.run(&format!("mount v m --transport {wanted} {PW}"));
        if wanted == "ring" && !has_rings {
            mount.failed(6, "does not serve mounts through rings");
            continue;
        }
        mount.good();
        assert_eq!(status(ox)["transport"], expected, "{wanted}");
        assert!(
            ox.run("status")
                .good()
                .out
                .contains(&format!("by {expected}"))
        );
        assert!(ox.run("stats").good().out.contains(expected));
        // Small, long, and in other threads.
        let content = vec![7; 3 << 20];
        std::fs::write(ox.path("m/long"), &content).unwrap();
        let file = std::fs::File::open(ox.path("m/long")).unwrap();
        file.sync_all().unwrap();
        assert_eq!(std::fs::read(ox.path("m/long")).unwrap(), content);
        std::fs::copy(ox.path("m/long"), ox.path("m/copy")).unwrap();
        assert_eq!(std::fs::read(ox.path("m/copy")).unwrap(), content);
        assert!(
            std::fs::metadata(ox.path("m/copy"))
                .unwrap()
                .created()
                .is_ok()
        );
        drop(file);
        ox.run("lock v").good();
    }
}

#[test]
fn every_source_mounts() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("recovery show v --out words {PW}")).good();
    let words = std::fs::read_to_string(ox.path("words")).unwrap();
    ox.write("raw", oxcrypt_core::recovery::decode(&words).unwrap().raw());
    for source in [
        "--password-file pw",
        "--password-command cat --password-command pw",
        "--password-stdin",
        "--password-env MY_PASSPHRASE",
        "--recovery-key-file words",
        "--masterkey-file raw",
    ] {
        let line = format!("mount v m {source}");
        let mut command = ox.command(&line.split(' ').collect::<Vec<_>>());
        command.stdin(std::fs::File::open(ox.path("pw")).unwrap());
        if source.contains("-env") {
            command.env("MY_PASSPHRASE", PASSPHRASE);
        }
        let done = command.output().unwrap();
        assert!(done.status.success(), "{source}: {done:?}");
        let pid = status(ox)["pid"].as_u64().unwrap();
        for file in ["environ", "cmdline"] {
            let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            assert!(
                !String::from_utf8_lossy(&text).contains(PASSPHRASE),
                "{source} {file}"
            );
        }
        ox.run("lock m").good();
    }
    ox.write("wrong", "wrong");
    ox.run("mount v m --password-file wrong")
        .failed(3, "wrong passphrase");
    assert!(!is_mounted(&ox.path("m")));
}

#[test]
fn a_busy_mount_names_who_and_force_ends_it() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("mount v m {PW}")).good();
    let child = sit_in(&ox.path("m/docs"));
    let done = ox.run("lock m").failed(9, "in use");
    assert!(done.err.contains(&child.id().to_string()), "{}", done.err);
    assert!(done.err.contains("lock --force"), "{}", done.err);
    let json = ox.run("--json lock m").ended(9);
    let lines = check_lines(&json.out);
    let error = lines.last().unwrap();
    assert_eq!(
        (error["code"].as_str(), error["exit"].as_u64()),
        (Some("busy"), Some(9))
    );
    assert_eq!(error["pids"][0]["pid"].as_u64(), Some(child.id().into()));
    // What was written before is kept.
    std::fs::write(ox.path("m/docs/late"), "kept").unwrap();
    let start = Instant::now();
    ox.run("lock --force m").good();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(!is_mounted(&ox.path("m")));
    assert_eq!(ox.run(&format!("cat v /docs/late {PW}")).good().out, "kept");
    end(child);
}

#[test]
fn a_mount_that_does_not_answer_is_a_timeout_and_force_ends_it() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("mount v m {PW}")).good();
    let pid = status(ox)["pid"].as_u64().unwrap().to_string();
    signal(&pid, "-STOP");
    let start = Instant::now();
    ox.run("lock v --timeout 1s").failed(16, "not answer");
    assert!(start.elapsed() < Duration::from_secs(15));
    ox.run("lock v --force --timeout 1s").good();
    until("the process is gone", || !runs(&pid));
    assert!(!is_mounted(&ox.path("m")));
}

#[test]
fn who_looks_is_not_held_up_by_a_mount_that_does_not_answer() {
    for transport in ["dev", "ring"] {
        let Some(Bed(ox)) = &Bed::new() else { return };
        if transport == "ring" && !has_rings() {
            eprintln!("skipped: this kernel has no rings, or they are switched off");
            return;
        }
        let mount = format!("--transport {transport} {PW}");
        ox.run(&format!("mount v m {mount}")).good();
        ox.run(&format!("mount v m2 --ro {mount}")).good();
        let all = ox.run("--json status v").good();
        let mounts = check_lines(&all.out).remove(0)["mounts"].clone();
        let point = ox.path("m");
        let is_it = |m: &&serde_json::Value| m["mountpoint"].as_str() == point.to_str();
        let it = mounts.as_array().unwrap().iter().find(is_it).unwrap();
        let pid = it["pid"].as_u64().unwrap().to_string();
        signal(&pid, "-STOP");
        let asked = Instant::now();
        for words in [
            "status", "mounts", "stats", "status v", "status m", "doctor",
        ] {
            let start = Instant::now();
            let done = ox.run(&format!("--json {words}"));
            assert!(start.elapsed() < Duration::from_secs(10), "{words}");
            if words == "doctor" {
                continue;
            }
            let mounts = check_lines(&done.good().out).remove(0)["mounts"].clone();
            let mounts = mounts.as_array().unwrap();
            assert_eq!(mounts.iter().find(is_it).unwrap()["state"], "silent");
            let other = ox.path("m2");
            let other = mounts
                .iter()
                .find(|m| m["mountpoint"].as_str() == other.to_str());
            assert!(other.is_none_or(|m| m["state"] == "live"), "{mounts:?}");
        }
        let told = ox.run("status m").good();
        assert!(told.out.contains("does not answer"), "{}", told.out);
        let told = ox.run("stats m").good();
        assert!(told.err.contains("does not answer"), "{}", told.err);
        assert!(asked.elapsed() < Duration::from_secs(60));
        signal(&pid, "-CONT");
        assert_eq!(status_of(ox, "m")["state"], "live");
        ox.run("lock v").good();
    }
}

fn has_rings() -> bool {
    std::fs::read_to_string("/sys/module/fuse/parameters/enable_uring")
        .is_ok_and(|value| value.trim() == "Y")
}

fn signal(pid: &str, name: &str) {
    let sent = Command::new("kill").args([name, pid]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn without_the_device_nothing_is_mounted_and_that_is_said_at_once() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    let without_devices = |words: &[&str]| {
        Command::new("unshare")
            .args([
                "-m",
                "sh",
                "-c",
                "mount -t tmpfs tmpfs /dev && exec \"$@\"",
                "sh",
            ])
            .arg(env!("CARGO_BIN_EXE_oxcrypt"))
            .args(words)
            .current_dir(ox.dir.path())
            .env("HOME", ox.dir.path())
            .env("XDG_RUNTIME_DIR", ox.path("run"))
            .output()
            .unwrap()
    };
    let told = |done: &std::process::Output| String::from_utf8_lossy(&done.stderr).into_owned();
    let listed = without_devices(&["ls", "v", "--password-file", "pw"]);
    if told(&listed).contains("not permitted") {
        eprintln!("skipped: no mount namespace can be made here");
        return;
    }
    assert_eq!(listed.stdout, b"docs\n", "{}", told(&listed));
    // Before a passphrase is asked for: there is none.
    let mount = without_devices(&["mount", "v", "m"]);
    assert_eq!(mount.status.code(), Some(6), "{}", told(&mount));
    assert!(
        told(&mount).contains("/dev/fuse is missing"),
        "{}",
        told(&mount)
    );
}

#[test]
fn a_lazy_lock_ends_with_the_last_user() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("mount v m {PW}")).good();
    let pid = status(ox)["pid"].as_u64().unwrap();
    let child = sit_in(&ox.path("m"));
    ox.run("lock --lazy m").good();
    assert!(!is_mounted(&ox.path("m")));
    assert!(runs(&pid));
    end(child);
    until("the process ends", || !runs(&pid));
}

#[test]
fn one_writer_and_any_number_of_readers() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("mount v m {PW}")).good();
    ox.run(&format!("mount v m2 {PW}"))
        .failed(9, "is mounted at");
    ox.run(&format!("mount v m {PW}")).failed(9, "already");
    ox.run(&format!("check v --fix-safe {PW}"))
        .failed(9, "is mounted at");
    ox.run(&format!("check v {PW}")).good();
    ox.run(&format!("mount v m2 --ro {PW}")).good();
    let refused = std::fs::write(ox.path("m2/x"), "").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    ox.run("lock m2").good();
    ox.run(&format!("mount v m2 --shared {PW}")).good();
    ox.run("lock v").good();
    assert!(!is_mounted(&ox.path("m")) && !is_mounted(&ox.path("m2")));
}

#[test]
fn a_lock_waits_for_who_is_about_to_let_go() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("mount v m {PW}")).good();
    let open = std::fs::File::open(ox.path("m/docs/hello.txt")).unwrap();
    ox.run("lock m").failed(9, "is in use");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            drop(open);
        });
        ox.run("lock m").good();
    });
    assert!(!is_mounted(&ox.path("m")));
}

#[test]
fn idle_locks_but_never_with_open_files() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("mount v m --idle 1s {PW}")).good();
    let open = std::fs::File::open(ox.path("m/docs/hello.txt")).unwrap();
    let told = || {
        let events = ox.run("--json events m").good();
        let all = check_lines(&events.out).into_iter();
        all.filter(|e| e["kind"] == "lock_failed")
            .collect::<Vec<_>>()
    };
    until("told that it is in use", || !told().is_empty());
    std::thread::sleep(Duration::from_secs(2));
    assert!(is_mounted(&ox.path("m")));
    // Once, not at every look.
    let failed = told();
    assert_eq!(failed.len(), 1, "{failed:?}");
    let text = failed[0]["text"].as_str().unwrap();
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    drop(open);
    until("locked when idle", || !is_mounted(&ox.path("m")));
}

#[test]
fn a_killed_process_is_cleaned_up_at_the_next_mount() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("mount v m {PW}")).good();
    std::fs::write(ox.path("m/before"), "safe").unwrap();
    std::fs::File::open(ox.path("m/before"))
        .unwrap()
        .sync_all()
        .unwrap();
    let pid = status(ox)["pid"].as_u64().unwrap().to_string();
    signal(&pid, "-9");
    until("gone", || !runs(&pid));
    let done = ox.run("--json mounts v").good();
    assert!(done.out.contains("\"stale\""), "{}", done.out);
    check_lines(&done.out);
    ox.run(&format!("mount v m {PW}")).good();
    assert_eq!(
        std::fs::read_to_string(ox.path("m/before")).unwrap(),
        "safe"
    );
    ox.run("lock m").good();
    // Locking takes a dead mount away as well.
    ox.run(&format!("mount v m {PW}")).good();
    let pid = status(ox)["pid"].as_u64().unwrap().to_string();
    signal(&pid, "-9");
    until("gone", || !runs(&pid));
    ox.run("lock m").good();
    assert!(!is_mounted(&ox.path("m")));
}

#[test]
fn foreground_ends_in_order_with_a_signal() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    for signal in ["-INT", "-TERM"] {
        let mut child = ox
            .command(&["mount", "v", "m", "--foreground", "--password-file", "pw"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        until("mounted", || {
            is_mounted(&ox.path("m")) && ox.path("m/docs").exists()
        });
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        assert!(!is_mounted(&ox.path("m")));
    }
}

#[test]
fn hooks_run_around_the_mount() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    let words = [
        "mount",
        "v",
        "m",
        "--password-file",
        "pw",
        "--on-unlock",
        "sh -c 'ls $OXCRYPT_MOUNTPOINT > $HOME/unlocked'",
        "--before-lock",
        "sh -c 'ls $OXCRYPT_MOUNTPOINT > $HOME/locking'",
    ];
    ox.words(&words).good();
    until("the first hook", || ox.path("unlocked").exists());
    assert!(!ox.path("locking").exists());
    ox.run("lock m").good();
    assert_eq!(
        std::fs::read_to_string(ox.path("locking")).unwrap(),
        "docs\n"
    );
}

/// Who asks for a lock while somebody else does it has what was asked for.
#[test]
fn a_lock_that_comes_second_is_done() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    let by_hook = "sh -c 'umount $OXCRYPT_MOUNTPOINT || fusermount3 -u $OXCRYPT_MOUNTPOINT'";
    let words = ["mount", "v", "m", "--password-file", "pw", "--before-lock"];
    ox.words(&[&words[..], &[by_hook]].concat()).good();
    ox.run("lock m").good();
    for _ in 0..10 {
        ox.run(&format!("mount v m {PW}")).good();
        let locks: Vec<_> = (0..3)
            .map(|_| {
                let mut lock = ox.command(&["lock", "m"]);
                lock.stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let mut done = 0;
        for lock in locks {
            let ended = lock.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&ended.stderr);
            let began_later = told.contains("no vault is mounted");
            assert!(ended.status.success() || began_later, "{told}");
            done += usize::from(ended.status.success());
        }
        assert!(done > 0);
        assert!(!is_mounted(&ox.path("m")));
    }
}

/// The kernel gives a device number away as soon as the mount is gone, which is before the process of
/// that mount has ended: long before, where somebody has connected to it and says nothing.
#[test]
fn a_process_at_its_end_leaves_the_next_mount_alone() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("init -q v2 {PW}")).good();
    let met = (0..20).any(|_| {
        ox.run(&format!("mount v m {PW}")).good();
        let first = status_of(ox, "m");
        let pid = first["pid"].as_u64().unwrap();
        let silent = UnixStream::connect(first["control"].as_str().unwrap()).unwrap();
        assert!(unmounts(&ox.path("m")));
        ox.run(&format!("mount v2 m2 {PW}")).good();
        assert!(runs(&pid), "it ended too early to be in the way");
        drop(silent);
        until("the first process ends", || !runs(&pid));
        let second = status_of(ox, "m2");
        assert_eq!(second["state"], "live", "{second}");
        ox.run("lock m2").good();
        first["control"] == second["control"]
    });
    assert!(met, "no mount got the number of the one before");
}

#[test]
fn a_command_with_a_vault_of_its_own() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    let exec = |command: &[&str]| {
        let mut words = vec!["exec", "v", "--password-file", "pw", "--"];
        words.extend(command);
        ox.words(&words)
    };
    let done = exec(&["sh", "-c", "cat docs/hello.txt; exit 7"]).ended(7);
    assert_eq!(done.out, "hello\n");
    exec(&["no-such-program"]).ended(127);
    exec(&["/etc/passwd"]).ended(126);
    exec(&["sh", "-c", "echo in > written"]).good();
    assert_eq!(ox.run(&format!("cat v /written {PW}")).good().out, "in\n");
    ox.words(&["exec", "nowhere", "--password-file", "pw", "--", "true"])
        .ended(125);
}

#[test]
fn the_mount_helper_and_umount() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    let helper = ox.path("mount.oxcrypt");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_oxcrypt"), &helper).unwrap();
    let call = |options: &str| {
        let point = ox.path("m");
        let made = ox.command(&[] as &[&str]);
        let mut command = Command::new(&helper);
        command
            .arg(ox.path("v"))
            .arg(point)
            .args(["-o", options])
            .env_clear();
        for (name, value) in made.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.stdin(Stdio::null()).output().unwrap().status.code()
    };
    let pass = format!("passfile={}", ox.path("pw").display());
    assert_eq!(
        call(&format!("rw,nofail,x-systemd.automount,{pass}")),
        Some(0)
    );
    assert!(is_mounted(&ox.path("m")));
    let pid = status(ox)["pid"].as_u64().unwrap();
    if unmounts(&ox.path("m")) {
        until("ends with umount", || !runs(&pid));
    }
    assert_eq!(call(&format!("bogus,{pass}")), Some(1));
    assert_eq!(call("passfile=/nowhere"), Some(32));
}

/// As at boot: lines of fstab, one with a space in its path, `mount -a` twice, `umount`. In a mount
/// namespace of its own, where the helper is installed.
const BOOT: &str = r#"
set -eu
mkdir upper work
mount -t overlay -o lowerdir=/usr/sbin,upperdir=$PWD/upper,workdir=$PWD/work overlay /usr/sbin || {
    echo skipped
    exit 0
}
ln -s "$1" /usr/sbin/mount.oxcrypt
ln -s "$1" /usr/sbin/mount.fuse.oxcrypt
[ -e /sbin/mount.oxcrypt ]
cp -r v "v two"
mkdir "m two"
auto=x-systemd.automount,x-systemd.idle-timeout=15min
cat >fstab <<LINES
$PWD/v $PWD/m fuse.oxcrypt nofail,allow_other,passfile=$PWD/pw,$auto 0 0
$PWD/v\040two $PWD/m\040two oxcrypt ro,passfile=$PWD/pw,idle=15m 0 0
LINES
mount -a -T fstab
mount -a -T fstab
cat m/docs/hello.txt "m two/docs/hello.txt"
echo new >m/new
if echo new >"m two/new"; then exit 1; fi
umount m "m two"
"#;

#[test]
fn lines_of_fstab_at_boot() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    let boot = Command::new("unshare")
        .args(["-m", "sh", "-c", BOOT, "sh", env!("CARGO_BIN_EXE_oxcrypt")])
        .current_dir(ox.dir.path())
        .env("HOME", ox.dir.path())
        .env("XDG_RUNTIME_DIR", ox.path("run"))
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&boot.stdout);
    let err = String::from_utf8_lossy(&boot.stderr);
    if out.trim() == "skipped" || err.contains("not permitted") {
        eprintln!("skipped: the helper cannot be installed in a namespace here: {err}");
        return;
    }
    assert!(boot.status.success(), "{err}");
    assert_eq!(out, "hello\nhello\n", "{err}");
    let ours = ox.dir.path().display().to_string();
    let serves = |pid: &std::ffi::OsStr| {
        let path = Path::new("/proc").join(pid).join("cmdline");
        let line = std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&ours)
    };
    until("umount ends the processes", || {
        let mut all = std::fs::read_dir("/proc").unwrap().flatten();
        !all.any(|entry| serves(&entry.file_name()))
    });
    let new = ox.run(&format!("cat v /new {PW}")).good();
    assert_eq!(new.out, "new\n");
}

fn unmounts(point: &Path) -> bool {
    let by = |program: &str, words: &[&str]| {
        Command::new(program)
            .args(words)
            .arg(point)
            .output()
            .is_ok_and(|d| d.status.success())
    };
    by("umount", &[]) || by("fusermount3", &["-u"])
}

#[test]
fn counters_and_events_are_json() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("mount v m {PW}")).good();
    let _ = std::fs::read(ox.path("m/docs/hello.txt"));
    check_lines(&ox.run("--json stats m").good().out);
    check_lines(&ox.run("--json events").good().out);
    let text = ox.run("stats m --prometheus").good().out;
    assert!(
        text.contains("oxcrypt_requests_total{mountpoint="),
        "{text}"
    );
    check_lines(&ox.run("--json lock m").good().out);
}

/// Root's own mount does without the kernel's comparison of modes; what root may not do stays so.
#[test]
fn what_nobody_may_run_root_may_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!("mount v m {PW}")).good();
    let program = ox.path("m/program");
    std::fs::write(&program, "#!/bin/sh\nexit 7\n").unwrap();
    for (mode, may_run) in [(0o644, false), (0o755, true), (0o600, false), (0o100, true)] {
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
        let test = Command::new("test").arg("-x").arg(&program).status();
        assert_eq!(test.unwrap().success(), may_run, "test -x with {mode:o}");
        let ran = Command::new(&program).status();
        let root = rustix::process::geteuid().is_root();
        let code = ran.map(|status| status.code().unwrap()).ok();
        let expected = (may_run && (root || mode & 0o400 != 0)).then_some(7);
        if root || mode != 0o100 {
            assert_eq!(code, expected, "running with {mode:o}");
        }
    }
    ox.run("lock v").good();
}

#[test]
fn the_time_of_requests_is_told() {
    let Some(Bed(ox)) = &Bed::new() else { return };
    ox.run(&format!(
        "mount v m {PW} --trace-rate 1 --log-file log --log-format json"
    ))
    .good();
    std::fs::write(ox.path("m/file"), vec![7; 100_000]).unwrap();
    std::fs::File::open(ox.path("m/file"))
        .unwrap()
        .sync_all()
        .unwrap();
    std::fs::create_dir(ox.path("m/dir")).unwrap();
    let stats = check_lines(&ox.run("--json stats m").good().out).remove(0)["mounts"][0].clone();
    let operations = stats["operations"].as_array().unwrap();
    for name in ["create", "write", "sync", "mkdir"] {
        let operation = operations.iter().find(|o| o["name"] == name).unwrap();
        assert!(operation["count"].as_u64() >= Some(1), "{name}");
        let [p50, p95, p99] =
            ["p50_us", "p95_us", "p99_us"].map(|p| operation[p].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p95 && p95 <= p99, "{operation}");
    }
    let text = ox.run("stats m").good().out;
    assert!(text.contains("p99") && text.contains("mkdir"), "{text}");
    let text = ox.run("stats m --prometheus").good().out;
    let line = "operation=\"mkdir\",quantile=\"0.99\"}";
    assert!(text.contains(line), "{text}");
    ox.run("lock v").good();

    let log = std::fs::read_to_string(ox.path("log")).unwrap();
    let traced: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["target"] == "oxcrypt_trace")
        .map(|line| line["fields"].clone())
        .collect();
    for (op, phase) in [("write", "crypt_us"), ("sync", "io_us"), ("mkdir", "io_us")] {
        let line = traced.iter().find(|t| t["op"] == op).unwrap();
        let part = |name: &str| line[name].as_f64().unwrap();
        assert!(part(phase) > 0.0, "{line}");
        let known = part("queue_us") + part("lock_us") + part("io_us") + part("crypt_us");
        assert!(
            known + part("reply_us") <= part("total_us") * 1.001,
            "{line}"
        );
    }
}
