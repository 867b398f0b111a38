//! The recovery key: the master key as 44 English words of 12 bits each (§22).
//!
//! `words = raw key (64 bytes) || crc32(raw key) & 0xFFFF, little-endian`. The word list is a
//! table of the format: its order must never change.

use std::sync::OnceLock;

use zeroize::{Zeroize, Zeroizing};

use crate::key::MasterKey;

/// The 4096 words, one a line; the line number is the value.
const WORD_LIST: &str = include_str!("recovery_words.txt");

/// How many words a recovery key has.
pub const WORD_COUNT: usize = 44;

const BLOB_LEN: usize = MasterKey::LEN + 2;

/// The longest word of the list; more than twice that is no typing error.
const MAX_TYPED_LEN: usize = 20;

const MAX_SUGGESTIONS: usize = 3;

/// Why words are no recovery key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// There are not 44 words.
    #[error("a recovery key has 44 words, not {0}")]
    WordCount(usize),
    /// A word is not in the list. The word itself is not repeated: it may be part of the key.
    #[error("word {position} is not in the list")]
    UnknownWord {
        /// Which word, from 1.
        position: usize,
        /// Similar words, the most similar first, at most three.
        suggestions: Vec<&'static str>,
    },
    /// All words exist, but they do not belong together: one was mistaken for another, or two
    /// were swapped.
    #[error("the words do not fit together: one is wrong or in the wrong place")]
    Checksum,
}

struct Words {
    by_value: Vec<&'static str>,
    /// Values, in the order of their words.
    sorted: Vec<u16>,
}

fn words() -> &'static Words {
    static WORDS: OnceLock<Words> = OnceLock::new();
    WORDS.get_or_init(|| {
        let by_value: Vec<_> = WORD_LIST.lines().collect();
        let mut sorted: Vec<u16> = (0..4096).collect();
        sorted.sort_unstable_by_key(|&value| by_value[usize::from(value)]);
        Words { by_value, sorted }
    })
}

impl Words {
    fn value_of(&self, word: &str) -> Option<u16> {
        let at = self
            .sorted
            .binary_search_by_key(&word, |&v| self.by_value[usize::from(v)]);
        at.ok().map(|at| self.sorted[at])
    }

    fn similar_to(&self, typed: &str) -> Vec<&'static str> {
        let mut found: Vec<(usize, &'static str)> = self
            .by_value
            .iter()
            .map(|&word| (distance(typed.as_bytes(), word.as_bytes()), word))
            .filter(|(distance, word)| *distance <= 2 && *distance < word.len())
            .collect();
        found.sort_unstable();
        found.truncate(MAX_SUGGESTIONS);
        found.into_iter().map(|(_, word)| word).collect()
    }
}

/// The word list, in the order of the values.
#[must_use]
pub fn word_list() -> &'static [&'static str] {
    &words().by_value
}

/// The words that start with `start`, in alphabetical order: for completion while typing.
pub fn words_starting_with(start: &str) -> impl Iterator<Item = &'static str> {
    let words = words();
    let at = words
        .sorted
        .partition_point(|&v| words.by_value[usize::from(v)] < start);
    words.sorted[at..]
        .iter()
        .map(|&value| words.by_value[usize::from(value)])
        .take_while(move |word| word.starts_with(start))
}

/// The recovery key of a master key: 44 words joined by spaces.
#[must_use]
pub fn encode(key: &MasterKey) -> Zeroizing<String> {
    let words = words();
    let mut blob = Zeroizing::new([0; BLOB_LEN]);
    blob[..MasterKey::LEN].copy_from_slice(key.raw());
    blob[MasterKey::LEN..].copy_from_slice(&checksum(key.raw()));
    // Room at once, so that growing leaves no copies: words have at most 9 letters.
    let mut text = Zeroizing::new(String::with_capacity(WORD_COUNT * 10));
    for bytes in blob.chunks_exact(3) {
        let [a, b, c] = [bytes[0], bytes[1], bytes[2]].map(usize::from);
        for value in [a << 4 | b >> 4, (b & 15) << 8 | c] {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(words.by_value[value]);
        }
    }
    text
}

/// The master key that `text` spells. Any white space separates words; case does not count.
///
/// # Errors
/// See [`RecoveryError`]; an unknown word is reported before a wrong number of words.
pub fn decode(text: &str) -> Result<MasterKey, RecoveryError> {
    let words = words();
    let mut values = Zeroizing::new([0_u16; WORD_COUNT]);
    let mut count = 0;
    for typed in text.split_whitespace() {
        count += 1;
        if count > WORD_COUNT {
            continue;
        }
        values[count - 1] = value_of_typed(words, typed, count)?;
    }
    if count != WORD_COUNT {
        return Err(RecoveryError::WordCount(count));
    }
    let mut blob = Zeroizing::new([0; BLOB_LEN]);
    for (pair, bytes) in values.chunks_exact(2).zip(blob.chunks_exact_mut(3)) {
        bytes[0] = (pair[0] >> 4) as u8;
        bytes[1] = (pair[0] << 4) as u8 | (pair[1] >> 8) as u8;
        bytes[2] = pair[1] as u8;
    }
    let (raw, sum) = blob
        .split_first_chunk()
        .expect("the blob starts with the key");
    if checksum(raw) != sum {
        return Err(RecoveryError::Checksum);
    }
    Ok(MasterKey::from_raw(raw))
}

fn value_of_typed(words: &Words, typed: &str, position: usize) -> Result<u16, RecoveryError> {
    if typed.len() > MAX_TYPED_LEN {
        return Err(RecoveryError::UnknownWord {
            position,
            suggestions: Vec::new(),
        });
    }
    let mut word = typed.to_ascii_lowercase();
    let result = words
        .value_of(&word)
        .ok_or_else(|| RecoveryError::UnknownWord {
            position,
            suggestions: words.similar_to(&word),
        });
    word.zeroize();
    result
}

/// The two low bytes of the CRC-32, the lowest first.
fn checksum(raw: &[u8; MasterKey::LEN]) -> [u8; 2] {
    let crc = crc32fast::hash(raw).to_le_bytes();
    [crc[0], crc[1]]
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`.
fn distance(a: &[u8], b: &[u8]) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut rows = [[0_usize; MAX_TYPED_LEN + 3]; 3];
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        let (now, before) = (i % 3, (i + 2) % 3);
        rows[now][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[before][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[before][j] + 1).min(rows[now][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[(i + 1) % 3][j - 2] + 1);
            }
            rows[now][j] = least;
        }
    }
    rows[a.len() % 3][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_single_edits() {
        for (a, b, expect) in [
            ("word", "word", 0),
            ("wrod", "word", 1),
            ("wor", "word", 1),
            ("wordy", "word", 1),
            ("ward", "word", 1),
            ("drow", "word", 3),
            ("", "ad", 2),
            ("abcd", "badc", 2),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), expect, "{a} {b}");
            assert_eq!(distance(b.as_bytes(), a.as_bytes()), expect, "{b} {a}");
        }
    }
}
