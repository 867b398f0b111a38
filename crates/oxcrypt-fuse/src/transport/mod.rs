//! How requests come and replies go.

pub(crate) mod dev;
pub(crate) mod ring;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oxcrypt_store::Store;

use crate::device::Device;
use crate::ops::Server;
use crate::pool::Pool;

/// What the serving threads of a mount share.
pub(crate) struct Shared<S: Store> {
    pub(crate) server: Server<S>,
    pub(crate) device: Arc<Device>,
    pub(crate) pool: Pool,
    pub(crate) helpers: Helpers,
}

/// How many threads of the pool help with large requests: as many as there are processors.
#[derive(Debug)]
pub(crate) struct Helpers {
    free: AtomicUsize,
}

impl Helpers {
    pub(crate) fn new(wanted: bool) -> Self {
        let most = std::thread::available_parallelism().map_or(1, usize::from);
        let free = if wanted { most } else { 0 };
        Self {
            free: AtomicUsize::new(free),
        }
    }

    /// Whether there is one more; [`Helpers::end`] must follow.
    pub(crate) fn begin(&self) -> bool {
        let take = |free: usize| free.checked_sub(1);
        self.free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    pub(crate) fn end(&self) {
        self.free.fetch_add(1, Ordering::Relaxed);
    }
}
