//! Mounting, serving and ending.

use std::io;
use std::path::Path;
use std::sync::Arc;

use oxcrypt_store::{Store, Watcher};
use oxcrypt_vfs::VaultFs;
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::device::Device;
use crate::meter::Meter;
use crate::mount::Mounted;
use crate::ops::Server;
use crate::options::{MountOptions, Transport};
use crate::pool::Pool;
use crate::transport::ring::{Confine, Rings};
use crate::transport::{Helpers, Shared, dev};
use crate::wire::args_len;
use crate::wire::init::{Agreement, Flags, Offer};
use crate::wire::reply::Reply;
use crate::wire::request::{HEADER_LEN, Header, Request};

/// A mounted vault that is ready to be served.
pub struct Mount<S: Store> {
    server: Server<S>,
    pool: Pool,
    mounted: Arc<Mounted>,
    watcher: Option<Arc<Watcher>>,
}

/// Ends a mount from another thread.
#[derive(Debug)]
pub struct Unmounter(Arc<Mounted>);

impl Unmounter {
    /// Unmounts; [`Mount::serve`] returns afterwards.
    ///
    /// # Errors
    /// `Busy` while programs use the mount.
    pub fn unmount(&mut self) -> io::Result<()> {
        self.0.unmount(UnmountFlags::empty())
    }
}

