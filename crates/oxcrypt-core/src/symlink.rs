//! Targets of symbolic links (§14).
//!
//! A target is stored in NFC, as names are, so that it finds them. Nothing else about it is
//! changed: duplicate slashes, `.` and `..` stay.

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::content::small::{self, EmptyChunk};
use crate::cryptor::Cryptor;
use crate::error::Error;
use crate::rng::Rng;

/// The longest target that can be created, in bytes of NFC: what Linux can follow.
pub const MAX_TARGET_LEN: usize = 4095;

/// The longest target that is read.
const MAX_STORED_LEN: usize = 32_767;

/// The longest `symlink.c9r` of any cipher combination, in bytes: a reader needs no more than
/// one byte beyond.
pub const MAX_SYMLINK_FILE_LEN: usize = 88 + 48 + MAX_STORED_LEN;

/// Why a link cannot be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TargetError {
    /// No target.
    #[error("the link target is empty")]
    Empty,
    /// More than 4095 bytes.
    #[error("the link target is longer than 4095 bytes")]
    TooLong,
    /// The format stores text only.
    #[error("the link target is not UTF-8")]
    NotUtf8,
    /// A zero byte.
    #[error("the link target contains a NUL")]
    Nul,
}

/// A target that can be stored: NFC, 1 to 4095 bytes, no NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTarget(String);

impl LinkTarget {
    /// The target, normalised to NFC.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn parse(target: &[u8]) -> Result<Self, TargetError> {
        if target.is_empty() {
            return Err(TargetError::Empty);
        }
        if target.len() > 4 * MAX_TARGET_LEN {
            return Err(TargetError::TooLong);
        }
        let target = std::str::from_utf8(target).map_err(|_| TargetError::NotUtf8)?;
        if target.contains('\0') {
            return Err(TargetError::Nul);
        }
        let target = if is_nfc(target) {
            target.to_owned()
        } else {
            target.nfc().collect()
        };
        if target.len() > MAX_TARGET_LEN {
            return Err(TargetError::TooLong);
        }
        Ok(Self(target))
    }

    /// The target.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The size of the link in its attributes: bytes of the target.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }
}

/// The content of a `symlink.c9r`.
#[must_use]
pub fn seal_symlink(cryptor: &Cryptor, target: &LinkTarget, rng: &mut impl Rng) -> Vec<u8> {
    small::seal(
        cryptor,
        rng,
        target.as_str().as_bytes(),
        EmptyChunk::Omitted,
    )
}

/// The target in a `symlink.c9r`. May be empty, or longer than what can be created here.
///
/// # Errors
/// Damaged, of another vault, longer than 32,767 bytes, not UTF-8, or with a NUL.
pub fn open_symlink(cryptor: &Cryptor, file: &[u8]) -> Result<String, Error> {
    let target = small::open(cryptor, file, MAX_STORED_LEN)?;
    if target.contains(&0) {
        return Err(Error::Malformed("the link target contains a NUL"));
    }
    String::from_utf8(target).map_err(|_| Error::Malformed("the link target is not UTF-8"))
}
