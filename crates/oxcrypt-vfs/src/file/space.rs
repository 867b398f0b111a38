//! `fallocate`, `lseek` for data and holes, and the space of the store.

use oxcrypt_core::content::layout::CHUNK_LEN;
use oxcrypt_store::Store;

use super::open::Need;
use super::write::ZEROS;
use crate::error::{ErrorKind, Result};
use crate::types::{AllocateMode, NodeId, SeekTarget, Space};
use crate::vault_fs::VaultFs;

impl<S: Store> VaultFs<S> {
    /// Reserves or zeroes a range. The format has no holes: zeroing writes zeros.
    ///
    /// # Errors
    /// `NoSpace` before anything is written when growth cannot fit.
    pub fn allocate(&self, id: NodeId, offset: u64, len: u64, mode: AllocateMode) -> Result<()> {
        self.writable()?;
        if len == 0 {
            return Err(ErrorKind::InvalidArgument.into());
        }
        let node = self.node(id)?;
        let end = offset.saturating_add(len);
        let _own = node.own.begin();
        let mut io = self.file_for(&node, Need::Write)?;
        let size = self.plain_len(&node, &io)?;
        let grows = matches!(mode, AllocateMode::Grow | AllocateMode::ZeroRange);
        if grows || mode == AllocateMode::KeepSize {
            self.check_growth(size, end, end.saturating_sub(size))?;
        }
        match mode {
            AllocateMode::Grow | AllocateMode::KeepSize => {
                let layout = self.cryptor.layout();
                let cipher_end = layout.cipher_len(end).ok_or(ErrorKind::TooLarge)?;
                if cipher_end > io.cipher_len {
                    self.write_pending_header(&node, &mut io)?;
                    self.settle(&node, &mut io)?;
                    node.touch_data();
                    let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
                    let from = io.cipher_len;
                    self.store.allocate(file, from, cipher_end - from, true)?;
                }
            }
            AllocateMode::PunchHole | AllocateMode::ZeroRange | AllocateMode::ZeroRangeKeepSize => {
                let stop = end.min(size);
                let mut at = offset;
                while at < stop {
                    let step = (CHUNK_LEN as u64 - at % CHUNK_LEN as u64).min(stop - at);
                    self.write_locked(&node, &mut io, at, &ZEROS[..step as usize])?;
                    at += step;
                }
            }
        }
        if grows && end > size {
            self.set_len_locked(&node, &mut io, end)?;
        }
        Ok(())
    }

    /// The next data or hole at or after `offset`. Files are all data up to their end.
    ///
    /// # Errors
    /// `NoData` at or behind the end.
    pub fn seek(&self, id: NodeId, offset: u64, target: SeekTarget) -> Result<u64> {
        let size = self.getattr(id)?.size;
        if offset >= size {
            return Err(ErrorKind::NoData.into());
        }
        Ok(match target {
            SeekTarget::Data => offset,
            SeekTarget::Hole => size,
        })
    }

    /// Space of the backing store; names are limited to what Linux programs can handle.
    ///
    /// # Errors
    /// What the store says.
    pub fn space(&self) -> Result<Space> {
        let s = self.store.space()?;
        Ok(Space {
            block_size: u32::try_from(s.block_size).unwrap_or(4096),
            blocks: s.blocks,
            free: s.free,
            available: s.avail,
            files: s.files,
            files_free: s.files_free,
            name_max: 255,
        })
    }
}
