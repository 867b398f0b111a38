//! Who keeps a mount busy: working directories, roots, programs, open and mapped files.

use std::path::Path;

use rustix::fs::{AtFlags, StatxFlags};

use super::table::Mounted;
use crate::failure::Holder;

/// How closely to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// Directories, programs and open files.
    Quick,
    /// Mapped files of closed descriptors as well. Slow: the kernel writes out every process's map.
    Thorough,
}

/// All processes that can be looked into (one's own; all as root).
pub(crate) fn holders(mount: &Mounted, look: Look) -> Vec<Holder> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let device = rustix::fs::makedev(mount.major, mount.minor);
    let mut found: Vec<Holder> = processes
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let why = reason(&entry.path(), device, mount, look)?;
            let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let comm = comm.trim_end().to_owned();
            Some(Holder { pid, comm, why })
        })
        .collect();
    found.sort_by_key(|holder| holder.pid);
    found
}

fn reason(process: &Path, device: u64, mount: &Mounted, look: Look) -> Option<&'static str> {
    let on = |name: &str| is_on(&process.join(name), device, &mount.point);
    if on("cwd") {
        return Some("cwd");
    }
    if on("root") {
        return Some("root");
    }
    if on("exe") {
        return Some("exe");
    }
    if let Ok(files) = std::fs::read_dir(process.join("fd"))
        && files
            .flatten()
            .any(|fd| is_on(&fd.path(), device, &mount.point))
    {
        return Some("fd");
    }
    if look == Look::Quick {
        return None;
    }
    let mount_device = format!("{:02x}:{:02x}", mount.major, mount.minor);
    let maps = std::fs::read_to_string(process.join("maps")).ok()?;
    let mapped = maps
        .lines()
        .any(|line| line.split_whitespace().nth(3) == Some(&mount_device));
    mapped.then_some("map")
}

/// Whether the link leads into the mount. The name is looked at first, so that nothing has to be
/// asked of a mount that may not answer.
fn is_on(link: &Path, device: u64, point: &Path) -> bool {
    let Ok(target) = std::fs::read_link(link) else {
        return false;
    };
    if target.starts_with(point) {
        return true;
    }
    // A file that was moved out of sight, or seen from another root.
    target.is_absolute()
        && target.to_string_lossy().ends_with(" (deleted)")
        && device_of(link) == Some(device)
}

/// The device of an open file, by what the kernel knows. Asked of the file system behind it, a mount
/// that looks for its own users would wait for itself, and could not be killed then.
fn device_of(link: &Path) -> Option<u64> {
    let flags = AtFlags::STATX_DONT_SYNC;
    let told = rustix::fs::statx(rustix::fs::CWD, link, flags, StatxFlags::empty()).ok()?;
    Some(rustix::fs::makedev(told.stx_dev_major, told.stx_dev_minor))
}
