//! Names changed by sync programs (§16): finding the encrypted name inside such a name, and the
//! cleartext names under which a conflicting copy is kept.

use super::cipher::{self, REGULAR_SUFFIX};
use super::{CleartextName, MAX_NAME_LEN};

/// How many substrings of one name are tried. A junk name full of delimiters must not cost more.
const MAX_TRIES: usize = 128;

/// Where an encrypted name was found in the name of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extracted<'n> {
    /// The base64url text, without `.c9r`; the canonical name of the node is this and `.c9r`.
    pub text: &'n [u8],
    /// What comes before it.
    pub prefix: &'n [u8],
    /// What comes between it and the final `.c9r`, for example ` (1)`.
    pub suffix: &'n [u8],
}

impl Extracted<'_> {
    /// Whether the node's name is the encrypted name and nothing else: no conflict.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.prefix.is_empty() && self.suffix.is_empty()
    }
}

/// Finds the part of `node_name` (which ends in `.c9r`) for which `opens` is true. `opens` gets
/// base64url text without `.c9r`, and decides by decrypting it; it is called at most 128 times.
///
/// The encrypted name must be delimited: by the ends of the name, by a character outside the
/// base64url alphabet, or by `-` or `_`. Shorter cuts are tried before longer ones.
pub fn extract<'n>(
    node_name: &'n [u8],
    mut opens: impl FnMut(&'n [u8]) -> bool,
) -> Option<Extracted<'n>> {
    let base = node_name.strip_suffix(REGULAR_SUFFIX)?;
    let mut ranges = vec![(0, base.len())];
    let mut next = 0;
    while next < ranges.len() && next < MAX_TRIES {
        let (from, to) = ranges[next];
        next += 1;
        let Some((start, end)) = first_match(base, from, to) else {
            continue;
        };
        let text = &base[start..end];
        if opens(text) {
            let (prefix, suffix) = (&base[..start], &base[end..]);
            return Some(Extracted {
                text,
                prefix,
                suffix,
            });
        }
        let is_delimiter = |c: &u8| matches!(c, b'-' | b'_');
        let (Some(first), Some(last)) = (
            text.iter().position(is_delimiter),
            text.iter().rposition(is_delimiter),
        ) else {
            continue;
        };
        for range in [(from, start + last), (start + first.max(1), to)] {
            if ranges.len() < MAX_TRIES && !ranges.contains(&range) {
                ranges.push(range);
            }
        }
    }
    None
}

/// The first, and there the longest, `[A-Za-z0-9-_]{20}([A-Za-z0-9-_]{4})*` that goes on with
/// four more such characters, or three and `=`, or two and `==`.
fn first_match(base: &[u8], from: usize, to: usize) -> Option<(usize, usize)> {
    let in_alphabet = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    let mut start = from;
    while start < to {
        let run = base[start..to]
            .iter()
            .take_while(|c| in_alphabet(c))
            .count();
        let after = &base[start + run..to];
        let len = match run % 4 {
            3 if run >= 23 && after.starts_with(b"=") => run + 1,
            2 if run >= 22 && after.starts_with(b"==") => run + 2,
            _ => run / 4 * 4,
        };
        if len >= cipher::MIN_NODE_NAME_LEN - REGULAR_SUFFIX.len() {
            return Some((start, start + len));
        }
        start += run + 1;
    }
    None
}

/// The cleartext names to try, in order, for a conflicting copy of `cleartext`: with `suffix`
/// before the extension, then with ` (1)` to ` (9)`. Names are cut, at character boundaries, so
/// that their ciphertext stays within `threshold`; where that would leave nothing of them, so
/// that they are valid at all.
///
/// A `suffix` that is not UTF-8 counts as none.
pub fn conflict_names(
    cleartext: &str,
    suffix: &[u8],
    threshold: u32,
) -> impl Iterator<Item = CleartextName<'static>> {
    let suffix = std::str::from_utf8(suffix).unwrap_or_default();
    let (base, extension) = match cleartext.rfind('.') {
        Some(dot) if dot > 0 => cleartext.split_at(dot),
        _ => (cleartext, ""),
    };
    // ` (9)` must fit as well.
    let parts = |room: usize| {
        let net = room.saturating_sub(extension.len());
        let suffix = cut(suffix, net / 2);
        (cut(base, net.saturating_sub(suffix.len().max(4))), suffix)
    };
    let room = cipher::max_cleartext_len(threshold).min(MAX_NAME_LEN);
    let (base, suffix) = match parts(room) {
        ("", _) => parts(MAX_NAME_LEN),
        fitting => fitting,
    };
    let first = format!("{base}{suffix}{extension}");
    let numbered = (1..=9).map(move |i| format!("{base} ({i}){extension}"));
    std::iter::once(first)
        .chain(numbered)
        .filter_map(|name| Some(CleartextName::from_text(&name).ok()?.into_owned()))
        .collect::<Vec<_>>()
        .into_iter()
}

/// The longest start of `text` of at most `len` bytes.
fn cut(text: &str, len: usize) -> &str {
    &text[..text.floor_char_boundary(len)]
}
