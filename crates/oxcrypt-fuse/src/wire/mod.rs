//! The kernel's side of FUSE as bytes: requests taken apart, replies and notifications put together.
//!
//! Every number is in the byte order of the machine. Nothing here waits, allocates or trusts a
//! length: whatever bytes come, the answer is a request or [`Malformed`]. The interface of Linux 5.4
//! (7.31) is needed, that of Linux 6.18 (7.45) is understood.

pub mod init;
pub mod notify;
mod opcode;
pub mod reply;
pub mod request;

pub use opcode::args_len;

/// Bytes that are not a request of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a request of the kernel")]
pub struct Malformed;

/// Takes numbers and names from the front of a slice.
#[derive(Clone, Copy, Debug)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn u32(&mut self) -> Result<u32, Malformed> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u32::from_ne_bytes(*number))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u64::from_ne_bytes(*number))
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.0 = self.0.get(bytes..).ok_or(Malformed)?;
        Ok(())
    }

    /// Bytes up to a NUL, which is taken too.
    fn name(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.0.iter().position(|b| *b == 0).ok_or(Malformed)?;
        let name = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Ok(name)
    }
}

/// Puts numbers behind each other. The space is given by the caller, who knows the greatest struct.
#[derive(Debug)]
struct Struct<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Struct<N> {
    fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        self
    }

    fn u16(self, n: u16) -> Self {
        self.raw(&n.to_ne_bytes())
    }

    fn u32(self, n: u32) -> Self {
        self.raw(&n.to_ne_bytes())
    }

    fn u64(self, n: u64) -> Self {
        self.raw(&n.to_ne_bytes())
    }

    fn zeros(mut self, bytes: usize) -> Self {
        // The space is zero already.
        self.len += bytes;
        self
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
