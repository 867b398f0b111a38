//! What holds for any name, size, header and chunk.

use oxcrypt_core::{
    Backend, CHUNK_LEN, ChunkIndex, CipherCombo, CleartextName, Cryptor, DirId, Error, Layout,
    MasterKey, NameBuf, NameError, Rng, SizeError, TestRng,
};
use proptest::prelude::*;

const COMBOS: [CipherCombo; 2] = [CipherCombo::SivGcm, CipherCombo::SivCtrMac];

fn cryptor(combo: CipherCombo, backend: Backend) -> Cryptor {
    Cryptor::with_backend(
        &MasterKey::random(&mut TestRng::new(7)),
        combo,
        220,
        backend,
    )
}

fn any_cryptor() -> impl Strategy<Value = Cryptor> {
    (0..2_usize, 0..Backend::ALL.len())
        .prop_map(|(combo, backend)| cryptor(COMBOS[combo], Backend::ALL[backend]))
}

fn layouts() -> impl Iterator<Item = Layout> {
    COMBOS.into_iter().map(CipherCombo::layout)
}

/// Names of every length and script that a file system can hold.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9 ._-]{1,40}",
        proptest::collection::vec(any::<char>(), 1..64).prop_map(|c| c.into_iter().collect()),
        "[a-z]{140,160}",
        "(a\u{308}|\u{1100}\u{1161}|\u{212b}|\u{958}|x){1,40}",
    ]
    .prop_filter("a name", |name| CleartextName::from_text(name).is_ok())
}

