//! Unlocking and locking from the menu.

use crate::bed::{Bed, PASSPHRASE, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn click_unlock_see_lock() {
    let Some(bed) = Bed::new().await else { return };
    let tray = bed.tray().await;
    until("the icon is registered", async || {
        !bed.desktop.items().is_empty()
    })
    .await;
    assert_eq!(bed.title().await, "oxcrypt: locked");
    let lines = bed.menu().await.lines();
    assert_eq!(lines[..2], ["home", "  Unlock…"]);
    assert!(
        lines.contains(&"work".to_owned()) && lines.contains(&"Quit".to_owned()),
        "{lines:?}"
    );

    bed.click(&["work", "Unlock…"]).await;
    bed.until_state("work", "unlocked").await;
    bed.until_title("oxcrypt: unlocked").await;
    let point = bed.path("Vaults/work");
    std::fs::write(point.join("note"), "written through the mount").unwrap();
    // The tray and the command see the same.
    let status = bed.status();
    assert_eq!(status.len(), 1);
    assert_eq!(status[0]["mountpoint"], point.to_str().unwrap());
    let place = format!("work: {}", point.display());
    let tip = format!("{:?}", bed.item_property("ToolTip").await);
    assert!(tip.contains(&place), "{tip}");
    let told = bed.desktop.told("A vault was unlocked").await;
    assert_eq!(told.body, "", "names are hidden");
    // Neither the tray nor the mount shows the passphrase.
    for pid in [u64::from(tray.pid()), status[0]["pid"].as_u64().unwrap()] {
        for file in ["environ", "cmdline"] {
            let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&text).contains(PASSPHRASE));
        }
    }

    bed.click(&["work", "Lock"]).await;
    bed.until_state("work", "locked").await;
    bed.until_title("oxcrypt: locked").await;
    assert!(bed.status().is_empty());
    assert!(!point.join("note").exists());
    let told = bed.desktop.told("A vault was locked").await;
    assert_eq!(told.body, "As you wanted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_passphrase_asks_again() {
    let Some(bed) = Bed::new().await else { return };
    let asked = bed.path("asked");
    let script = |right: u32| {
        format!(
            "echo \"$1\" >> {0}\nif [ $(wc -l < {0}) -ge {right} ]; then echo '{PASSPHRASE}'; else echo wrong; fi",
            asked.display()
        )
    };
    bed.script("ask", &script(2));
    let _tray = bed.tray().await;
    bed.click(&["work", "Unlock…"]).await;
    bed.until_state("work", "unlocked").await;
    let questions = std::fs::read_to_string(&asked).unwrap();
    let lines: Vec<&str> = questions.lines().collect();
    assert_eq!(lines[0], "Passphrase of the vault work:");
    assert_eq!(lines[1], "Wrong passphrase. Passphrase of the vault work:");
    bed.click(&["work", "Lock"]).await;
    bed.until_state("work", "locked").await;

    std::fs::remove_file(&asked).unwrap();
    bed.script("ask", &script(99));
    bed.click(&["work", "Unlock…"]).await;
    let told = bed.desktop.told("oxcrypt").await;
    assert!(told.body.contains("wrong passphrase"), "{told:?}");
    assert_eq!(std::fs::read_to_string(&asked).unwrap().lines().count(), 3);
    bed.until_state("work", "locked").await;
    bed.until_title("oxcrypt: see the menu").await;
    bed.click(&["Recent events", "Mark as seen"]).await;
    bed.until_title("oxcrypt: locked").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_no_failure() {
    let Some(bed) = Bed::new().await else { return };
    bed.script("ask", "touch ~/asked; exit 1");
    let _tray = bed.tray().await;
    bed.click(&["work", "Unlock…"]).await;
    until("somebody was asked", async || bed.path("asked").exists()).await;
    bed.until_state("work", "locked").await;
    assert!(
        bed.desktop.notices().is_empty(),
        "{:?}",
        bed.desktop.notices()
    );
    assert_eq!(bed.title().await, "oxcrypt: locked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_folder_and_settings() {
    let Some(bed) = Bed::new().await else { return };
    bed.script("xdg-open", "echo \"$1\" > ~/opened");
    let opened = async |path: &str| {
        let expected = format!("{}\n", bed.path(path).display());
        until(&format!("{path} is opened"), async || {
            std::fs::read_to_string(bed.path("opened")).is_ok_and(|text| text == expected)
        })
        .await;
    };
    let _tray = bed.tray().await;
    bed.click(&["work", "Unlock read-only…"]).await;
    bed.until_state("work", "unlocked").await;
    assert_eq!(bed.status()[0]["ro"], true);
    assert!(std::fs::write(bed.path("Vaults/work/x"), "").is_err());
    bed.click(&["work (unlocked, read-only)", "Open folder"])
        .await;
    opened("Vaults/work").await;
    bed.click(&["Settings"]).await;
    opened(".config/oxcrypt/config.toml").await;
    // A click on the notification opens it as well.
    std::fs::remove_file(bed.path("opened")).unwrap();
    let told = bed.desktop.told("A vault was unlocked").await;
    bed.desktop.press(told.id, "default").await;
    opened("Vaults/work").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_vault_names_its_users() {
    let Some(bed) = Bed::new().await else { return };
    bed.configure_tray("", "names = true");
    let _tray = bed.tray().await;
    let point = bed.mount("work");
    bed.until_state("work", "unlocked").await;
    let user = crate::bed::sit_in(&point);
    bed.click(&["work", "Lock"]).await;
    let told = bed.desktop.told("work could not be locked").await;
    let who = format!("sleep ({})", user.pid());
    assert!(told.body.contains(&who), "{told:?}");
    assert_eq!(told.actions, ["retry", "Retry", "force", "Force"]);
    assert_eq!(told.timeout, 0, "it stays until somebody has seen it");
    bed.until_title("oxcrypt: see the menu").await;
    bed.until_state("work", "unlocked").await;

    bed.desktop.press(told.id, "retry").await;
    let count = bed.desktop.notices().len();
    until("it is told again", async || {
        bed.desktop.notices().len() > count
    })
    .await;
    bed.until_state("work", "unlocked").await;
    bed.desktop.press(told.id, "force").await;
    bed.until_state("work", "locked").await;
    assert!(bed.status().is_empty());
    drop(user);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn force_lock_and_lock_all_in_the_menu() {
    let Some(bed) = Bed::new().await else { return };
    let _tray = bed.tray().await;
    let point = bed.mount("work");
    bed.mount("home");
    bed.until_state("home", "unlocked").await;
    bed.until_state("work", "unlocked").await;
    let user = crate::bed::sit_in(&point);
    bed.click(&["Lock all"]).await;
    bed.until_state("home", "locked").await;
    bed.until_state("work", "unlocked").await;
    bed.click(&["work", "Force lock…", "Take it away from them"])
        .await;
    bed.until_state("work", "locked").await;
    drop(user);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_menu_follows_the_configuration() {
    let Some(bed) = Bed::new().await else { return };
    let _tray = bed.tray().await;
    assert_eq!(bed.state("third").await, "unknown");
    bed.configure("[vaults.third]\npath = \"/nowhere\"");
    bed.until_state("third", "missing").await;
    let lines = bed.menu().await.lines();
    assert!(lines.contains(&"third (missing)".to_owned()), "{lines:?}");
    // What is broken is told, and what was there stays.
    bed.configure("[vaults.third]\npth = \"/nowhere\"");
    bed.until_title("oxcrypt: see the menu").await;
    assert_eq!(bed.state("third").await, "missing");
    let told = bed.desktop.told("oxcrypt").await;
    assert!(told.body.contains("pth"), "{told:?}");
    bed.configure("");
    bed.until_state("third", "unknown").await;
    bed.click(&["Recent events", "Mark as seen"]).await;
    bed.until_title("oxcrypt: locked").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_is_added() {
    let Some(bed) = Bed::new().await else { return };
    let made = bed.ox(&["-q", "init", "my vault", "--password-file", "pw"]);
    assert!(made.status.success());
    bed.script("zenity", "echo ~/'my vault'");
    let mut tray = bed.command(env!("CARGO_BIN_EXE_oxcrypt-tray"));
    let _tray = crate::bed::Process(tray.env("DISPLAY", ":99").spawn().unwrap());
    until("the icon is registered", async || {
        !bed.desktop.items().is_empty()
    })
    .await;
    bed.click(&["Add vault…"]).await;
    bed.until_state("my-vault", "locked").await;
    // What is no vault gets no name.
    bed.script("zenity", "echo ~/bin");
    bed.click(&["Add vault…"]).await;
    let told = bed.desktop.told("oxcrypt").await;
    assert!(told.body.contains("vault"), "{told:?}");
    assert_eq!(bed.state("bin").await, "unknown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_at_login_is_switched() {
    let Some(bed) = Bed::new().await else { return };
    let _tray = bed.tray().await;
    let file = bed.path(".config/autostart/org.oxcrypt.Tray.desktop");
    bed.click(&["Start at login"]).await;
    until("there is an entry", async || file.exists()).await;
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("oxcrypt-tray") && text.contains("--login"),
        "{text}"
    );
    let shows = async |on: bool| {
        let menu = bed.menu().await;
        let item = menu.below.iter().find(|n| n.label == "Start at login");
        item.is_some_and(|item| item.is_on == on)
    };
    until("the menu shows it", async || shows(true).await).await;
    bed.click(&["Start at login"]).await;
    until("there is none", async || !file.exists()).await;
    until("the menu shows that", async || shows(false).await).await;
    // Where the packages start it for everybody, a user can still be without.
    std::fs::create_dir_all(bed.path("xdg/autostart")).unwrap();
    bed.write(
        "xdg/autostart/org.oxcrypt.Tray.desktop",
        "[Desktop Entry]\n",
    );
    bed.click(&["Start at login"]).await;
    until("it is on", async || shows(true).await).await;
    bed.click(&["Start at login"]).await;
    until("it is hidden", async || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains("Hidden=true"))
    })
    .await;
}
