//! A FUSE file system that passes everything through: the floor below every encrypted one, and,
//! with a fault put in, the liar that the suite's own tests must catch.
//!
//! Caching is on as far as the kernel allows: long lifetimes, kept pages, write-back, listings with
//! attributes. Inodes hold an `O_PATH` descriptor each, so nothing is resolved by path twice.

mod attr;
mod faults;
mod fs;
mod inodes;

use std::path::Path;

use fuser::{Config, MountOption};

pub(crate) use faults::Fault;

use crate::error::Error;

/// Serves `source` at `point` until it is unmounted.
pub(crate) fn serve(source: &Path, point: &Path, fault: Option<Fault>) -> Result<(), Error> {
    raise_descriptor_limit();
    let fs = fs::Through::new(source, fault).map_err(Error::io(source.display().to_string()))?;
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("oxbench-passthrough".into()),
        MountOption::Subtype("oxbench".into()),
        MountOption::DefaultPermissions,
    ];
    config.n_threads = Some(std::thread::available_parallelism().map_or(2, Into::into));
    fuser::mount(fs, point, &config).map_err(Error::io(point.display().to_string()))
}

/// Each inode that the kernel remembers holds a descriptor.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}
