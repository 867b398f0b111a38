//! The examples of the README and the guide: every block marked `sh` is run as it stands.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use support::{Ox, PASSPHRASE, can_mount};

/// The blocks of a page, in their order.
fn blocks(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
    let mut all = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        match (&mut block, line) {
            (None, "```sh") => block = Some(String::new()),
            (Some(_), "```") => all.extend(block.take()),
            (Some(text), line) => {
                text.push_str(line);
                text.push('\n');
            }
            _ => {}
        }
    }
    all
}

/// A home with what the examples speak of: a vault, photographs, a project, other people's programs.
fn home() -> Ox {
    use std::os::unix::fs::PermissionsExt;
    let ox = Ox::new();
    let bin = ox.path("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_oxcrypt"), bin.join("oxcrypt")).unwrap();
    for (name, text) in [
        ("ssh", "shift; exec sh -c \"$*\""),
        ("make", "exec ls \"$2\""),
        ("gocryptfs", "cp -r \"$1\" \"$2\""),
    ] {
        let file = bin.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }
    for dir in ["Photos", "old", "project", "m2"] {
        std::fs::create_dir(ox.path(dir)).unwrap();
        std::fs::write(ox.path(dir).join("one"), dir).unwrap();
    }
    ox.write("notes.txt", "notes\n");
    ox.write("pw", PASSPHRASE);
    ox
}

fn run(ox: &Ox, script: &str, name: &str) {
    let path = format!(
        "{}:{}",
        ox.path("bin").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let made = ox.command(&[] as &[&str]);
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", script])
        .current_dir(ox.dir.path())
        .env_clear();
    for (key, value) in made.get_envs() {
        shell.env(key, value.unwrap_or_default());
    }
    let done = shell
        .env("PATH", path)
        .env("OXCRYPT_PASSWORD_FILE", ox.path("pw"))
        .env("OXCRYPT_NEW_PASSWORD_FILE", ox.path("pw"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{name}:\n{script}\n{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Runs the blocks of a page after `before`.
fn page(name: &str, before: &str) {
    if !can_mount() {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name);
    let blocks = blocks(&file);
    assert!(!blocks.is_empty(), "{name} has no examples");
    let ox = home();
    run(&ox, before, "preparation");
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for block in blocks {
            run(&ox, &block, name);
        }
    }));
    for point in ["clear", "Vaults/work", "old-clear"] {
        let point = ox.path(point);
        let _ = ox.words(&["lock".as_ref(), "--force".as_ref(), point.as_os_str()]);
    }
    result.unwrap();
}

/// A vault with the files that the examples name.
const FILLED: &str = "oxcrypt -q init ~/vault; oxcrypt put -r ~/vault notes.txt project /";

#[test]
fn the_readme() {
    page("README.md", "true");
}

#[test]
fn daily_use() {
    page(
        "docs/guide/daily.md",
        "mkdir -p Dropbox/work Vaults/work; oxcrypt -q init Dropbox/work",
    );
}

#[test]
fn desktop() {
    page(
        "docs/guide/desktop.md",
        "mkdir -p Dropbox/work; oxcrypt -q init Dropbox/work",
    );
}

#[test]
fn recovery() {
    page(
        "docs/guide/recovery.md",
        &format!("{FILLED}; oxcrypt recovery show ~/vault --out words"),
    );
}

#[test]
fn migration() {
    page(
        "docs/guide/migration.md",
        "oxcrypt -q init ~/vault; oxcrypt -q init ~/a; oxcrypt -q init ~/b; oxcrypt put ~/a notes.txt /",
    );
}

/// The shipped units, with the path of this build.
#[test]
fn units_are_right() {
    let known = Command::new("systemd-analyze").arg("--version").output();
    if !known.is_ok_and(|done| done.status.success()) {
        eprintln!("skipped: systemd-analyze is missing");
        return;
    }
    let ox = home();
    for kind in ["system", "user"] {
        let file = format!("../../packaging/systemd/{kind}/oxcrypt@.service");
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
        let program = env!("CARGO_BIN_EXE_oxcrypt");
        let text = text.unwrap().replace("/usr/bin/oxcrypt", program);
        let unit = ox.write("oxcrypt@test.service", text);
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no"]);
        if kind == "user" {
            verify.arg("--user");
        }
        let done = verify
            .arg(&unit)
            .env("XDG_RUNTIME_DIR", ox.dir.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!told.contains("oxcrypt@test"), "{kind}: {told}");
    }
}
