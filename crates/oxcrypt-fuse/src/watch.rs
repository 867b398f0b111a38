//! The thread that makes foreign changes visible in the mount.

use std::sync::Arc;
use std::time::Duration;

use oxcrypt_store::{Store, WatchEvent, Watcher};
use oxcrypt_vfs::{Changes, Invalidate, NodeId, VaultFs};

use crate::device::Device;
use crate::wire::notify::Notification;

/// Events of this long are looked at together: a file that is being written raises many.
const GATHER: Duration = Duration::from_millis(40);

struct Kernel<'a>(&'a Device);

impl Invalidate for Kernel<'_> {
    fn entry(&self, parent: NodeId, name: &[u8]) {
        if let Some(notification) = Notification::entry(parent, name) {
            self.0.notify(&notification);
        }
    }

    fn node(&self, node: NodeId) {
        self.0.notify(&Notification::node(node));
    }
}

/// Passes on what happens in the store until the watcher is stopped.
pub(crate) fn run<S: Store>(vfs: &VaultFs<S>, watcher: &Arc<Watcher>, device: &Device) {
    let kernel = Kernel(device);
    while watcher.wait() {
        std::thread::sleep(GATHER);
        let mut changes = Changes::default();
        let drained = watcher.drain(|event| match event {
            WatchEvent::Name(id, name) => {
                changes.names.insert((id, name.into()));
            }
            WatchEvent::Dir(id) => {
                changes.dirs.insert(id);
            }
            // The event of the directory around it tells.
            WatchEvent::Gone(_) => {}
            WatchEvent::Lost => changes.lost = true,
        });
        if let Err(e) = drained {
            tracing::error!(error = %e, "foreign changes are not noticed any more");
            return;
        }
        vfs.changed_behind(&changes, &kernel);
    }
}
