//! Names of the vault formats 5 and 6, for reading and for migration (§21.1).
//!
//! Base32 instead of base64url; the kind of a node is a prefix of its name; long names are
//! replaced by `base32(sha1(name)) || ".lng"` and kept in the directory `m`. Everything else is
//! as in the current format, so that a migrated name opens with [`Cryptor::open_name`].
//!
//! [`Cryptor::open_name`]: crate::Cryptor::open_name

use data_encoding::{BASE32, BASE64URL};
use sha1::{Digest, Sha1};

use crate::name::{MAX_NAME_FILE_LEN, REGULAR_SUFFIX, ShortName};

/// The longest name (with prefix) that is not replaced, in characters, in a format.
// COMPAT: format 5 replaces names of 129 characters, format 6 keeps them; seen in vaults made
// by the official releases of both.
#[must_use]
pub const fn legacy_threshold(format: u32) -> usize {
    if format <= 5 { 128 } else { 129 }
}

/// Ends a replaced name.
pub const LONG_SUFFIX: &str = ".lng";

/// Characters of the hash in a replaced name.
const HASH_LEN: usize = 32;

/// What a node of formats 5 and 6 is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum LegacyKind {
    /// A regular file.
    File,
    /// A file that holds a directory id in clear.
    Directory,
    /// A file that holds an encrypted link target.
    Symlink,
}

impl LegacyKind {
    /// The prefix of the node's name.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::File => "",
            Self::Directory => "0",
            Self::Symlink => "1S",
        }
    }

    /// The name of the file in the migrated node directory. A file with a name that is not
    /// shortened has none: it is the node.
    #[must_use]
    pub const fn migrated_payload(self, shortened: bool) -> Option<&'static str> {
        match self {
            Self::File if shortened => Some("contents.c9r"),
            Self::File => None,
            Self::Directory => Some("dir.c9r"),
            Self::Symlink => Some("symlink.c9r"),
        }
    }
}

/// A name found in the name of a node, or in the file in `m` that a replaced name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyName {
    kind: LegacyKind,
    /// With prefix.
    text: String,
    sealed: Vec<u8>,
}

impl LegacyName {
    /// The first legacy name in `text`; sync programs may have added to it before and after.
    /// `None` when there is none, also when it is longer than 10 KiB.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        if text.len() > MAX_NAME_FILE_LEN {
            return None;
        }
        let bytes = text.as_bytes();
        (0..bytes.len()).find_map(|start| Self::at(bytes, start))
    }

    /// `(0|1S)?([A-Z2-7]{8})*[A-Z2-7=]{8}` at `start`, as long as possible.
    fn at(bytes: &[u8], start: usize) -> Option<Self> {
        let rest = &bytes[start..];
        // Neither 0 nor 1 is in the alphabet.
        let kind = match rest.first()? {
            b'0' => LegacyKind::Directory,
            b'1' if rest.starts_with(b"1S") => LegacyKind::Symlink,
            _ => LegacyKind::File,
        };
        let body = &rest[kind.prefix().len()..];
        let in_alphabet = |c: &u8| matches!(c, b'A'..=b'Z' | b'2'..=b'7');
        let full = body.iter().take_while(|c| in_alphabet(c)).count() / 8 * 8;
        let padded = body
            .get(full..full + 8)
            .is_some_and(|last| last.iter().all(|c| in_alphabet(c) || *c == b'='));
        let len = if padded { full + 8 } else { full };
        if len == 0 {
            return None;
        }
        let sealed = BASE32.decode(&body[..len]).ok()?;
        let text = &rest[..kind.prefix().len() + len];
        Some(Self {
            kind,
            text: String::from_utf8(text.to_vec()).ok()?,
            sealed,
        })
    }

    /// What the node is.
    #[must_use]
    pub fn kind(&self) -> LegacyKind {
        self.kind
    }

    /// The name alone, with its prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name in the current format, `base64url || ".c9r"`. Opens as any other name.
    #[must_use]
    pub fn migrated(&self) -> String {
        let mut name = BASE64URL.encode(&self.sealed);
        name.push_str(std::str::from_utf8(REGULAR_SUFFIX).expect("ASCII"));
        name
    }

    /// The name of the node in the current format, and the content of its `name.c9s` when the
    /// name is longer than `threshold`.
    #[must_use]
    pub fn migrated_node(&self, threshold: u32) -> (String, Option<String>) {
        let full = self.migrated();
        if full.len() as u64 > u64::from(threshold) {
            (
                ShortName::of(full.as_bytes()).as_str().to_owned(),
                Some(full),
            )
        } else {
            (full, None)
        }
    }
}

/// The name of a node of format 5 or 6: what is in `d`, and for a long name what its file in
/// `m` holds.
#[must_use]
pub fn legacy_node(format: u32, kind: LegacyKind, sealed_name: &[u8]) -> (String, Option<String>) {
    let full = format!("{}{}", kind.prefix(), BASE32.encode(sealed_name));
    if full.len() <= legacy_threshold(format) {
        return (full, None);
    }
    (
        format!("{}{LONG_SUFFIX}", BASE32.encode(&Sha1::digest(&full))),
        Some(full),
    )
}

/// The hash in the name of a replaced long name; `None` when it has none. Sync programs may
/// have added to the name.
#[must_use]
pub fn long_name_hash(node_name: &str) -> Option<&str> {
    if !node_name.ends_with(LONG_SUFFIX) {
        return None;
    }
    let bytes = node_name.as_bytes();
    let at = bytes.windows(HASH_LEN).position(|window| {
        window
            .iter()
            .all(|c| matches!(c, b'A'..=b'Z' | b'2'..=b'7'))
    })?;
    Some(&node_name[at..at + HASH_LEN])
}

/// Where in `m` the name for a hash from [`long_name_hash`] is kept: two directory names and a
/// file name.
///
/// # Panics
/// When `hash` is not what [`long_name_hash`] returns.
#[must_use]
pub fn long_name_path(hash: &str) -> [String; 3] {
    [
        hash[..2].to_owned(),
        hash[2..4].to_owned(),
        format!("{hash}{LONG_SUFFIX}"),
    ]
}
