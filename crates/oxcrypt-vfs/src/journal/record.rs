//! The records of the log, byte by byte.
//!
//! A record is a head of [`HEAD_LEN`] bytes and a body. The head carries a checksum of itself and,
//! for short bodies, of the body; sealed chunks carry their own authentication tags. Records of an
//! earlier use of the same file are told apart by the epoch, so a log file is reused without being
//! cleared.

/// Bytes of a head.
pub(crate) const HEAD_LEN: usize = 96;
const MAGIC: u32 = 0x314a_584f;
/// Bytes of a header's nonce kept to know a file by.
const MARK_LEN: usize = 12;
/// Greatest body that is taken from disk: a run of chunks, or a path.
const MAX_BODY: u32 = 1024 * 1024;

/// What a file is known by besides its inode number: the start of its header, random per file.
pub(crate) type Mark = [u8; MARK_LEN];

/// The mark in a sealed header.
pub(crate) fn mark_of(sealed_header: &[u8]) -> Mark {
    let mut mark = Mark::default();
    mark.copy_from_slice(&sealed_header[..MARK_LEN]);
    mark
}

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The path of a file below the data directory. Precedes the other records of the file in
    /// each log file.
    Path = 1,
    /// Sealed chunks to be put at `at`, growing the file when they end behind its end.
    Chunks = 2,
    /// The file is being extended from `at` on; what lies behind may be torn.
    Extend = 3,
    /// The file ends at `len` from now on; the body is the last chunk, sealed anew at `at`.
    Cut = 4,
    /// What earlier records of this file say is done and must not be done again.
    Done = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Path,
            Self::Chunks,
            Self::Extend,
            Self::Cut,
            Self::Done,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// Which use of the log file this belongs to.
    pub(crate) epoch: u64,
    /// Position in the order of all records.
    pub(crate) seq: u64,
    /// Inode number of the file.
    pub(crate) ino: u64,
    pub(crate) mark: Mark,
    /// Offset in the ciphertext file.
    pub(crate) at: u64,
    /// Length of the ciphertext file, where the kind has one.
    pub(crate) len: u64,
    /// Modification time to be set with it; when it was noted, for an extension.
    pub(crate) mtime: (i64, u32),
    pub(crate) body_len: u32,
}

impl Head {
    /// Writes the head of a record with this body.
    pub(crate) fn encode(&self, out: &mut [u8; HEAD_LEN], body: &[u8]) {
        out.fill(0);
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4] = self.kind as u8;
        out[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        out[16..24].copy_from_slice(&self.seq.to_le_bytes());
        out[24..32].copy_from_slice(&self.ino.to_le_bytes());
        out[32..32 + MARK_LEN].copy_from_slice(&self.mark);
        out[44..48].copy_from_slice(&self.body_len.to_le_bytes());
        out[48..56].copy_from_slice(&self.at.to_le_bytes());
        out[56..64].copy_from_slice(&self.len.to_le_bytes());
        out[64..72].copy_from_slice(&self.mtime.0.to_le_bytes());
        out[72..76].copy_from_slice(&self.mtime.1.to_le_bytes());
        let sum = checksum(&out[..88], self.summed(body));
        out[88..96].copy_from_slice(&sum.to_le_bytes());
    }

    /// Reads a head; `None` for anything that is not one.
    pub(crate) fn decode(bytes: &[u8; HEAD_LEN]) -> Option<Self> {
        let u32_at = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("in head"));
        let u64_at = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("in head"));
        if u32_at(0) != MAGIC {
            return None;
        }
        let body_len = u32_at(44);
        if body_len > MAX_BODY {
            return None;
        }
        Some(Self {
            kind: Kind::from_byte(bytes[4])?,
            epoch: u64_at(8),
            seq: u64_at(16),
            ino: u64_at(24),
            mark: *bytes[32..].first_chunk()?,
            at: u64_at(48),
            len: u64_at(56),
            mtime: (u64_at(64).cast_signed(), u32_at(72)),
            body_len,
        })
    }

    /// Whether head and body belong together.
    pub(crate) fn is_sound(&self, bytes: &[u8; HEAD_LEN], body: &[u8]) -> bool {
        bytes[88..] == checksum(&bytes[..88], self.summed(body)).to_le_bytes()
    }

    /// The part of the body under the checksum: paths whole, chunks not at all (their tags do it).
    fn summed<'b>(&self, body: &'b [u8]) -> &'b [u8] {
        match self.kind {
            Kind::Path | Kind::Extend | Kind::Done => body,
            Kind::Chunks | Kind::Cut => &[],
        }
    }
}

/// FNV-1a, 64 bits: against torn writes, not against people.
fn checksum(a: &[u8], b: &[u8]) -> u64 {
    a.iter().chain(b).fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            kind: Kind::Path,
            epoch: 7,
            seq: 9,
            ino: 11,
            mark: [3; MARK_LEN],
            at: 68,
            len: 1 << 40,
            mtime: (-5, 999_999_999),
            body_len: 4,
        }
    }

    #[test]
    fn a_head_survives_its_encoding() {
        let mut bytes = [0; HEAD_LEN];
        head().encode(&mut bytes, b"path");
        let back = Head::decode(&bytes).unwrap();
        assert_eq!(back, head());
        assert!(back.is_sound(&bytes, b"path"));
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut bytes = [0; HEAD_LEN];
        head().encode(&mut bytes, b"path");
        for bit in 0..HEAD_LEN * 8 {
            let mut torn = bytes;
            torn[bit / 8] ^= 1 << (bit % 8);
            let accepted = Head::decode(&torn).is_some_and(|h| h.is_sound(&torn, b"path"));
            assert!(!accepted, "bit {bit}");
        }
        let whole = Head::decode(&bytes).unwrap();
        assert!(!whole.is_sound(&bytes, b"patx"));
    }
}
