//! Mounting, serving and ending.

use std::io;
use std::path::Path;
use std::sync::Arc;

use fuser::{Config, MountOption, Session, SessionACL, SessionUnmounter};
use oxcrypt_store::{Store, Watcher};
use oxcrypt_vfs::VaultFs;

use crate::filesystem::Adapter;
use crate::meter::Meter;
use crate::options::{Access, MountOptions};
use crate::pool::Pool;

/// A mounted vault that is ready to be served.
pub struct Mount<S: Store> {
    session: Session<Adapter<S>>,
    vfs: Arc<VaultFs<S>>,
    watcher: Option<Arc<Watcher>>,
    meter: Arc<Meter>,
}

/// Ends a mount from another thread.
#[derive(Debug)]
pub struct Unmounter(SessionUnmounter);

impl Unmounter {
    /// Unmounts; [`Mount::serve`] returns afterwards.
    ///
    /// # Errors
    /// `Busy` while programs use the mount.
    pub fn unmount(&mut self) -> io::Result<()> {
        self.0.unmount()
    }
}

impl<S: Store> Mount<S> {
    /// Mounts at `mountpoint`. The mount answers as soon as [`Mount::serve`] runs.
    ///
    /// # Errors
    /// When FUSE is not available or the mount point is not usable.
    pub fn new(vfs: Arc<VaultFs<S>>, mountpoint: &Path, options: MountOptions) -> io::Result<Self> {
        let config = config(&options);
        let meter = Arc::new(Meter::default());
        let adapter = Adapter {
            vfs: Arc::clone(&vfs),
            options,
            pool: Pool::new()?,
            meter: Arc::clone(&meter),
        };
        let session = Session::new(adapter, mountpoint, &config)?;
        Ok(Self {
            session,
            vfs,
            watcher: None,
            meter,
        })
    }

    /// Shows changes made by other programs, as `watcher` notices them; the file system must have
    /// been given the same one.
    #[must_use]
    pub fn watching(mut self, watcher: Arc<Watcher>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Counts what the mount is asked for, while it is served.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// A handle that ends this mount.
    pub fn unmounter(&mut self) -> Unmounter {
        Unmounter(self.session.unmount_callable())
    }

    /// Answers requests until the mount ends, however it ends, and then writes what is pending.
    ///
    /// # Errors
    /// When the connection to the kernel fails.
    pub fn serve(self) -> io::Result<()> {
        let Self {
            session,
            vfs,
            watcher,
            meter: _,
        } = self;
        let watching = match &watcher {
            Some(watcher) => {
                let (vfs, watcher) = (Arc::clone(&vfs), Arc::clone(watcher));
                let notifier = session.notifier();
                Some(
                    std::thread::Builder::new()
                        .name("oxcrypt-watch".into())
                        .stack_size(512 * 1024)
                        .spawn(move || crate::watch::run(&vfs, &watcher, notifier))?,
                )
            }
            None => None,
        };
        let background = {
            let vfs = Arc::clone(&vfs);
            std::thread::Builder::new()
                .name("oxcrypt-bg".into())
                .stack_size(256 * 1024)
                .spawn(move || vfs.run_background())?
        };
        let served = session.run();
        if let Some(watcher) = watcher {
            watcher.stop();
        }
        if let Some(watching) = watching {
            let _ = watching.join();
        }
        vfs.stop();
        // It only waits on a condition variable; a panic there was reported already.
        let _ = background.join();
        served
    }
}

fn config(options: &MountOptions) -> Config {
    let mut mount_options = vec![
        MountOption::FSName(options.fsname.clone()),
        // As text: the library itself gives the kernel no subtype when it mounts without
        // fusermount, and the type in the mount table would be plain "fuse".
        MountOption::CUSTOM("subtype=oxcrypt".into()),
        MountOption::DefaultPermissions,
        if options.suid {
            MountOption::Suid
        } else {
            MountOption::NoSuid
        },
        if options.dev {
            MountOption::Dev
        } else {
            MountOption::NoDev
        },
        if options.read_only {
            MountOption::RO
        } else {
            MountOption::RW
        },
    ];
    if options.noexec {
        mount_options.push(MountOption::NoExec);
    }
    mount_options.extend(options.extra.iter().cloned().map(MountOption::CUSTOM));
    let mut config = Config::default();
    config.mount_options = mount_options;
    config.acl = match options.access {
        Access::Owner => SessionACL::Owner,
        Access::Root => SessionACL::RootAndOwner,
        Access::Everybody => SessionACL::All,
    };
    config.n_threads = Some(options.reader_threads());
    config
}
