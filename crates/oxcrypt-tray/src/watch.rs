//! Notices when the configuration or the mounts change. It sleeps until the kernel says so; only
//! while something is mounted it looks around once a minute.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

use crate::app::App;
use crate::mounts::{Mount, Table};
use crate::settings::Notice;

/// How often to look at space and figures while something is mounted.
const LOOK: Duration = Duration::from_secs(60);
/// An editor saves a file in several steps.
const SETTLED: Duration = Duration::from_millis(100);

/// Follows the kernel's table of mounts.
pub(crate) async fn mounts(app: Arc<App>) {
    let mut table = match Table::open() {
        Ok(table) => table,
        Err(e) => return crate::log(&format!("mounts by other programs are not noticed: {e}")),
    };
    loop {
        if let Err(e) = table.changed().await {
            return crate::log(&format!("mounts by other programs are not noticed: {e}"));
        }
        if let Err(fault) = app.refresh().await {
            app.failed("", &fault);
        }
    }
}

/// Follows the configuration files, those that do not exist yet too.
pub(crate) async fn settings(app: Arc<App>) {
    loop {
        let dirs = app.model().settings.dirs.clone();
        let changed = async {
            let watch = DirWatch::new(&dirs)?;
            // Read when it is watched already, so that no change is missed.
            app.reload().await;
            // Names decide which mounts are ours; what cannot be asked is in the menu.
            let _ = app.refresh().await;
            watch.wait().await
        };
        if let Err(e) = changed.await {
            return crate::log(&format!(
                "changes of the configuration are not noticed: {e}"
            ));
        }
        tokio::time::sleep(SETTLED).await;
    }
}

/// Watches directories, or for missing ones the place where they would appear.
struct DirWatch {
    fd: AsyncFd<OwnedFd>,
    /// The names that matter in each; none for all.
    names: HashMap<i32, Option<Vec<OsString>>>,
}

impl DirWatch {
    fn new(dirs: &[PathBuf]) -> std::io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ATTRIB;
        let mut names = HashMap::new();
        for dir in dirs {
            let there = dir.ancestors().find(|dir| dir.is_dir());
            let there = there.unwrap_or(Path::new("/"));
            let wd = inotify::add_watch(&fd, there, flags)?;
            let missing = dir.strip_prefix(there).ok();
            let name = missing
                .and_then(|rest| rest.iter().next())
                .map(OsString::from);
            match (names.entry(wd).or_insert_with(|| Some(Vec::new())), name) {
                (Some(all), Some(name)) => all.push(name),
                (all, None) => *all = None,
                (None, Some(_)) => {}
            }
        }
        #[expect(
            deprecated,
            reason = "safe for an owned descriptor; the new name is unsafe to call"
        )]
        let fd = AsyncFd::new(fd)?;
        Ok(Self { fd, names })
    }

    /// Waits for a change that matters.
    async fn wait(&self) -> std::io::Result<()> {
        let mut room = [MaybeUninit::uninit(); 4096];
        loop {
            let mut ready = self.fd.readable().await?;
            let mut reader = inotify::Reader::new(self.fd.get_ref(), &mut room);
            match reader.next() {
                Ok(event) if self.matters(&event) => return Ok(()),
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn matters(&self, event: &inotify::Event<'_>) -> bool {
        let name = event
            .file_name()
            .map(|name| OsStr::from_bytes(name.to_bytes()));
        match (self.names.get(&event.wd()), name) {
            // One of the directories, or what happened to a place itself.
            (Some(None) | None, _) | (_, None) => true,
            (Some(Some(names)), Some(name)) => names.iter().any(|wanted| wanted == name),
        }
    }
}

/// What was seen at the last look, by mount point.
#[derive(Default)]
struct Seen {
    foreign_changes: u64,
    is_low: bool,
}

/// Looks for little space and for changes by other devices, while something is mounted.
pub(crate) async fn figures(app: Arc<App>) {
    let mut seen: HashMap<PathBuf, Seen> = HashMap::new();
    loop {
        let mounts = app.model().mounts.clone();
        seen.retain(|point, _| mounts.iter().any(|m| m.point == *point));
        for mount in &mounts {
            let before = seen.entry(mount.point.clone()).or_insert_with(|| Seen {
                foreign_changes: mount.figures.foreign_changes,
                is_low: false,
            });
            look(&app, mount, before).await;
        }
        if mounts.is_empty() {
            // No timer: the next mount wakes it.
            app.mounts_changed.notified().await;
            continue;
        }
        tokio::select! {
            () = app.mounts_changed.notified() => {}
            () = tokio::time::sleep(look_every()) => {
                // What cannot be asked now is asked next time.
                let _ = app.refresh().await;
            }
        }
    }
}

/// Tests do not wait for a minute.
fn look_every() -> Duration {
    let set = std::env::var("OXCRYPT_TRAY_LOOK_MS")
        .ok()
        .and_then(|ms| ms.parse().ok());
    set.map_or(LOOK, Duration::from_millis)
}

async fn look(app: &Arc<App>, mount: &Mount, before: &mut Seen) {
    let changes = mount.figures.foreign_changes;
    if changes > before.foreign_changes {
        app.happened(mount, Notice::Updated, String::new(), None);
    }
    before.foreign_changes = changes;
    let Some(limit) = app.model().settings.tray.low_space() else {
        return;
    };
    // Storage that does not answer must not keep everything else waiting.
    let vault = mount.vault.clone();
    let asked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&vault));
    let Ok(Ok(Ok(stat))) = tokio::time::timeout(Duration::from_secs(10), asked).await else {
        return;
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < limit && !before.is_low {
        before.is_low = true;
        let text = format!("{} are left", crate::texts::size(free));
        let place = Some(mount.vault.display().to_string());
        app.happened(mount, Notice::LowSpace, text, place);
    } else if free > limit.saturating_add(limit / 4) {
        before.is_low = false;
    }
}
