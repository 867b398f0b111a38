//! A session of its own: a home, a bus, vaults, the tray.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zbus::Connection;

use crate::desktop::{Desktop, Login};

pub(crate) const PASSPHRASE: &str = "correct horse battery";
pub(crate) const NAME: &str = "org.oxcrypt.Manager1";
pub(crate) const PATH: &str = "/org/oxcrypt/Manager1";

/// A process that ends with its owner.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All of it. What is mounted goes at the end.
pub(crate) struct Bed {
    pub(crate) dir: TempDir,
    address: String,
    pub(crate) bus: Connection,
    pub(crate) desktop: Desktop,
    pub(crate) login: Login,
    buses: Vec<Process>,
}

impl Bed {
    /// `None`, with a line that says why, where it cannot be; a failure where CI is set.
    pub(crate) async fn new() -> Option<Self> {
        if let Some(missing) = missing() {
            assert!(
                std::env::var_os("CI").is_none(),
                "this must work here: {missing}"
            );
            eprintln!("skipped: {missing}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (session, address) = bus(dir.path(), "session");
        let (system, system_address) = bus(dir.path(), "system");
        let bus = connect(&address).await;
        let desktop = Desktop::start(&address).await;
        let login = Login::start(&system_address).await;
        let bed = Self {
            dir,
            address,
            bus,
            desktop,
            login,
            buses: vec![session, system],
        };
        bed.prepare(&system_address);
        Some(bed)
    }

    fn prepare(&self, system: &str) {
        self.write("system-address", system);
        self.write("pw", PASSPHRASE);
        for name in ["run", "bin", ".config/oxcrypt"] {
            std::fs::create_dir_all(self.path(name)).unwrap();
        }
        std::fs::set_permissions(self.path("run"), PermissionsExt::from_mode(0o700)).unwrap();
        for name in ["work", "home"] {
            let made = self.ox(&["-q", "init", name, "--password-file", "pw"]);
            assert!(made.status.success(), "{made:?}");
        }
        self.script("ask", &format!("echo '{PASSPHRASE}'"));
        self.configure("");
    }

    /// Two vaults, a prompter, and `more`. What else is mounted on this machine is left alone.
    pub(crate) fn configure(&self, more: &str) {
        let dir = self.dir.path().display();
        let text = format!(
            "[vaults.home]\npath = \"{dir}/home\"\n[vaults.work]\npath = \"~/work\"\n{more}\n\
             [tray]\nunnamed = false\nprompter = [\"{dir}/bin/ask\"]\n"
        );
        self.write_whole(".config/oxcrypt/config.toml", &text);
    }

    /// With other settings of the tray.
    pub(crate) fn configure_tray(&self, vaults: &str, tray: &str) {
        let dir = self.dir.path().display();
        let text = format!(
            "[vaults.home]\npath = \"{dir}/home\"\n[vaults.work]\npath = \"~/work\"\n{vaults}\n\
             [tray]\nunnamed = false\n{tray}\n"
        );
        self.write_whole(".config/oxcrypt/config.toml", &text);
    }

    /// All mounts on this machine show: nothing may lock them all then.
    pub(crate) fn take_unnamed(&self) {
        let file = ".config/oxcrypt/config.toml";
        let text = std::fs::read_to_string(self.path(file)).unwrap();
        self.write_whole(file, &text.replace("unnamed = false", "unnamed = true"));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    /// As editors do: nobody sees half of it.
    fn write_whole(&self, name: &str, text: &str) {
        let fresh = self.write(&format!("{name}.new"), text);
        std::fs::rename(fresh, self.path(name)).unwrap();
    }

    /// A program in the first directory of PATH.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let file = self.write(&format!("bin/{name}.new"), &format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::rename(file, self.path(&format!("bin/{name}"))).unwrap();
    }

    /// A program in the environment of this session.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let paths = std::env::var("PATH").unwrap_or_default();
        let system = std::fs::read_to_string(self.path("system-address")).unwrap();
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", format!("{}:{paths}", self.path("bin").display()))
            .env("HOME", self.dir.path())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("XDG_DATA_DIRS", self.path("share"))
            .env("XDG_CONFIG_DIRS", self.path("xdg"))
            .env("XDG_SESSION_ID", "c1")
            .env("OXCRYPT_TRAY_LOOK_MS", "200")
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("DBUS_SYSTEM_BUS_ADDRESS", system)
            .stdin(Stdio::null());
        command
    }

    /// Runs the command line tool.
    pub(crate) fn ox<S: AsRef<OsStr>>(&self, words: &[S]) -> Output {
        self.command(oxcrypt()).args(words).output().unwrap()
    }

    /// What `oxcrypt status` says of vaults in this session.
    pub(crate) fn status(&self) -> Vec<serde_json::Value> {
        let done = self.ox(&["--json", "status"]);
        let all: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
        let ours = |m: &&serde_json::Value| {
            m["vault"]
                .as_str()
                .is_some_and(|v| Path::new(v).starts_with(self.dir.path()))
        };
        all["mounts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(ours)
            .cloned()
            .collect()
    }

    /// Mounts at the place the tray would take.
    pub(crate) fn mount(&self, name: &str) -> PathBuf {
        let point = self.path(&format!("Vaults/{name}"));
        std::fs::create_dir_all(&point).unwrap();
        let words = [OsStr::new("mount"), OsStr::new(name), point.as_os_str()];
        let done = self
            .command(oxcrypt())
            .args(words)
            .args(["--password-file", "pw"])
            .output();
        let done = done.unwrap();
        assert!(done.status.success(), "{done:?}");
        point
    }

    pub(crate) fn spawn(&self, words: &[&str]) -> Process {
        let mut command = self.command(env!("CARGO_BIN_EXE_oxcrypt-tray"));
        Process(command.args(words).spawn().unwrap())
    }

    /// Starts the tray, and waits until it serves.
    pub(crate) async fn tray(&self) -> Process {
        self.tray_with(&[]).await
    }

    pub(crate) async fn tray_with(&self, words: &[&str]) -> Process {
        let tray = self.spawn(words);
        until("the tray serves", async || self.vaults().await.is_some()).await;
        tray
    }

    /// What the tray lists: name, state.
    pub(crate) async fn vaults(&self) -> Option<Vec<(String, String)>> {
        let answer = self
            .bus
            .call_method(Some(NAME), PATH, Some(NAME), "ListVaults", &())
            .await
            .ok()?;
        let all: Vec<std::collections::HashMap<String, zbus::zvariant::OwnedValue>> =
            answer.body().deserialize().unwrap();
        let text = |v: &zbus::zvariant::OwnedValue| v.downcast_ref::<String>().unwrap();
        Some(
            all.iter()
                .map(|v| (text(&v["name"]), text(&v["state"])))
                .collect(),
        )
    }

    pub(crate) async fn state(&self, name: &str) -> String {
        let all = self.vaults().await.expect("the tray serves");
        let found = all.into_iter().find(|(n, _)| n == name);
        found.map_or_else(|| "unknown".to_owned(), |(_, state)| state)
    }

    pub(crate) async fn until_state(&self, name: &str, state: &str) {
        until(&format!("{name} is {state}"), async || {
            self.state(name).await == state
        })
        .await;
    }

    /// Calls the service.
    pub(crate) async fn call<B>(&self, method: &str, body: &B) -> zbus::Result<zbus::Message>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.bus
            .call_method(Some(NAME), PATH, Some(NAME), method, body)
            .await
    }

    /// As at the end of a session.
    pub(crate) fn end_session_bus(&mut self) {
        self.buses.remove(0);
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for mount in self.status() {
            let point = mount["mountpoint"].as_str().unwrap_or_default();
            let _ = self.ox(&["lock", "--force", point]);
        }
    }
}

/// The name of a failed call, without the prefix.
pub(crate) fn error_name(result: &zbus::Result<zbus::Message>) -> (String, String) {
    match result {
        Err(zbus::Error::MethodError(name, text, _)) => {
            let name = name.as_str().rsplit('.').next().unwrap().to_owned();
            (name, text.clone().unwrap_or_default())
        }
        other => panic!("not an error of the service: {other:?}"),
    }
}

/// A program that sits in a directory.
pub(crate) fn sit_in(dir: &Path) -> Process {
    let mut command = Command::new("sleep");
    Process(command.arg("600").current_dir(dir).spawn().unwrap())
}

/// Waits, in bounded time.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "not in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn missing() -> Option<&'static str> {
    let in_path = |program: &str| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|dir| dir.join(program).is_file())
    };
    if !in_path("dbus-daemon") {
        Some("dbus-daemon is missing")
    } else if !Path::new("/dev/fuse").exists() {
        Some("/dev/fuse is missing")
    } else if !is_root() && !in_path("fusermount3") {
        Some("fusermount3 is missing")
    } else {
        None
    }
}

pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// The command beside the tray. Tests of the whole workspace have built it; otherwise it is built here
/// when it is missing, and not looked at again: `cargo build -p oxcrypt` after changes there.
pub(crate) fn oxcrypt() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let tray = Path::new(env!("CARGO_BIN_EXE_oxcrypt-tray"));
        let program = tray.with_file_name("oxcrypt");
        if program.is_file() {
            return program;
        }
        let profile = tray
            .parent()
            .and_then(Path::file_name)
            .and_then(OsStr::to_str);
        let profile = profile.filter(|p| *p != "debug").unwrap_or("dev");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "oxcrypt", "--profile", profile]);
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().unwrap().success(), "oxcrypt cannot be built");
        program
    })
}

/// A bus of its own; its address.
fn bus(dir: &Path, kind: &str) -> (Process, String) {
    let config = dir.join(format!("{kind}.conf"));
    // Everybody of this user may do everything; what a test puts there can be activated.
    let text = format!(
        "<busconfig><type>session</type><listen>unix:path={0}/{kind}.sock</listen>\
         <servicedir>{0}/services</servicedir>\
         <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
         <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
        dir.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("dbus-daemon");
    command
        .arg("--config-file")
        .arg(&config)
        .args(["--nofork", "--print-address"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut address = String::new();
    let out = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut address).unwrap();
    (Process(child), address.trim().to_owned())
}

pub(crate) async fn connect(address: &str) -> Connection {
    zbus::connection::Builder::address(address)
        .unwrap()
        .build()
        .await
        .unwrap()
}
