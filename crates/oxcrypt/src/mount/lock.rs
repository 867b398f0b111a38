//! `lock`: unmount and forget the keys, in bounded time.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::mount::UnmountFlags;
use rustix::process::Pid;
use serde::Serialize;

use super::busy::Look;
use super::control::{self, How};
use super::live::Live;
use super::table::{self, Mounted};
use super::{busy, hooks, look};
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};
use crate::out::Text;

/// Arguments of `lock`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Where it is mounted, or the vault: its directory or @NAME.
    #[arg(value_name = "MOUNTPOINT|VAULT|@NAME", required_unless_present = "all")]
    what: Option<OsString>,
    /// All vaults of this user.
    #[arg(long, conflicts_with = "what")]
    all: bool,
    /// Even while programs use it: they get errors from then on. Written data is kept.
    #[arg(long, conflicts_with = "lazy")]
    force: bool,
    /// Take it out of sight at once; its keys are forgotten when the last program lets go.
    #[arg(long)]
    lazy: bool,
    /// Give up after this long.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
    timeout: Duration,
    /// Only hand over what the kernel holds for it. Set by the process of a mount.
    #[arg(long, hide = true)]
    flush_only: bool,
}

#[derive(Serialize)]
struct Line {
    schema: &'static str,
    mountpoint: Text,
    vault: Text,
    locked: bool,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    if let (true, Some(point)) = (args.flush_only, &args.what) {
        return flush_here(Path::new(point));
    }
    let how = match (args.force, args.lazy) {
        (true, _) => How::Forcibly,
        (_, true) => How::Lazily,
        _ => How::Gently,
    };
    let mut failure: Option<Failure> = None;
    let chosen = chosen(ctx, args)?;
    // Called from inside a mount this process would keep it busy itself.
    std::env::set_current_dir("/").host(Path::new("/"))?;
    for mount in chosen {
        let locked = lock(&mount, how, args.timeout);
        if ctx.out.json {
            ctx.out.object(&Line {
                schema: "oxcrypt.lock/1",
                mountpoint: Text::from(mount.point.as_path()),
                vault: Text::from(mount.vault.as_path()),
                locked: locked.is_ok(),
            })?;
        } else if locked.is_ok() {
            ctx.out.note(format!("Locked {}.", mount.point.display()));
        }
        if let Err(e) = locked
            && let Some(before) = failure.replace(e)
        {
            ctx.out.failure(&before);
        }
    }
    failure.map_or(Ok(()), Err)
}

fn chosen(ctx: &Ctx, args: &Args) -> Result<Vec<Mounted>> {
    let mounts = table::mounts()?;
    let own = rustix::process::geteuid();
    if args.all {
        let ours = |m: &Mounted| own.is_root() || m.uid == Some(own.as_raw());
        return Ok(mounts.into_iter().filter(ours).collect());
    }
    let word = args.what.clone().unwrap_or_default();
    find(ctx, mounts, &word)
}

/// The mounts that a word means: a mount point, a vault, or the `@name` of one.
pub(super) fn find(ctx: &Ctx, mounts: Vec<Mounted>, word: &OsString) -> Result<Vec<Mounted>> {
    let (path, _) = crate::target::locate(word, &ctx.config)?;
    let absolute = crate::target::absolute(&path)?;
    // A mount that does not answer cannot be made canonical, so the name as given counts as well.
    let real = path.canonicalize().unwrap_or_else(|_| absolute.clone());
    let is_meant = |m: &Mounted| {
        [&absolute, &real]
            .into_iter()
            .any(|p| *p == m.point || *p == m.vault)
    };
    let found: Vec<Mounted> = mounts.into_iter().filter(is_meant).collect();
    if found.is_empty() {
        return Err(Failure::new(
            Exit::Mount,
            format!(
                "no vault is mounted at {}, and none of this name is mounted",
                path.display()
            ),
        )
        .hint("`oxcrypt mounts` shows what is mounted"));
    }
    Ok(found)
}

