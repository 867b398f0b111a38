//! `mount`: unlock, mount, serve.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use oxcrypt_fuse::Mount;
use oxcrypt_store::{LocalStore, Store, Watcher};
use oxcrypt_vault::{Backups, MASTERKEY_FILE, Unlocked, keep_copy};
use oxcrypt_vfs::LogEvents;

use super::args::Args;
use super::{claim, daemon, table};
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{At, Failure, Host, Result};
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
    let point = mountpoint(&args, &target)?;
    if args.daemon_child {
        daemon::detach();
        let key = daemon::receive_key()?;
        let store = target.store()?;
        let unlocked = open::unlock_verified(store, key, Backups::Skip).at(target.label())?;
        return serve(ctx, &args, &target, &point, unlocked);
    }
    // Refused before anybody types a passphrase.
    if !args.options.ro && !args.options.shared {
        drop(claim::exclusive(&target)?);
    }
    if args.foreground {
        let mode = if args.options.ro {
            Mode::Read
        } else {
            Mode::Write
        };
        let unlocked = open::unlock_target(ctx, &target, &args.vault.source, mode)?;
        return serve(ctx, &args, &target, &point, unlocked);
    }
    let open = open::open_target_key(ctx, &target, &args.vault.source)?;
    if !args.options.ro {
        keep_copies(ctx, &target, open.key_file().is_some());
    }
    daemon::start(&child_words(&args, &target, &point), &open.key)
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
    let lost = std::fs::metadata(&point)
        .is_err_and(|e| e.raw_os_error() == Some(rustix::io::Errno::NOTCONN.raw_os_error()));
    if lost {
        clean_up(&point)?;
    }
    let point = point.canonicalize().host(&point)?;
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

/// Takes away what a mount left whose process is gone.
fn clean_up(point: &Path) -> Result<()> {
    let point = crate::target::absolute(point)?;
    match table::at(&point)? {
        Some(mount) if mount.is_stale() => super::lock::detach(&mount),
        _ => Ok(()),
    }
}

/// The command line of the background process: nothing secret is in it.
fn child_words(args: &Args, target: &Target, point: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["mount".into(), "--daemon-child".into()];
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
    if rustix::process::geteuid().is_root() {
        // The kernel has applied the caller's umask already; ours must not cut modes again.
        rustix::process::umask(rustix::fs::Mode::empty());
    }
    let fs = open::file_system(unlocked, options.vfs(), Box::new(LogEvents))?;
    let watcher = watch(&fs);
    let before = std::fs::metadata(point).host(point)?.dev();
    let mut mount = Mount::new(fs, point, options.transport(&target.path))
        .map_err(|e| cannot_mount(&e, point))?;
    if let Some(watcher) = watcher {
        mount = mount.watching(watcher);
    }
    let mut unmounter = mount.unmounter();
    let mut signals = signal_hook::iterator::Signals::new([
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
    ])
    .what("signals")?;
    let handle = signals.handle();
    let ender = std::thread::spawn(move || {
        for _ in &mut signals {
            if let Err(e) = unmounter.unmount() {
                eprintln!("oxcrypt: cannot unmount: {e}");
            }
        }
    });
    announce(ctx, args, point, before);
    let served = mount.serve();
    handle.close();
    let _ = ender.join();
    drop(claim);
    served.map_err(|e| {
        Failure::new(
            Exit::Mount,
            format!("the connection to the kernel failed: {e}"),
        )
    })
}

fn cannot_mount(error: &std::io::Error, point: &Path) -> Failure {
    let failure = Failure::new(
        Exit::Mount,
        format!("cannot mount at {}: {error}", point.display()),
    );
    if !Path::new("/dev/fuse").exists() {
        return failure.hint(
            "/dev/fuse is missing: load the module (modprobe fuse); in a container pass \
             --device /dev/fuse --cap-add SYS_ADMIN; without mounting use `oxcrypt ls`, `get`, `put`",
        );
    }
    failure.hint("`oxcrypt doctor` tells what is missing")
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

/// Tells whoever waits that the mount answers, as soon as it does.
fn announce(ctx: &Ctx, args: &Args, point: &Path, before: u64) {
    let (point, child) = (point.to_owned(), args.daemon_child);
    if args.foreground {
        ctx.out.note(format!("Mounted at {}.", point.display()));
    }
    std::thread::spawn(move || {
        if !wait_for_mount(&point, before) || !child {
            return;
        }
        if let Err(e) = daemon::report_ready() {
            eprintln!("oxcrypt: {e}");
        }
    });
}

/// Whether the mount answers for its root directory.
fn wait_for_mount(point: &Path, before: u64) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        if std::fs::metadata(point).is_ok_and(|m| m.dev() != before) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}
