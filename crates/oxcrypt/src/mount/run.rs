//! `mount`: unlock, mount, serve.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

use oxcrypt_fuse::{Mount, RingSupport};
use oxcrypt_store::{LocalStore, Store, Watcher};
use oxcrypt_vault::{Backups, MASTERKEY_FILE, Unlocked, keep_copy};

use super::args::{Args, Way};
use super::live::{EventLog, Live, Sink};
use super::{claim, control, daemon, hooks, idle, logging, signals, table};
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{At, Failure, Result};
use crate::open::{self, Fs, Mode};
use crate::target::Target;

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let mut args = args.clone();
    let unknown = args.options.take_o()?;
    if let Some(word) = unknown.first() {
        return Err(Failure::usage(format!("-o {word} is not known")));
    }
    let target = Target::find(&args.vault.vault, &ctx.config)?;
    if !args.daemon_child {
        args.options.configured(&target, &ctx.config.defaults)?;
    }
    if args.options.transport == Some(Way::Ring) && RingSupport::find() != RingSupport::On {
        return Err(Failure::new(
            Exit::Mount,
            "this kernel does not serve mounts through rings",
        )
        .hint("`oxcrypt doctor` tells why; `--transport auto` mounts in any case"));
    }
    let point = mountpoint(&args, &target)?;
    if args.daemon_child {
        daemon::detach();
        let key = daemon::receive_key()?;
        let store = target.store()?;
        let unlocked = open::unlock_verified(store, key, Backups::Skip).at(target.label())?;
        return serve(ctx, &args, &target, &point, unlocked);
    }
    // Refused before anybody types a passphrase.
    need_device()?;
    if !args.options.ro && !args.options.shared {
        drop(claim::exclusive(&target)?);
    }
    if args.foreground {
        daemon::small_pages(true);
        let mode = if args.options.ro {
            Mode::Read
        } else {
            Mode::Write
        };
        let unlocked = open::unlock_target(ctx, &target, &args.vault.source, mode)?;
        crate::memory::give_back();
        return serve(ctx, &args, &target, &point, unlocked);
    }
    let open = open::open_target_key(ctx, &target, &args.vault.source)?;
    if !args.options.ro {
        keep_copies(ctx, &target, open.key_file().is_some());
    }
    daemon::start(ctx, &child_words(ctx, &args, &target, &point), &open.key)?;
    // Not by the process that serves it: see `Mount::serve`.
    std::fs::metadata(&point).map_err(|e| cannot_mount(&e, &point))?;
    Ok(())
}

/// Copies of the two key files, as unlocking for use makes them.
fn keep_copies(ctx: &Ctx, target: &Target, with_key_file: bool) {
    let Ok(store) = target.store() else { return };
    let files = [
        Some(oxcrypt_vault::CONFIG_FILE),
        with_key_file.then_some(MASTERKEY_FILE),
    ];
    for name in files.into_iter().flatten() {
        let Ok(content) = store.read_small(&store.root(), name.as_bytes(), 64 << 10) else {
            continue;
        };
        if let Err(e) = keep_copy(&*store, name, &content) {
            ctx.out.warn(format!("{name}: no backup was made: {e}"));
        }
    }
}

fn mountpoint(args: &Args, target: &Target) -> Result<PathBuf> {
    let configured = target
        .entry
        .mountpoint
        .as_deref()
        .map(crate::config::expand);
    let point = args.mountpoint.clone().or(configured).ok_or_else(|| {
        Failure::usage("where to mount it?")
            .hint("name a directory, or set mountpoint in the configuration")
    })?;
    clean_up(&point)?;
    let point = point.canonicalize().map_err(|e| {
        let failure = Failure::io(&e).at(point.display());
        if e.kind() == std::io::ErrorKind::NotFound {
            return Failure::new(Exit::Mount, format!("{}: does not exist", point.display()))
                .hint("the directory to mount at must be there: make it with mkdir");
        }
        failure
    })?;
    if !point.is_dir() {
        return Err(Failure::usage(format!(
            "{} is not a directory",
            point.display()
        )));
    }
    if table::at(&point)?.is_some() {
        return Err(Failure::new(
            Exit::Busy,
            format!("a vault is mounted at {} already", point.display()),
        )
        .hint(format!("`oxcrypt lock {}` ends that", point.display())));
    }
    Ok(point)
}

/// Takes away what mounts left whose processes are gone.
fn clean_up(point: &Path) -> Result<()> {
    let point = crate::target::absolute(point)?;
    while let Some(mount) = table::at(&point)? {
        if !mount.is_stale() {
            break;
        }
        super::lock::detach(&mount)?;
    }
    Ok(())
}

/// The command line of the background process: nothing secret is in it.
fn child_words(ctx: &Ctx, args: &Args, target: &Target, point: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["mount".into(), "--daemon-child".into()];
    if ctx.out.json {
        words.push("--json".into());
    }
    words.extend(args.options.words());
    words.extend([
        OsString::from("--"),
        target.path.clone().into(),
        point.to_owned().into(),
    ]);
    words
}

