//! Each exit code, with the message that belongs to it. Code 6, 9 and 16 need a mount: `mounts.rs`.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::os::unix::fs::PermissionsExt;

use oxcrypt_tests::vaults;
use support::Ox;

const PW: &str = "--password-file pw";

#[test]
fn usage_is_2() {
    let ox = Ox::new();
    ox.vault();
    ox.run("no-such-command").ended(2);
    ox.run("ls").ended(2);
    ox.run("ls v").failed(2, "no passphrase was given");
    ox.run("ls v --password-file pw --password-stdin").ended(2);
    ox.run("passwd v --password-file pw")
        .failed(2, "no new passphrase was given")
        .failed(2, "--new-password-file");
    ox.run("ls @nobody").failed(2, "no vault named @nobody");
    ox.run("init w --shortening-threshold 10 --password-file pw")
        .failed(2, "out of range");
    ox.run("check v --fix no_such_code --password-file pw")
        .failed(2, "no finding with the code");
}

#[test]
fn a_damaged_configuration_of_the_program_is_2_and_names_the_file() {
    let ox = Ox::new();
    ox.vault();
    std::fs::create_dir_all(ox.path(".config/oxcrypt")).unwrap();
    for (text, what) in [
        ("[[vaults", "config.toml"),
        ("[vaults.w]\npath = 7\n", "invalid type"),
        (
            "[vaults.w]\npath = \"/x\"\nfoo = 1\n",
            "unknown field `foo`",
        ),
    ] {
        ox.write(".config/oxcrypt/config.toml", text);
        ox.run("ls @w")
            .failed(2, what)
            .failed(2, "oxcrypt config path");
    }
}

#[test]
fn a_passphrase_on_the_command_line_is_refused() {
    let ox = Ox::new();
    ox.vault();
    for line in [
        "ls v --password secret",
        "ls v --password=secret",
        "passwd v --new-password secret",
    ] {
        let line = format!(
            "{line} {}",
            if line.starts_with("passwd") { PW } else { "" }
        );
        let done = ox.run(&line).failed(2, "is refused");
        assert!(!done.err.contains("secret"), "{}", done.err);
    }
}

#[test]
fn a_wrong_passphrase_is_3_and_says_nothing_else() {
    let ox = Ox::new();
    ox.vault();
    ox.write("wrong", "something else");
    for command in [
        "ls v",
        "check v",
        "recovery show v",
        "cat v /docs/hello.txt",
    ] {
        ox.run(&format!("{command} --password-file wrong"))
            .failed(3, "wrong passphrase");
    }
    ox.run("passwd v --password-file wrong --new-password-file pw")
        .failed(3, "wrong passphrase");
}

#[test]
fn what_is_no_vault_is_4() {
    let ox = Ox::new();
    std::fs::create_dir(ox.path("empty")).unwrap();
    for place in ["empty", "missing", "pw"] {
        for command in ["ls", "check", "info", "stat"] {
            let path = if command == "stat" { "/" } else { "" };
            ox.run(&format!(
                "{command} {place} {path} {}",
                if command == "info" { "" } else { PW }
            ))
            .ended(4);
        }
    }
}

#[test]
fn damaged_configurations_are_4_and_say_what_next() {
    for (case, what) in [
        ("config_garbage", "oxcrypt recover"),
        ("config_missing", "oxcrypt recover"),
        ("config_alg_none", "do not trust it"),
        ("config_tampered", "bkup"),
    ] {
        let vault = vaults::corrupt(case);
        let ox = Ox::new();
        ox.write("pw", vault.password());
        let path = vault.path.display();
        ox.run(&format!("ls {path} {PW}")).failed(4, what);
    }
}

