//! Names as users see them.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc, is_nfd};

use super::NameError;

/// The longest cleartext name, in bytes: what Linux file systems allow.
pub const MAX_NAME_LEN: usize = 255;

/// No name this long can be 255 bytes in NFC: composition shortens UTF-8 to a third at most.
const MAX_UNCOMPOSED_LEN: usize = 4 * MAX_NAME_LEN;

/// A name that can be encrypted: NFC, 1 to 255 bytes, without `/` and NUL, not `.` or `..`.
/// Borrows the input when that is in NFC already.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CleartextName<'a>(Cow<'a, str>);

impl<'a> CleartextName<'a> {
    /// The name spelled by `name`, normalised to NFC.
    ///
    /// # Errors
    /// [`NameError::NotUtf8`], [`NameError::Invalid`] or [`NameError::TooLong`] (in NFC).
    pub fn parse(name: &'a [u8]) -> Result<Self, NameError> {
        Self::from_text(std::str::from_utf8(name).map_err(|_| NameError::NotUtf8)?)
    }

    /// As [`Self::parse`], for text.
    ///
    /// # Errors
    /// [`NameError::Invalid`] or [`NameError::TooLong`] (in NFC).
    pub fn from_text(name: &'a str) -> Result<Self, NameError> {
        check(name)?;
        if name.len() > MAX_UNCOMPOSED_LEN {
            return Err(NameError::TooLong);
        }
        let name = if name.is_ascii() || is_nfc(name) {
            Cow::Borrowed(name)
        } else {
            Cow::Owned(name.nfc().collect())
        };
        if name.len() > MAX_NAME_LEN {
            return Err(NameError::TooLong);
        }
        Ok(Self(name))
    }

    /// The name, in NFC.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The UTF-8 bytes of the name, in NFC.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The name in NFD where that is another spelling: the form in which clients of another
    /// system may have stored it. Only for finding such nodes, never for writing one. `None` also
    /// when it is longer than 255 bytes, which can happen to a name that is not.
    #[must_use]
    pub fn decomposed(&self) -> Option<CleartextName<'static>> {
        if self.0.is_ascii() || is_nfd(&self.0) {
            return None;
        }
        let text: String = self.0.nfd().collect();
        (text.len() <= MAX_NAME_LEN).then_some(CleartextName(Cow::Owned(text)))
    }

    /// The name with its own text.
    #[must_use]
    pub fn into_owned(self) -> CleartextName<'static> {
        CleartextName(Cow::Owned(self.0.into_owned()))
    }
}

impl std::fmt::Display for CleartextName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a file system can show the name at all; its length and spelling are not looked at.
pub(super) fn check(name: &str) -> Result<(), NameError> {
    let bytes = name.as_bytes();
    if matches!(bytes, b"" | b"." | b"..") || bytes.iter().any(|b| matches!(b, b'/' | 0)) {
        return Err(NameError::Invalid);
    }
    Ok(())
}

/// Room for one decrypted name.
#[derive(Clone)]
pub struct NameBuf {
    pub(super) bytes: [u8; MAX_NAME_LEN],
}

impl NameBuf {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; MAX_NAME_LEN],
        }
    }
}

impl Default for NameBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NameBuf { .. }")
    }
}
