//! What is missing or broken leads to one clear word, never to a crash.

use std::path::PathBuf;
use std::process::Stdio;

use crate::bed::{Bed, Process, error_name, is_root, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bus() {
    let Some(bed) = Bed::new().await else { return };
    let mut command = bed.command(env!("CARGO_BIN_EXE_oxcrypt-tray"));
    command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere");
    let done = command.stderr(Stdio::piped()).output().unwrap();
    // The service unit does not start it again after this code.
    assert_eq!(done.status.code(), Some(69));
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("no session bus"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bus_goes_away() {
    let Some(mut bed) = Bed::new().await else {
        return;
    };
    let mut tray = bed.tray().await;
    bed.mount("work");
    bed.until_state("work", "unlocked").await;
    bed.end_session_bus();
    assert_eq!(tray.ended().await, 0);
    assert!(bed.status().is_empty(), "the session has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_system_bus() {
    let Some(bed) = Bed::new().await else { return };
    bed.write("system-address", "unix:path=/nowhere");
    let _tray = bed.tray().await;
    bed.call("Ask", &("work", false)).await.unwrap();
    // What the session says is still heard.
    bed.desktop.lock_screen().await;
    bed.until_state("work", "locked").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_prompter() {
    let Some(bed) = Bed::new().await else { return };
    bed.configure_tray("", "");
    let mut command = bed.command(env!("CARGO_BIN_EXE_oxcrypt-tray"));
    command.env("PATH", bed.path("bin"));
    let _tray = Process(command.spawn().unwrap());
    until("it serves", async || !bed.desktop.items().is_empty()).await;
    bed.click(&["work", "Unlock…"]).await;
    let told = bed.desktop.told("oxcrypt").await;
    assert!(told.body.contains("install pinentry"), "{told:?}");
    assert_eq!(bed.desktop.notices().len(), 1);
    // A pinentry that cannot work here gives way to a dialogue; one that can is used.
    bed.script(
        "pinentry",
        "echo OK hello; read a; echo ERR 83918950 no terminal",
    );
    let failed = bed.call("Ask", &("work", false)).await;
    assert_eq!(error_name(&failed).0, "NoPrompter");
    bed.script(
        "pinentry",
        "echo OK; while read line; do case $line in GETPIN) echo 'D correct%20horse battery'; \
         echo OK;; BYE) exit;; *) echo OK;; esac; done",
    );
    bed.call("Ask", &("work", false)).await.unwrap();
    bed.script(
        "pinentry",
        "echo OK; while read line; do case $line in GETPIN) echo ERR 83886179 cancelled;; *) \
         echo OK;; esac; done",
    );
    let refused = bed.call("Ask", &("home", false)).await;
    assert_eq!(error_name(&refused).0, "Cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vault_is_gone() {
    let Some(bed) = Bed::new().await else { return };
    let _tray = bed.tray().await;
    std::fs::rename(bed.path("work"), bed.path("moved")).unwrap();
    bed.click(&["work", "Unlock…"]).await;
    let told = bed.desktop.told("oxcrypt").await;
    assert!(told.body.contains("work"), "{told:?}");
    assert_eq!(bed.desktop.notices().len(), 1);
    bed.until_title("oxcrypt: see the menu").await;
    // A directory that is no vault.
    std::fs::create_dir(bed.path("work")).unwrap();
    let failed = bed.call("Ask", &("work", false)).await;
    assert_eq!(error_name(&failed).0, "NotAVault");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_place_to_mount() {
    let Some(bed) = Bed::new().await else { return };
    bed.write("Vaults", "a file in the way");
    let _tray = bed.tray().await;
    bed.click(&["work", "Unlock…"]).await;
    let told = bed.desktop.told("oxcrypt").await;
    assert!(told.body.contains("Vaults"), "{told:?}");
    assert_eq!(bed.desktop.notices().len(), 1);
    assert_eq!(bed.state("work").await, "locked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fuse() {
    let Some(bed) = Bed::new().await else { return };
    if !is_root() {
        eprintln!("skipped: only root can take /dev/fuse away in a name space of its own");
        return;
    }
    let mut command = bed.command("unshare");
    command.args(["--mount", "sh", "-c"]);
    command.args(["mount --bind /dev/null /dev/fuse; exec \"$@\"", "without"]);
    let _tray = Process(
        command
            .arg(env!("CARGO_BIN_EXE_oxcrypt-tray"))
            .spawn()
            .unwrap(),
    );
    bed.click(&["work", "Unlock…"]).await;
    let told = bed.desktop.told("oxcrypt").await;
    assert!(told.body.contains("cannot mount at "), "{told:?}");
    assert!(told.body.contains("oxcrypt doctor"), "{told:?}");
    assert_eq!(bed.desktop.notices().len(), 1);
    assert_eq!(bed.state("work").await, "locked");
}

/// A copy of the tray beside a command of our own.
async fn tray_with_command(bed: &Bed, text: &str) -> Process {
    let program = bed.path("bin/oxcrypt-tray");
    std::fs::copy(env!("CARGO_BIN_EXE_oxcrypt-tray"), &program).unwrap();
    bed.script("oxcrypt", text);
    let tray = Process(bed.command(&program).spawn().unwrap());
    until("the icon is registered", async || {
        !bed.desktop.items().is_empty()
    })
    .await;
    tray
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_or_nonsense_from_it() {
    let Some(bed) = Bed::new().await else { return };
    for (text, part) in [
        ("exit 1", "failed"),
        ("echo nonsense", "another version"),
        // More than anybody reads.
        ("head -c 100000000 /dev/zero", "failed"),
    ] {
        let tray = tray_with_command(&bed, text).await;
        bed.until_title("oxcrypt: see the menu").await;
        let told = bed.desktop.told("oxcrypt").await;
        assert!(told.body.contains(part), "{text}: {told:?}");
        let failed = bed.call("ListVaults", &()).await;
        assert_eq!(error_name(&failed).0, "Failed");
        drop(tray);
        bed.desktop.forget();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_cannot_be_written() {
    let Some(bed) = Bed::new().await else { return };
    if !is_root() {
        eprintln!("skipped: only root can make a directory read-only that is its own");
        return;
    }
    let _read_only = ReadOnly::new(&bed);
    let _tray = bed.tray().await;
    bed.script("secret-tool", "cat > /dev/null; echo \"$1\" >> ~/keyring");
    bed.click(&["work", "Remember passphrase…"]).await;
    let told = bed.desktop.told("oxcrypt").await;
    assert!(told.body.contains("ead-only"), "{told:?}");
    assert_eq!(bed.desktop.notices().len(), 1);
    // Nothing is kept that nobody would use.
    let kept = std::fs::read_to_string(bed.path("keyring")).unwrap();
    assert!(kept.ends_with("clear\n"), "{kept}");
}

/// The configuration's directory, mounted read-only over itself.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn new(bed: &Bed) -> Self {
        let dir = bed.path(".config/oxcrypt");
        let mount = |words: &[&str], places: &[&PathBuf]| {
            let mut command = bed.command("mount");
            assert!(command.args(words).args(places).status().unwrap().success());
        };
        mount(&["--bind"], &[&dir, &dir]);
        let made = Self(dir.clone());
        mount(&["-o", "remount,bind,ro"], &[&dir]);
        made
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}
