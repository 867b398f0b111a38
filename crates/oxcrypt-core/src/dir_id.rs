//! Directory ids and the place of their content directories (§8).

use std::hash::{Hash, Hasher};

use crate::rng::Rng;

/// Bytes kept inline: a UUID in text form, the longest id writers make.
const INLINE: usize = 36;

/// The longest id accepted when reading a `dir.c9r`.
const MAX: usize = 1000;

/// The identity of a directory: empty for the root, else 1 to 1000 bytes of UTF-8, by
/// convention a UUID. Ids of up to 36 bytes need no heap.
#[derive(Clone)]
pub struct DirId(Text);

#[derive(Clone)]
enum Text {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

/// Why the content of a `dir.c9r` is no directory id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DirIdError {
    /// Zero bytes; the root's id is never stored there.
    #[error("the directory id is empty")]
    Empty,
    /// More than 1000 bytes.
    #[error("the directory id is longer than 1000 bytes")]
    TooLong,
    /// Not text.
    #[error("the directory id is not UTF-8")]
    NotUtf8,
}

impl DirId {
    /// The root directory's id.
    pub const ROOT: Self = Self(Text::Inline {
        len: 0,
        bytes: [0; INLINE],
    });

    /// The longest stored id, in bytes; a reader needs to read no more than one byte beyond it.
    pub const MAX_LEN: usize = MAX;

    /// The id stored in a `dir.c9r`.
    ///
    /// # Errors
    /// Empty, longer than 1000 bytes, or no UTF-8.
    pub fn parse(stored: &[u8]) -> Result<Self, DirIdError> {
        if stored.is_empty() {
            return Err(DirIdError::Empty);
        }
        if stored.len() > MAX {
            return Err(DirIdError::TooLong);
        }
        if std::str::from_utf8(stored).is_err() {
            return Err(DirIdError::NotUtf8);
        }
        Ok(Self::of(stored))
    }

    fn of(text: &[u8]) -> Self {
        if text.len() > INLINE {
            return Self(Text::Heap(text.into()));
        }
        let mut bytes = [0; INLINE];
        bytes[..text.len()].copy_from_slice(text);
        Self(Text::Inline {
            len: text.len() as u8,
            bytes,
        })
    }

    /// A new id: a random UUID (version 4), lower case.
    #[must_use]
    pub fn random(rng: &mut impl Rng) -> Self {
        Self::of(&random_uuid(rng))
    }

    /// The text of the id; empty for the root.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Text::Heap(bytes) => bytes,
        }
    }

    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("checked when the id was made")
    }

    /// Whether this is the root's id.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl PartialEq for DirId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for DirId {}

impl Hash for DirId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl std::fmt::Debug for DirId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DirId({:?})", self.as_str())
    }
}

/// A random UUID (version 4) as 36 lower-case characters.
pub(crate) fn random_uuid(rng: &mut impl Rng) -> [u8; 36] {
    let mut raw = [0; 16];
    rng.fill(&mut raw);
    raw[6] = raw[6] & 0x0f | 0x40;
    raw[8] = raw[8] & 0x3f | 0x80;
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (i, byte) in raw.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = b"0123456789abcdef"[usize::from(byte >> 4)];
        text[at + 1] = b"0123456789abcdef"[usize::from(byte & 15)];
        at += 2;
    }
    text
}

/// Where a directory's content lies: 32 base32 characters, `d/<prefix>/<rest>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirHash([u8; 32]);

impl DirHash {
    /// Base32 of a SHA-1 digest.
    pub(crate) fn of_digest(digest: &[u8; 20]) -> Self {
        let mut text = [0; 32];
        data_encoding::BASE32.encode_mut(digest, &mut text);
        Self(text)
    }

    /// The hash that the names of the two directory levels spell; `None` when they cannot be
    /// those of a content directory (2 and 30 characters of the upper-case base32 alphabet).
    #[must_use]
    pub fn parse(prefix: &[u8], rest: &[u8]) -> Option<Self> {
        if prefix.len() != 2 || rest.len() != 30 {
            return None;
        }
        let mut text = [0; 32];
        text[..2].copy_from_slice(prefix);
        text[2..].copy_from_slice(rest);
        text.iter()
            .all(|c| matches!(c, b'A'..=b'Z' | b'2'..=b'7'))
            .then_some(Self(text))
    }

    /// All 32 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base32 is ASCII")
    }

    /// The name of the directory inside `d`: 2 characters.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.as_str()[..2]
    }

    /// The name of the content directory inside the prefix directory: 30 characters.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.as_str()[2..]
    }
}

impl std::fmt::Display for DirHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.prefix(), self.rest())
    }
}

impl std::fmt::Debug for DirHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DirHash({self})")
    }
}
