//! Copies inside the vault: opened and sealed again in this process, without the kernel in between.

use oxcrypt_core::ChunkBuf;
use oxcrypt_core::content::layout::CHUNK_LEN;
use oxcrypt_store::Store;

use super::open::Need;
use crate::error::{ErrorKind, Result};
use crate::types::NodeId;
use crate::vault_fs::VaultFs;

impl<S: Store> VaultFs<S> {
    /// Copies up to `len` bytes and returns how many; fewer at the end of the source as it is when
    /// the copy begins.
    ///
    /// The ciphertext is never cloned: equal ciphertext would tell that two files are equal.
    ///
    /// # Errors
    /// As for reading and writing; `InvalidArgument` when the ranges overlap in one file.
    pub fn copy_range(
        &self,
        from: NodeId,
        from_offset: u64,
        to: NodeId,
        to_offset: u64,
        len: u64,
    ) -> Result<u64> {
        self.writable()?;
        let source = self.node(from)?;
        let target = self.node(to)?;
        let size = {
            let io = self.file_for_read(&source)?;
            self.plain_len(&source, &io)?
        };
        target.file()?;
        // A file that is copied behind its own end would otherwise feed itself.
        let len = len.min(size.saturating_sub(from_offset));
        if from == to {
            let reach = from_offset.abs_diff(to_offset);
            if reach < len {
                return Err(ErrorKind::InvalidArgument.into());
            }
        }
        let _own = target.own.begin();
        let mut plain = ChunkBuf::take();
        let mut done = 0;
        while done < len {
            let at = from_offset.checked_add(done).ok_or(ErrorKind::TooLarge)?;
            // Steps end at chunk borders of the target, so that each of its chunks is sealed once.
            let to_at = to_offset.checked_add(done).ok_or(ErrorKind::TooLarge)?;
            let step = (CHUNK_LEN as u64 - to_at % CHUNK_LEN as u64).min(len - done) as usize;
            let got = {
                let io = self.file_for_read(&source)?;
                self.read_locked(&source, &io, at, &mut plain[..step])?
            };
            if got == 0 {
                break;
            }
            let mut io = self.file_for(&target, Need::Write)?;
            self.write_locked(&target, &mut io, to_at, &plain[..got])?;
            done += got as u64;
        }
        Ok(done)
    }
}
