//! The thread that makes foreign changes visible in the mount.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use fuser::{INodeNo, Notifier};
use oxcrypt_store::{Store, WatchEvent, Watcher};
use oxcrypt_vfs::{Changes, Invalidate, NodeId, VaultFs};

/// Events of this long are looked at together: a file that is being written raises many.
const GATHER: Duration = Duration::from_millis(40);

struct Kernel(Notifier);

impl Invalidate for Kernel {
    fn entry(&self, parent: NodeId, name: &[u8]) {
        // An entry that the kernel does not know is fine.
        let _ = self
            .0
            .inval_entry(INodeNo(parent.0), OsStr::from_bytes(name));
    }

    fn node(&self, node: NodeId) {
        let _ = self.0.inval_inode(INodeNo(node.0), 0, 0);
    }
}

/// Passes on what happens in the store until the watcher is stopped.
pub(crate) fn run<S: Store>(vfs: &VaultFs<S>, watcher: &Arc<Watcher>, notifier: Notifier) {
    let kernel = Kernel(notifier);
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
