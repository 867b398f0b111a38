//! What is interrupted: every operation that changes something, in all its forms.

use oxcrypt_core::CipherCombo;
use oxcrypt_store::Store;
use oxcrypt_vfs::{AllocateMode, NodeId, NodeKind, RenameFlags, Result, SetAttr, VaultFs};

use crate::machine::{CALLER, CHUNK, Disk, Machine, ROOT};

type Fs = VaultFs<Disk>;
type Act = Box<dyn Fn(&Fs) -> Result<()>>;

/// One operation in one situation.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Makes the situation.
    before: Act,
    act: Act,
    /// The operation is `fsync`: once it says so, everything must survive.
    pub(crate) makes_durable: bool,
}

impl Case {
    fn new(
        name: impl Into<String>,
        before: impl Fn(&Fs) -> Result<()> + 'static,
        act: impl Fn(&Fs) -> Result<()> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            before: Box::new(before),
            act: Box::new(act),
            makes_durable: false,
        }
    }

    /// A machine in the situation, everything at rest and durable.
    pub(crate) fn machine(&self, combo: CipherCombo) -> Machine {
        let machine = Machine::new(combo);
        let (fs, _, _) = machine.boot();
        (self.before)(&fs).unwrap();
        fs.stop();
        machine.vault.sync_everything().unwrap();
        machine
    }

    pub(crate) fn act(&self, fs: &Fs) -> Result<()> {
        (self.act)(fs)
    }
}

/// A name that the format shortens.
pub(crate) fn long(name: &str) -> String {
    format!("{name}{}", "~".repeat(180))
}

/// Short, then long.
fn forms(name: &str) -> [String; 2] {
    [name.to_owned(), long(name)]
}

/// Directory and last name of a path.
fn place<'a>(fs: &Fs, path: &'a str) -> Result<(NodeId, &'a [u8])> {
    match path.rsplit_once('/') {
        Some((dir, name)) => Ok((node(fs, dir)?, name.as_bytes())),
        None => Ok((ROOT, path.as_bytes())),
    }
}

fn node(fs: &Fs, path: &str) -> Result<NodeId> {
    let mut at = ROOT;
    for name in path.split('/') {
        at = fs.lookup(at, name.as_bytes())?.node;
    }
    Ok(at)
}

fn put(fs: &Fs, path: &str, content: &[u8]) -> Result<()> {
    let (dir, name) = place(fs, path)?;
    let node = fs.create(CALLER, dir, name, 0o600)?.node;
    fs.write(node, 0, content)
}

fn make_dir(fs: &Fs, path: &str) -> Result<()> {
    let (dir, name) = place(fs, path)?;
    fs.mkdir(CALLER, dir, name, 0o700).map(drop)
}

fn make_link(fs: &Fs, path: &str, target: &str) -> Result<()> {
    let (dir, name) = place(fs, path)?;
    fs.symlink(CALLER, dir, name, target.as_bytes()).map(drop)
}

fn rename(fs: &Fs, from: &str, to: &str, flags: RenameFlags) -> Result<()> {
    let (from_dir, from) = place(fs, from)?;
    let (to_dir, to) = place(fs, to)?;
    fs.rename(from_dir, from, to_dir, to, flags)
}

/// A node of this kind that can be told from every other.
fn make(fs: &Fs, kind: NodeKind, path: &str, mark: u8) -> Result<()> {
    match kind {
        NodeKind::File => put(fs, path, &[mark; 100]),
        NodeKind::Symlink => make_link(fs, path, &format!("target {mark}")),
        NodeKind::Directory => make_dir(fs, path),
    }
}

fn nothing(_: &Fs) -> Result<()> {
    Ok(())
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    making(&mut cases);
    removing(&mut cases);
    linking(&mut cases);
    moving(&mut cases);
    replacing(&mut cases);
    exchanging(&mut cases);
    contents(&mut cases);
    syncing(&mut cases);
    cases
}

fn making(cases: &mut Vec<Case>) {
    for dir in ["", "dir/"] {
        for name in forms("new") {
            let path = format!("{dir}{name}");
            for kind in [NodeKind::File, NodeKind::Directory, NodeKind::Symlink] {
                let to_make = path.clone();
                cases.push(Case::new(
                    format!("make {kind:?} {path:.8}"),
                    |fs| make_dir(fs, "dir"),
                    move |fs| match kind {
                        // Without content: two operations would have three outcomes.
                        NodeKind::File => {
                            let (dir, name) = place(fs, &to_make)?;
                            fs.create(CALLER, dir, name, 0o600).map(drop)
                        }
                        _ => make(fs, kind, &to_make, 1),
                    },
                ));
            }
        }
    }
}