#[test]
fn permission_is_5() {
    let ox = Ox::new();
    ox.vault();
    ox.run(&format!("ls v {PW}")).good();
    let pipe = ox.path("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    ox.run(&format!("put v pipe / {PW}"))
        .failed(5, "cannot represent");
    // Root may read everything, so the rest shows nothing there.
    if std::fs::read_dir("/proc/1/fd").is_err() {
        std::fs::set_permissions(ox.path("v/d"), PermissionsExt::from_mode(0o000)).unwrap();
        ox.run(&format!("ls v {PW}")).ended(5);
        std::fs::set_permissions(ox.path("v/d"), PermissionsExt::from_mode(0o700)).unwrap();
    }
}

#[test]
fn a_path_that_is_not_there_is_7() {
    let ox = Ox::new();
    ox.vault();
    for command in [
        "ls v /nope",
        "cat v /docs/nope",
        "rm v nope",
        "stat v nope",
        "get v nope .",
        "mv v nope x",
    ] {
        ox.run(&format!("{command} {PW}")).failed(7, "no such");
    }
    ox.run(&format!("rm -f v nope {PW}")).good();
}

#[test]
fn an_interrupt_is_8_and_leaves_no_half_file_under_the_name() {
    let ox = Ox::new();
    ox.vault();
    let mut child = ox
        .command(&["put", "v", "-", "/big", "--password-file", "pw"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // More than a pipe holds: when it is taken, the file is being written.
    std::io::Write::write_all(&mut pipe, &[1; 1 << 20]).unwrap();
    let pid = child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    // The next read returns, and then the signal is seen.
    let _ = std::io::Write::write_all(&mut pipe, &[1; 10]);
    drop(pipe);
    assert_eq!(child.wait().unwrap().code(), Some(8));
    ox.run(&format!("stat v /big {PW}")).ended(7);
}

#[test]
fn damaged_content_is_10() {
    let ox = Ox::new();
    ox.vault();
    let place = ox.run(&format!("locate v /docs/hello.txt {PW}")).good().out;
    let file = ox.path("v").join(place.trim().split('\t').next().unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let done = ox
        .run(&format!("cat v /docs/hello.txt {PW}"))
        .failed(10, "authentication failed");
    assert_eq!(done.out, "");
    ox.run(&format!("get v /docs/hello.txt copy {PW}"))
        .ended(10);
    assert!(!ox.path("copy").exists());
    // The check tells it too, with its own code.
    ox.run(&format!("check v {PW}")).ended(11);
}

#[test]
fn unsupported_formats_are_12() {
    for (case, what) in [
        ("config_hub", "Cryptomator application"),
        ("config_format_9", "knows this format"),
        ("config_unknown_combo", "cipher"),
    ] {
        let vault = vaults::corrupt(case);
        let ox = Ox::new();
        ox.write("pw", vault.password());
        ox.run(&format!("ls {} {PW}", vault.path.display()))
            .failed(12, what);
    }
    let old = vaults::legacy(6);
    let ox = Ox::new();
    ox.write("pw", old.password());
    ox.run(&format!("ls {} {PW}", old.path.display()))
        .failed(12, "oxcrypt migrate");
}

#[test]
fn no_space_is_13() {
    let ox = Ox::new();
    let small = ox.path("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&small)
        .output()
        .is_ok_and(|done| done.status.success());
    if !mounted {
        eprintln!("skipped: a small file system cannot be mounted here");
        return;
    }
    let run = || {
        ox.run(&format!("init -q small/v {PW}")).good();
        ox.write("big", support::noise(3 << 20, 1));
        ox.run(&format!("put small/v big / {PW}"))
            .failed(13, "no space");
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    let _ = std::process::Command::new("umount").arg(&small).status();
    result.unwrap();
}

#[test]
fn read_only_is_14() {
    let ox = Ox::new();
    ox.vault();
    let mount = |options: &str| {
        std::process::Command::new("mount")
            .args(["-o", options])
            .args([ox.path("v"), ox.path("v")])
            .output()
            .is_ok_and(|done| done.status.success())
    };
    if !mount("bind") {
        eprintln!("skipped: nothing can be mounted here");
        return;
    }
    let run = || {
        assert!(mount("remount,bind,ro"));
        for command in [
            "mkdir v new",
            "put v hello.txt /new",
            "rm v /docs/hello.txt",
        ] {
            ox.run(&format!("{command} {PW}")).failed(14, "read-only");
        }
        ox.run(&format!("passwd v {PW} --new-password-file pw"))
            .failed(14, "read-only");
        // Reading needs no writing.
        let read = ox.run(&format!("cat v /docs/hello.txt {PW}")).good();
        assert_eq!(read.out, "hello\n");
        ox.run(&format!("check v {PW}")).good();
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    let _ = std::process::Command::new("umount")
        .arg(ox.path("v"))
        .status();
    result.unwrap();
}

#[test]
fn a_name_too_long_is_15() {
    let ox = Ox::new();
    ox.vault();
    let name = "x".repeat(256);
    ox.run(&format!("mkdir v {name} {PW}"))
        .failed(15, "too long");
}

#[test]
fn other_failures_are_1() {
    let ox = Ox::new();
    ox.vault();
    ox.run(&format!("init v {PW}")).failed(1, "not empty");
    ox.run(&format!("rm v docs {PW}")).failed(1, "-r removes");
    ox.run(&format!("put v missing-here / {PW}")).ended(1);
    ox.run("ls v --password-command false").ended(1);
}
