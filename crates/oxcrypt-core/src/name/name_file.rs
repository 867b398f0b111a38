//! `name.c9s`: the ciphertext name of a node whose own name is shortened (§10).

use super::ShortName;
use super::cipher::REGULAR_SUFFIX;

/// The longest `name.c9s` accepted when reading.
pub const MAX_NAME_FILE_LEN: usize = 10_240;

/// The content of a `name.c9s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameFile<'a> {
    full: &'a [u8],
    trailing: usize,
}

/// Why a `name.c9s` holds no ciphertext name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NameFileError {
    /// More than 10,240 bytes.
    #[error("name.c9s is longer than 10240 bytes")]
    TooLong,
    /// No `.c9r` in it.
    #[error("name.c9s holds no encrypted name")]
    NoName,
    /// What comes before `.c9r` is not base64url.
    #[error("name.c9s holds no base64url text")]
    NotBase64,
}

impl<'a> NameFile<'a> {
    /// The ciphertext name in `content`: everything up to and with the first `.c9r`.
    ///
    /// # Errors
    /// Too long, or no ciphertext name at its start.
    pub fn parse(content: &'a [u8]) -> Result<Self, NameFileError> {
        if content.len() > MAX_NAME_FILE_LEN {
            return Err(NameFileError::TooLong);
        }
        let at = content
            .windows(REGULAR_SUFFIX.len())
            .position(|w| w == REGULAR_SUFFIX)
            .ok_or(NameFileError::NoName)?;
        let text = &content[..at];
        let is_text = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'=');
        if text.is_empty() || !text.iter().all(is_text) {
            return Err(NameFileError::NotBase64);
        }
        let (full, rest) = content.split_at(at + REGULAR_SUFFIX.len());
        Ok(Self {
            full,
            trailing: rest.len(),
        })
    }

    /// The whole ciphertext name, with `.c9r`.
    #[must_use]
    pub fn full(&self) -> &'a [u8] {
        self.full
    }

    /// Bytes after the name: left by old writers that replaced a longer name.
    #[must_use]
    pub fn trailing_len(&self) -> usize {
        self.trailing
    }

    /// Whether the node `node_name` is the place for this name.
    #[must_use]
    pub fn belongs_to(&self, node_name: &[u8]) -> bool {
        ShortName::of(self.full).as_bytes() == node_name
    }
}
