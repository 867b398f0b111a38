//! The one directory a run works in. It is deleted whatever happens, Ctrl-C included.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    /// Makes a fresh directory below `parent`, after checking that there is room for `need_bytes`.
    pub(crate) fn create(parent: &Path, need_bytes: u64) -> Result<Self, Error> {
        let meta = fs::metadata(parent)
            .map_err(|e| Error::BadRequest(format!("--dir {}: {e}", parent.display())))?;
        if !meta.is_dir() {
            return Err(Error::BadRequest(format!(
                "--dir {}: not a directory",
                parent.display()
            )));
        }
        let free =
            free_bytes(parent).map_err(Error::io(format!("statvfs {}", parent.display())))?;
        if free < need_bytes {
            return Err(Error::BadRequest(format!(
                "not enough space in {}: {} MiB free, {} MiB needed (use --dir or a smaller --scale)",
                parent.display(),
                free >> 20,
                need_bytes >> 20
            )));
        }
        let parent = parent
            .canonicalize()
            .map_err(Error::io(format!("{}", parent.display())))?;
        let path = parent.join(format!("oxbench-{}", std::process::id()));
        fs::create_dir(&path).map_err(Error::io(format!("mkdir {}", path.display())))?;
        restrict(&path).map_err(Error::io(format!("chmod {}", path.display())))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Only we may enter: it holds a password file and, for some targets, decrypted test data.
fn restrict(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

pub(crate) fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // A mount left inside would turn deletion into a walk through it: detach first.
        for mount in super::kernel::mounts_below(&self.path) {
            super::kernel::detach(&mount);
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!(
                "oxbench: {} could not be deleted: {error}",
                self.path.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_missing_a_file_or_too_small() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        for (path, need) in [
            (dir.path().join("none"), 0),
            (file, 0),
            (dir.path().into(), u64::MAX),
        ] {
            assert!(
                matches!(WorkDir::create(&path, need), Err(Error::BadRequest(_))),
                "{path:?}"
            );
        }
    }

    #[test]
    fn is_private_and_goes_away_with_its_content() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let work = WorkDir::create(dir.path(), 1).unwrap();
        let path = work.path().to_owned();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        fs::create_dir(path.join("deep")).unwrap();
        drop(work);
        assert!(!path.exists());
    }
}
