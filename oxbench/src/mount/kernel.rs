//! What the kernel knows of mounts: which there are, how to be rid of one, how to drop its caches.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Advice, fadvise};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountEntry {
    pub(crate) point: PathBuf,
    /// Minor device number: for FUSE the name of the connection in `/sys/fs/fuse/connections`.
    pub(crate) minor: u32,
    pub(crate) fs_type: String,
    pub(crate) options: String,
}

pub(crate) fn mounts() -> Vec<MountEntry> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().filter_map(parse_mountinfo).collect()
}

fn parse_mountinfo(line: &str) -> Option<MountEntry> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    let minor = left.get(2)?.split_once(':')?.1.parse().ok()?;
    Some(MountEntry {
        point: unescape(left.get(4)?),
        minor,
        fs_type: (*right.first()?).to_owned(),
        options: format!("{},{}", left.get(5)?, right.get(2).unwrap_or(&"")),
    })
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let octal = bytes
            .get(i + 1..i + 4)
            .and_then(|d| std::str::from_utf8(d).ok());
        match octal.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(byte) if bytes[i] == b'\\' => {
                out.push(byte);
                i += 4;
            }
            _ => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

pub(crate) fn mount_at(point: &Path) -> Option<MountEntry> {
    mounts().into_iter().rev().find(|m| m.point == point)
}

/// Mount points below `dir`, innermost first.
pub(crate) fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let mut points: Vec<PathBuf> = mounts()
        .into_iter()
        .map(|m| m.point)
        .filter(|p| p.starts_with(dir) && p != dir)
        .collect();
    points.sort_by_key(|p| std::cmp::Reverse(p.components().count()));
    points
}

/// The mount that `path` is on. Looks at names only, so it answers even when the mount does not.
pub(crate) fn mount_of(path: &Path) -> Option<MountEntry> {
    mounts()
        .into_iter()
        .filter(|m| path.starts_with(&m.point))
        .max_by_key(|m| m.point.components().count())
}

/// Ends a FUSE connection: every request in flight, and with it every stuck system call, fails.
pub(crate) fn abort_connection(minor: u32) {
    let _ = fs::write(format!("/sys/fs/fuse/connections/{minor}/abort"), "1");
}

/// Takes a mount out of the tree at once, whoever uses it.
pub(crate) fn detach(point: &Path) {
    if rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH).is_ok() {
        return;
    }
    let _ = unmount_command(point, true);
}

pub(crate) fn unmount_command(point: &Path, lazy: bool) -> std::io::Result<bool> {
    let mut command = Command::new("fusermount3");
    command.arg("-u").args(lazy.then_some("-z")).arg(point);
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(status.success())
}

/// How the caches were emptied; the report says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ColdMethod {
    /// Written through, then the kernel's page, inode and name caches dropped.
    DropCaches,
    /// Not allowed to drop them: each file's pages were given back; inodes and names stay cached.
    FadviseOnly,
}

/// Writes out what is dirty in the file system of `store` and empties the caches as far as allowed.
pub(crate) fn drop_caches(store: &Path) -> ColdMethod {
    if let Ok(dir) = fs::File::open(store) {
        let _ = rustix::fs::syncfs(&dir);
    }
    if fs::write("/proc/sys/vm/drop_caches", "3").is_ok() {
        return ColdMethod::DropCaches;
    }
    give_back_pages(store);
    ColdMethod::FadviseOnly
}

fn give_back_pages(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => give_back_pages(&entry.path()),
            Ok(kind) if kind.is_file() => {
                if let Ok(file) = fs::File::open(entry.path()) {
                    let _ = fadvise(&file, 0, None, Advice::DontNeed);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_mountinfo_line_with_escapes() {
        let line =
            r"36 35 0:98 / /mnt/a\040b rw,noatime shared:1 - fuse.gocryptfs /store rw,user_id=0";
        let entry = parse_mountinfo(line).unwrap();
        assert_eq!(entry.point, Path::new("/mnt/a b"));
        assert_eq!(
            (entry.minor, entry.fs_type.as_str()),
            (98, "fuse.gocryptfs")
        );
        assert_eq!(entry.options, "rw,noatime,rw,user_id=0");
    }

    #[test]
    fn nonsense_is_no_mount() {
        for line in ["", " - ", "1 2 3 - x", "36 35 0:x / /m rw - fuse s rw"] {
            assert_eq!(parse_mountinfo(line), None, "{line}");
        }
        assert_eq!(unescape(r"a\04"), Path::new(r"a\04"));
    }

    #[test]
    fn every_path_is_on_some_mount() {
        assert!(mount_of(Path::new("/proc/self")).is_some_and(|m| m.fs_type == "proc"));
    }
}
