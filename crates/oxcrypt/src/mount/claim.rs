//! One writer for each vault: a lock that ends with its process, whatever happens to it.
//!
//! It is taken on a file in the runtime directory, named by what identifies the vault's directory,
//! never in the vault: that may be on storage without locks, or synchronised.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::runtime;
use super::table::{self, Mounted};
use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};
use crate::target::Target;

/// The vault is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim(#[allow(dead_code, reason = "held for its lock")] File);

/// A process that was just killed holds its lock until the kernel has closed its last file, which
/// takes a moment on a loaded machine; so does a command that is at its end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Claims a vault for a writing mount or a repair.
///
/// # Errors
/// `Busy` if another process has it.
pub(crate) fn exclusive(target: &Target) -> Result<Claim> {
    let meta = std::fs::metadata(&target.path).host(&target.path)?;
    let name = format!("vault-{:x}-{:x}.lock", meta.dev(), meta.ino());
    let path = runtime::dir()?.join(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .host(&path)?;
    let start = Instant::now();
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Claim(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(e) => return Err(e).host(&path),
        }
        let holder = mounted(target);
        if holder.is_some() || start.elapsed() >= PATIENCE {
            return Err(busy(target, holder));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The live mount that writes to this vault.
fn mounted(target: &Target) -> Option<Mounted> {
    let mounts = table::mounts().unwrap_or_default();
    mounts
        .into_iter()
        .find(|m| m.vault == target.path && !m.read_only && !m.is_stale())
}

fn busy(target: &Target, mount: Option<Mounted>) -> Failure {
    match mount {
        Some(mount) => {
            let point = mount.point.display();
            Failure::new(
                Exit::Busy,
                format!("{} is mounted at {point}", target.label()),
            )
            .hint(format!("`oxcrypt lock {point}` ends that"))
        }
        None => Failure::new(
            Exit::Busy,
            format!("another oxcrypt process has {}", target.label()),
        )
        .hint("wait for it to end; reading is possible meanwhile"),
    }
}
