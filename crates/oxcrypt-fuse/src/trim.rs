//! The thread that keeps the number of nodes within its bound.

use std::time::Duration;

use oxcrypt_store::Store;
use oxcrypt_vfs::VaultFs;

use crate::device::Device;

/// What the kernel forgets it tells in requests of their own; they are read by then.
const SETTLE: Duration = Duration::from_millis(50);

/// Asks the kernel to forget what it does not use, whenever there is too much of it.
///
/// On a thread of its own: forgetting a file may have to wait for what is being written to it.
pub(crate) fn run<S: Store>(vfs: &VaultFs<S>, device: &Device) {
    while let Some(nodes) = vfs.surplus() {
        if !device.prune(&nodes) {
            tracing::debug!("this kernel forgets nodes only when memory is short");
            return;
        }
        std::thread::sleep(SETTLE);
    }
}