proptest! {
    #[test]
    fn sizes_round_trip(plain_len in prop_oneof![0..200_000_u64, any::<u64>()]) {
        for layout in layouts() {
            match layout.cipher_len(plain_len) {
                Some(cipher_len) => {
                    prop_assert!(cipher_len <= i64::MAX as u64);
                    prop_assert_eq!(layout.plain_len(cipher_len), Ok(plain_len));
                }
                None => prop_assert!(plain_len > layout.max_plain_len()),
            }
        }
    }

    #[test]
    fn every_size_is_that_of_a_file_or_an_error(cipher_len in prop_oneof![0..200_000_u64, any::<u64>()]) {
        for layout in layouts() {
            match layout.plain_len(cipher_len) {
                Ok(plain_len) if plain_len <= layout.max_plain_len() => {
                    prop_assert_eq!(layout.cipher_len(plain_len), Some(cipher_len));
                }
                Ok(_) => prop_assert!(cipher_len > i64::MAX as u64),
                Err(SizeError::Empty) => prop_assert_eq!(cipher_len, 0),
                Err(SizeError::TornHeader) => prop_assert!(cipher_len < layout.header_len() as u64),
                Err(SizeError::TornChunk) => {
                    let payload = cipher_len - layout.header_len() as u64;
                    let rest = payload % layout.cipher_chunk_len() as u64;
                    prop_assert!((1..layout.overhead() as u64).contains(&rest));
                }
                Err(SizeError::EmptyTrailingChunk { plain_len }) => {
                    let shorter = cipher_len - layout.overhead() as u64;
                    prop_assert_eq!(layout.plain_len(shorter), Ok(plain_len));
                }
            }
        }
    }

    #[test]
    fn spans_cover_a_range_exactly(
        off in prop_oneof![0..200_000_u64, any::<u64>()],
        len in 0..200_000_usize,
    ) {
        let layout = CipherCombo::SivGcm.layout();
        let spans: Vec<_> = layout.spans(off, len).collect();
        prop_assert_eq!(layout.spans(off, len).len(), spans.len());
        let mut at = off;
        for span in &spans {
            prop_assert_eq!(span.index, ChunkIndex::of(at));
            prop_assert_eq!(span.index.plain_start() + span.skip as u64, at);
            prop_assert!(span.len > 0 && span.skip + span.len <= CHUNK_LEN);
            prop_assert_eq!(span.is_partial(), span.len != CHUNK_LEN);
            at += span.len as u64;
        }
        prop_assert_eq!(at - off, (len as u64).min(u64::MAX - off));
    }

    #[test]
    fn chunks_of_a_file_add_up_to_it(plain_len in 0..2_000_000_u64) {
        for layout in layouts() {
            let count = layout.chunk_count(plain_len);
            let lens = (0..count).map(|i| layout.chunk_plain_len(ChunkIndex(i), plain_len) as u64);
            prop_assert_eq!(lens.sum::<u64>(), plain_len);
            prop_assert_eq!(layout.chunk_plain_len(ChunkIndex(count), plain_len), 0);
            prop_assert_eq!(layout.chunk_plain_len(ChunkIndex(u64::MAX), plain_len), 0);
            if count > 0 {
                let last = ChunkIndex(count - 1);
                let end = layout.chunk_start(last)
                    + (layout.chunk_plain_len(last, plain_len) + layout.overhead()) as u64;
                prop_assert_eq!(Some(end), layout.cipher_len(plain_len));
            }
        }
    }

    #[test]
    fn names_round_trip_in_nfc(name in any_name(), threshold in 1..400_u32, seed: u64) {
        let cryptor = Cryptor::new(
            &MasterKey::random(&mut TestRng::new(seed)),
            CipherCombo::SivGcm,
            threshold,
        );
        let id = DirId::random(&mut TestRng::new(seed));
        let dir = cryptor.dir_names(&id);
        let clear = CleartextName::from_text(&name).unwrap();
        let sealed = cryptor.seal_name(&dir, &clear);
        prop_assert_eq!(sealed.is_long(), sealed.full().len() > threshold as usize);
        prop_assert!(oxcrypt_core::name::is_canonical(sealed.full()));
        let mut buf = NameBuf::new();
        prop_assert_eq!(cryptor.open_name(&dir, sealed.full(), &mut buf), Ok(clear.as_str()));
        // Not in another directory, and the same in each spelling.
        let other = cryptor.dir_names(&DirId::ROOT);
        prop_assert_eq!(
            cryptor.open_name(&other, sealed.full(), &mut buf),
            Err(NameError::Authentication)
        );
        use unicode_normalization::UnicodeNormalization;
        let nfd: String = name.nfd().collect();
        if let Ok(clear) = CleartextName::from_text(&nfd) {
            prop_assert_eq!(&cryptor.seal_name(&dir, &clear), &sealed);
        }
    }

    #[test]
    fn any_text_is_a_name_or_refused(name in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(name) = CleartextName::parse(&name) {
            prop_assert!((1..=255).contains(&name.as_bytes().len()));
            prop_assert!(!name.as_bytes().contains(&b'/') && !name.as_bytes().contains(&0));
        }
    }

    #[test]
    fn any_ciphertext_name_is_opened_or_refused(
        name in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..500),
            "[A-Za-z0-9=_-]{0,400}(\\.c9r)?".prop_map(String::into_bytes),
        ],
    ) {
        let cryptor = cryptor(CipherCombo::SivGcm, Backend::default());
        let dir = cryptor.dir_names(&DirId::ROOT);
        prop_assert!(cryptor.open_name(&dir, &name, &mut NameBuf::new()).is_err());
        prop_assert_eq!(oxcrypt_core::name::NodeKind::of(&name) == oxcrypt_core::NodeKind::Foreign,
            name.len() < 28 || ![b"c9r", b"c9s", b"c9u"].iter().any(|s| name.ends_with(&s[..]) && name[name.len() - 4] == b'.'));
    }

    #[test]
    fn chunks_round_trip(
        cryptor in any_cryptor(),
        plain_len in prop_oneof![0..200_usize, CHUNK_LEN - 40..=CHUNK_LEN],
        index: u64,
        seed: u64,
    ) {
        let mut rng = TestRng::new(seed);
        let header = cryptor.create_header(&mut rng);
        let mut plain = vec![0; plain_len];
        rng.fill(&mut plain);
        let mut sealed = vec![0; plain_len + cryptor.layout().overhead()];
        prop_assert_eq!(
            cryptor.seal_chunk(&header, ChunkIndex(index), &mut rng, &plain, &mut sealed),
            sealed.len()
        );
        let reopened = cryptor.open_header(header.sealed()).unwrap();
        let mut out = vec![0; plain_len];
        prop_assert_eq!(
            cryptor.open_chunk(&reopened, ChunkIndex(index), &sealed, &mut out),
            Ok(plain_len)
        );
        prop_assert_eq!(&out, &plain);

        let other_place = cryptor.open_chunk(&header, ChunkIndex(index ^ 1), &sealed, &mut out);
        prop_assert_eq!(other_place, Err(Error::Authentication));
        let other_file = cryptor.create_header(&mut rng);
        let other = cryptor.open_chunk(&other_file, ChunkIndex(index), &sealed, &mut out);
        prop_assert_eq!(other, Err(Error::Authentication));
        prop_assert!(out.iter().all(|b| *b == 0) || out == plain);
    }

    #[test]
    fn any_changed_bit_of_a_chunk_is_noticed(
        cryptor in any_cryptor(),
        plain_len in 0..300_usize,
        at: prop::sample::Index,
        bit in 0..8,
    ) {
        let mut rng = TestRng::new(1);
        let header = cryptor.create_header(&mut rng);
        let mut sealed = vec![0; plain_len + cryptor.layout().overhead()];
        let plain = vec![0xaa; plain_len];
        cryptor.seal_chunk(&header, ChunkIndex(0), &mut rng, &plain, &mut sealed);
        sealed[at.index(plain_len + cryptor.layout().overhead())] ^= 1_u8 << bit;
        let mut out = vec![0x55; plain_len];
        let result = cryptor.open_chunk(&header, ChunkIndex(0), &sealed, &mut out);
        prop_assert_eq!(result, Err(Error::Authentication));
        prop_assert!(out.iter().all(|b| *b == 0) || out.iter().all(|b| *b == 0x55));
    }

    #[test]
    fn any_changed_bit_of_a_header_is_noticed(
        cryptor in any_cryptor(),
        at: prop::sample::Index,
        bit in 0..8,
    ) {
        let header = cryptor.create_header(&mut TestRng::new(1));
        let mut stored = header.sealed().to_vec();
        let at = at.index(stored.len());
        stored[at] ^= 1_u8 << bit;
        prop_assert_eq!(cryptor.open_header(&stored).err(), Some(Error::Authentication));
    }

    #[test]
    fn backends_agree(combo in 0..2_usize, plain_len in 0..=CHUNK_LEN, index: u64, seed: u64) {
        let plain = vec![0xaa; plain_len];
        let sealed: Vec<_> = Backend::ALL
            .iter()
            .map(|backend| {
                let cryptor = cryptor(COMBOS[combo], *backend);
                let mut rng = TestRng::new(seed);
                let header = cryptor.create_header(&mut rng);
                let mut out = vec![0; plain_len + cryptor.layout().overhead()];
                cryptor.seal_chunk(&header, ChunkIndex(index), &mut rng, &plain, &mut out);
                (header.sealed().to_vec(), out)
            })
            .collect();
        for (backend, (header, chunk)) in Backend::ALL.iter().rev().zip(&sealed) {
            let cryptor = cryptor(COMBOS[combo], *backend);
            let header = cryptor.open_header(header).unwrap();
            let mut out = vec![0; plain_len];
            cryptor.open_chunk(&header, ChunkIndex(index), chunk, &mut out).unwrap();
            prop_assert_eq!(&out, &plain);
        }
        prop_assert!(sealed.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn the_longest_file_fits_and_one_byte_more_does_not() {
    for layout in layouts() {
        let max = layout.max_plain_len();
        assert!(layout.cipher_len(max).unwrap() <= i64::MAX as u64);
        assert_eq!(layout.cipher_len(max + 1), None);
        assert_eq!(layout.cipher_len(u64::MAX), None);
        assert_eq!(layout.chunk_start(ChunkIndex(u64::MAX)), u64::MAX);
    }
}

#[test]
fn wrong_lengths_are_refused() {
    for combo in COMBOS {
        for backend in Backend::ALL {
            let cryptor = cryptor(combo, *backend);
            let header = cryptor.create_header(&mut TestRng::new(1));
            let stored = header.sealed();
            let mut longer = stored.to_vec();
            longer.push(0);
            assert_eq!(cryptor.open_header(&longer).err(), Some(Error::Oversized));
            for len in 0..stored.len() {
                assert_eq!(
                    cryptor.open_header(&stored[..len]).err(),
                    Some(Error::Truncated)
                );
            }
            let mut out = vec![0; CHUNK_LEN + 1];
            for len in 0..cryptor.layout().overhead() {
                let result = cryptor.open_chunk(&header, ChunkIndex(0), &vec![0; len], &mut out);
                assert_eq!(result, Err(Error::Truncated));
            }
            let longer = vec![0; cryptor.layout().cipher_chunk_len() + 1];
            let result = cryptor.open_chunk(&header, ChunkIndex(0), &longer, &mut out);
            assert_eq!(result, Err(Error::Oversized));
        }
    }
}

#[test]
fn headers_and_nonces_are_never_repeated() {
    let cryptor = cryptor(CipherCombo::SivGcm, Backend::default());
    let mut seen = std::collections::HashSet::new();
    oxcrypt_core::with_rng(|rng| {
        let header = cryptor.create_header(rng);
        let mut out = [0; 28];
        for _ in 0..10_000 {
            cryptor.seal_chunk(&header, ChunkIndex(0), rng, &[], &mut out);
            assert!(seen.insert(out));
        }
    });
}
