//! `dirid.c9r`: the encrypted copy of a directory's own id in its content directory (§11).

use crate::content::small::{self, EmptyChunk};
use crate::cryptor::Cryptor;
use crate::dir_id::DirId;
use crate::error::Error;
use crate::rng::Rng;

/// The name of the file.
pub const DIR_ID_FILE_NAME: &str = "dirid.c9r";

/// The longest id in such a file, in bytes.
const MAX_ID_LEN: usize = 36;

/// The longest such file of any cipher combination, in bytes: a reader needs no more than one
/// byte beyond.
pub const MAX_DIR_ID_FILE_LEN: usize = 88 + 48 + MAX_ID_LEN;

/// The content of the file for the content directory of `id`. The root's has an empty chunk.
#[must_use]
pub fn seal_dir_id_file(cryptor: &Cryptor, id: &DirId, rng: &mut impl Rng) -> Vec<u8> {
    small::seal(cryptor, rng, id.as_bytes(), EmptyChunk::Written)
}

/// The id in such a file; the root's for an empty chunk or none.
///
/// Whether the id belongs to the directory it was found in is for the caller to check, with
/// [`Cryptor::dir_hash`].
///
/// # Errors
/// Damaged, of another vault, longer than 36 bytes, or not UTF-8.
pub fn open_dir_id_file(cryptor: &Cryptor, file: &[u8]) -> Result<DirId, Error> {
    let id = small::open(cryptor, file, MAX_ID_LEN)?;
    if id.is_empty() {
        return Ok(DirId::ROOT);
    }
    DirId::parse(&id).map_err(|_| Error::Malformed("the directory id is not text"))
}
