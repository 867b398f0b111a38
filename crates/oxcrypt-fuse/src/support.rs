//! What this kernel offers.

/// The switch of the fuse module for requests through rings.
pub const RING_SWITCH: &str = "/sys/module/fuse/parameters/enable_uring";

/// Whether the kernel serves mounts through rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingSupport {
    /// New mounts can use them.
    On,
    /// It could, but is told not to.
    Off,
    /// It cannot, or its fuse module is not loaded.
    None,
}

impl RingSupport {
    /// Asks the kernel.
    #[must_use]
    pub fn find() -> Self {
        match std::fs::read_to_string(RING_SWITCH)
            .as_deref()
            .map(str::trim)
        {
            Ok("Y" | "1") => Self::On,
            Ok(_) => Self::Off,
            Err(_) => Self::None,
        }
    }
}
