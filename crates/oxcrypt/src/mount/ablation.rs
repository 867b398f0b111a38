//! Switches of builds for benchmarks: each takes one optimisation away, so that its gain is a ratio that
//! `oxbench ablate` prints. Other builds do not know them.

use std::time::Duration;

use oxcrypt_fuse::MountOptions;
use oxcrypt_vfs::VfsOptions;

fn is_off(what: &str) -> bool {
    std::env::var_os(format!("OXCRYPT_NO_{what}")).is_some_and(|v| v == "1")
}

/// Of the file system.
pub(super) fn vfs(options: VfsOptions) -> VfsOptions {
    oxcrypt_core::set_pooling(!is_off("POOL"));
    if !is_off("HANDLE_CACHE") {
        return options;
    }
    VfsOptions {
        max_open_files: 1,
        max_open_dirs: 1,
        ..options
    }
}

/// Of the frontend.
pub(super) fn transport(options: MountOptions) -> MountOptions {
    let untrusted = is_off("KERNEL_CACHE");
    let ttl = |ttl| if untrusted { Duration::ZERO } else { ttl };
    MountOptions {
        spawn_each: is_off("INLINE"),
        fan_out: !is_off("FAN_OUT"),
        zero_message_open: options.zero_message_open && !is_off("ZERO_OPEN"),
        writeback: options.writeback && !is_off("WRITEBACK"),
        ttl: ttl(options.ttl),
        negative_ttl: ttl(options.negative_ttl),
        ..options
    }
}
