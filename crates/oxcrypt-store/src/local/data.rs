//! Reading and writing content.

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::handle::{LocalDir, LocalFile};
use super::{names, pattern};
use crate::error::{Result, StoreErrorKind};
use crate::types::OpenMode;

/// Repeats a call that a signal interrupted.
pub(super) fn retry<T>(mut call: impl FnMut() -> std::result::Result<T, Errno>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

pub(super) fn read_at(file: &LocalFile, buf: &mut [u8], offset: u64) -> Result<usize> {
    pattern::note_read(file, offset, buf.len());
    let mut filled = 0;
    while filled < buf.len() {
        let at = offset
            .checked_add(filled as u64)
            .ok_or(StoreErrorKind::TooLarge)?;
        match retry(|| rustix::io::pread(file, &mut buf[filled..], at))? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

pub(super) fn write_at(file: &LocalFile, data: &[u8], offset: u64) -> Result<()> {
    let mut written = 0;
    while written < data.len() {
        let at = offset
            .checked_add(written as u64)
            .ok_or(StoreErrorKind::TooLarge)?;
        match retry(|| rustix::io::pwrite(file, &data[written..], at))? {
            0 => return Err(StoreErrorKind::Io.into()),
            more => written += more,
        }
    }
    Ok(())
}

pub(super) fn set_len(file: &LocalFile, len: u64) -> Result<()> {
    if i64::try_from(len).is_err() {
        return Err(StoreErrorKind::TooLarge.into());
    }
    retry(|| rustix::fs::ftruncate(file, len))
}

pub(super) fn allocate(file: &LocalFile, offset: u64, len: u64, keep_size: bool) -> Result<()> {
    let flags = if keep_size {
        FallocateFlags::KEEP_SIZE
    } else {
        FallocateFlags::empty()
    };
    retry(|| rustix::fs::fallocate(file, flags, offset, len))
}

pub(super) fn read_small(at: &LocalDir, name: &[u8], max_len: usize) -> Result<Vec<u8>> {
    let file = names::open(at, name, OpenMode::READ)?;
    let size = rustix::fs::fstat(&file)?.st_size;
    let size = usize::try_from(size).map_err(|_| StoreErrorKind::TooLarge)?;
    if size > max_len {
        return Err(StoreErrorKind::TooLarge.into());
    }
    // One byte of room more than announced shows whether the file grew meanwhile.
    let mut bytes = vec![0; size + 1];
    loop {
        let read = read_at(&file, &mut bytes, 0)?;
        if read > max_len {
            return Err(StoreErrorKind::TooLarge.into());
        }
        if read < bytes.len() {
            bytes.truncate(read);
            return Ok(bytes);
        }
        let doubled = bytes.len().saturating_mul(2).min(max_len.saturating_add(1));
        bytes.resize(doubled, 0);
    }
}
