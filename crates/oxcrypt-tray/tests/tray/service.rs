//! The service on the bus, and its life.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use futures_util::StreamExt;
use zbus::MessageStream;
use zbus::zvariant::OwnedValue;

use crate::bed::{Bed, NAME, PASSPHRASE, Process, error_name, is_root, sit_in, until};

/// The reading end of a pipe that holds a line.
fn descriptor(line: &str) -> zbus::zvariant::OwnedFd {
    use std::io::Write;
    let (read, mut write) = std::io::pipe().unwrap();
    writeln!(write, "{line}").unwrap();
    OwnedFd::from(read).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unlock_by_descriptor() {
    let Some(bed) = Bed::new().await else { return };
    let _tray = bed.tray().await;
    let rule = zbus::MatchRule::builder().interface(NAME).unwrap().build();
    let mut signals = MessageStream::for_match_rule(rule, &bed.bus, Some(64))
        .await
        .unwrap();

    let wrong = bed
        .call("Unlock", &("work", descriptor("wrong"), false))
        .await;
    assert_eq!(error_name(&wrong).0, "WrongKey");
    let unknown = bed
        .call("Unlock", &("nobody", descriptor("x"), false))
        .await;
    assert_eq!(error_name(&unknown).0, "UnknownVault");
    let done = bed
        .call("Unlock", &("work", descriptor(PASSPHRASE), false))
        .await
        .unwrap();
    let place: String = done.body().deserialize().unwrap();
    assert_eq!(place, bed.path("Vaults/work").to_str().unwrap());
    // True as soon as the answer is there.
    assert_eq!(bed.state("work").await, "unlocked");
    assert_eq!(bed.status()[0]["mountpoint"], place);
    let again = bed
        .call("Unlock", &("work", descriptor(PASSPHRASE), false))
        .await;
    assert_eq!(error_name(&again).0, "Busy");

    let user = sit_in(&bed.path("Vaults/work"));
    let busy = error_name(&bed.call("Lock", &("work", false)).await);
    assert_eq!(busy.0, "Busy");
    assert!(
        busy.1.contains(&format!("sleep ({})", user.pid())),
        "{}",
        busy.1
    );
    bed.call("Lock", &("work", true)).await.unwrap();
    assert_eq!(bed.state("work").await, "locked");
    drop(user);

    let (mut states, mut kinds) = (Vec::new(), Vec::new());
    until("the signals have come", async || {
        let next = tokio::time::timeout(std::time::Duration::from_millis(50), signals.next());
        if let Ok(Some(Ok(message))) = next.await {
            match message.header().member().map(|m| m.to_string()).as_deref() {
                Some("VaultChanged") => {
                    let dict: HashMap<String, OwnedValue> = message.body().deserialize().unwrap();
                    let text = |key: &str| dict[key].downcast_ref::<String>().unwrap();
                    states.push((text("name"), text("state")));
                }
                Some("Event") => {
                    let body = message.body();
                    let (_, kind, _): (&str, &str, &str) = body.deserialize().unwrap();
                    kinds.push(kind.to_owned());
                }
                _ => {}
            }
        }
        kinds.contains(&"locked".to_owned())
    })
    .await;
    let states: Vec<&str> = states
        .iter()
        .filter(|(name, _)| name == "work")
        .map(|(_, state)| state.as_str())
        .collect();
    for state in ["unlocking", "unlocked", "locking", "locked"] {
        assert!(states.contains(&state), "{state} in {states:?}");
    }
    assert!(kinds.contains(&"unlocked".to_owned()), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_in_a_session() {
    let Some(bed) = Bed::new().await else { return };
    let mut first = bed.tray_with(&["--hidden"]).await;
    assert!(
        bed.desktop.items().is_empty(),
        "hidden means without an icon"
    );
    assert_eq!(bed.spawn(&["--hidden"]).ended().await, 0);
    assert!(bed.desktop.items().is_empty());
    assert_eq!(bed.spawn(&[]).ended().await, 0);
    until("the first one shows its icon", async || {
        bed.desktop.items().len() == 1
    })
    .await;
    assert_eq!(bed.spawn(&["--quit"]).ended().await, 0);
    assert_eq!(first.ended().await, 0);
    assert_eq!(bed.spawn(&["--quit"]).ended().await, 0, "nothing to end");
    assert_eq!(bed.spawn(&["--what"]).ended().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_of_icons_comes_and_goes() {
    let Some(bed) = Bed::new().await else { return };
    bed.desktop.stop_watcher().await;
    let _tray = bed.tray().await;
    assert!(bed.desktop.items().is_empty());
    for _ in 0..2 {
        bed.desktop.start_watcher().await;
        until("the icon is registered", async || {
            !bed.desktop.items().is_empty()
        })
        .await;
        assert_eq!(bed.title().await, "oxcrypt: locked");
        bed.desktop.stop_watcher().await;
    }
    // Without an icon everything else works.
    bed.call("Ask", &("work", false)).await.unwrap();
    assert_eq!(bed.state("work").await, "unlocked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_tray_harms_nothing() {
    let Some(bed) = Bed::new().await else { return };
    let tray = bed.tray().await;
    bed.click(&["work", "Unlock…"]).await;
    bed.until_state("work", "unlocked").await;
    let point = bed.path("Vaults/work");
    std::fs::write(point.join("a"), "a").unwrap();
    tray.signal("-KILL");
    drop(tray);
    std::fs::write(point.join("b"), "b").unwrap();
    assert_eq!(std::fs::read_to_string(point.join("a")).unwrap(), "a");

    let before = bed.desktop.notices().len();
    let _tray = bed.tray().await;
    assert_eq!(bed.state("work").await, "unlocked");
    assert_eq!(
        bed.desktop.notices().len(),
        before,
        "what was mounted before is no news"
    );
    // It hears of this mount again.
    bed.ox(&["lock", "work"]);
    bed.until_state("work", "locked").await;
    let told = bed.desktop.told("A vault was locked").await;
    assert_eq!(told.body, "By another program");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_still_belongs_to_a_killed_tray() {
    let Some(bed) = Bed::new().await else { return };
    for words in [&[][..], &["--hidden"]] {
        let first = bed.tray().await;
        first.signal("-STOP");
        let mut second = bed.spawn(words);
        // The question to the first one is on its way.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        drop(first);
        until("the second one serves", async || {
            bed.vaults().await.is_some()
        })
        .await;
        assert_eq!(bed.spawn(&["--quit"]).ended().await, 0);
        assert_eq!(second.ended().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quitting_locks_unless_told_otherwise() {
    let Some(bed) = Bed::new().await else { return };
    let mut tray = bed.tray().await;
    let point = bed.mount("work");
    bed.until_state("work", "unlocked").await;
    let user = sit_in(&point);
    assert_eq!(bed.spawn(&["--quit"]).ended().await, 1, "it is in use");
    bed.click(&["Lock all and quit"]).await;
    bed.desktop.told("A vault could not be locked").await;
    assert_eq!(bed.state("work").await, "unlocked");
    drop(user);
    assert_eq!(bed.spawn(&["--quit", "--keep"]).ended().await, 0);
    assert_eq!(tray.ended().await, 0);
    assert_eq!(bed.status().len(), 1, "it stays unlocked");

    let mut tray = bed.tray().await;
    bed.click(&["Lock all and quit"]).await;
    assert_eq!(tray.ended().await, 0);
    assert!(bed.status().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unlocked_at_login() {
    let Some(bed) = Bed::new().await else { return };
    bed.configure(&format!(
        "at_login = true\nunlock = \"file\"\npassword_file = \"{}\"",
        bed.path("pw").display()
    ));
    {
        let _tray = bed.tray().await;
        // Only at login: a tray that starts again must not open what was locked.
        assert_eq!(bed.state("work").await, "locked");
        assert_eq!(bed.spawn(&["--quit"]).ended().await, 0);
    }
    let _tray = bed.tray_with(&["--login"]).await;
    bed.until_state("work", "unlocked").await;
    assert_eq!(bed.state("home").await, "locked");
}

/// Other mounts on this machine, and the end of those that were there when the name space was made, are
/// rightly noticed: they are taken away in a name space of its own.
const ALONE: &str = "grep ' - fuse' /proc/self/mountinfo | cut -d' ' -f5 | while read -r point; do \
    umount -l \"$(printf '%b' \"$point\")\"; done; exec \"$@\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_it_sleeps_and_is_small() {
    let Some(bed) = Bed::new().await else { return };
    let mut command = bed.command(if is_root() { "unshare" } else { "env" });
    if is_root() {
        command.args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            ALONE,
            "alone",
        ]);
    }
    let tray = Process(
        command
            .arg(env!("CARGO_BIN_EXE_oxcrypt-tray"))
            .spawn()
            .unwrap(),
    );
    until("it serves", async || bed.vaults().await.is_some()).await;
    until("the icon is registered", async || {
        !bed.desktop.items().is_empty()
    })
    .await;
    // An unlock and a lock before, so that everything has been used once.
    bed.call("Ask", &("work", false)).await.unwrap();
    bed.call("Lock", &("work", false)).await.unwrap();
    let status = || std::fs::read_to_string(format!("/proc/{}/status", tray.pid())).unwrap();
    let number = |name: &str| -> u64 {
        let text = status();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let woken_within = async |seconds| {
        let before = number("voluntary_ctxt_switches");
        tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
        number("voluntary_ctxt_switches") - before
    };
    // On a busy machine the end of the work takes a while.
    until("it is at rest", async || woken_within(2).await == 0).await;
    assert_eq!(woken_within(3).await, 0, "nothing wakes it");
    assert_eq!(number("Threads"), 1);
    let resident = number("VmRSS");
    eprintln!("resident, idle: {resident} KiB");
    // The limit is for what is shipped; code that is not optimised is larger.
    let limit = if cfg!(debug_assertions) {
        24 << 10
    } else {
        12 << 10
    };
    assert!(resident <= limit, "{resident} KiB");
}
