//! Names: as users see them ([`CleartextName`]) and as they lie on disk ([`CipherName`]).

pub(crate) mod cipher;
mod cleartext;
pub mod conflict;
mod name_file;

pub use cipher::{
    CipherName, CipherNameBuf, IN_USE_SUFFIX, MAX_CIPHER_NAME_LEN, MIN_NODE_NAME_LEN, NodeKind,
    REGULAR_SUFFIX, SHORTENED_SUFFIX, ShortName, is_canonical, max_cleartext_len,
};
pub use cleartext::{CleartextName, MAX_NAME_LEN, NameBuf};
pub use name_file::{MAX_NAME_FILE_LEN, NameFile, NameFileError};

/// Why something is no name, or why a ciphertext name cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NameError {
    /// The cleartext is not text.
    #[error("the name is not UTF-8")]
    NotUtf8,
    /// Empty, `.`, `..`, or with `/` or NUL.
    #[error("the name is not allowed")]
    Invalid,
    /// More than 255 bytes of cleartext.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// A ciphertext name that is not `base64url || ".c9r"`, or too short to be one.
    #[error("not an encrypted name")]
    NotEncrypted,
    /// A ciphertext name that no writer spells so: padding or trailing bits differ.
    #[error("the encrypted name is not in its canonical spelling")]
    NotCanonical,
    /// Not encrypted in this directory with this key, or damaged.
    #[error("authentication failed: the name is damaged or belongs elsewhere")]
    Authentication,
}
