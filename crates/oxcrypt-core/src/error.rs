//! The one error of content operations. Closed; carries no names, keys or plaintext.

/// Why a header, a chunk or another sealed piece could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// The authentication tag does not match: damaged, moved, of another file or of another key.
    #[error("authentication failed: the data is damaged or belongs elsewhere")]
    Authentication,
    /// Fewer bytes than the smallest possible piece.
    #[error("the data is cut off")]
    Truncated,
    /// More bytes than the format allows for this piece.
    #[error("the data is longer than the format allows")]
    Oversized,
    /// Authentic, but not what this place must hold.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}
