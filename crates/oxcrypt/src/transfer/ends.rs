//! The two ends of a transfer: files of this machine, and files of a vault.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::failure::{At, Host, Result};
use crate::inner::node::Held;
use crate::inner::path::InnerPath;
use crate::open::Fs;

/// Something that is read by position, from several threads.
pub(super) trait Source: Sync {
    /// Fills `buf`; fewer bytes mean the end.
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize>;
}

/// Something that is written by position.
pub(super) trait Sink: Sync {
    /// Whether writes must come in order of position.
    const ORDERED: bool;
    fn write_at(&self, data: &[u8], at: u64) -> Result<()>;
}

/// An open file of this machine.
pub(super) struct HostFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

impl Source for HostFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], at + done as u64) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e).host(&self.path),
            }
        }
        Ok(done)
    }
}

impl Sink for HostFile {
    const ORDERED: bool = false;

    fn write_at(&self, data: &[u8], at: u64) -> Result<()> {
        self.file.write_all_at(data, at).host(&self.path)
    }
}

/// An open file of a vault.
pub(super) struct VaultFile {
    pub(super) fs: Arc<Fs>,
    pub(super) node: Held,
    pub(super) path: InnerPath,
}

impl Source for VaultFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        self.fs.read(self.node.id, at, buf).at(&self.path)
    }
}

impl Sink for VaultFile {
    /// A gap would be filled with zeros first.
    const ORDERED: bool = true;

    fn write_at(&self, data: &[u8], at: u64) -> Result<()> {
        self.fs.write(self.node.id, at, data).at(&self.path)
    }
}
