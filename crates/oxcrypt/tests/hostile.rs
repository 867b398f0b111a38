//! Vaults that somebody else prepared: every command ends soon, names what is wrong, and says so by
//! its exit code; nothing but what was asked for is changed.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use support::{Done, Ox, tree};

const PW: &str = "--password-file pw";

/// Runs a command that must not go on for ever.
#[track_caller]
fn soon(ox: &Ox, line: &str) -> Done {
    let words: Vec<_> = line.split_whitespace().collect();
    let (out, err) = (ox.path("out.txt"), ox.path("err.txt"));
    let mut child = ox
        .command(&words)
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code().unwrap_or(-1);
        }
        if start.elapsed() > Duration::from_mins(2) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{line}: does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let raw = std::fs::read(out).unwrap();
    Done {
        code,
        out: String::from_utf8_lossy(&raw).into_owned(),
        err: std::fs::read_to_string(err).unwrap(),
        raw,
    }
}

/// The node of a path, in the encrypted vault.
fn node(ox: &Ox, path: &str) -> PathBuf {
    let place = ox.run(&format!("locate v {path} {PW}")).good().out;
    ox.path("v").join(place.trim().split('\t').next().unwrap())
}

/// Makes `to` lead into the directory that `from` leads into.
fn lead(ox: &Ox, to: &str, from: &str) {
    let id = std::fs::read(node(ox, from).join("dir.c9r")).unwrap();
    std::fs::write(node(ox, to).join("dir.c9r"), id).unwrap();
}

/// `/top` with a file, and in it `one` and `two`, which lead to `/top` again; no key is needed.
fn branching_cycle() -> Ox {
    let ox = Ox::new();
    ox.vault();
    ox.run(&format!("mkdir v -p top/deep/one top/deep/two {PW}"))
        .good();
    ox.run(&format!("put v hello.txt /top/file {PW}")).good();
    lead(&ox, "/top/deep/one", "/top");
    lead(&ox, "/top/deep/two", "/top/deep");
    ox
}

#[test]
fn a_branching_cycle_ends_and_is_named() {
    let ox = branching_cycle();
    std::fs::create_dir(ox.path("got")).unwrap();
    for command in [
        "ls -R v /",
        "ls v /top/deep",
        "tree v /",
        "du v /",
        "find v /",
        "sum v /top",
        "tar c v /",
        "get -r v / got",
        "get -r v /top got/top",
        "cp -r v /top /copy",
    ] {
        let done = soon(&ox, &format!("{command} {PW}"));
        assert_eq!(done.code, 10, "{command}: {}", done.err);
        for name in ["/top/deep/one: ", "/top/deep/two: "] {
            let told = done.err.matches(name).count();
            assert_eq!(told, 1, "{command}: {}", done.err);
        }
    }
    // All that is there was passed by.
    let done = soon(&ox, &format!("find v / --type f {PW}"));
    assert_eq!(done.out, "/copy/file\n/docs/hello.txt\n/top/file\n");
    assert_eq!(
        std::fs::read(ox.path("got/top/file")).unwrap(),
        b"hello\n",
        "what can be read is got"
    );
    let told = soon(&ox, &format!("check v {PW}")).ended(11).out;
    assert_eq!(told.matches("collision").count(), 2, "{told}");
}

#[test]
fn a_cycle_can_be_removed_and_takes_nothing_with_it() {
    let ox = branching_cycle();
    soon(&ox, &format!("rm v /top/deep/one {PW}")).ended(10);
    soon(&ox, &format!("rm -r v /top/deep/one {PW}")).good();
    let left = soon(&ox, &format!("find v /top {PW}")).ended(10).out;
    assert_eq!(left, "/top\n/top/deep\n/top/deep/two\n/top/file\n");
    soon(&ox, &format!("rm -r v /top {PW}")).good();
    assert_eq!(
        soon(&ox, &format!("find v / {PW}")).good().out,
        "/\n/docs\n/docs/deep\n/docs/hello.txt\n"
    );
}

