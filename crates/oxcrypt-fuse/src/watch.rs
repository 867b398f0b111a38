//! The thread that makes foreign changes visible in the mount.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oxcrypt_store::{Store, Watcher};
use oxcrypt_vfs::{Changes, Invalidate, NodeId, VaultFs};

use crate::device::Device;
use crate::meter::Meter;
use crate::wire::notify::Notification;

/// Events of this long are looked at together: a file that is being written raises many.
const GATHER: Duration = Duration::from_millis(40);

struct Kernel<'a> {
    device: &'a Device,
    /// Whether a name was invalidated.
    told: AtomicBool,
}

impl Kernel<'_> {
    fn tell(&self, about_name: Option<Notification>) {
        self.told.store(true, Ordering::Relaxed);
        if let Some(notification) = about_name {
            self.device.notify(&notification);
        }
    }
}

impl Invalidate for Kernel<'_> {
    fn entry(&self, parent: NodeId, name: &[u8]) {
        self.tell(Notification::entry(parent, name));
    }

    fn doubt(&self, parent: NodeId, name: &[u8]) {
        self.tell(Notification::expired(parent, name));
    }

    fn node(&self, node: NodeId) {
        self.device.notify(&Notification::node(node));
    }
}

/// Passes on what happens in the store until the watcher is stopped.
pub(crate) fn run<S: Store>(
    vfs: &VaultFs<S>,
    watcher: &Arc<Watcher>,
    device: &Device,
    meter: &Meter,
) {
    let kernel = Kernel {
        device,
        told: AtomicBool::new(false),
    };
    while watcher.wait() {
        std::thread::sleep(GATHER);
        let mut changes = Changes::default();
        let drained = watcher.drain(|event| changes.add(event));
        if let Err(e) = drained {
            tracing::error!(error = %e, "foreign changes are not noticed any more");
            return;
        }
        vfs.changed_behind(&changes, &kernel);
        if kernel.told.swap(false, Ordering::Relaxed) {
            meter.foreign();
        }
    }
}