impl<S: Store> Mount<S> {
    /// Mounts at `mountpoint`. The mount answers as soon as [`Mount::serve`] runs.
    ///
    /// # Errors
    /// When FUSE is not available or the mount point is not usable.
    pub fn new(vfs: Arc<VaultFs<S>>, mountpoint: &Path, options: MountOptions) -> io::Result<Self> {
        let pool = Pool::new()?;
        let mounted = Arc::new(Mounted::new(mountpoint, &options)?);
        let server = Server::new(vfs, options);
        Ok(Self {
            server,
            pool,
            mounted,
            watcher: None,
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
        Arc::clone(&self.server.meter)
    }

    /// A handle that ends this mount.
    pub fn unmounter(&mut self) -> Unmounter {
        Unmounter(Arc::clone(&self.mounted))
    }

    /// Answers requests until the mount ends, however it ends, and then writes what is pending.
    ///
    /// Each thread that serves calls `confine` once it has all that it needs of the system, before it
    /// looks at any request, or is started by one that did. `ready` is called when the mount answers;
    /// whoever wants to know must not ask the mount itself, not in this process: a thread that
    /// waits for a request cannot be killed, and keeps the connection open that nobody serves.
    ///
    /// # Errors
    /// When the connection to the kernel fails.
    pub fn serve(
        self,
        confine: impl Fn() + Send + Sync + 'static,
        ready: impl FnOnce(),
    ) -> io::Result<()> {
        let Self {
            mut server,
            pool,
            mounted,
            watcher,
        } = self;
        let device = Arc::clone(mounted.device());
        let vfs = Arc::clone(&server.vfs);
        let meter = Arc::clone(&server.meter);
        let Some(rings) = agree(&mut server, &device)? else {
            return Ok(());
        };
        crate::readahead::widen(mounted.point());
        let threads = server.options.reader_threads();
        let fan_out = server.options.fan_out;
        let shared = Arc::new(Shared {
            server,
            device: Arc::clone(&device),
            pool,
            helpers: Helpers::new(fan_out),
        });
        let confine: Confine = Arc::new(confine);
        // Before the rings: with them, the mount answers as soon as all threads have done so.
        confine();
        let ringing = rings
            .as_ref()
            .is_some_and(|rings| match rings.start(&shared, &confine) {
                Ok(()) => true,
                Err(e) => {
                    tracing::warn!(error = %e, "the kernel does not take the rings");
                    false
                }
            });
        meter.serves_by(if ringing {
            Transport::Ring
        } else {
            Transport::Dev
        });
        let watching = watcher.as_ref().map(|watcher| {
            let (vfs, watcher, device, meter) = (
                Arc::clone(&vfs),
                Arc::clone(watcher),
                Arc::clone(&device),
                Arc::clone(&meter),
            );
            start("oxcrypt-watch", 512, move || {
                crate::watch::run(&vfs, &watcher, &device, &meter);
            })
        });
        let watching = watching.transpose()?;
        let background = {
            let vfs = Arc::clone(&vfs);
            start("oxcrypt-bg", 256, move || vfs.run_background())?
        };
        let trimming = {
            let (vfs, device) = (Arc::clone(&vfs), Arc::clone(&device));
            start("oxcrypt-trim", 256, move || crate::trim::run(&vfs, &device))?
        };
        ready();
        // With rings, little comes through the device.
        let served = read_device(&shared, if ringing { 1 } else { threads });
        if let Some(rings) = rings {
            rings.join();
        }
        if let Some(watcher) = watcher {
            watcher.stop();
        }
        if let Some(watching) = watching {
            let _ = watching.join();
        }
        vfs.stop();
        // It only waits on a condition variable; a panic there was reported already.
        let _ = background.join();
        let _ = trimming.join();
        served
    }
}

fn start(
    name: &str,
    stack_kib: usize,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<std::thread::JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.stack_size(stack_kib * 1024).spawn(run)
}

/// Takes requests from the device with so many threads, this one among them, until the mount ends.
fn read_device<S: Store>(shared: &Arc<Shared<S>>, threads: usize) -> io::Result<()> {
    let others: Vec<_> = (1..threads)
        .map(|i| {
            let shared = Arc::clone(shared);
            let thread = std::thread::Builder::new().name(format!("oxcrypt-dev-{i}"));
            thread.spawn(move || dev::serve(&shared))
        })
        .collect();
    let mut served = dev::serve(shared);
    for other in others {
        // One that could not be started or panicked left its work to the rest.
        if let Ok(Ok(result)) = other.map(std::thread::JoinHandle::join) {
            served = served.and(result);
        }
    }
    served
}

/// The handshake: the threads with rings if those are used, `None` when the mount ended before.
pub(crate) fn agree<S: Store>(
    server: &mut Server<S>,
    device: &Arc<Device>,
) -> io::Result<Option<Option<Rings<S>>>> {
    // The least that the kernel wants to be read with.
    let mut space = [0; 8192];
    loop {
        let Some(len) = device.receive(&mut space)? else {
            return Ok(None);
        };
        let (unique, offer) = first_request(&space[..len])?;
        match offer.agreement() {
            Agreement::AskAgain => device.reply(unique, &Offer::ask_again()),
            Agreement::None => {
                device.reply(unique, &Reply::error(Errno::PROTO));
                return Err(io::Error::other(
                    "this kernel is too old: Linux 5.4 is needed",
                ));
            }
            Agreement::Good => {
                let wanted = server.options.transport != Transport::Dev;
                let rings = (wanted && offer.flags.contains(Flags::OVER_IO_URING))
                    .then(|| Rings::prepare(device))
                    .and_then(|rings| {
                        rings
                            .inspect_err(|e| tracing::info!(error = %e, "no rings"))
                            .ok()
                    });
                let reply = server.negotiate(&offer, rings.is_some());
                device.reply(unique, &reply);
                return Ok(Some(rings));
            }
        }
    }
}

fn first_request(bytes: &[u8]) -> io::Result<(u64, Offer)> {
    let header = Header::decode(bytes).map_err(io::Error::other)?;
    let body = &bytes[HEADER_LEN..];
    let args = args_len(header.opcode).min(body.len());
    let (args, payload) = body.split_at(args);
    match Request::decode(&header, args, payload) {
        Ok(Request::Init(offer)) => Ok((header.unique, offer)),
        _ => Err(io::Error::other("the kernel did not introduce itself")),
    }
}
