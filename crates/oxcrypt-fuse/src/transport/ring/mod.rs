//! Requests through rings shared with the kernel (FUSE over io_uring, Linux 6.14 and later), where
//! the module parameter `enable_uring` is on.
//!
//! Each processor has a queue and a thread of its own, so a request never wakes another processor.
//! The kernel puts a request into a slot and takes the reply from it; one system call hands over a
//! reply and waits for the next request. FORGET, INTERRUPT and notifications still go through
//! /dev/fuse.

mod lane;
mod memory;
mod plan;
mod uring;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use oxcrypt_store::Store;
use rustix::io::Errno;

use self::lane::Lane;
use self::plan::Seat;
use super::Shared;
use crate::device::Device;

/// What a thread does when it has all it needs of the system, before it looks at any request.
pub(crate) type Confine = Arc<dyn Fn() + Send + Sync>;
type Start<S> = (Arc<Shared<S>>, Confine);

/// Threads with a ring each, which wait to be told to start. Dropped, they end.
pub(crate) struct Rings<S: Store>(Vec<Ring<S>>);

struct Ring<S: Store> {
    start: Sender<Start<S>>,
    progress: Receiver<io::Result<()>>,
    thread: JoinHandle<()>,
}

impl<S: Store> Rings<S> {
    /// Makes the rings, all of them, or says why that is not possible.
    pub(crate) fn prepare(device: &Arc<Device>) -> io::Result<Self> {
        let seats = plan::seats()?;
        let rings = seats.into_iter().enumerate().map(|(i, seat)| {
            let (start, wait) = channel();
            let (report, progress) = channel();
            let device = Arc::clone(device);
            let thread = std::thread::Builder::new()
                .name(format!("oxcrypt-ring-{i}"))
                .spawn(move || live::<S>(&device, &seat, &report, &wait))?;
            Ok(Ring {
                start,
                progress,
                thread,
            })
        });
        let rings = Self(rings.collect::<io::Result<_>>()?);
        rings.wait_for_all()?;
        Ok(rings)
    }

    /// Lets them serve. An error means that the kernel does not use the rings, and all requests come
    /// through /dev/fuse.
    pub(crate) fn start(&self, shared: &Arc<Shared<S>>, confine: &Confine) -> io::Result<()> {
        for ring in &self.0 {
            // A thread that is gone is noticed below.
            let _ = ring.start.send((Arc::clone(shared), Arc::clone(confine)));
        }
        self.wait_for_all()
    }

    fn wait_for_all(&self) -> io::Result<()> {
        let mut all = Ok(());
        for ring in &self.0 {
            all = all.and(ring.progress.recv().unwrap_or(Err(Errno::CANCELED.into())));
        }
        all
    }

    /// Waits until they end, as they do when the mount ends.
    pub(crate) fn join(self) {
        for ring in self.0 {
            drop(ring.start);
            // A panic was reported already.
            let _ = ring.thread.join();
        }
    }
}

/// The life of a ring's thread.
fn live<S: Store>(
    device: &Device,
    seat: &Seat,
    report: &Sender<io::Result<()>>,
    wait: &Receiver<Start<S>>,
) {
    let mut lane = match Lane::new(device.as_fd(), seat) {
        Ok(lane) => lane,
        Err(e) => {
            let _ = report.send(Err(e));
            return;
        }
    };
    let _ = report.send(Ok(()));
    let Ok((shared, confine)) = wait.recv() else {
        return;
    };
    confine();
    let _ = report.send(lane.register(&shared));
    if let Err(e) = lane.serve(&shared) {
        tracing::error!(error = %e, "a ring stopped");
    }
}
