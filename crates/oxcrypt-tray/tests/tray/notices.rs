//! What is told about mounted vaults.

use std::path::{Path, PathBuf};

use crate::bed::{Bed, is_root, oxcrypt, until};

/// A file in a mounted vault, and where it lies encrypted.
fn stored(bed: &Bed, name: &str) -> PathBuf {
    let done = bed.ox(&["locate", "work", name, "--password-file", "pw"]);
    let place = String::from_utf8(done.stdout).unwrap();
    bed.path("work").join(place.trim())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file() {
    let Some(bed) = Bed::new().await else { return };
    bed.write("f", "some content");
    let put = bed.ox(&["put", "work", "f", "/secret-name", "--password-file", "pw"]);
    assert!(put.status.success());
    let file = stored(&bed, "/secret-name");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let _tray = bed.tray().await;
    let point = bed.mount("work");
    bed.until_state("work", "unlocked").await;
    for _ in 0..20 {
        assert!(std::fs::read(point.join("secret-name")).is_err());
    }
    let told = bed.desktop.told("A file in a vault is damaged").await;
    assert_eq!(told.body, "It cannot be read; `oxcrypt check` tells more");
    let all = bed.desktop.notices();
    assert!(
        all.iter().filter(|n| n.summary.contains("damaged")).count() <= 2,
        "{all:?}"
    );
    assert!(!format!("{all:?}").contains("secret-name"));
    bed.until_title("oxcrypt: see the menu").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locked_for_being_unused() {
    let Some(bed) = Bed::new().await else { return };
    bed.configure("idle = \"1s\"");
    let _tray = bed.tray().await;
    let point = bed.mount("work");
    bed.until_state("work", "unlocked").await;
    let user = crate::bed::sit_in(&point);
    let told = bed.desktop.told("A vault could not be locked").await;
    assert!(told.body.starts_with("Idle, but in use by "), "{told:?}");
    drop(user);
    let told = bed.desktop.told("A vault was locked").await;
    assert_eq!(told.body, "It was not used for 1s");
    bed.until_state("work", "locked").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unmounted_and_killed_by_others() {
    let Some(bed) = Bed::new().await else { return };
    let _tray = bed.tray().await;
    let point = bed.mount("work");
    bed.until_state("work", "unlocked").await;
    // Whoever looks at all mounts of the machine keeps it busy for a moment.
    until("it is unmounted", async || {
        let mut umount = bed.command(if is_root() { "umount" } else { "fusermount3" });
        if !is_root() {
            umount.arg("-u");
        }
        umount.arg(&point).status().unwrap().success()
    })
    .await;
    bed.until_state("work", "locked").await;
    let told = bed.desktop.told("A vault was locked").await;
    assert_eq!(told.body, "By another program");

    bed.mount("work");
    bed.until_state("work", "unlocked").await;
    let pid = bed.status()[0]["pid"].as_u64().unwrap().to_string();
    assert!(
        bed.command("kill")
            .args(["-KILL", &pid])
            .status()
            .unwrap()
            .success()
    );
    bed.until_state("work", "stale").await;
    let told = bed.desktop.told("oxcrypt").await;
    assert!(told.body.contains("ended unexpectedly"), "{told:?}");
    bed.click(&["work (stale)", "Clear away"]).await;
    bed.until_state("work", "locked").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_that_is_nearly_full() {
    let Some(bed) = Bed::new().await else { return };
    // More than any disk has.
    bed.configure_tray("", "low_space_mib = 1000000000000");
    let _tray = bed.tray().await;
    bed.mount("work");
    let told = bed
        .desktop
        .told("The storage of a vault is nearly full")
        .await;
    assert!(told.body.ends_with(" are left"), "{told:?}");
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let all = bed.desktop.notices();
    assert_eq!(
        all.iter().filter(|n| n.summary.contains("full")).count(),
        1,
        "told once"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_by_another_device() {
    let Some(bed) = Bed::new().await else { return };
    let _tray = bed.tray().await;
    let point = bed.mount("work");
    bed.until_state("work", "unlocked").await;
    work_in(&point);
    tokio::time::sleep(std::time::Duration::from_millis(1000)).await;
    let own = bed.desktop.notice("A vault was changed elsewhere");
    assert!(own.is_none(), "our own changes are no news: {own:?}");
    // What a sync client does: files appear in the vault beside the mount.
    bed.write("g", "from elsewhere");
    let put = bed.ox(&["put", "work", "g", "/g", "--password-file", "pw"]);
    assert!(put.status.success(), "{put:?}");
    bed.desktop.told("A vault was changed elsewhere").await;
    assert_eq!(
        std::fs::read_to_string(point.join("g")).unwrap(),
        "from elsewhere"
    );
}

/// What programs do in a vault.
fn work_in(point: &Path) {
    for round in 0..30 {
        let dir = point.join(format!("dir{round}"));
        std::fs::create_dir(&dir).unwrap();
        let file = dir.join("file");
        std::fs::write(&file, "one").unwrap();
        std::fs::write(&file, "two, and longer").unwrap();
        std::fs::rename(&file, dir.join("renamed")).unwrap();
        std::fs::write(dir.join("tmp"), "three").unwrap();
        std::fs::rename(dir.join("tmp"), dir.join("renamed")).unwrap();
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
        if round % 2 == 0 {
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_wanted_is_not_told() {
    let Some(bed) = Bed::new().await else { return };
    let ask = format!("prompter = [\"{}\"]\n", bed.path("bin/ask").display());
    bed.configure_tray("", &format!("{ask}silent = [\"unlocked\"]\nnames = true"));
    let _tray = bed.tray().await;
    bed.call("Ask", &("work", false)).await.unwrap();
    bed.call("Lock", &("work", false)).await.unwrap();
    let told = bed.desktop.told("work was locked").await;
    assert_eq!(told.body, "As a program wanted");
    assert!(bed.desktop.notice("unlocked").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_of_notifications_there_is_the_log() {
    let Some(bed) = Bed::new().await else { return };
    bed.desktop.stop_notifications().await;
    let mut command = bed.command(env!("CARGO_BIN_EXE_oxcrypt-tray"));
    let log = bed.write("log", "");
    command.stderr(std::fs::File::create(&log).unwrap());
    let _tray = crate::bed::Process(command.spawn().unwrap());
    until("it serves", async || bed.vaults().await.is_some()).await;
    bed.mount("work");
    until("the log tells it", async || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("A vault was unlocked"))
    })
    .await;
    assert!(oxcrypt().is_file());
}