#[test]
fn a_cycle_is_mended_by_taking_the_second_ways() {
    let ox = branching_cycle();
    soon(&ox, &format!("check v --fix-safe {PW}")).good();
    let left = soon(&ox, &format!("find v /top {PW}")).good().out;
    assert_eq!(left, "/top\n/top/deep\n/top/file\n");
}

/// Each directory is there twice, inside each other: no cycle, but more paths than anybody can walk.
#[test]
fn doubled_directories_are_walked_once() {
    let ox = Ox::new();
    ox.run(&format!("init -q v {PW}")).good();
    let mut path = String::new();
    let mut pairs = Vec::new();
    for _ in 0..12 {
        pairs.push((format!("{path}/a"), format!("{path}/b")));
        path.push_str("/a");
    }
    let dirs: Vec<_> = pairs.iter().map(|(a, b)| format!("{a} {b}")).collect();
    ox.run(&format!("mkdir v -p {} {PW}", dirs.join(" ")))
        .good();
    for (a, b) in &pairs {
        lead(&ox, b, a);
    }
    let done = soon(&ox, &format!("ls -R v / {PW}")).ended(10);
    // Once by `a`, and what stands beside it is told.
    assert_eq!(done.out.matches(":\n").count(), 13, "{}", done.out);
    assert_eq!(done.err.matches("second way").count(), 12, "{}", done.err);
}

#[test]
fn what_has_lost_its_type_is_told_by_every_walk() {
    let ox = Ox::new();
    ox.vault();
    let broken = node(&ox, "/docs/deep");
    std::fs::remove_file(broken.join("dir.c9r")).unwrap();
    for command in ["ls -R", "ls", "tree", "du", "find", "sum", "tar c"] {
        let done = soon(&ox, &format!("{command} v /docs {PW}")).failed(10, "/docs/deep: ");
        assert_eq!(done.err.matches("/docs/deep: ").count(), 1, "{}", done.err);
    }
    // A directory where the id belongs, and a link longer than any.
    std::fs::create_dir(broken.join("dir.c9r")).unwrap();
    soon(&ox, &format!("stat v /docs/deep {PW}")).ended(10);
    ox.run(&format!("ln -s v hello.txt /docs/link {PW}")).good();
    let link = node(&ox, "/docs/link").join("symlink.c9r");
    File::options()
        .write(true)
        .open(&link)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    soon(&ox, &format!("stat v /docs/link {PW}")).ended(10);
    for how in ["--structure", "--data"] {
        let told = soon(&ox, &format!("check v {how} {PW}")).ended(11).out;
        assert!(told.contains("link_target"), "{told}");
    }
}

#[test]
fn a_forged_length_does_not_occupy_a_check() {
    let ox = Ox::new();
    ox.vault();
    File::options()
        .write(true)
        .open(node(&ox, "/docs/hello.txt"))
        .unwrap()
        .set_len(1 << 43)
        .unwrap();
    let told = soon(&ox, &format!("check v {PW}")).ended(11).out;
    assert!(told.contains("were not looked at"), "{told}");
    soon(&ox, &format!("cat v /docs/hello.txt {PW}")).ended(10);
    soon(&ox, &format!("get v /docs/hello.txt copy {PW}")).ended(10);
    assert!(!ox.path("copy").exists());
}

#[test]
fn the_worst_of_several_failures_gives_the_code() {
    let ox = Ox::new();
    ox.vault();
    ox.run(&format!("put v hello.txt /docs/a-first {PW}"))
        .good();
    let broken = node(&ox, "/docs/hello.txt");
    std::fs::write(&broken, [7; 200]).unwrap();
    // A directory stands where the first file belongs: an ordinary failure, and the first one.
    std::fs::create_dir_all(ox.path("got/docs/a-first/x")).unwrap();
    for _ in 0..5 {
        soon(&ox, &format!("get -r -j 1 v /docs got {PW}")).failed(10, "is a directory");
    }
}

