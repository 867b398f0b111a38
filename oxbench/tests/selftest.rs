//! The suite against file systems with known faults: what is slow, wrong, stuck or dead must be
//! found and named, and what is the same must be called the same.
//!
//! These mount real file systems; without /dev/fuse they say so and pass.

#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers may fail as the tests do"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn oxbench() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxbench"));
    command.stdin(Stdio::null());
    command
}

fn fuse_is_usable() -> bool {
    let usable = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .is_ok()
        && Command::new("fusermount3").arg("-V").output().is_ok();
    if !usable {
        eprintln!("skipped: /dev/fuse or fusermount3 is not usable here");
    }
    usable
}

fn target(name: &str, fault: &str) -> String {
    format!("cmd:{name}=;exec {{oxbench}} passthrough {fault} {{store}} {{mount}};")
}

fn run(dir: &Path, targets: &[String], more: &[&str]) -> Output {
    let mut command = oxbench();
    command
        .args(["run", "--dir"])
        .arg(dir)
        .args(["--warm-up", "5ms"]);
    for target in targets {
        command.args(["-t", target]);
    }
    command.args(more).output().unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Nothing mounted, nothing left behind.
fn assert_clean(dir: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(&dir.display().to_string()),
        "still mounted below {}",
        dir.display()
    );
    let left: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn a_wrong_byte_is_reported_as_corruption() {
    if !fuse_is_usable() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = run(
        dir.path(),
        &[target("liar", "--fault corrupt=0"), "plain".into()],
        &[
            "--suite",
            "small,seq/stream,rand/read",
            "-n",
            "1",
            "--scale",
            "0.02",
        ],
    );
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for case in [
        "small/small/read_all_cold",
        "seq/stream/read_cold",
        "rand/read/randread_qd1_iops",
    ] {
        let line = text
            .lines()
            .find(|l| l.starts_with("liar") && l.contains(case));
        assert!(
            line.is_some_and(|l| l.contains("CORRUPT")),
            "{case}\n{text}"
        );
    }
    assert!(
        !text
            .lines()
            .any(|l| l.starts_with("plain ") && l.contains("(pass")),
        "{text}"
    );
    assert_clean(dir.path());
}

#[test]
fn a_hanging_target_is_ended_and_the_others_go_on() {
    if !fuse_is_usable() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let output = run(
        dir.path(),
        &[target("stuck", "--fault hang=100"), target("fine", "")],
        &[
            "--suite",
            "small",
            "-n",
            "2",
            "--scale",
            "0.1",
            "--case-limit",
            "3s",
        ],
    );
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.lines()
            .any(|l| l.starts_with("stuck ") && l.contains("HUNG")),
        "{text}"
    );
    assert!(
        !text
            .lines()
            .any(|l| l.starts_with("fine ") && l.contains("(pass")),
        "{text}"
    );
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_clean(dir.path());
}

#[test]
fn a_dying_daemon_is_reported_as_dead() {
    if !fuse_is_usable() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = run(
        dir.path(),
        &[target("mortal", "--fault die=100"), "plain".into()],
        &["--suite", "small", "-n", "1", "--scale", "0.1"],
    );
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.lines()
            .any(|l| l.starts_with("mortal ") && l.contains("DIED")),
        "{text}"
    );
    assert_clean(dir.path());
}

