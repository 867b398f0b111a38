//! The operations of a random run. Each picks its operands by number, taken modulo what there is, so
//! that every sequence means something and stays meaningful when parts of it are left out.

use oxcrypt_vfs::{AllocateMode, RenameFlags};
use proptest::prelude::*;

/// Picks one of the nodes that are held.
pub(crate) type Pick = u8;
/// Picks one of [`names`].
pub(crate) type Name = u8;

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Lookup(Pick, Name),
    Create(Pick, Name, u32),
    Mkdir(Pick, Name, u32),
    Symlink(Pick, Name, u8),
    Link(Pick, Pick, Name),
    Unlink(Pick, Name),
    Rmdir(Pick, Name),
    Rename(Pick, Name, Pick, Name, RenameFlags),
    Write(Pick, u64, usize, u8),
    Append(Pick, usize, u8),
    Read(Pick, u64, usize),
    SetSize(Pick, u64),
    SetMode(Pick, u32),
    SetTime(Pick, i64),
    Allocate(Pick, u64, u64, AllocateMode),
    Seek(Pick, u64),
    Copy(Pick, u64, Pick, u64, u64),
    Fsync(Pick, bool),
    Readlink(Pick),
    Getattr(Pick),
    List(Pick, bool),
    /// Starts a listing that stops after so many entries.
    ListPart(Pick, u8),
    /// Finishes it, whatever happened in between.
    ListRest,
    Forget(Pick),
    FlushHeaders,
    CompareAll,
    Reopen,
}

/// How many of [`names`] can be stored.
const VALID: u8 = 12;

/// The names of a run: short and shortened ones, at the border between the two, in two spellings,
/// and, at the end, some that must be refused. Equal entries raise the chance of a collision.
pub(crate) fn names(longest_short: usize) -> Vec<Vec<u8>> {
    let text = |name: String| name.into_bytes();
    let all = vec![
        text("a".into()),
        text("b".into()),
        text("é".into()),
        // The same name in another spelling.
        text("e\u{301}".into()),
        text("s".repeat(longest_short)),
        text("l".repeat(longest_short + 1)),
        text("L".repeat(255)),
        text("é".repeat(127)),
        text("a".into()),
        text("l".repeat(longest_short + 1)),
        text("m".repeat(longest_short + 9)),
        text(" leading and trailing ".into()),
        text("x".repeat(256)),
        vec![b'n', 0xff],
    ];
    assert!(all.len() > VALID as usize);
    all
}

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![30 => 0..VALID, 1 => VALID..VALID + 2]
}

/// Offsets and sizes around the borders of chunks.
fn place() -> impl Strategy<Value = u64> {
    const CHUNK: i64 = 32 * 1024;
    prop_oneof![
        2 => Just(0u64),
        3 => 0u64..200,
        6 => (0i64..5, -2i64..3).prop_map(|(chunk, near)| (chunk * CHUNK + near).max(0) as u64),
        3 => 0u64..150_000,
    ]
}

fn len() -> impl Strategy<Value = usize> {
    place().prop_map(|n| n.min(80_000) as usize)
}

/// Sizes, some beyond what any disk holds.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        40 => place(),
        1 => prop_oneof![Just(1_000_000_000_000_000u64), Just(u64::MAX), Just(1u64 << 62)],
    ]
}

/// Modes that the usual umask leaves alone.
fn mode() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0o644u32),
        Just(0o700),
        Just(0o755),
        Just(0o1750),
        Just(0o400)
    ]
}

fn flags() -> impl Strategy<Value = RenameFlags> {
    prop_oneof![
        4 => Just(RenameFlags::Replace),
        1 => Just(RenameFlags::NoReplace),
        2 => Just(RenameFlags::Exchange),
    ]
}

fn allocate_mode() -> impl Strategy<Value = AllocateMode> {
    prop_oneof![
        Just(AllocateMode::Grow),
        Just(AllocateMode::KeepSize),
        Just(AllocateMode::PunchHole),
        Just(AllocateMode::ZeroRange),
        Just(AllocateMode::ZeroRangeKeepSize),
    ]
}

/// One random operation.
pub(crate) fn op() -> BoxedStrategy<Op> {
    use Op::*;
    let p = any::<Pick>;
    let names = prop_oneof![
        4 => (p(), name()).prop_map(|(d, n)| Lookup(d, n)),
        7 => (p(), name(), mode()).prop_map(|(d, n, m)| Create(d, n, m)),
        4 => (p(), name(), mode()).prop_map(|(d, n, m)| Mkdir(d, n, m | 0o700)),
        2 => (p(), name(), any::<u8>()).prop_map(|(d, n, t)| Symlink(d, n, t)),
        3 => (p(), p(), name()).prop_map(|(f, d, n)| Link(f, d, n)),
        4 => (p(), name()).prop_map(|(d, n)| Unlink(d, n)),
        3 => (p(), name()).prop_map(|(d, n)| Rmdir(d, n)),
        9 => (p(), name(), p(), name(), flags())
            .prop_map(|(d, n, e, m, f)| Rename(d, n, e, m, f)),
    ];
    let content = prop_oneof![
        8 => (p(), place(), len(), any::<u8>()).prop_map(|(f, at, len, fill)| Write(f, at, len, fill)),
        3 => (p(), len(), any::<u8>()).prop_map(|(f, len, fill)| Append(f, len, fill)),
        5 => (p(), place(), len()).prop_map(|(f, at, len)| Read(f, at, len)),
        5 => (p(), size()).prop_map(|(f, size)| SetSize(f, size)),
        3 => (p(), place(), size(), allocate_mode())
            .prop_map(|(f, at, len, mode)| Allocate(f, at, len, mode)),
        1 => (p(), place()).prop_map(|(f, at)| Seek(f, at)),
        3 => (p(), place(), p(), place(), len())
            .prop_map(|(f, at, t, to, len)| Copy(f, at, t, to, len as u64)),
        2 => (p(), any::<bool>()).prop_map(|(f, data)| Fsync(f, data)),
    ];
    let rest = prop_oneof![
        2 => (p(), mode()).prop_map(|(f, m)| SetMode(f, m | 0o400)),
        2 => (p(), -100i64..2_000_000_000).prop_map(|(f, t)| SetTime(f, t)),
        1 => p().prop_map(Readlink),
        2 => p().prop_map(Getattr),
        2 => (p(), any::<bool>()).prop_map(|(d, plus)| List(d, plus)),
        1 => (p(), 0u8..6).prop_map(|(d, n)| ListPart(d, n)),
        2 => Just(ListRest),
        3 => p().prop_map(Forget),
        1 => Just(FlushHeaders),
        1 => Just(CompareAll),
        1 => Just(Reopen),
    ];
    prop_oneof![5 => names, 5 => content, 3 => rest].boxed()
}
