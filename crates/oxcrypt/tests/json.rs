//! Every answer in JSON against its published schema.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use support::Ox;
use support::schema::{check, check_lines};

const PW: &str = "--password-file pw";

#[test]
fn answers_of_all_commands() {
    let ox = Ox::new();
    check_lines(&ox.run("--json init v --password-file pw").good().out);
    ox.write("f", "content");
    for line in [
        format!("put v f / {PW}"),
        format!("ln -s v f /link {PW}"),
        format!("ls v {PW}"),
        format!("ls -R --with-cipher v / {PW}"),
        format!("stat v /f /link / {PW}"),
        format!("find v / {PW}"),
        format!("du v {PW}"),
        format!("sum v /f {PW}"),
        format!("locate v /f / {PW}"),
        format!("check v {PW}"),
        format!("get v /f copy {PW}"),
        format!("recovery show v {PW}"),
        "info v".to_owned(),
        "speed".to_owned(),
        "mounts".to_owned(),
        "backup-config v safe".to_owned(),
        format!("migrate v {PW}"),
        format!("recover v {PW}"),
        "vault add name v".to_owned(),
        "vault list".to_owned(),
        "config list".to_owned(),
        "key list v".to_owned(),
        format!("passwd v {PW} --new-password-file pw"),
    ] {
        let done = ox.run(&format!("--json {line}")).good();
        if !done.out.is_empty() {
            check_lines(&done.out);
        }
        assert!(!done.err.contains("error"), "{line}: {}", done.err);
    }
    let place = ox.run(&format!("locate v /f {PW}")).good().out;
    check_lines(
        &ox.run(&format!("--json decode v {} {PW}", place.trim()))
            .good()
            .out,
    );
    // Whether this machine has all a mount needs is not the point here.
    check_lines(&ox.run("--json doctor").out);
}

#[test]
fn failures_are_json_as_well() {
    let ox = Ox::new();
    ox.vault();
    ox.write("wrong", "wrong");
    for (line, code, exit) in [
        ("ls v --password-file wrong".to_owned(), "wrong_key", 3),
        (format!("ls nowhere {PW}"), "not_a_vault", 4),
        (format!("cat v /nope {PW}"), "not_found", 7),
        ("lock nowhere".to_owned(), "mount_failed", 6),
    ] {
        let done = ox.run(&format!("--json {line}")).ended(exit);
        let error = check_lines(&done.out).remove(0);
        assert_eq!(error["code"], code, "{}", done.out);
        assert_eq!(error["exit"].as_i64(), Some(i64::from(exit)));
    }
}

#[test]
fn the_validator_can_fail() {
    let wrong = serde_json::json!({"schema": "oxcrypt.error/1", "code": "busy", "exit": "nine"});
    assert!(std::panic::catch_unwind(|| check(&wrong)).is_err());
    let missing = serde_json::json!({"schema": "oxcrypt.error/1", "code": "busy"});
    assert!(std::panic::catch_unwind(|| check(&missing)).is_err());
}

#[test]
fn manual_pages_and_completions() {
    let ox = Ox::new();
    ox.run("man pages").good();
    let pages = std::fs::read_dir(ox.path("pages")).unwrap().count();
    assert!(pages > 40, "{pages}");
    let page = std::fs::read_to_string(ox.path("pages/oxcrypt-mount.1")).unwrap();
    assert!(page.contains("idle"), "{page}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            ox.run(&format!("completions {shell}"))
                .good()
                .out
                .contains("backup-config")
        );
    }
}