/// What stands in the place of a file of the vault.
const INSTEAD: [&str; 3] = ["directory", "pipe", "link"];

fn put_instead(ox: &Ox, path: &str, what: &str) {
    let path = ox.path(path);
    std::fs::rename(&path, ox.path("kept")).unwrap();
    match what {
        "directory" => std::fs::create_dir(&path).unwrap(),
        "link" => std::os::unix::fs::symlink(ox.path("kept"), &path).unwrap(),
        _ => {
            let made = std::process::Command::new("mkfifo").arg(&path).status();
            assert!(made.unwrap().success());
        }
    }
}

#[test]
fn key_files_of_another_kind_are_4_and_told_as_what_they_are() {
    for file in ["vault.cryptomator", "masterkey.cryptomator"] {
        for what in INSTEAD {
            let ox = Ox::new();
            ox.vault();
            put_instead(&ox, &format!("v/{file}"), what);
            for command in ["ls v", "check v", "migrate v"] {
                let done = soon(&ox, &format!("{command} {PW}")).failed(4, file);
                assert!(done.err.contains(what), "{}", done.err);
                assert!(!done.err.contains("missing"), "{}", done.err);
            }
            let done = soon(&ox, "info v").ended(4);
            assert!(done.out.contains("damaged"), "{}", done.out);
            soon(&ox, "--json info v").ended(4);
        }
    }
}

#[test]
fn without_its_data_a_vault_is_none_for_every_command() {
    let ox = Ox::new();
    ox.vault();
    std::fs::rename(ox.path("v/d"), ox.path("kept")).unwrap();
    std::fs::create_dir(ox.path("mnt")).unwrap();
    for command in ["ls v", "check v", "mount v mnt"] {
        soon(&ox, &format!("{command} {PW}")).failed(4, "d is missing");
    }
    std::os::unix::fs::symlink(ox.path("kept"), ox.path("v/d")).unwrap();
    for command in ["ls v", "check v"] {
        soon(&ox, &format!("{command} {PW}")).failed(4, "d is a symbolic link");
    }
    // The words are in the key, not in the data.
    soon(&ox, &format!("recovery show v {PW}")).good();
}

#[test]
fn content_of_another_kind_is_damage_to_the_check_as_well() {
    for what in INSTEAD {
        let ox = Ox::new();
        ox.vault();
        let file = node(&ox, "/docs/hello.txt");
        let inside = file.strip_prefix(ox.dir.path()).unwrap().to_owned();
        put_instead(&ox, inside.to_str().unwrap(), what);
        soon(&ox, &format!("cat v /docs/hello.txt {PW}")).ended(10);
        let told = soon(&ox, &format!("check v {PW}")).ended(11).out;
        assert!(told.contains("error   unknown "), "{told}");
    }
}

#[test]
fn formats_that_do_not_exist_are_no_old_vaults() {
    let ox = Ox::new();
    ox.vault();
    std::fs::remove_file(ox.path("v/vault.cryptomator")).unwrap();
    let path = ox.path("v/masterkey.cryptomator");
    let text = std::fs::read_to_string(&path).unwrap();
    for (version, code, told) in [
        (99, 12, "masterkey.cryptomator: the vault has format 99"),
        (4, 12, "no current program converts"),
        (0, 4, "masterkey.cryptomator"),
    ] {
        let other = text.replace("\"version\": 999", &format!("\"version\": {version}"));
        std::fs::write(&path, other).unwrap();
        for command in ["migrate v", "ls v"] {
            soon(&ox, &format!("{command} {PW}")).failed(code, told);
        }
    }
}

#[test]
fn reading_commands_change_nothing_in_a_damaged_vault() {
    let ox = branching_cycle();
    let before = tree(&ox.path("v"));
    for command in ["ls -R v /", "check v", "tar c v /", "info v"] {
        let secret = if command == "info v" { "" } else { PW };
        soon(&ox, &format!("{command} {secret}"));
    }
    assert_eq!(tree(&ox.path("v")), before);
}
