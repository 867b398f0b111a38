//! Names as they lie on disk (§9, §10).

use data_encoding::{BASE64URL, DecodeKind};
use sha1::{Digest, Sha1};

use super::NameError;
use super::cleartext::{self, CleartextName, MAX_NAME_LEN, NameBuf};
use crate::siv::{SIV_LEN, Siv, SivPrefix};

/// Ends the name of a regular node.
pub const REGULAR_SUFFIX: &[u8] = b".c9r";
/// Ends the name of a node with a shortened name.
pub const SHORTENED_SUFFIX: &[u8] = b".c9s";
/// Ends the name of the marker of a file in use (§19).
pub const IN_USE_SUFFIX: &[u8] = b".c9u";

const SUFFIX_LEN: usize = 4;

/// Bytes of the shortest name of a node: an empty cleartext, encrypted, and the suffix.
/// `dirid.c9r` and temporary files are shorter and thus never nodes.
pub const MIN_NODE_NAME_LEN: usize = base64_len(SIV_LEN) + SUFFIX_LEN;

/// Bytes of the longest name of a regular node whose cleartext a file system can show.
pub const MAX_CIPHER_NAME_LEN: usize = base64_len(MAX_SEALED_LEN) + SUFFIX_LEN;

const MAX_SEALED_LEN: usize = MAX_NAME_LEN + SIV_LEN;

const DIGEST_LEN: usize = 20;
const SHORT_LEN: usize = base64_len(DIGEST_LEN) + SUFFIX_LEN;

const fn base64_len(len: usize) -> usize {
    len.div_ceil(3) * 4
}

/// The longest cleartext, in bytes, whose ciphertext name has at most `cipher_len` characters:
/// 146 for the usual threshold of 220. 0 when not even one byte fits.
#[must_use]
pub const fn max_cleartext_len(cipher_len: u32) -> usize {
    (cipher_len.saturating_sub(4) as usize / 4 * 3).saturating_sub(SIV_LEN)
}

/// A ciphertext name with its suffix; inline, no heap.
#[derive(Clone)]
pub struct CipherNameBuf {
    len: u16,
    bytes: [u8; MAX_CIPHER_NAME_LEN],
}

impl CipherNameBuf {
    fn encode(sealed: &[u8]) -> Self {
        let mut bytes = [0; MAX_CIPHER_NAME_LEN];
        let end = base64_len(sealed.len());
        BASE64URL.encode_mut(sealed, &mut bytes[..end]);
        bytes[end..end + SUFFIX_LEN].copy_from_slice(REGULAR_SUFFIX);
        Self {
            len: (end + SUFFIX_LEN) as u16,
            bytes,
        }
    }

    /// The name, ASCII, ending in `.c9r`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The name, ending in `.c9r`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("base64 is ASCII")
    }
}

impl PartialEq for CipherNameBuf {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for CipherNameBuf {}

impl std::hash::Hash for CipherNameBuf {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl std::fmt::Debug for CipherNameBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CipherNameBuf({})", self.as_str())
    }
}

/// The shortened form of a long ciphertext name: `base64url(sha1(name)) || ".c9s"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortName([u8; SHORT_LEN]);

impl ShortName {
    /// Bytes of every shortened name.
    pub const LEN: usize = SHORT_LEN;

    /// The shortened form of a whole ciphertext name, `.c9r` included.
    #[must_use]
    pub fn of(full: &[u8]) -> Self {
        let mut bytes = [0; SHORT_LEN];
        let (text, suffix) = bytes.split_at_mut(SHORT_LEN - SUFFIX_LEN);
        BASE64URL.encode_mut(&Sha1::digest(full), text);
        suffix.copy_from_slice(SHORTENED_SUFFIX);
        Self(bytes)
    }

    /// The name, ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64 is ASCII")
    }
}

impl std::fmt::Debug for ShortName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ShortName({})", self.as_str())
    }
}

/// The ciphertext name of a node in the form the shortening threshold asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CipherName {
    /// The node carries the name itself.
    Short(CipherNameBuf),
    /// The node is a directory with the shortened name, and its `name.c9s` holds `full`.
    Long {
        /// Name of the node.
        short: ShortName,
        /// Content of `name.c9s`.
        full: CipherNameBuf,
    },
}

impl CipherName {
    /// The name of the node in its content directory.
    #[must_use]
    pub fn node(&self) -> &[u8] {
        match self {
            Self::Short(full) => full.as_bytes(),
            Self::Long { short, .. } => short.as_bytes(),
        }
    }

