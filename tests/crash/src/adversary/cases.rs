//! The changes.

use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::cipher_tree::CipherTree;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// The vault does not open, with one clear line.
    Refusal,
    /// It opens; what was touched is right, an error or not there.
    Opens,
    /// It opens; the format cannot tell what was touched from something else that was written.
    Undetectable,
    /// Both is right.
    Either,
}

/// Changes the vault at the first path; the second is a directory outside it.
type Change = Box<dyn Fn(&Path, &Path)>;

pub(super) struct Case {
    pub(super) name: String,
    pub(super) wanted: Wanted,
    /// Cleartext paths that may be affected, with all below them.
    paths: Vec<String>,
    pub(super) change: Change,
}

impl Case {
    pub(super) fn touches(&self, path: &str) -> bool {
        self.paths.iter().any(|touched| {
            path.strip_prefix(touched.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// A name that is shortened.
pub(super) fn long(letter: char) -> String {
    letter.to_string().repeat(200)
}

struct Cases(Vec<Case>);

impl Cases {
    fn add(
        &mut self,
        name: impl Into<String>,
        wanted: Wanted,
        paths: &[&str],
        change: impl Fn(&Path, &Path) + 'static,
    ) {
        self.0.push(Case {
            name: name.into(),
            wanted,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            change: Box::new(change),
        });
    }

    /// A change of one file, given relative to the vault.
    fn file(
        &mut self,
        name: impl Into<String>,
        wanted: Wanted,
        paths: &[&str],
        at: &Path,
        change: impl Fn(&Path) + 'static,
    ) {
        let at = at.to_owned();
        self.add(name, wanted, paths, move |vault, _| {
            change(&vault.join(&at));
        });
    }

    /// All that somebody can put in the place of a file.
    fn replacements(&mut self, what: &str, wanted: Wanted, paths: &[&str], at: &Path) {
        for (label, make) in OBJECTS {
            let at = at.to_owned();
            self.add(
                format!("{what} is {label}"),
                wanted,
                paths,
                move |vault, outside| {
                    let at = vault.join(&at);
                    remove(&at);
                    make(&at, outside);
                },
            );
        }
    }
}

type Make = fn(&Path, &Path);

/// Objects that are no regular files, or not in the vault.
const OBJECTS: [(&str, Make); 7] = [
    ("a fifo", |at, _| make_node(at, rustix::fs::FileType::Fifo)),
    ("a socket", |at, _| {
        make_node(at, rustix::fs::FileType::Socket);
    }),
    ("a device", |at, _| {
        make_node(at, rustix::fs::FileType::CharacterDevice);
    }),
    ("a directory", |at, _| fs::create_dir(at).unwrap()),
    ("a link to a file outside", |at, outside| {
        symlink(outside.join("file"), at).unwrap();
    }),
    ("a link to a directory outside", |at, outside| {
        symlink(outside, at).unwrap();
    }),
    ("a link to itself", |at, _| symlink(at, at).unwrap()),
];

fn make_node(at: &Path, kind: rustix::fs::FileType) {
    // The device is /dev/zero, which never ends.
    let device = rustix::fs::makedev(1, 5);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at,
        kind,
        rustix::fs::Mode::from_raw_mode(0o666),
        device,
    )
    .unwrap();
}

fn remove(at: &Path) {
    if fs::symlink_metadata(at).is_ok_and(|meta| meta.is_dir()) {
        fs::remove_dir_all(at).unwrap();
    } else {
        let _ = fs::remove_file(at);
    }
}

fn flip(at: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(at).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

fn cut(at: &Path, len: u64) {
    OpenOptions::new()
        .write(true)
        .open(at)
        .unwrap()
        .set_len(len)
        .unwrap();
}

fn append(at: &Path, bytes: &[u8]) {
    let mut content = fs::read(at).unwrap();
    content.extend_from_slice(bytes);
    fs::write(at, content).unwrap();
}

/// All changes to a vault with the tree of `fill`.
pub(super) fn all(tree: &CipherTree) -> Vec<Case> {
    let mut cases = Cases(Vec::new());
    content(&mut cases, tree);
    names(&mut cases, tree);
    shortened(&mut cases, tree);
    directories(&mut cases, tree);
    links(&mut cases, tree);
    config(&mut cases);
    key_file(&mut cases);
    roots(&mut cases, tree);
    cases.0
}

fn content(cases: &mut Cases, tree: &CipherTree) {
    let layout = tree.layout();
    let (header, chunk) = (layout.header_len() as u64, layout.cipher_chunk_len() as u64);
    let overhead = layout.overhead() as u64;
    let big = tree.node("big.bin");
    let len = layout.cipher_len(70_000).unwrap();
    let touched = &["big.bin"][..];
    for at in [
        0,
        11,
        header / 2,
        header - 1,
        header,
        header + 15,
        header + 5000,
        header + chunk - 1,
        header + chunk,
        header + 2 * chunk + 40,
        len - 1,
    ] {
        cases.file(
            format!("content bit at {at}"),
            Wanted::Opens,
            touched,
            &big,
            move |f| flip(f, at),
        );
    }
    for to in [
        1,
        header - 1,
        header + 1,
        header + overhead - 1,
        header + overhead + 1,
        header + chunk - 1,
        header + chunk + 1,
        header + chunk + overhead - 1,
        len - 1,
    ] {
        cases.file(
            format!("content cut to {to}"),
            Wanted::Opens,
            touched,
            &big,
            move |f| cut(f, to),
        );
    }
    for to in [0, header, header + chunk] {
        cases.file(
            format!("content cut to {to}, as others may leave it"),
            Wanted::Undetectable,
            touched,
            &big,
            move |f| cut(f, to),
        );
    }
    cases.file(
        "an empty chunk cut out of its tag",
        Wanted::Opens,
        touched,
        &big,
        move |f| cut(f, header + overhead),
    );
    for count in [1, overhead, overhead + 1, chunk] {
        cases.file(
            format!("{count} bytes appended"),
            Wanted::Opens,
            touched,
            &big,
            move |f| append(f, &vec![0x5a; count as usize]),
        );
    }
    cases.file("chunks swapped", Wanted::Opens, touched, &big, move |f| {
        let mut bytes = fs::read(f).unwrap();
        let (first, second) = bytes[header as usize..].split_at_mut(chunk as usize);
        first.swap_with_slice(&mut second[..chunk as usize]);
        fs::write(f, bytes).unwrap();
    });
    cases.file("a chunk twice", Wanted::Opens, touched, &big, move |f| {
        let mut bytes = fs::read(f).unwrap();
        let from = header as usize;
        bytes.copy_within(from..from + chunk as usize, from + chunk as usize);
        fs::write(f, bytes).unwrap();
    });
    cases.file("a page of zeros", Wanted::Opens, touched, &big, |f| {
        OpenOptions::new()
            .write(true)
            .open(f)
            .unwrap()
            .write_all_at(&[0; 4096], 8192)
            .unwrap();
    });
    cases.file("all zeros", Wanted::Opens, touched, &big, move |f| {
        fs::write(f, vec![0; len as usize]).unwrap();
    });
    cases.file("1 TiB of hole", Wanted::Opens, touched, &big, |f| {
        cut(f, 1 << 40);
    });
    let deep = tree.node("dir/sub/deep.txt");
    let (from, to) = (deep.clone(), big.clone());
    cases.add(
        "a header of another file",
        Wanted::Opens,
        touched,
        move |vault, _| {
            let other = fs::read(vault.join(&from)).unwrap();
            let file = OpenOptions::new()
                .write(true)
                .open(vault.join(&to))
                .unwrap();
            file.write_all_at(&other[..header as usize], 0).unwrap();
        },
    );
    let (from, to) = (deep, big.clone());
    cases.add(
        "a chunk of another file",
        Wanted::Opens,
        touched,
        move |vault, _| {
            let other = fs::read(vault.join(&from)).unwrap();
            let file = OpenOptions::new()
                .write(true)
                .open(vault.join(&to))
                .unwrap();
            file.write_all_at(&other[header as usize..(header + chunk) as usize], header)
                .unwrap();
        },
    );
    let (a, b) = (tree.node("small.txt"), tree.node("twin.txt"));
    cases.add(
        "two files exchanged",
        Wanted::Undetectable,
        &["small.txt", "twin.txt"],
        move |vault, _| {
            let (one, two) = (
                fs::read(vault.join(&a)).unwrap(),
                fs::read(vault.join(&b)).unwrap(),
            );
            fs::write(vault.join(&a), two).unwrap();
            fs::write(vault.join(&b), one).unwrap();
        },
    );
    let (a, b) = (tree.node("small.txt"), tree.node("twin.txt"));
    cases.add(
        "a hard link to another file",
        Wanted::Undetectable,
        &["twin.txt"],
        move |vault, _| {
            fs::remove_file(vault.join(&b)).unwrap();
            fs::hard_link(vault.join(&a), vault.join(&b)).unwrap();
        },
    );
    cases.replacements("a file", Wanted::Opens, touched, &big);
}

/// Junk in the places of names, and what sync programs do to them.
fn names(cases: &mut Cases, tree: &CipherTree) {
    let small = tree.node("small.txt");
    let name = small.file_name().unwrap().to_str().unwrap().to_owned();
    let stem = name.strip_suffix(".c9r").unwrap().to_owned();
    let flipped = if stem.starts_with('A') { 'B' } else { 'A' };
    let renamed = [
        ("a flipped letter", format!("{flipped}{}.c9r", &stem[1..])),
        ("four letters less", format!("{}.c9r", &stem[4..])),
        ("one letter less", format!("{}.c9r", &stem[1..])),
        ("four letters more", format!("AAAA{stem}.c9r")),
        ("padding", format!("{stem}====.c9r")),
        ("upper case", format!("{}.c9r", stem.to_uppercase())),
        ("another suffix", format!("{stem}.c9s")),
        ("a suffix too many", format!("{stem}.c9r.c9r")),
        ("a conflict mark", format!("{stem} (1).c9r")),
        ("a conflict mark before", format!("conflict_{stem}.c9r")),
        ("a temporary name", format!(".~{stem}.c9r.tmp")),
    ];
    for (label, new) in renamed {
        cases.file(
            format!("name with {label}"),
            Wanted::Opens,
            &["small.txt"],
            &small,
            move |f| {
                fs::rename(f, f.with_file_name(&new)).unwrap();
            },
        );
    }
    let other = tree.content("other");
    let (from, to) = (small.clone(), other.join(&name));
    cases.add(
        "a name in another directory",
        Wanted::Opens,
        &["small.txt"],
        move |vault, _| {
            fs::rename(vault.join(&from), vault.join(&to)).unwrap();
        },
    );
    let root = tree.content("");
    let junk: [(&str, Vec<u8>); 9] = [
        ("246 dashes", [&[b'-'; 246][..], b".c9r"].concat()),
        ("246 underscores", [&[b'_'; 246][..], b".c9s"].concat()),
        (
            "dashes and letters",
            [b"-A".repeat(120), b".c9r".to_vec()].concat(),
        ),
        ("no UTF-8", [&[0xff; 40][..], b".c9r"].concat()),
        ("a line feed", b"aaaaaaaaaaaaaaaaaaaaaaaa\naaa.c9r".to_vec()),
        ("one letter", b"a.c9r".to_vec()),
        ("only a suffix", b".c9r".to_vec()),
        ("zeros of base64", [&[b'A'; 200][..], b".c9r"].concat()),
        ("an in-use mark", b"AAAAAAAAAAAAAAAAAAAAAAAA.c9u".to_vec()),
    ];
    for (label, name) in junk {
        let at = root.join(std::ffi::OsStr::from_bytes(&name));
        cases.file(
            format!("junk named {label}"),
            Wanted::Opens,
            &[],
            &at,
            |f| fs::write(f, b"junk").unwrap(),
        );
        let at = root.join(std::ffi::OsStr::from_bytes(&name));
        cases.file(
            format!("a directory named {label}"),
            Wanted::Opens,
            &[],
            &at,
            |f| fs::create_dir(f).unwrap(),
        );
    }
    cases.file("5,000 junk names", Wanted::Opens, &[], &root, |dir| {
        for i in 0..5000 {
            fs::write(dir.join(format!("{i:040}-_.c9r")), b"").unwrap();
        }
    });
}

fn shortened(cases: &mut Cases, tree: &CipherTree) {
    let file = long('f');
    let touched = &[file.as_str()][..];
    let node = tree.node(&file);
    let name_file = node.join("name.c9s");
    let other_name = fs_name(tree, "small.txt");
    let contents: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("1 MiB", vec![b'A'; 1 << 20]),
        ("garbage", vec![0xff; 100]),
        ("a line feed", b"\n".to_vec()),
        ("a path", b"../../../../etc/passwd.c9r".to_vec()),
        ("only a suffix", b".c9r".to_vec()),
        ("another name", other_name.into_bytes()),
        ("zeros of base64", [&[b'A'; 400][..], b".c9r"].concat()),
    ];
    for (label, bytes) in contents {
        cases.file(
            format!("name.c9s is {label}"),
            Wanted::Opens,
            touched,
            &name_file,
            move |f| fs::write(f, &bytes).unwrap(),
        );
    }
    cases.file(
        "name.c9s with bytes behind",
        Wanted::Opens,
        touched,
        &name_file,
        |f| append(f, b"xyz"),
    );
    cases.file(
        "name.c9s missing",
        Wanted::Opens,
        touched,
        &name_file,
        remove,
    );
    cases.replacements("name.c9s", Wanted::Opens, touched, &name_file);
    let payload = node.join("contents.c9r");
    cases.file(
        "contents.c9r missing",
        Wanted::Opens,
        touched,
        &payload,
        remove,
    );
    cases.replacements("contents.c9r", Wanted::Opens, touched, &payload);
    cases.file(
        "a file that is a directory as well",
        Wanted::Opens,
        touched,
        &node,
        |dir| {
            fs::write(dir.join("dir.c9r"), b"no such id").unwrap();
        },
    );
    cases.file(
        "a shortened node under a second name",
        Wanted::Opens,
        touched,
        &node,
        |dir| {
            let copy = dir.with_file_name(format!("{}.c9s", "A".repeat(28)));
            fs::create_dir(&copy).unwrap();
            for inner in ["name.c9s", "contents.c9r"] {
                fs::copy(dir.join(inner), copy.join(inner)).unwrap();
            }
        },
    );
}

fn fs_name(tree: &CipherTree, path: &str) -> String {
    tree.node(path)
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

fn directories(cases: &mut Cases, tree: &CipherTree) {
    let dir_file = tree.node("dir/sub").join("dir.c9r");
    let touched = &["dir/sub"][..];
    let contents: [(&str, Vec<u8>); 7] = [
        ("empty", Vec::new()),
        ("1 MiB", vec![b'a'; 1 << 20]),
        ("1,001 bytes", vec![b'a'; 1001]),
        ("unknown", b"00000000-0000-4000-8000-000000000000".to_vec()),
        ("zeros", vec![0; 36]),
        ("no UTF-8", vec![0xff; 36]),
        ("a path", b"../../../../../etc".to_vec()),
    ];
    for (label, bytes) in contents {
        cases.file(
            format!("dir.c9r is {label}"),
            Wanted::Opens,
            touched,
            &dir_file,
            move |f| fs::write(f, &bytes).unwrap(),
        );
    }
    cases.file(
        "dir.c9r with a line feed",
        Wanted::Opens,
        touched,
        &dir_file,
        |f| append(f, b"\n"),
    );
    cases.file("dir.c9r missing", Wanted::Opens, touched, &dir_file, remove);
    cases.replacements("dir.c9r", Wanted::Opens, touched, &dir_file);
    for (label, of) in [("its own parent", "dir"), ("another directory", "other")] {
        let (from, to) = (tree.node(of).join("dir.c9r"), dir_file.clone());
        cases.add(
            format!("dir.c9r with the id of {label}"),
            Wanted::Undetectable,
            touched,
            move |vault, _| {
                fs::copy(vault.join(&from), vault.join(&to)).unwrap();
            },
        );
    }
    let content = tree.content("dir/sub");
    cases.file(
        "content directory missing",
        Wanted::Opens,
        touched,
        &content,
        remove,
    );
    cases.file(
        "content directory is a file",
        Wanted::Opens,
        touched,
        &content,
        |d| {
            remove(d);
            fs::write(d, b"x").unwrap();
        },
    );
    for (label, make) in OBJECTS.iter().filter(|(label, _)| *label != "a directory") {
        let at = content.clone();
        cases.add(
            format!("content directory is {label}"),
            Wanted::Opens,
            touched,
            move |vault, outside| {
                remove(&vault.join(&at));
                make(&vault.join(&at), outside);
            },
        );
    }
    let backup = content.join("dirid.c9r");
    cases.file(
        "dirid.c9r with a flipped bit",
        Wanted::Opens,
        &[],
        &backup,
        |f| flip(f, 70),
    );
    cases.file("dirid.c9r cut", Wanted::Opens, &[], &backup, |f| cut(f, 50));
    cases.file("dirid.c9r missing", Wanted::Opens, &[], &backup, remove);
    cases.file("dirid.c9r of 1 MiB", Wanted::Opens, &[], &backup, |f| {
        fs::write(f, vec![0; 1 << 20]).unwrap();
    });
    cases.replacements("dirid.c9r", Wanted::Opens, &[], &backup);
}

fn links(cases: &mut Cases, tree: &CipherTree) {
    let link = tree.node("link").join("symlink.c9r");
    let touched = &["link"][..];
    for at in [0, 40, 70] {
        cases.file(
            format!("link bit at {at}"),
            Wanted::Opens,
            touched,
            &link,
            move |f| flip(f, at),
        );
    }
    cases.file("link cut", Wanted::Opens, touched, &link, |f| cut(f, 80));
    cases.file("link empty", Wanted::Opens, touched, &link, |f| cut(f, 0));
    cases.file("link of 1 GiB", Wanted::Opens, touched, &link, |f| {
        cut(f, 1 << 30);
    });
    cases.file("link missing", Wanted::Opens, touched, &link, remove);
    cases.replacements("symlink.c9r", Wanted::Opens, touched, &link);
    let (from, to) = (tree.node("small.txt"), link);
    cases.add(
        "a file's content as link",
        Wanted::Undetectable,
        touched,
        move |vault, _| {
            fs::copy(vault.join(&from), vault.join(&to)).unwrap();
        },
    );
}

fn config(cases: &mut Cases) {
    let at = PathBuf::from("vault.cryptomator");
    for (label, bytes) in [
        ("empty", Vec::new()),
        ("garbage", vec![0xff; 300]),
        ("dots", b"..".to_vec()),
        ("70,000 letters", vec![b'A'; 70_000]),
    ] {
        cases.file(
            format!("configuration {label}"),
            Wanted::Refusal,
            &[],
            &at,
            move |f| fs::write(f, &bytes).unwrap(),
        );
    }
    cases.file("configuration missing", Wanted::Refusal, &[], &at, remove);
    cases.file("configuration of 1 TiB", Wanted::Refusal, &[], &at, |f| {
        cut(f, 1 << 40);
    });
    for at_byte in [5, 60, 120, 200] {
        cases.file(
            format!("configuration bit at {at_byte}"),
            Wanted::Refusal,
            &[],
            &at,
            move |f| flip(f, at_byte),
        );
    }
    cases.file(
        "configuration without signature",
        Wanted::Refusal,
        &[],
        &at,
        |f| {
            let text = fs::read_to_string(f).unwrap();
            fs::write(f, &text[..=text.rfind('.').unwrap()]).unwrap();
        },
    );
    let claims =
        json!({"format": 8, "cipherCombo": "SIV_GCM", "shorteningThreshold": 220, "jti": "x"});
    let header = |alg: &str, kid: &str| json!({"alg": alg, "typ": "JWT", "kid": kid});
    let usual = "masterkeyfile:masterkey.cryptomator";
    let changed = |field: &str, value: Value| {
        let mut claims = claims.clone();
        claims[field] = value;
        claims
    };
    let tokens = [
        ("alg none", header("none", usual), claims.clone()),
        ("alg RS256", header("RS256", usual), claims.clone()),
        (
            "a foreign signature",
            header("HS256", usual),
            claims.clone(),
        ),
        (
            "kid with a path",
            header("HS256", "masterkeyfile:../../etc/passwd"),
            claims.clone(),
        ),
        (
            "an absolute kid",
            header("HS256", "masterkeyfile:/etc/passwd"),
            claims.clone(),
        ),
        (
            "a hub kid",
            header("HS256", "hub+https://example.com/"),
            claims.clone(),
        ),
        (
            "a kid of another file",
            header("HS256", "masterkeyfile:vault.cryptomator"),
            claims.clone(),
        ),
        (
            "format 9",
            header("HS256", usual),
            changed("format", json!(9)),
        ),
        (
            "format -1",
            header("HS256", usual),
            changed("format", json!(-1)),
        ),
        (
            "threshold 0",
            header("HS256", usual),
            changed("shorteningThreshold", json!(0)),
        ),
        (
            "an unknown cipher",
            header("HS256", usual),
            changed("cipherCombo", json!("ROT13")),
        ),
    ];
    for (label, header, claims) in tokens {
        let part =
            |value: &Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let token = format!("{}.{}.{}", part(&header), part(&claims), "A".repeat(43));
        cases.file(
            format!("configuration with {label}"),
            Wanted::Refusal,
            &[],
            &at,
            move |f| fs::write(f, &token).unwrap(),
        );
    }
    cases.replacements("configuration", Wanted::Refusal, &[], &at);
}

fn key_file(cases: &mut Cases) {
    let at = PathBuf::from("masterkey.cryptomator");
    for (label, bytes) in [
        ("empty", Vec::new()),
        ("{}", b"{}".to_vec()),
        ("an array", b"[]".to_vec()),
        ("deep", vec![b'['; 60_000]),
        ("70,000 blanks", vec![b' '; 70_000]),
    ] {
        cases.file(
            format!("key file {label}"),
            Wanted::Refusal,
            &[],
            &at,
            move |f| fs::write(f, &bytes).unwrap(),
        );
    }
    cases.file("key file missing", Wanted::Refusal, &[], &at, remove);
    cases.file("key file cut", Wanted::Refusal, &[], &at, |f| cut(f, 100));
    cases.file("key file of 1 TiB", Wanted::Refusal, &[], &at, |f| {
        cut(f, 1 << 40);
    });
    let zeros = data_encoding::BASE64.encode(&[0; 40]);
    let fields = [
        ("scryptCostParam", json!(0)),
        ("scryptCostParam", json!(3)),
        ("scryptCostParam", json!(-2)),
        ("scryptCostParam", json!(1 << 30)),
        ("scryptCostParam", json!(1_u64 << 40)),
        ("scryptCostParam", json!("2")),
        ("scryptBlockSize", json!(0)),
        ("scryptBlockSize", json!(i32::MAX)),
        ("scryptSalt", Value::Null),
        ("scryptSalt", json!("*")),
        ("version", json!(0)),
        ("version", json!("999")),
        ("primaryMasterKey", json!("AAAA")),
        ("primaryMasterKey", json!(zeros)),
        ("hmacMasterKey", json!(zeros)),
        ("hmacMasterKey", Value::Null),
        ("versionMac", Value::Null),
    ];
    for (field, value) in fields {
        cases.file(
            format!("key file with {field} {value:.20}"),
            Wanted::Refusal,
            &[],
            &at,
            move |f| {
                let mut file: Value = serde_json::from_slice(&fs::read(f).unwrap()).unwrap();
                file[field] = value.clone();
                fs::write(f, file.to_string()).unwrap();
            },
        );
    }
    cases.file(
        "key file with a wrong version MAC",
        Wanted::Opens,
        &[],
        &at,
        |f| {
            let mut file: Value = serde_json::from_slice(&fs::read(f).unwrap()).unwrap();
            file["versionMac"] = json!(data_encoding::BASE64.encode(&[0; 32]));
            fs::write(f, file.to_string()).unwrap();
        },
    );
    cases.replacements("key file", Wanted::Refusal, &[], &at);
}

fn roots(cases: &mut Cases, tree: &CipherTree) {
    for (label, at) in [
        ("d", PathBuf::from("d")),
        ("the root's content", tree.content("")),
    ] {
        cases.file(
            format!("{label} missing"),
            Wanted::Refusal,
            &[],
            &at,
            remove,
        );
        cases.file(
            format!("{label} is a file"),
            Wanted::Refusal,
            &[],
            &at,
            |d| {
                remove(d);
                fs::write(d, b"x").unwrap();
            },
        );
        for (kind, make) in OBJECTS.iter().filter(|(kind, _)| *kind != "a directory") {
            let at = at.clone();
            cases.add(
                format!("{label} is {kind}"),
                Wanted::Refusal,
                &[],
                move |vault, outside| {
                    remove(&vault.join(&at));
                    make(&vault.join(&at), outside);
                },
            );
        }
    }
    cases.add("d is empty", Wanted::Refusal, &[], |vault, _| {
        remove(&vault.join("d"));
        fs::create_dir(vault.join("d")).unwrap();
    });
    cases.add(
        "foreign files beside the vault",
        Wanted::Opens,
        &[],
        |vault, outside| {
            for (i, (_, make)) in OBJECTS.iter().enumerate() {
                make(&vault.join(format!("foreign {i}")), outside);
                make(&vault.join(format!("d/foreign {i}")), outside);
            }
        },
    );
    cases.add(
        "a vault that is only seen",
        Wanted::Either,
        &[],
        |vault, _| {
            // The control within the list: nothing is changed.
            assert!(vault.join("d").is_dir());
        },
    );
}