/// Runs one target under the name `x`, with results in `out`.
fn measured(dir: &Path, fault: &str, out: &Path) {
    let out = out.display().to_string();
    let more = [
        "--suite",
        "meta/entries",
        "-n",
        "7",
        "--scale",
        "0.5",
        "--out",
        &out,
        "--seed",
        "1",
    ];
    let output = run(dir, &[target("x", fault)], &more);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn compare_finds_a_slow_down_and_none_in_the_same_run() {
    if !fuse_is_usable() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let results = tempfile::tempdir().unwrap();
    let (plain, slow) = (results.path().join("a"), results.path().join("slow"));
    measured(dir.path(), "", &plain);
    // A round trip takes 10 to 40 µs: this is well over 20 % of it.
    measured(dir.path(), "--fault slow=30", &slow);
    let compare = |before: &Path, after: &Path| {
        oxbench()
            .arg("compare")
            .arg(before)
            .arg(after)
            .args(["--fail-over", "20%"])
            .output()
            .unwrap()
    };
    let same = compare(&plain, &plain);
    assert_eq!(same.status.code(), Some(0), "{}", text(&same));
    assert!(
        text(&same).contains("0 faster, 0 slower"),
        "{}",
        text(&same)
    );
    let slower = compare(&plain, &slow);
    assert_eq!(slower.status.code(), Some(3), "{}", text(&slower));
    assert!(text(&slower).contains("REGRESSION"), "{}", text(&slower));
    for file in [
        "run.json",
        "index.html",
        "suites.svg",
        "meta.svg",
        "summary.md",
    ] {
        assert!(plain.join(file).is_file(), "{file}");
    }
    // The page runs nothing and fetches nothing.
    let page = std::fs::read_to_string(plain.join("index.html")).unwrap();
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for foreign in ["<script", "http://", "https://", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign} in the page");
    }
    assert_clean(dir.path());
}

/// The same file system under two names in one run: what differs is chance, and must be called so.
#[test]
fn the_same_target_twice_is_within_noise() {
    if !fuse_is_usable() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let more = [
        "--suite",
        "small,meta/entries",
        "-n",
        "5",
        "--scale",
        "0.3",
        "--reference",
        "one",
        "--json",
    ];
    let output = run(dir.path(), &[target("one", ""), target("two", "")], &more);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdicts: Vec<_> = json["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["cells"]["two"]["ratio"]["verdict"].as_str())
        .collect();
    let noise = verdicts.iter().filter(|v| **v == "within_noise").count();
    // Each row may be wrong by chance; most may not.
    assert!(
        verdicts.len() >= 10 && noise * 10 >= verdicts.len() * 6,
        "{verdicts:?}"
    );
    assert_clean(dir.path());
}

#[test]
fn an_interrupt_cleans_up() {
    if !fuse_is_usable() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = oxbench();
    command
        .args([
            "run",
            "--suite",
            "meta",
            "-n",
            "100",
            "-t",
            "passthrough",
            "--dir",
        ])
        .arg(dir.path());
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{words}");
    assert!(words.contains("unmounted and deleted"), "{words}");
    assert_clean(dir.path());
}

#[test]
fn bad_requests_are_one_line_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let full = dir.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("file"), "x").unwrap();
    let full = full.display().to_string();
    let path_target = format!("path:x={full}");
    let requests: [&[&str]; 11] = [
        &["run", "--suite", "nonesuch"],
        &["run", "-t", "nonesuch"],
        &["run", "-t", "plain,plain"],
        &["run", "-t", &path_target],
        &["run", "-t", "plain", "--reference", "gocryptfs"],
        &["run", "-t", "plain", "--dir", "/nonesuch"],
        &["run", "-t", "plain", "--suite", "small", "--out", &full],
        &[
            "run", "-t", "plain", "--suite", "scale/1M", "--scale", "100",
        ],
        &["run", "-t", "plain", "--oxcrypt", "/nonesuch"],
        &["compare", "/nonesuch/a", "/nonesuch/b"],
        &[&full, "fuse", "--password", "x"],
    ];
    for request in requests {
        let output = oxbench().args(request).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{request:?}: {words}");
        assert_eq!(words.lines().count(), 1, "{request:?}: {words}");
    }
    let damaged = dir.path().join("run.json");
    std::fs::write(&damaged, "{\"schema\":\"oxbench.run/1\"}").unwrap();
    let output = oxbench().arg("report").arg(&damaged).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_mounted_path_is_measured_and_left_empty() {
    let dir = tempfile::tempdir().unwrap();
    let (work, mine) = (dir.path().join("work"), dir.path().join("mine"));
    std::fs::create_dir(&work).unwrap();
    std::fs::create_dir(&mine).unwrap();
    let more = ["--suite", "small", "-n", "1", "--scale", "0.02"];
    let output = run(&work, &[format!("path:mine={}", mine.display())], &more);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_clean(&mine);
    assert_clean(&work);
}
