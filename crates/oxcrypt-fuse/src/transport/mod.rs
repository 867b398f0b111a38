//! How requests come and replies go.

pub(crate) mod dev;
pub(crate) mod ring;

use std::sync::Arc;

use oxcrypt_store::Store;

use crate::device::Device;
use crate::ops::Server;
use crate::pool::Pool;

/// What the serving threads of a mount share.
pub(crate) struct Shared<S: Store> {
    pub(crate) server: Server<S>,
    pub(crate) device: Arc<Device>,
    pub(crate) pool: Pool,
}
