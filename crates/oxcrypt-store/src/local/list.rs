//! Listing a directory.

use std::ops::ControlFlow;

use rustix::fs::{FileType, Mode, OFlags, RawDir, SeekFrom};

use super::handle::{LocalDir, Position};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::types::{Cookie, DirEntry, Kind};

/// Lists through the directory's own descriptor when nobody else does, else through one of its own:
/// the position belongs to the description, and a visitor may list the same directory again.
pub(super) fn list(
    at: &LocalDir,
    from: Cookie,
    buf_hint: usize,
    visit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
) -> Result<()> {
    if !at.is_readable() {
        return Err(StoreErrorKind::PermissionDenied.into());
    }
    let listed = match at.position().try_lock() {
        Some(mut position) => {
            begin(at, from, &mut position).and_then(|()| list_fd(at, from, buf_hint, visit))
        }
        None => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(at, c".", flags, Mode::empty())
                .map_err(StoreError::from)
                .and_then(|own| list_fd(own, from, buf_hint, visit))
        }
    };
    match listed {
        // The directory itself was removed meanwhile: nothing is left in it.
        Err(error) if error.is_not_found() => Ok(()),
        done => done,
    }
}

/// Makes a descriptor fit for a continued listing.
///
/// COMPAT: ext4 remembers the position of the first read of a descriptor as "beginning". If that is
/// the end of the directory, every later listing from the beginning finds nothing.
fn begin(at: &LocalDir, from: Cookie, position: &mut Position) -> Result<()> {
    if from != Cookie::START && !position.begun {
        list_fd(at, Cookie::START, 0, &mut |_| ControlFlow::Break(()))?;
    }
    position.begun = true;
    Ok(())
}

fn list_fd(
    fd: impl std::os::fd::AsFd,
    from: Cookie,
    buf_hint: usize,
    visit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
) -> Result<()> {
    rustix::fs::seek(&fd, SeekFrom::Start(from.0))?;
    // The kernel needs room for one entry of the longest name (280 bytes) at least.
    let mut buffer: Vec<u8> = Vec::with_capacity(buf_hint.clamp(1024, 1 << 20));
    let mut entries = RawDir::new(fd.as_fd(), buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let shown = DirEntry {
            name: entry.file_name().to_bytes(),
            kind: kind_of(entry.file_type()),
            ino: entry.ino(),
            next: Cookie(entry.next_entry_cookie()),
        };
        if visit(shown).is_break() {
            break;
        }
    }
    Ok(())
}

fn kind_of(file_type: FileType) -> Option<Kind> {
    match file_type {
        FileType::RegularFile => Some(Kind::File),
        FileType::Directory => Some(Kind::Dir),
        FileType::Symlink => Some(Kind::Symlink),
        FileType::Unknown => None,
        _ => Some(Kind::Other),
    }
}
