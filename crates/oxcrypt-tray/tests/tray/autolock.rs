//! Vaults lock themselves.

use std::time::{Duration, Instant};

use crate::bed::{Bed, sit_in, until};

/// Both vaults unlocked, the tray running.
async fn open() -> Option<(Bed, crate::bed::Process)> {
    let bed = Bed::new().await?;
    let tray = bed.tray().await;
    for name in ["work", "home"] {
        bed.mount(name);
        bed.until_state(name, "unlocked").await;
    }
    until("the machine is kept awake", async || {
        bed.login.inhibitors() == (1, true)
    })
    .await;
    Some((bed, tray))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_machine_sleeps() {
    let Some((bed, _tray)) = open().await else {
        return;
    };
    let start = Instant::now();
    bed.login.sleep(true).await;
    until("it lets the machine sleep", async || {
        !bed.login.inhibitors().1
    })
    .await;
    let took = start.elapsed();
    assert!(bed.status().is_empty(), "locked before it lets go");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let told = bed.desktop.told("A vault was locked").await;
    assert_eq!(told.body, "The computer goes to sleep");
    bed.login.sleep(false).await;
    until("it is ready for the next sleep", async || {
        bed.login.inhibitors() == (2, true)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_vault_does_not_keep_the_machine_awake() {
    let Some((bed, _tray)) = open().await else {
        return;
    };
    let user = sit_in(&bed.path("Vaults/work"));
    let start = Instant::now();
    bed.login.sleep(true).await;
    until("it lets the machine sleep", async || {
        !bed.login.inhibitors().1
    })
    .await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(bed.status().len(), 1, "the other one is locked");
    let told = bed.desktop.told("could not be locked").await;
    let expected = format!(
        "It is in use by sleep ({}) (the computer goes to sleep)",
        user.pid()
    );
    assert_eq!(told.body, expected);
    bed.desktop.press(told.id, "force").await;
    bed.until_state("work", "locked").await;
    drop(user);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_force_where_it_is_wanted() {
    let Some(bed) = Bed::new().await else { return };
    bed.configure_tray("", "busy = \"force\"");
    let _tray = bed.tray().await;
    let user = sit_in(&bed.mount("work"));
    bed.until_state("work", "unlocked").await;
    until("the machine is kept awake", async || {
        bed.login.inhibitors().1
    })
    .await;
    let start = Instant::now();
    bed.login.sleep(true).await;
    until("it lets the machine sleep", async || {
        !bed.login.inhibitors().1
    })
    .await;
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(bed.status().is_empty());
    drop(user);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_screen_is_locked() {
    let Some((bed, _tray)) = open().await else {
        return;
    };
    bed.desktop.lock_screen().await;
    bed.until_state("work", "locked").await;
    bed.until_state("home", "locked").await;
    let told = bed.desktop.told("A vault was locked").await;
    assert_eq!(told.body, "The screen was locked");
    // By the session manager, and only for sessions of this user.
    bed.mount("work");
    bed.until_state("work", "unlocked").await;
    bed.login.lock_session(false).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bed.state("work").await, "unlocked");
    bed.login.lock_session(true).await;
    bed.until_state("work", "locked").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_vault_says_when() {
    let Some(bed) = Bed::new().await else { return };
    bed.configure("lock_on = [\"lid\"]");
    let _tray = bed.tray().await;
    for name in ["work", "home"] {
        bed.mount(name);
        bed.until_state(name, "unlocked").await;
    }
    until("the machine is kept awake", async || {
        bed.login.inhibitors().1
    })
    .await;
    bed.desktop.lock_screen().await;
    bed.until_state("home", "locked").await;
    assert_eq!(bed.state("work").await, "unlocked");
    bed.login.close_lid().await;
    bed.until_state("work", "locked").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_without_a_name_stays() {
    let Some((bed, _tray)) = open().await else {
        return;
    };
    bed.take_unnamed();
    assert!(
        bed.ox(&["-q", "init", "other", "--password-file", "pw"])
            .status
            .success()
    );
    bed.mount("other");
    let id = bed.path("other").display().to_string();
    bed.until_state(&id, "unlocked").await;
    bed.desktop.lock_screen().await;
    bed.until_state("work", "locked").await;
    bed.until_state("home", "locked").await;
    assert_eq!(bed.state(&id).await, "unlocked");
    bed.click(&["other", "Lock"]).await;
    bed.until_state(&id, "unknown").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_session_ends() {
    let Some((bed, mut tray)) = open().await else {
        return;
    };
    bed.login.end_session().await;
    bed.until_state("work", "locked").await;
    bed.until_state("home", "locked").await;
    // And by the end of the tray itself, which the service manager brings about.
    bed.mount("work");
    bed.until_state("work", "unlocked").await;
    tray.signal("-TERM");
    assert_eq!(tray.ended().await, 0);
    assert!(bed.status().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_just_being_unlocked_is_locked_too() {
    let Some(bed) = Bed::new().await else { return };
    bed.script(
        "slow",
        &format!("touch ~/asked; sleep 1; echo '{}'", crate::bed::PASSPHRASE),
    );
    bed.configure(&format!(
        "password_command = [\"{}\"]",
        bed.path("bin/slow").display()
    ));
    let _tray = bed.tray().await;
    let (bus, name) = (bed.bus.clone(), crate::bed::NAME);
    let unlocking = tokio::spawn(async move {
        let body = ("work", false);
        let path = crate::bed::PATH;
        bus.call_method(Some(name), path, Some(name), "Ask", &body)
            .await
    });
    until("it is being unlocked", async || bed.path("asked").exists()).await;
    bed.desktop.lock_screen().await;
    unlocking.await.unwrap().unwrap();
    bed.until_state("work", "locked").await;
    let told = bed.desktop.told("A vault was locked").await;
    assert_eq!(told.body, "The screen was locked");
}
