//! The files that the packages install.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::bed::{Bed, until};

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../packaging")
        .join(name)
}

fn read(name: &str) -> String {
    let file = packaging(name);
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// The shipped file of the bus, with the program of this build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_starts_the_service() {
    let Some(bed) = Bed::new().await else { return };
    let service = read("desktop/org.oxcrypt.Manager1.service");
    let program = env!("CARGO_BIN_EXE_oxcrypt-tray");
    let service = service.replace("/usr/bin/oxcrypt-tray", program);
    assert!(service.contains(program), "{service}");
    std::fs::create_dir(bed.path("services")).unwrap();
    bed.write("services/org.oxcrypt.Manager1.service", &service);
    // What a session manager hands to the bus.
    let environment: HashMap<String, String> = bed
        .command("true")
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value?.to_str()?.to_owned())))
        .collect();
    let bus = "org.freedesktop.DBus";
    for (method, body) in [
        ("UpdateActivationEnvironment", Some(environment)),
        ("ReloadConfig", None),
    ] {
        let path = "/org/freedesktop/DBus";
        let done = match body {
            Some(body) => {
                bed.bus
                    .call_method(Some(bus), path, Some(bus), method, &(body,))
                    .await
            }
            None => {
                bed.bus
                    .call_method(Some(bus), path, Some(bus), method, &())
                    .await
            }
        };
        done.unwrap();
    }
    // Nothing runs yet; the call itself starts it, and is answered.
    assert_eq!(bed.state("work").await, "locked");
    assert!(
        bed.desktop.items().is_empty(),
        "without an icon, which nobody asked for"
    );
    bed.call("Ask", &("work", false)).await.unwrap();
    bed.call("Show", &()).await.unwrap();
    until("the icon is registered", async || {
        !bed.desktop.items().is_empty()
    })
    .await;
    assert_eq!(bed.spawn(&["--quit"]).ended().await, 0);
    assert!(bed.status().is_empty());
}

#[test]
fn the_unit_is_right() {
    let unit = read("systemd/user/oxcrypt-tray.service");
    // Whatever ends the service leaves the mounts alone, and no bus means no endless restarts.
    for line in [
        "KillMode=process",
        "RestartPreventExitStatus=69",
        "BusName=org.oxcrypt.Manager1",
    ] {
        assert!(unit.lines().any(|l| l == line), "{line}");
    }
    let known = std::process::Command::new("systemd-analyze")
        .arg("--version")
        .output();
    if !known.is_ok_and(|done| done.status.success()) {
        eprintln!("skipped: systemd-analyze is missing");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("oxcrypt-tray.service");
    let program = env!("CARGO_BIN_EXE_oxcrypt-tray");
    std::fs::write(&file, unit.replace("/usr/bin/oxcrypt-tray", program)).unwrap();
    let done = std::process::Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--user"])
        .arg(&file)
        .env("XDG_RUNTIME_DIR", dir.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!told.contains("oxcrypt-tray"), "{told}");
}

#[test]
fn names_agree() {
    let desktop = read("desktop/org.oxcrypt.Tray.desktop");
    assert!(
        desktop.contains("\nIcon=org.oxcrypt.Tray\n") && desktop.contains("\nExec=oxcrypt-tray\n")
    );
    let autostart = read("desktop/autostart.desktop");
    assert!(autostart.contains("\nExec=oxcrypt-tray --login\n"));
    for name in [
        "org.oxcrypt.Tray",
        "oxcrypt-locked",
        "oxcrypt-unlocked",
        "oxcrypt-attention",
    ] {
        let icon = read(&format!("desktop/icons/{name}.svg"));
        assert!(
            icon.starts_with("<svg ") && icon.trim_end().ends_with("</svg>"),
            "{name}"
        );
    }
    let build = read("build");
    for file in [
        "autostart/org.oxcrypt.Tray.desktop",
        "services/org.oxcrypt.Manager1.service",
    ] {
        assert!(build.contains(file), "{file}");
    }
}
