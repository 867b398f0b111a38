//! A target in use: its store, its mount, and the processes that serve it.
//!
//! Everything that could hang runs on the worker thread; [`Guard::abort`] frees it from outside by
//! killing the daemon, which makes the kernel fail every pending request of its connection.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::kernel::{self, ColdMethod};
use super::programs::Programs;
use super::recipe::{Recipe, Site, Step, recipe};
use super::target::{Kind, Target};
use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::process::{self, Usage};

const MOUNT_LIMIT: Duration = Duration::from_secs(60);
const UNMOUNT_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_micros(500);

/// What can be ended from another thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard(Arc<Mutex<Live>>);

#[derive(Debug, Default)]
struct Live {
    point: PathBuf,
    /// Device number of the FUSE connection while mounted.
    connection: Option<u32>,
    mounted: bool,
    daemons: BTreeSet<u32>,
    tools: BTreeSet<u32>,
    child: Option<Child>,
}

impl Guard {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends helper programs, daemon and mount at once, whatever they are doing.
    pub(crate) fn abort(&self) {
        let mut live = self.live();
        for &pid in live.tools.iter().chain(&live.daemons) {
            process::kill(pid, Signal::KILL);
        }
        if let Some(connection) = live.connection.take() {
            kernel::abort_connection(connection);
        }
        if live.mounted {
            kernel::detach(&live.point);
            live.mounted = false;
        }
        collect(&mut live);
    }

    pub(crate) fn add_tool(&self, pid: u32) {
        self.live().tools.insert(pid);
    }

    pub(crate) fn remove_tool(&self, pid: u32) {
        self.live().tools.remove(&pid);
    }

    pub(crate) fn daemons(&self) -> BTreeSet<u32> {
        self.live().daemons.clone()
    }

    /// Whether the daemon is gone although nobody unmounted it.
    pub(crate) fn daemon_died(&self) -> bool {
        let live = self.live();
        live.mounted
            && !live.daemons.is_empty()
            && !live.daemons.iter().any(|&p| process::is_alive(p))
    }
}

/// Takes in the ended processes.
fn collect(live: &mut Live) {
    if let Some(mut child) = live.child.take() {
        let _ = child.wait();
        live.daemons.remove(&child.id());
    }
    for pid in std::mem::take(&mut live.daemons) {
        process::reap(pid);
    }
}

/// One target with its own store and mount point.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) target: Target,
    pub(crate) site: Site,
    recipe: Recipe,
    guard: Guard,
    warm_up: Duration,
    pub(crate) cold_method: Option<ColdMethod>,
    /// The last mount's options as the kernel lists them.
    pub(crate) mount_options: String,
}

/// Where an instance lives and how it is treated.
#[derive(Debug, Clone)]
pub(crate) struct Setup<'a> {
    pub(crate) base: &'a Path,
    pub(crate) password: &'a str,
    pub(crate) warm_up: Duration,
    pub(crate) watch: &'a Watch,
}

/// Every instance of a run, so that all can be ended at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Vec<Guard>>>);

impl Watch {
    fn add(&self, guard: &Guard) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(guard.clone());
    }

    /// Newest first: what lies inside another mount must go before it.
    pub(crate) fn abort_all(&self) {
        let guards = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for guard in guards.iter().rev() {
            guard.abort();
        }
    }
}

impl Instance {
    /// Makes the store below `setup.base`; nothing is mounted yet.
    pub(crate) fn create(
        target: &Target,
        setup: &Setup<'_>,
        programs: &Programs,
    ) -> CaseResult<Self> {
        let site = Site {
            store: setup.base.join("store"),
            point: setup.base.join("mount"),
            state: setup.base.join("state"),
            password: setup.password.to_owned(),
            password_file: setup.base.join("state/password"),
        };
        let site = match &target.kind {
            Kind::Plain => Site {
                point: site.store.clone(),
                ..site
            },
            Kind::Existing(dir) => Site {
                store: dir.clone(),
                point: dir.clone(),
                ..site
            },
            _ => site,
        };
        for dir in [&site.store, &site.point, &site.state] {
            fs::create_dir_all(dir).at("mkdir", dir)?;
        }
        fs::write(&site.password_file, format!("{}\n", setup.password))
            .at("write", &site.password_file)?;
        private(&site.password_file).at("chmod", &site.password_file)?;
        if let Kind::VaultCopy(vault) = &target.kind {
            copy_tree(vault, &site.store)?;
        }
        let recipe = recipe(target, &site, programs)?;
        let guard = Guard::default();
        guard.live().point.clone_from(&site.point);
        setup.watch.add(&guard);
        let instance = Self {
            target: target.clone(),
            site,
            warm_up: if recipe.just_in_time {
                setup.warm_up.max(Duration::from_secs(2))
            } else {
                setup.warm_up
            },
            recipe,
            guard,
            cold_method: None,
            mount_options: String::new(),
        };
        if let Some(init) = &instance.recipe.init {
            instance.run_to_end(init, "create")?;
        }
        if target.is_oxcrypt() && std::env::var_os("OXCRYPT_FAST_KDF").is_some() {
            super::fast_kdf::make_cheap(&instance.site)?;
        }
        Ok(instance)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.site.point
    }