/// For what the kernel holds of open files to be handed over, before they are cut off.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// For programs that only looked, and for children just begun that have what their parents had open.
const LET_GO: Duration = Duration::from_millis(250);

/// For a process that was killed to be gone.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// Ends a mount, and waits until its process is gone.
fn lock(mount: &Mounted, how: How, timeout: Duration) -> Result<()> {
    let mut end = Instant::now() + timeout;
    let left = || {
        end.saturating_duration_since(Instant::now())
            .max(Duration::from_millis(100))
    };
    if mount.is_stale() {
        return detach(mount);
    }
    let process = control::process(mount);
    let asked = if process.is_some() {
        control::lock_from_outside(mount, how, left())
    } else {
        // Of another user, or older than its socket: the kernel decides.
        let flags = match how {
            How::Gently => UnmountFlags::empty(),
            How::Lazily | How::Forcibly => UnmountFlags::DETACH,
        };
        unmount(&mount.point, flags)
    };
    match asked {
        Ok(()) => {}
        // Somebody else ended it meanwhile.
        Err(_) if !mount.is_there().unwrap_or(true) => {}
        Err(e) if e.exit == Exit::Busy => return Err(told_by_whom(mount)),
        // It died meanwhile, killed a moment before perhaps, and what it leaves is a stale mount.
        Err(e) if e.exit != Exit::Timeout && process.is_some_and(|p| is_dying(mount, p)) => {
            detach(mount)?;
        }
        Err(e) if e.exit == Exit::Timeout && how == How::Forcibly => {
            detach(mount)?;
            if let Some(process) = process {
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
            // The time was spent on asking; dying takes a moment as well.
            end = Instant::now() + LAST_MOMENT;
        }
        Err(e) => return Err(e),
    }
    if how == How::Lazily {
        return Ok(());
    }
    let is_gone = || !mount.is_there().unwrap_or(false) && !process.is_some_and(runs);
    while !is_gone() {
        if Instant::now() >= end {
            let text = format!("{} is not locked after {timeout:?}", mount.point.display());
            return Err(Failure::new(Exit::Timeout, text).hint("`--force` ends it"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Whether a process runs; one that only waits to be collected by its parent does not.
fn runs(process: Pid) -> bool {
    look::state_of(process).is_some_and(|state| state != 'Z' && state != 'X')
}

/// Whether the process of a mount is on its way out: its threads end one after the other, and its
/// sockets with the last one.
fn is_dying(mount: &Mounted, process: Pid) -> bool {
    !runs(process) || !control::is_listening(mount, LAST_MOMENT)
}

fn told_by_whom(mount: &Mounted) -> Failure {
    let point = mount.point.display();
    let mut failure = Failure::new(Exit::Busy, format!("{point} is in use")).hint(format!(
        "close these programs, or: oxcrypt lock --force {point}"
    ));
    failure.holders = busy::holders(mount, Look::Quick);
    if failure.holders.is_empty() {
        failure.holders = busy::holders(mount, Look::Thorough);
    }
    failure
}

/// In the mount's own process: hook, unmount, and the note that it is ending.
pub(super) fn from_inside(live: &Live, how: How) -> Result<()> {
    if let Some(command) = &live.before_lock {
        hooks::before_lock(live, command);
    }
    let flags = match how {
        How::Gently => UnmountFlags::empty(),
        How::Lazily | How::Forcibly => {
            // What the kernel still holds for the vault goes there first.
            if let Err(e) = flush(&live.point) {
                tracing::warn!(error = %e, "what programs have not closed may be lost");
            }
            UnmountFlags::DETACH
        }
    };
    let done = end_mount(live, flags, LET_GO);
    if let Err(e) = &done {
        live.events.say("lock_failed", Some(e.message.clone()));
    }
    done
}

/// Has another process hand over what the kernel holds for the mount, in bounded time: this one,
/// waiting for its own mount, could not be killed.
fn flush(point: &Path) -> std::io::Result<()> {
    let mut child = Command::new("/proc/self/exe")
        .args(["--quiet", "lock", "--flush-only", "--"])
        .arg(point)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let end = Instant::now() + FLUSH_PATIENCE;
    while Instant::now() < end {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(std::io::Error::other(status.to_string())),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    let _ = child.kill();
    // It may wait for a disk that does not answer; whoever waited for it then would as well.
    std::thread::spawn(move || child.wait());
    Err(std::io::ErrorKind::TimedOut.into())
}

/// The other half of [`flush`].
fn flush_here(point: &Path) -> Result<()> {
    let dir = std::fs::File::open(point).host(point)?;
    rustix::fs::syncfs(&dir).host(point)
}

/// As [`from_inside`], for a vault that is not used: a refusal is not worth an event each time.
pub(super) fn quietly(live: &Live) -> Result<()> {
    if let Some(command) = &live.before_lock {
        // It would run in vain, again and again, while the vault is in use.
        if !table::at(&live.point)?.is_some_and(|m| busy::holders(&m, Look::Quick).is_empty()) {
            return Err(Failure::new(Exit::Busy, "in use"));
        }
        hooks::before_lock(live, command);
    }
    end_mount(live, UnmountFlags::empty(), Duration::ZERO)
}

/// Unmounts, if need be after waiting so long for programs that are about to let go of it.
fn end_mount(live: &Live, flags: UnmountFlags, patience: Duration) -> Result<()> {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_millis(5);
    loop {
        match unmount(&live.point, flags) {
            Ok(()) => break,
            // Somebody else was faster, the hook perhaps.
            Err(_) if table::at(&live.point).is_ok_and(|left| left.is_none()) => break,
            Err(e) if e.exit == Exit::Busy && Instant::now() + pause < end => {
                std::thread::sleep(pause);
                pause *= 2;
            }
            Err(e) => return Err(e),
        }
    }
    live.ending.store(true, Ordering::Release);
    Ok(())
}

/// Ends the process of a mount that was taken out of sight: its users get errors from then on.
pub(super) fn end_process(live: &Live) -> ! {
    live.fs.stop();
    std::process::exit(0);
}

/// Takes a mount that nobody serves any more out of the tree at once, and has the kernel end what is
/// still asked of it: a process that was killed may leave a thread that waits, by way of the kernel,
/// for one who waits for the mount.
pub(super) fn detach(mount: &Mounted) -> Result<()> {
    // Where the kernel shows its connections, they can be cut by who mounted, too. Opened first: what is
    // open stays that connection's, also if the number is given to another mount.
    let connection = format!("/sys/fs/fuse/connections/{}/abort", mount.minor);
    if let Ok(mut abort) = OpenOptions::new().write(true).open(connection)
        && mount.is_there()?
    {
        let _ = abort.write_all(b"1");
    }
    unmount(&mount.point, UnmountFlags::DETACH)
}

/// Unmounts; as an ordinary user by way of fusermount3, which is allowed to.
pub(super) fn unmount(point: &Path, flags: UnmountFlags) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return rustix::mount::unmount(point, flags | UnmountFlags::NOFOLLOW).host(point);
    }
    let program = std::env::var_os("FUSERMOUNT_PATH").unwrap_or_else(|| "fusermount3".into());
    let mut command = Command::new(&program);
    command.arg("-u");
    if flags.contains(UnmountFlags::DETACH) {
        command.arg("-z");
    }
    let done = command
        .arg("--")
        .arg(point)
        .stdin(Stdio::null())
        .output()
        .host(&PathBuf::from(&program))?;
    if done.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    let exit = if text.contains("busy") {
        Exit::Busy
    } else {
        Exit::Mount
    };
    Err(Failure::new(exit, text))
}