fn serve(
    ctx: &Ctx,
    args: &Args,
    target: &Target,
    point: &Path,
    unlocked: Unlocked<LocalStore>,
) -> Result<()> {
    let options = &args.options;
    let claim = if options.ro || options.shared {
        None
    } else {
        Some(claim::exclusive(target)?)
    };
    logging::start(options, ctx.out.verbose)?;
    if rustix::process::geteuid().is_root() {
        // The kernel has applied the caller's umask already; ours must not cut modes again.
        rustix::process::umask(rustix::fs::Mode::empty());
    }
    let events = Arc::new(EventLog::default());
    let sink = Box::new(Sink(Arc::clone(&events)));
    let (vfs, journal) = (options.vfs(), options.journal());
    let fs = open::file_system(ctx, target, unlocked, vfs, journal, sink)?;
    let watcher = watch(&fs);
    let mut mount = Mount::new(Arc::clone(&fs), point, options.transport(&target.path))
        .map_err(|e| cannot_mount(&e, point))?;
    if let Some(watcher) = watcher {
        mount = mount.watching(watcher);
    }
    let (point, vault) = (point.to_owned(), target.path.clone());
    let live = Arc::new(Live::new(point, vault, options, fs, mount.meter(), events));
    let server = table::at(&live.point)?.map(|mounted| control::listen(&live, &mounted));
    let server = server.transpose().unwrap_or_else(|e| {
        // The mount works without; only `status` and the hooks do not.
        ctx.out.warn(format!("no control socket: {}", e.message));
        None
    });
    let signals = signals::handle(&live)?;
    let answers = announce(ctx, args, &live);
    idle::watch(&live);
    let ready = move || {
        // A thread that is gone has nobody to tell.
        let _ = answers.send(());
    };
    let served = mount.serve(confine(options, target), ready);
    live.ending.store(true, Ordering::Release);
    live.events.say("locked", live.set_reason(None));
    live.events.end();
    if args.foreground {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    }
    if let Some(server) = server {
        server.end();
    }
    drop(claim);
    if signals.was_forced() {
        return Err(Failure::interrupted());
    }
    served.map_err(|e| {
        Failure::new(
            Exit::Mount,
            format!("the connection to the kernel failed: {e}"),
        )
    })
}

/// What the threads that serve do before they look at any request; those that were started before
/// can still unmount and run hooks.
fn confine(options: &super::args::Options, target: &Target) -> impl Fn() + Send + Sync + 'static {
    // Root's journals are not in its home.
    let journals = crate::config::journal_dir();
    let state = crate::config::state_dir();
    let runtime = super::runtime::dir().ok();
    let places = [Some(target.path.clone()), journals, state, runtime];
    let places: Vec<PathBuf> = places.into_iter().flatten().collect();
    let wanted = !options.no_sandbox;
    let told = AtomicBool::new(false);
    move || {
        if !wanted {
            return;
        }
        let places: Vec<&Path> = places.iter().map(PathBuf::as_path).collect();
        let confined = crate::hardening::confine(&places);
        let whole = confined.places && confined.calls;
        if !whole && !told.swap(true, Ordering::Relaxed) {
            tracing::warn!("this kernel cannot confine the mount; it runs without a sandbox");
        }
    }
}

/// Fails where the kernel offers no way to mount at all.
fn need_device() -> Result<()> {
    if Path::new("/dev/fuse").exists() {
        return Ok(());
    }
    Err(Failure::new(Exit::Mount, "/dev/fuse is missing").hint(
        "load the module (modprobe fuse); in a container pass --device /dev/fuse --cap-add \
         SYS_ADMIN; without mounting use `oxcrypt ls`, `get`, `put`",
    ))
}

pub(crate) fn cannot_mount(error: &std::io::Error, point: &Path) -> Failure {
    if let Err(failure) = need_device() {
        return failure;
    }
    let message = format!("cannot mount at {}: {error}", point.display());
    Failure::new(Exit::Mount, message).hint("`oxcrypt doctor` tells what is missing")
}

/// Watches the vault for changes by other programs, where the storage can tell of them.
fn watch(fs: &Arc<Fs>) -> Option<Arc<Watcher>> {
    if !fs.store().capabilities().watchable {
        return None;
    }
    let watcher = Arc::new(Watcher::new().ok()?);
    fs.watch(Box::new(Arc::clone(&watcher)));
    Some(watcher)
}

/// Tells whoever waits that the mount answers, as soon as it says so through what is returned. On a
/// thread of its own, which is not confined: a hook may do what it likes.
fn announce(ctx: &Ctx, args: &Args, live: &Arc<Live>) -> Sender<()> {
    let (child, foreground) = (args.daemon_child, args.foreground);
    let (notify_fd, hook) = (args.notify_fd, args.options.on_unlock.clone());
    let quiet = ctx.out.quiet || ctx.out.json;
    let live = Arc::clone(live);
    let (answers, wait) = channel();
    std::thread::spawn(move || {
        // Dropped without a word, the mount ended before.
        let Ok(()) = wait.recv() else { return };
        live.events.say("unlocked", None);
        let told = if child {
            daemon::report_ready()
        } else {
            Ok(())
        };
        if let Err(e) = told {
            tracing::error!(error = %e, "cannot report to the parent process");
        }
        if foreground {
            if !quiet {
                eprintln!("Mounted at {}.", live.point.display());
            }
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        }
        if let Some(fd) = notify_fd {
            let _ = std::fs::write(format!("/proc/self/fd/{fd}"), b"\n");
        }
        if let Some(line) = hook {
            hooks::on_unlock(&live, &line);
        }
    });
    answers
}