    pub(crate) fn guard(&self) -> Guard {
        self.guard.clone()
    }

    pub(crate) fn is_mounted(&self) -> bool {
        self.guard.live().mounted
    }

    /// The command that mounts, as a person would type it.
    pub(crate) fn mount_command(&self) -> String {
        let shown = self
            .recipe
            .mount
            .as_ref()
            .map(Step::shown)
            .unwrap_or_default();
        shown.replace(&self.site.password, "…")
    }

    pub(crate) fn usage(&self) -> Usage {
        process::usage(&self.guard.daemons())
    }

    /// Returns the time from the command's start until the mount answered.
    pub(crate) fn mount(&mut self) -> CaseResult<Duration> {
        if self.is_mounted() {
            return Ok(Duration::ZERO);
        }
        let Some(step) = self.recipe.mount.clone() else {
            self.guard.live().mounted = matches!(self.target.kind, Kind::Existing(_));
            return Ok(Duration::ZERO);
        };
        let me = std::process::id();
        let before = process::children_of(me);
        let started = Instant::now();
        let child = self.spawn(&step, "mount")?;
        self.guard.live().daemons.insert(child.id());
        let outcome = self.wait_for_mount(child, started);
        // Daemons leave their parent and are handed to us, their nearest subreaper.
        let new: BTreeSet<u32> = process::children_of(me)
            .difference(&before)
            .copied()
            .collect();
        let mut live = self.guard.live();
        live.daemons = process::with_descendants(&new);
        match outcome {
            Ok((entry, took)) => {
                live.connection = entry.fs_type.starts_with("fuse").then_some(entry.minor);
                live.mounted = true;
                drop(live);
                self.mount_options = format!("{} {}", entry.fs_type, entry.options);
                Ok(took)
            }
            Err(error) => {
                drop(live);
                self.guard.abort();
                Err(error)
            }
        }
    }

    fn wait_for_mount(
        &self,
        mut child: Child,
        started: Instant,
    ) -> CaseResult<(kernel::MountEntry, Duration)> {
        let result = loop {
            let ended = child.try_wait().map_err(CaseFailure::io("wait"))?;
            let entry = kernel::mount_at(&self.site.point);
            match (entry, ended) {
                (Some(entry), _) if !self.recipe.daemonises => break Ok(entry),
                (Some(entry), Some(status)) if status.success() => break Ok(entry),
                (_, Some(status)) if !status.success() || !self.recipe.daemonises => {
                    break Err(CaseFailure::Mount(format!(
                        "{status}: {}",
                        self.last_words("mount")
                    )));
                }
                _ if started.elapsed() > MOUNT_LIMIT => break Err(CaseFailure::Hung(MOUNT_LIMIT)),
                _ => std::thread::sleep(POLL),
            }
        };
        // The first request answered: only now can a user work.
        let result = result.and_then(|entry| {
            fs::read_dir(&self.site.point).at("list", &self.site.point)?;
            Ok((entry, started.elapsed()))
        });
        self.guard.live().child = Some(child);
        result
    }

