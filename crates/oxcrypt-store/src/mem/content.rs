//! The bytes of one file, in pages shared between the live content and its synced copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Result, StoreErrorKind};

const PAGE: usize = 4096;

/// Sparse content. Invariant: no page starts at or beyond `len`, and a page is zero beyond `len`.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
    len: u64,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Takes away what is behind `from` at the end of some page, or makes zeros of it: hosts give a
    /// file its new length before or after they write its pages.
    pub(super) fn tear(&mut self, from: u64, coin: &mut dyn FnMut() -> bool) {
        let len = self.len;
        let mut end = from.next_multiple_of(PAGE as u64);
        while end < len && coin() {
            end += PAGE as u64;
        }
        // Lengths that are not greater than before cannot be too great.
        let _ = self.set_len(end.min(len));
        if coin() {
            let _ = self.set_len(len);
        }
    }

    /// Units of 512 bytes.
    pub(super) fn blocks(&self) -> u64 {
        self.pages.len() as u64 * (PAGE / 512) as u64
    }

    pub(super) fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let exists = self.len.saturating_sub(offset);
        let wanted = buf.len().min(usize::try_from(exists).unwrap_or(usize::MAX));
        for_pages(offset, wanted, |page, skip, range| {
            let target = &mut buf[range];
            match self.pages.get(&page) {
                Some(bytes) => target.copy_from_slice(&bytes[skip..skip + target.len()]),
                None => target.fill(0),
            }
        });
        Ok(wanted)
    }

    pub(super) fn write_at(&mut self, data: &[u8], offset: u64) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let end = end_of(offset, data.len() as u64)?;
        for_pages(offset, data.len(), |page, skip, range| {
            let bytes = self
                .pages
                .entry(page)
                .or_insert_with(|| Arc::new([0; PAGE]));
            let source = &data[range];
            Arc::make_mut(bytes)[skip..skip + source.len()].copy_from_slice(source);
        });
        self.len = self.len.max(end);
        Ok(())
    }

    pub(super) fn set_len(&mut self, len: u64) -> Result<()> {
        end_of(0, len)?;
        if len < self.len {
            let (page, keep) = (len / PAGE as u64, (len % PAGE as u64) as usize);
            let first_gone = if keep == 0 { page } else { page + 1 };
            self.pages.split_off(&first_gone);
            if let Some(bytes) = self.pages.get_mut(&page) {
                Arc::make_mut(bytes)[keep..].fill(0);
            }
        }
        self.len = len;
        Ok(())
    }

    pub(super) fn allocate(&mut self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        if len == 0 {
            return Err(StoreErrorKind::InvalidInput.into());
        }
        let end = end_of(offset, len)?;
        if !keep_size {
            self.len = self.len.max(end);
        }
        Ok(())
    }
}

fn end_of(offset: u64, len: u64) -> Result<u64> {
    match offset.checked_add(len) {
        Some(end) if i64::try_from(end).is_ok() => Ok(end),
        _ => Err(StoreErrorKind::TooLarge.into()),
    }
}

/// Visits the pages a range touches: page number, first byte within it, and the range's own
/// indices.
fn for_pages(offset: u64, len: usize, mut visit: impl FnMut(u64, usize, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < len {
        let at = offset + done as u64;
        let skip = (at % PAGE as u64) as usize;
        let count = (PAGE - skip).min(len - done);
        visit(at / PAGE as u64, skip, done..done + count);
        done += count;
    }
}