fn removing(cases: &mut Vec<Case>) {
    for name in forms("old") {
        for kind in [NodeKind::File, NodeKind::Directory, NodeKind::Symlink] {
            let (a, b) = (name.clone(), name.clone());
            cases.push(Case::new(
                format!("remove {kind:?} {name:.8}"),
                move |fs| make(fs, kind, &a, 1),
                move |fs| {
                    let (dir, name) = place(fs, &b)?;
                    match kind {
                        NodeKind::Directory => fs.rmdir(dir, name),
                        _ => fs.unlink(dir, name),
                    }
                },
            ));
        }
        let (a, b) = (name.clone(), name.clone());
        cases.push(Case::new(
            format!("remove one of two names {name:.8}"),
            move |fs| {
                put(fs, &a, b"content")?;
                fs.link(node(fs, &a)?, ROOT, b"second").map(drop)
            },
            move |fs| fs.unlink(ROOT, b.as_bytes()),
        ));
    }
}

fn linking(cases: &mut Vec<Case>) {
    for from in forms("from") {
        for to in ["to".to_owned(), long("to"), format!("dir/{}", long("to"))] {
            let (a, b) = (from.clone(), from.clone());
            cases.push(Case::new(
                format!("link {from:.8} {to:.8}"),
                move |fs| {
                    make_dir(fs, "dir")?;
                    put(fs, &a, b"content")
                },
                move |fs| {
                    let (dir, name) = place(fs, &to)?;
                    fs.link(node(fs, &b)?, dir, name).map(drop)
                },
            ));
        }
    }
}

const KINDS: [NodeKind; 3] = [NodeKind::File, NodeKind::Directory, NodeKind::Symlink];

/// Renames to a name that is free. A directory that moves is not empty.
fn moving(cases: &mut Vec<Case>) {
    for kind in KINDS {
        for from in forms("from") {
            for to in [forms("to"), forms("dir/to")].concat() {
                let (a, b, to) = (from.clone(), from.clone(), to.clone());
                cases.push(Case::new(
                    format!("move {kind:?} {from:.8} to {to:.8}"),
                    move |fs| {
                        make_dir(fs, "dir")?;
                        make(fs, kind, &a, 1)?;
                        match kind {
                            NodeKind::Directory => put(fs, &format!("{a}/inside"), b"inside"),
                            _ => Ok(()),
                        }
                    },
                    move |fs| rename(fs, &b, &to, RenameFlags::NoReplace),
                ));
            }
        }
    }
}

/// Renames over a node. A directory that is replaced is empty.
fn replacing(cases: &mut Vec<Case>) {
    let pairs = [
        (NodeKind::File, NodeKind::File),
        (NodeKind::Symlink, NodeKind::Symlink),
        (NodeKind::Directory, NodeKind::Directory),
        (NodeKind::File, NodeKind::Symlink),
        (NodeKind::Symlink, NodeKind::File),
    ];
    for (kind, over) in pairs {
        for from in forms("from") {
            for to in [forms("to"), forms("dir/to")].concat() {
                let (a, b) = (from.clone(), from.clone());
                let (target, to) = (to.clone(), to);
                cases.push(Case::new(
                    format!("move {kind:?} {from:.8} over {over:?} {to:.8}"),
                    move |fs| {
                        make_dir(fs, "dir")?;
                        make(fs, kind, &a, 1)?;
                        make(fs, over, &target, 2)?;
                        match kind {
                            NodeKind::Directory => put(fs, &format!("{a}/inside"), b"inside"),
                            _ => Ok(()),
                        }
                    },
                    move |fs| rename(fs, &b, &to, RenameFlags::Replace),
                ));
            }
        }
    }
}

fn exchanging(cases: &mut Vec<Case>) {
    for (i, one) in KINDS.into_iter().enumerate() {
        for other in &KINDS[i..] {
            for from in forms("from") {
                for to in [forms("to"), forms("dir/to")].concat() {
                    let one_is_long = [&from, &to].iter().any(|name| name.ends_with('~'));
                    if one_is_long && one != *other && one == NodeKind::File {
                        // Not offered.
                        continue;
                    }
                    let (a, b, other) = (from.clone(), from.clone(), *other);
                    let (target, to) = (to.clone(), to);
                    cases.push(Case::new(
                        format!("exchange {one:?} {from:.8} with {other:?} {to:.8}"),
                        move |fs| {
                            make_dir(fs, "dir")?;
                            make(fs, one, &a, 1)?;
                            make(fs, other, &target, 2)?;
                            match one {
                                NodeKind::Directory => put(fs, &format!("{a}/inside"), b"inside"),
                                _ => Ok(()),
                            }
                        },
                        move |fs| rename(fs, &b, &to, RenameFlags::Exchange),
                    ));
                }
            }
        }
    }
}