    /// Returns the time until the mount was gone and its daemon had ended.
    pub(crate) fn unmount(&mut self) -> CaseResult<Duration> {
        if !self.is_mounted() || self.recipe.mount.is_none() {
            return Ok(Duration::ZERO);
        }
        let started = Instant::now();
        loop {
            let done = match &self.recipe.unmount {
                Some(step) => self.run_to_end(step, "unmount").is_ok(),
                None if self.recipe.ends_by_signal => {
                    for pid in self.guard.daemons() {
                        process::kill(pid, Signal::TERM);
                    }
                    true
                }
                None => kernel::unmount_command(&self.site.point, false)
                    .map_err(CaseFailure::io("unmount"))?,
            };
            if done || kernel::mount_at(&self.site.point).is_none() {
                break;
            }
            if started.elapsed() > Duration::from_secs(5) {
                let why = format!("unmount: {}", self.last_words("unmount"));
                self.guard.abort();
                return Err(CaseFailure::Mount(why));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Some write the last data only when they end.
        loop {
            let mut live = self.guard.live();
            let running = match &mut live.child {
                Some(child) => child.try_wait().is_ok_and(|s| s.is_none()),
                None => false,
            } || live.daemons.iter().any(|&p| process::is_alive(p));
            if !running && kernel::mount_at(&live.point).is_none() {
                live.mounted = false;
                live.connection = None;
                collect(&mut live);
                return Ok(started.elapsed());
            }
            drop(live);
            if started.elapsed() > UNMOUNT_LIMIT {
                self.guard.abort();
                return Err(CaseFailure::Hung(UNMOUNT_LIMIT));
            }
            std::thread::sleep(POLL);
        }
    }

    /// A fresh mount whose data is in no cache, warmed up on files of its own so that a program
    /// compiled at run time is not measured compiling.
    pub(crate) fn go_cold(&mut self) -> CaseResult<()> {
        self.unmount()?;
        self.cold_method = Some(kernel::drop_caches(&self.site.store));
        self.mount()?;
        self.warm_up()
    }

    pub(crate) fn warm_up(&self) -> CaseResult<()> {
        let dir = self.root().join(".oxbench-warm-up");
        fs::create_dir_all(&dir).at("mkdir", &dir)?;
        let started = Instant::now();
        let mut turn = 0;
        while started.elapsed() < self.warm_up {
            let file = dir.join(format!("f{}", turn % 16));
            fs::write(&file, [turn as u8; 4096]).at("write", &file)?;
            let read = fs::read(&file).at("read", &file)?;
            if read.len() != 4096 {
                return Err(CaseFailure::Corrupt(format!(
                    "warm-up file of {} bytes",
                    read.len()
                )));
            }
            fs::metadata(&file).at("stat", &file)?;
            turn += 1;
        }
        fs::remove_dir_all(&dir).at("remove", &dir)
    }

    fn run_to_end(&self, step: &Step, log: &str) -> CaseResult<()> {
        let mut child = self.spawn(step, log)?;
        self.guard.add_tool(child.id());
        let status = child.wait().map_err(CaseFailure::io(log))?;
        self.guard.remove_tool(child.id());
        if status.success() {
            return Ok(());
        }
        Err(CaseFailure::Mount(format!(
            "{log}: {status}: {}",
            self.last_words(log)
        )))
    }

    fn spawn(&self, step: &Step, log: &str) -> CaseResult<Child> {
        use std::os::unix::process::CommandExt;
        let log_file = self.log_path(log);
        let out = fs::File::create(&log_file).at("create", &log_file)?;
        let err = out.try_clone().at("dup", &log_file)?;
        let mut command = Command::new(&step.program);
        command
            .args(&step.args)
            .envs(&step.env)
            .stdout(out)
            .stderr(err);
        command.stdin(if step.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        // A group of its own: Ctrl-C must reach us alone, so that we can end it in order.
        command.process_group(0);
        let mut child = command
            .spawn()
            .map_err(CaseFailure::io(step.program.display().to_string()))?;
        if let (Some(text), Some(mut pipe)) = (&step.stdin, child.stdin.take()) {
            // Fails only if the program has ended; its own message says more.
            let _ = pipe.write_all(text.as_bytes());
        }
        Ok(child)
    }

    fn log_path(&self, log: &str) -> PathBuf {
        self.site.state.join(format!("{log}.log"))
    }

    /// The last lines the program wrote, for the report.
    fn last_words(&self, log: &str) -> String {
        let text = fs::read(self.log_path(log)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut lines: Vec<&str> = text
            .lines()
            .rev()
            .filter(|l| !l.trim().is_empty())
            .take(3)
            .collect();
        lines.reverse();
        lines.join(" / ").chars().take(300).collect()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.unmount().is_err() || self.is_mounted() {
            if matches!(self.target.kind, Kind::Existing(_)) {
                return;
            }
            self.guard.abort();
        }
    }
}

fn private(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))
}

fn copy_tree(from: &Path, to: &Path) -> CaseResult<()> {
    fs::create_dir_all(to).at("mkdir", to)?;
    for entry in fs::read_dir(from).at("list", from)? {
        let entry = entry.at("list", from)?;
        let target = to.join(entry.file_name());
        if entry.file_type().at("stat", from)?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).at("copy", &target)?;
        }
    }
    Ok(())
}
