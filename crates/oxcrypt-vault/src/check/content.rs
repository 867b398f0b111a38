//! One encrypted file: its length, its header, every chunk.

use oxcrypt_core::{
    CHUNK_LEN, ChunkIndex, Cryptor, FileHeader, Layout, MAX_SYMLINK_FILE_LEN, SizeError,
};
use oxcrypt_store::{OpenMode, Store, StoreError};

use super::finding::Code;

/// Chunks read at once.
const BATCH: usize = 8;
/// Damaged chunks told apart in one file; more are only counted.
const MAX_CHUNKS_TOLD: u64 = 16;
/// After so many damaged chunks in a row the rest of a file is not looked at: a forged length
/// costs nothing on a host with holes, and reading it could take years.
const MAX_CHUNKS_IN_A_ROW: u64 = 1024;

/// Something wrong with a file, without its place.
pub(super) struct Flaw {
    pub(super) code: Code,
    pub(super) chunk: Option<u64>,
    pub(super) detail: String,
}

fn flaw(code: Code, detail: impl Into<String>) -> Flaw {
    Flaw {
        code,
        chunk: None,
        detail: detail.into(),
    }
}

/// What one file came to.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) flaws: Vec<Flaw>,
    pub(super) bytes: u64,
}

/// Buffers of one worker.
pub(super) struct Scratch {
    cipher: Vec<u8>,
    plain: Vec<u8>,
}

impl Scratch {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            cipher: vec![0; BATCH * layout.cipher_chunk_len()],
            plain: vec![0; CHUNK_LEN],
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.plain);
    }
}

/// What kind of file it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Content,
    Link,
}

/// Checks the file `name` in `dir`. With `every_chunk` false only its length and header.
///
/// # Errors
/// Those of the storage.
pub(super) fn examine<S: Store>(
    store: &S,
    cryptor: &Cryptor,
    dir: &S::Dir,
    name: &[u8],
    form: Form,
    every_chunk: bool,
    scratch: &mut Scratch,
) -> Result<Verdict, StoreError> {
    let layout = cryptor.layout();
    let file = store.open(dir, name, OpenMode::READ)?;
    let cipher_len = store.stat_file(&file)?.size;
    let mut verdict = Verdict::default();
    if form == Form::Link && cipher_len > MAX_SYMLINK_FILE_LEN as u64 {
        let detail = format!("{cipher_len} bytes, longer than any link is");
        verdict.flaws.push(flaw(Code::LinkTarget, detail));
        return Ok(verdict);
    }
    match layout.plain_len(cipher_len) {
        Ok(_) => {}
        Err(SizeError::Empty) => {
            let detail = "0 bytes, not even a header: it reads as an empty file, but no writer leaves one \
                          so; what was in it may be lost";
            verdict.flaws.push(flaw(Code::ZeroByteFile, detail));
            return Ok(verdict);
        }
        Err(error @ SizeError::TornHeader) => {
            verdict.flaws.push(flaw(Code::Truncated, error.to_string()));
            return Ok(verdict);
        }
        Err(error @ SizeError::TornChunk) => {
            verdict.flaws.push(flaw(Code::Truncated, error.to_string()));
        }
        Err(error @ SizeError::EmptyTrailingChunk { .. }) => {
            verdict
                .flaws
                .push(flaw(Code::EmptyTrailingChunk, error.to_string()));
        }
    }
    let sealed = &mut scratch.cipher[..layout.header_len()];
    let read = store.read_at(&file, sealed, 0)?;
    let Ok(header) = cryptor.open_header(&sealed[..read]) else {
        let detail =
            "the file header is damaged or of another vault: nothing of the file can be read";
        verdict.flaws.push(flaw(Code::HeaderAuth, detail));
        return Ok(verdict);
    };
    verdict.bytes = read as u64;
    if every_chunk {
        let chunks = Chunks {
            store,
            cryptor,
            header: &header,
            file: &file,
            cipher_len,
        };
        chunks.examine(scratch, &mut verdict)?;
    }
    Ok(verdict)
}

struct Chunks<'a, S: Store> {
    store: &'a S,
    cryptor: &'a Cryptor,
    header: &'a FileHeader,
    file: &'a S::File,
    cipher_len: u64,
}

impl<S: Store> Chunks<'_, S> {
    fn examine(&self, scratch: &mut Scratch, verdict: &mut Verdict) -> Result<(), StoreError> {
        let layout = self.cryptor.layout();
        let mut index = 0;
        let mut damaged = 0;
        let mut in_a_row = 0;
        let mut given_up = false;
        while !given_up {
            let at = layout.chunk_start(ChunkIndex(index));
            if at >= self.cipher_len {
                break;
            }
            let read = self.store.read_at(self.file, &mut scratch.cipher, at)?;
            if read == 0 {
                // Cut while it was read: somebody is writing to it.
                break;
            }
            verdict.bytes += read as u64;
            for sealed in scratch.cipher[..read].chunks(layout.cipher_chunk_len()) {
                // A rest too short for any chunk was told as a wrong length already.
                if sealed.len() < layout.overhead()
                    || self.is_authentic(index, sealed, &mut scratch.plain)
                {
                    in_a_row = 0;
                } else {
                    damaged += 1;
                    in_a_row += 1;
                    given_up = in_a_row >= MAX_CHUNKS_IN_A_ROW;
                    if damaged <= MAX_CHUNKS_TOLD {
                        let detail = format!(
                            "bytes {} to {} of the file cannot be read",
                            index * CHUNK_LEN as u64,
                            (index + 1) * CHUNK_LEN as u64 - 1
                        );
                        let (code, chunk) = (Code::ChunkAuth, Some(index));
                        verdict.flaws.push(Flaw {
                            code,
                            chunk,
                            detail,
                        });
                    }
                }
                index += 1;
            }
        }
        if damaged > MAX_CHUNKS_TOLD {
            let more = damaged - MAX_CHUNKS_TOLD;
            verdict.flaws.push(flaw(
                Code::ChunkAuth,
                format!("{more} more chunks cannot be read"),
            ));
        }
        let rest = layout.chunk_start(ChunkIndex(index));
        if given_up && rest < self.cipher_len {
            verdict.flaws.push(flaw(
                Code::ChunkAuth,
                format!(
                    "{in_a_row} chunks in a row cannot be read; the {} bytes behind them were not \
                     looked at",
                    self.cipher_len - rest
                ),
            ));
        }
        Ok(())
    }

    fn is_authentic(&self, index: u64, sealed: &[u8], plain: &mut [u8]) -> bool {
        self.cryptor
            .open_chunk(self.header, ChunkIndex(index), sealed, plain)
            .is_ok()
    }
}