    /// The name of the node in its content directory.
    #[must_use]
    pub fn node_str(&self) -> &str {
        match self {
            Self::Short(full) => full.as_str(),
            Self::Long { short, .. } => short.as_str(),
        }
    }

    /// The whole ciphertext name, whichever form the node has.
    #[must_use]
    pub fn full(&self) -> &[u8] {
        match self {
            Self::Short(full) | Self::Long { full, .. } => full.as_bytes(),
        }
    }

    /// Whether the node's name is shortened.
    #[must_use]
    pub fn is_long(&self) -> bool {
        matches!(self, Self::Long { .. })
    }
}

/// What the name of an entry of a content directory announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum NodeKind {
    /// `….c9r`: carries its own encrypted name.
    Regular,
    /// `….c9s`: the encrypted name is in its `name.c9s`.
    Shortened,
    /// `….c9u`: a marker, never shown.
    InUse,
    /// No node: `dirid.c9r`, a temporary file, or somebody else's.
    Foreign,
}

impl NodeKind {
    /// The kind of the entry with this name. Says nothing about whether it can be decrypted.
    #[must_use]
    pub fn of(entry_name: &[u8]) -> Self {
        if entry_name.len() < MIN_NODE_NAME_LEN {
            return Self::Foreign;
        }
        match &entry_name[entry_name.len() - SUFFIX_LEN..] {
            b".c9r" => Self::Regular,
            b".c9s" => Self::Shortened,
            b".c9u" => Self::InUse,
            _ => Self::Foreign,
        }
    }
}

pub(crate) fn seal(
    siv: &Siv,
    dir: SivPrefix,
    name: &CleartextName<'_>,
    threshold: u32,
) -> CipherName {
    let plain = name.as_bytes();
    let mut sealed = [0; MAX_SEALED_LEN];
    let sealed = &mut sealed[..plain.len() + SIV_LEN];
    siv.seal(dir, plain, sealed);
    let full = CipherNameBuf::encode(sealed);
    if u32::from(full.len) > threshold {
        CipherName::Long {
            short: ShortName::of(full.as_bytes()),
            full,
        }
    } else {
        CipherName::Short(full)
    }
}

pub(crate) fn open<'b>(
    siv: &Siv,
    dir: SivPrefix,
    cipher_name: &[u8],
    out: &'b mut NameBuf,
) -> Result<&'b str, NameError> {
    let mut sealed = [0; MAX_SEALED_LEN + 2];
    let sealed = decode(cipher_name, &mut sealed)?;
    let plain_len = sealed.len() - SIV_LEN;
    let plain = out.bytes.get_mut(..plain_len).ok_or(NameError::TooLong)?;
    siv.open(dir, sealed, plain)
        .map_err(|_| NameError::Authentication)?;
    let name = std::str::from_utf8(plain).map_err(|_| NameError::NotUtf8)?;
    cleartext::check(name)?;
    Ok(name)
}

/// Whether `cipher_name` (with `.c9r`) is spelled as writers spell names. Others may decode to
/// the same bytes, but are conflict copies or junk.
#[must_use]
pub fn is_canonical(cipher_name: &[u8]) -> bool {
    decode(cipher_name, &mut [0; MAX_SEALED_LEN + 2]).is_ok()
}

fn decode<'b>(
    cipher_name: &[u8],
    buf: &'b mut [u8; MAX_SEALED_LEN + 2],
) -> Result<&'b [u8], NameError> {
    let text = cipher_name
        .strip_suffix(REGULAR_SUFFIX)
        .ok_or(NameError::NotEncrypted)?;
    if text.len() < MIN_NODE_NAME_LEN - SUFFIX_LEN || !text.len().is_multiple_of(4) {
        return Err(NameError::NotEncrypted);
    }
    if text.len() > MAX_CIPHER_NAME_LEN - SUFFIX_LEN {
        return Err(NameError::TooLong);
    }
    // The decoder takes several padded texts in a row for one.
    if text[..text.len() - 2].contains(&b'=') {
        return Err(NameError::NotEncrypted);
    }
    let room = text.len() / 4 * 3;
    // The decoder insists on padding and on zero trailing bits.
    let len = BASE64URL
        .decode_mut(text, &mut buf[..room])
        .map_err(|e| match e.error.kind {
            DecodeKind::Trailing | DecodeKind::Padding => NameError::NotCanonical,
            DecodeKind::Length | DecodeKind::Symbol => NameError::NotEncrypted,
        })?;
    Ok(&buf[..len])
}