/// A file of three chunks and a half, and one change to it that may be repeated.
fn contents(cases: &mut Vec<Case>) {
    type Change = fn(&Fs, NodeId) -> Result<()>;
    const LEN: u64 = 3 * CHUNK as u64 + 1000;
    fn resize(fs: &Fs, node: NodeId, len: u64) -> Result<()> {
        let size = Some(len);
        fs.setattr(
            node,
            SetAttr {
                size,
                ..SetAttr::default()
            },
        )
        .map(drop)
    }
    let changes: [(&str, Change); 16] = [
        ("write inside a chunk", |fs, f| fs.write(f, 500, &[2; 700])),
        ("write a whole chunk", |fs, f| {
            fs.write(f, CHUNK as u64, &[2; CHUNK])
        }),
        ("write across chunks", |fs, f| {
            fs.write(f, 20_000, &[2; 2 * CHUNK])
        }),
        ("write all", |fs, f| fs.write(f, 0, &[2; LEN as usize])),
        ("write over the end", |fs, f| {
            fs.write(f, LEN - 500, &[2; 2 * CHUNK])
        }),
        ("write at the end", |fs, f| fs.write(f, LEN, &[2; 900])),
        ("write behind the end", |fs, f| {
            fs.write(f, LEN + 2 * CHUNK as u64, &[2; 900])
        }),
        ("cut to nothing", |fs, f| resize(fs, f, 0)),
        ("cut inside a chunk", |fs, f| resize(fs, f, 40_000)),
        ("cut between chunks", |fs, f| resize(fs, f, CHUNK as u64)),
        ("extend in the last chunk", |fs, f| resize(fs, f, LEN + 10)),
        ("extend by chunks", |fs, f| {
            resize(fs, f, LEN + 2 * CHUNK as u64)
        }),
        ("reserve", |fs, f| {
            fs.allocate(f, 0, LEN + 50_000, AllocateMode::Grow)
        }),
        ("punch a hole", |fs, f| {
            fs.allocate(f, 1000, 70_000, AllocateMode::PunchHole)
        }),
        ("zero a range", |fs, f| {
            fs.allocate(f, 90_000, 70_000, AllocateMode::ZeroRange)
        }),
        ("copy a range", |fs, f| {
            let source = node(fs, "source")?;
            fs.copy_range(source, 100, f, 30_000, 60_000).map(drop)
        }),
    ];
    for name in forms("file") {
        for (what, change) in &changes {
            let (a, b, change) = (name.clone(), name.clone(), *change);
            cases.push(Case::new(
                format!("{what} {name:.8}"),
                move |fs| {
                    put(fs, &a, &[1; LEN as usize])?;
                    put(fs, "source", &[2; 80_000])
                },
                move |fs| change(fs, node(fs, &b)?),
            ));
        }
        let (a, b) = (name.clone(), name.clone());
        cases.push(Case::new(
            format!("first write {name:.8}"),
            move |fs| fs.create(CALLER, ROOT, a.as_bytes(), 0o600).map(drop),
            move |fs| fs.write(node(fs, &b)?, 0, &[2; 50_000]),
        ));
    }
}

/// What `fsync` of a file or directory makes durable.
fn syncing(cases: &mut Vec<Case>) {
    let mut durable = |name: &str, act: fn(&Fs) -> Result<()>| {
        cases.push(Case {
            makes_durable: true,
            ..Case::new(name, nothing, act)
        });
    };
    durable("fsync a new file", |fs| {
        put_again(fs, "new", &[2; 50_000])?;
        fs.fsync(node(fs, "new")?, false)
    });
    durable(
        "fsync a new file with a long name in a new directory",
        |fs| {
            if fs.lookup(ROOT, long("dir").as_bytes()).is_err() {
                make_dir(fs, &long("dir"))?;
            }
            let path = format!("{}/{}", long("dir"), long("new"));
            put_again(fs, &path, &[2; 50_000])?;
            fs.fsync(node(fs, &path)?, true)
        },
    );
    durable("fsync a new directory", |fs| {
        if fs.lookup(ROOT, b"dir").is_err() {
            make_dir(fs, "dir")?;
        }
        fs.fsync_dir(node(fs, "dir")?)?;
        fs.fsync_dir(ROOT)
    });
    durable("fsync an overwritten file", |fs| {
        put_again(fs, "new", &[2; 50_000])?;
        fs.fsync(node(fs, "new")?, false)?;
        fs.write(node(fs, "new")?, 300, &[3; 400])?;
        fs.write(node(fs, "new")?, 49_000, &[3; 40_000])?;
        fs.fsync(node(fs, "new")?, true)
    });
    durable("fsync a file that replaced another", |fs| {
        put_again(fs, "temp", &[2; 50_000])?;
        fs.fsync(node(fs, "temp")?, false)?;
        rename(fs, "temp", "final", RenameFlags::Replace)?;
        fs.fsync_dir(ROOT)
    });
}

fn put_again(fs: &Fs, path: &str, content: &[u8]) -> Result<()> {
    let (dir, name) = place(fs, path)?;
    if fs.lookup(dir, name).is_err() {
        fs.create(CALLER, dir, name, 0o600)?;
    }
    fs.write(node(fs, path)?, 0, content)
}
