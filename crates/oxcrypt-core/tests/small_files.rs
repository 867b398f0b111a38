//! Directory ids, their encrypted copies, and link targets.

use oxcrypt_core::{
    Backend, CipherCombo, Cryptor, DirHash, DirId, DirIdError, Error, LinkTarget,
    MAX_DIR_ID_FILE_LEN, MAX_SYMLINK_FILE_LEN, MasterKey, TargetError, TestRng, open_dir_id_file,
    open_symlink, seal_dir_id_file, seal_symlink,
};

fn cryptors() -> impl Iterator<Item = Cryptor> {
    [CipherCombo::SivGcm, CipherCombo::SivCtrMac]
        .into_iter()
        .flat_map(|combo| {
            let key = MasterKey::from_raw(&[3; 64]);
            Backend::ALL
                .iter()
                .map(move |backend| Cryptor::with_backend(&key, combo, 220, *backend))
        })
}

#[test]
fn directory_ids_are_bounded_text() {
    assert_eq!(DirId::parse(b""), Err(DirIdError::Empty));
    assert_eq!(DirId::parse(&[b'x'; 1001]), Err(DirIdError::TooLong));
    assert_eq!(DirId::parse(b"\xff"), Err(DirIdError::NotUtf8));
    for len in [1, 35, 36, 37, 1000] {
        let text = "x".repeat(len);
        let id = DirId::parse(text.as_bytes()).unwrap();
        assert_eq!(id.as_str(), text);
        assert!(!id.is_root());
        assert_eq!(id.clone(), id);
        assert_ne!(id, DirId::ROOT);
    }
    assert!(DirId::ROOT.is_root());
}

#[test]
fn a_random_directory_id_is_a_version_4_uuid() {
    let mut rng = TestRng::new(1);
    for _ in 0..100 {
        let id = DirId::random(&mut rng);
        let parts: Vec<_> = id.as_str().split('-').map(str::to_owned).collect();
        assert_eq!(
            parts.iter().map(String::len).collect::<Vec<_>>(),
            [8, 4, 4, 4, 12]
        );
        assert!(
            parts
                .concat()
                .bytes()
                .all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        );
        assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']));
        assert_ne!(id, DirId::random(&mut rng));
    }
}

#[test]
fn only_base32_names_a_content_directory() {
    let rest = "A".repeat(30);
    assert_eq!(
        DirHash::parse(b"A7", rest.as_bytes()).unwrap().to_string(),
        format!("A7/{rest}")
    );
    for (prefix, rest) in [
        ("A1", &*rest),
        ("a7", &rest),
        ("A", &rest),
        ("A7", &rest[1..]),
    ] {
        assert_eq!(DirHash::parse(prefix.as_bytes(), rest.as_bytes()), None);
    }
}

#[test]
fn the_copy_of_a_directory_id_round_trips() {
    for cryptor in cryptors() {
        let mut rng = TestRng::new(1);
        let is_gcm = cryptor.combo() == CipherCombo::SivGcm;
        let root = seal_dir_id_file(&cryptor, &DirId::ROOT, &mut rng);
        assert_eq!(root.len(), if is_gcm { 96 } else { 136 });
        assert_eq!(open_dir_id_file(&cryptor, &root), Ok(DirId::ROOT));
        let header_only = &root[..cryptor.layout().header_len()];
        assert_eq!(open_dir_id_file(&cryptor, header_only), Ok(DirId::ROOT));
        let id = DirId::random(&mut rng);
        let file = seal_dir_id_file(&cryptor, &id, &mut rng);
        assert_eq!(file.len(), if is_gcm { 132 } else { 172 });
        assert!(file.len() <= MAX_DIR_ID_FILE_LEN);
        assert_eq!(open_dir_id_file(&cryptor, &file), Ok(id));
    }
}

#[test]
fn a_damaged_copy_of_a_directory_id_is_refused() {
    for cryptor in cryptors() {
        let mut rng = TestRng::new(1);
        let file = seal_dir_id_file(&cryptor, &DirId::random(&mut rng), &mut rng);
        let header_len = cryptor.layout().header_len();
        for len in (0..file.len()).filter(|len| *len != header_len) {
            assert!(
                open_dir_id_file(&cryptor, &file[..len]).is_err(),
                "{len} bytes"
            );
        }
        for at in 0..file.len() {
            let mut file = file.clone();
            file[at] ^= 1;
            assert_eq!(
                open_dir_id_file(&cryptor, &file),
                Err(Error::Authentication)
            );
        }
        let long = DirId::parse(&[b'x'; 37]).unwrap();
        let file = seal_dir_id_file(&cryptor, &long, &mut rng);
        assert_eq!(open_dir_id_file(&cryptor, &file), Err(Error::Oversized));
    }
}

#[test]
fn link_targets_round_trip() {
    for cryptor in cryptors() {
        for target in ["a", "../b//c/./", "/", "\u{e4}", &"x".repeat(4095)] {
            let target = LinkTarget::parse(target.as_bytes()).unwrap();
            let file = seal_symlink(&cryptor, &target, &mut TestRng::new(1));
            assert!(file.len() <= MAX_SYMLINK_FILE_LEN);
            assert_eq!(
                cryptor.layout().plain_len(file.len() as u64),
                Ok(target.len_bytes())
            );
            assert_eq!(
                open_symlink(&cryptor, &file).as_deref(),
                Ok(target.as_str())
            );
        }
    }
}

#[test]
fn link_targets_are_bounded_text_in_nfc() {
    for (target, expect) in [
        (&b""[..], TargetError::Empty),
        (b"a\0b", TargetError::Nul),
        (b"\xff", TargetError::NotUtf8),
        (&[b'x'; 4096], TargetError::TooLong),
        (&[b'x'; 1 << 20], TargetError::TooLong),
    ] {
        assert_eq!(LinkTarget::parse(target), Err(expect));
    }
    assert_eq!(
        LinkTarget::parse("a\u{308}".as_bytes()).unwrap().as_str(),
        "\u{e4}"
    );
}

#[test]
fn what_others_stored_as_a_target_is_read_within_bounds() {
    for cryptor in cryptors() {
        let store = |plain: &[u8]| {
            let mut rng = TestRng::new(1);
            let header = cryptor.create_header(&mut rng);
            let mut chunk = vec![0; plain.len() + cryptor.layout().overhead()];
            let index = oxcrypt_core::ChunkIndex(0);
            cryptor.seal_chunk(&header, index, &mut rng, plain, &mut chunk);
            [header.sealed(), &chunk].concat()
        };
        assert_eq!(open_symlink(&cryptor, &store(b"")), Ok(String::new()));
        assert_eq!(
            open_symlink(&cryptor, &store(&[b'x'; 32_767]))
                .unwrap()
                .len(),
            32_767
        );
        assert_eq!(
            open_symlink(&cryptor, &store(&[b'x'; 32_768])),
            Err(Error::Oversized)
        );
        assert!(matches!(
            open_symlink(&cryptor, &store(b"a\0")),
            Err(Error::Malformed(_))
        ));
        assert!(matches!(
            open_symlink(&cryptor, &store(b"\xff")),
            Err(Error::Malformed(_))
        ));
        assert_eq!(open_symlink(&cryptor, b""), Err(Error::Truncated));
    }
}
