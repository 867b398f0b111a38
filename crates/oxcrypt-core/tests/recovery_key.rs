//! The word list and what a mistyped recovery key is told.

use data_encoding::HEXLOWER;
use oxcrypt_core::{MasterKey, RecoveryError, TestRng, recovery};
use sha2::{Digest, Sha256};

#[test]
fn the_word_list_is_that_of_the_format() {
    let list = recovery::word_list();
    assert_eq!(list.len(), 4096);
    assert_eq!(list[..4], ["ad", "ah", "as", "at"]);
    assert_eq!(
        HEXLOWER.encode(&Sha256::digest(list.join("\n"))),
        "a66b733e516289fbe2a0f9382d450965edf4c9657a596035d34d1ae8a01ce175"
    );
    assert!(
        list.iter()
            .all(|word| word.bytes().all(|c| c.is_ascii_lowercase()))
    );
}

#[test]
fn random_keys_round_trip() {
    let mut rng = TestRng::new(1);
    for _ in 0..200 {
        let key = MasterKey::random(&mut rng);
        let words = recovery::encode(&key);
        assert_eq!(words.split(' ').count(), recovery::WORD_COUNT);
        assert!(recovery::decode(&words).unwrap().same_as(&key));
    }
}

#[test]
fn a_mistyped_word_is_answered_with_similar_ones() {
    let words = recovery::encode(&MasterKey::from_raw(&[0x5a; 64]));
    let words: Vec<_> = words.split(' ').collect();
    for position in 1..=words.len() {
        let right = words[position - 1];
        let wrong = format!("{right}q");
        let mut typed = words.clone();
        typed[position - 1] = &wrong;
        match recovery::decode(&typed.join(" ")).unwrap_err() {
            RecoveryError::UnknownWord {
                position: at,
                suggestions,
            } => {
                assert_eq!(at, position);
                assert!(suggestions.contains(&right), "{wrong}: {suggestions:?}");
                assert!(suggestions.len() <= 3);
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn any_exchanged_pair_of_words_is_noticed_or_another_key() {
    let words = recovery::encode(&MasterKey::random(&mut TestRng::new(4)));
    let words: Vec<_> = words.split(' ').collect();
    let mut noticed = 0;
    for i in 0..words.len() - 1 {
        let mut swapped = words.clone();
        swapped.swap(i, i + 1);
        noticed += usize::from(
            recovery::decode(&swapped.join(" ")).err() == Some(RecoveryError::Checksum),
        );
    }
    // A 16-bit sum misses one in 65,536.
    assert_eq!(noticed, words.len() - 1);
}

#[test]
fn odd_input_is_refused_at_once() {
    assert_eq!(
        recovery::decode("").err(),
        Some(RecoveryError::WordCount(0))
    );
    assert_eq!(
        recovery::decode(&"ad ".repeat(1_000_000)).err(),
        Some(RecoveryError::WordCount(1_000_000))
    );
    let none = RecoveryError::UnknownWord {
        position: 1,
        suggestions: vec![],
    };
    assert_eq!(
        recovery::decode(&"x".repeat(1_000_000)).err(),
        Some(none.clone())
    );
    assert_eq!(
        recovery::decode("\u{e9}\u{e9}\u{e9}\u{e9}").err(),
        Some(none)
    );
}

#[test]
fn words_are_completed() {
    let found: Vec<_> = recovery::words_starting_with("abs").collect();
    assert!(!found.is_empty() && found.is_sorted());
    assert!(found.iter().all(|word| word.starts_with("abs")));
    assert_eq!(recovery::words_starting_with("").count(), 4096);
    assert_eq!(recovery::words_starting_with("zzz").count(), 0);
}
