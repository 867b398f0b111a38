//! `mount` and `lock`.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use oxcrypt_fuse::{Access, Mount, MountOptions};
use oxcrypt_store::{LocalStore, Store, Watcher};
use oxcrypt_vault::{Backups, unlock};
use oxcrypt_vfs::{LogEvents, VaultFs, VfsOptions};

use crate::{daemon, password};

/// Arguments of `mount`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Directory of the vault.
    vault: PathBuf,
    /// Where to mount it.
    mountpoint: PathBuf,
    #[command(flatten)]
    password: password::Source,
    /// Stay in the foreground.
    #[arg(short, long)]
    foreground: bool,
    /// Mount read-only.
    #[arg(long, visible_alias = "read-only")]
    ro: bool,
    /// Let other users in (needs user_allow_other in /etc/fuse.conf).
    #[arg(long, conflicts_with = "allow_root")]
    allow_other: bool,
    /// Let root in.
    #[arg(long)]
    allow_root: bool,
    /// Show this owner.
    #[arg(long)]
    uid: Option<u32>,
    /// Show this group.
    #[arg(long)]
    gid: Option<u32>,
    /// Hide these permission bits (octal).
    #[arg(long, value_parser = parse_octal, default_value = "0")]
    umask: u32,
    /// Reader threads (default: one per CPU).
    #[arg(long, default_value_t = 0, env = "OXCRYPT_FUSE_READERS")]
    threads: usize,
    /// Hand every write to the vault at once instead of letting the kernel collect them.
    #[arg(long)]
    no_writeback: bool,
    /// Set by the command itself.
    #[arg(long, hide = true)]
    daemon_child: bool,
}

fn parse_octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8).map_err(|_| "not an octal number".to_owned())
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let passphrase = args.password.read()?;
    if !args.foreground && !args.daemon_child {
        return daemon::start(&child_args(args)?, &passphrase);
    }
    if args.daemon_child {
        daemon::detach();
    }
    let vault = args
        .vault
        .canonicalize()
        .with_context(|| args.vault.display().to_string())?;
    let store = Arc::new(LocalStore::open(&vault)?);
    let backups = if args.ro {
        Backups::Skip
    } else {
        Backups::Keep
    };
    let unlocked = unlock(store, &passphrase, backups)?;
    drop(passphrase);
    let root = rustix::process::geteuid().is_root();
    if root {
        // The kernel has applied the caller's umask already; ours must not cut modes again.
        rustix::process::umask(rustix::fs::Mode::empty());
    }
    let options = VfsOptions {
        read_only: args.ro,
        own_by_caller: root && args.allow_other,
        ..VfsOptions::default()
    };
    let vfs = VaultFs::new(
        unlocked.store,
        unlocked.cryptor,
        options,
        Box::new(LogEvents),
    )
    .context("cannot open the vault's root directory")?;
    let mount_options = MountOptions {
        read_only: args.ro,
        access: match (args.allow_other, args.allow_root) {
            (true, _) => Access::Everybody,
            (_, true) => Access::Root,
            _ => Access::Owner,
        },
        uid: args.uid,
        gid: args.gid,
        umask: args.umask,
        fsname: vault.display().to_string(),
        threads: args.threads,
        writeback: !args.no_writeback,
        ..MountOptions::default()
    };
    let watcher = watch(&vfs);
    let vfs = Arc::new(vfs);
    serve(
        vfs,
        &args.mountpoint,
        mount_options,
        watcher,
        args.daemon_child,
    )
}

/// Watches the vault for changes by other programs, where the storage can tell of them.
fn watch(vfs: &VaultFs<LocalStore>) -> Option<Arc<Watcher>> {
    if !vfs.store().capabilities().watchable {
        return None;
    }
    let watcher = Arc::new(Watcher::new().ok()?);
    vfs.watch(Box::new(Arc::clone(&watcher)));
    Some(watcher)
}

fn serve(
    vfs: Arc<VaultFs<LocalStore>>,
    mountpoint: &Path,
    options: MountOptions,
    watcher: Option<Arc<Watcher>>,
    report: bool,
) -> anyhow::Result<()> {
    let before = std::fs::metadata(mountpoint)
        .with_context(|| format!("mount point {}", mountpoint.display()))?
        .dev();
    let mut mount = Mount::new(vfs, mountpoint, options)
        .with_context(|| format!("cannot mount at {}", mountpoint.display()))?;
    if let Some(watcher) = watcher {
        mount = mount.watching(watcher);
    }
    let mut unmounter = mount.unmounter();
    let signals = signal_hook::iterator::Signals::new([
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
    ])?;
    let handle = signals.handle();
    let watcher = std::thread::spawn(move || {
        let mut signals = signals;
        for _ in &mut signals {
            if let Err(e) = unmounter.unmount() {
                eprintln!("oxcrypt: cannot unmount: {e}");
            }
        }
    });
    if report {
        let mountpoint = mountpoint.to_owned();
        std::thread::spawn(move || {
            if wait_for_mount(&mountpoint, before)
                && let Err(e) = daemon::report_ready()
            {
                eprintln!("oxcrypt: {e:#}");
            }
        });
    }
    let served = mount.serve();
    handle.close();
    let _ = watcher.join();
    served.context("the connection to the kernel failed")
}

/// Whether the mount answers for its root directory.
fn wait_for_mount(mountpoint: &Path, device_before: u64) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        if std::fs::metadata(mountpoint).is_ok_and(|m| m.dev() != device_before) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

/// The command line of the background process: the same, with absolute paths.
fn child_args(args: &Args) -> anyhow::Result<Vec<OsString>> {
    let absolute = |p: &Path| p.canonicalize().with_context(|| p.display().to_string());
    let mut out: Vec<OsString> = vec!["mount".into()];
    out.push(absolute(&args.vault)?.into());
    out.push(absolute(&args.mountpoint)?.into());
    out.extend(["--password-stdin", "--daemon-child"].map(OsString::from));
    let flags = [
        (args.ro, "--ro"),
        (args.allow_other, "--allow-other"),
        (args.allow_root, "--allow-root"),
        (args.no_writeback, "--no-writeback"),
    ];
    out.extend(
        flags
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, flag)| OsString::from(flag)),
    );
    let mut value = |flag: &str, v: String| out.push(format!("--{flag}={v}").into());
    value("umask", format!("{:o}", args.umask));
    value("threads", args.threads.to_string());
    if let Some(uid) = args.uid {
        value("uid", uid.to_string());
    }
    if let Some(gid) = args.gid {
        value("gid", gid.to_string());
    }
    Ok(out)
}

/// Unmounts.
pub(crate) fn lock(mountpoint: &Path) -> anyhow::Result<()> {
    let program = if rustix::process::geteuid().is_root() {
        "umount"
    } else {
        "fusermount3"
    };
    let mut command = std::process::Command::new(program);
    if program == "fusermount3" {
        command.arg("-u");
    }
    let status = command
        .arg("--")
        .arg(mountpoint)
        .status()
        .with_context(|| program.to_owned())?;
    if !status.success() {
        bail!("{} could not be unmounted", mountpoint.display());
    }
    Ok(())
}
