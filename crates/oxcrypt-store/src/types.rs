//! The plain values that cross the store boundary.

/// A point in time as the host stores it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 UTC, negative before.
    pub secs: i64,
    /// Nanoseconds within the second, below 1,000,000,000.
    pub nanos: u32,
}

/// A stretch of a store's life in which nothing that was written is lost, whether synced or not.
/// It ends with the machine, and when the file system is mounted anew. Different values say that
/// something may be lost; equal ones that nothing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Incarnation(pub [u8; Self::LEN]);

impl Incarnation {
    /// Bytes of it.
    pub const LEN: usize = 24;
}

/// The new value of a time attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeSet {
    /// The store's own present time.
    Now,
    /// This very time.
    At(Timestamp),
}

/// What a name leads to; links are never followed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link of the host, foreign to every vault.
    Symlink,
    /// A device, pipe or socket, foreign to every vault.
    Other,
}

/// Tells one file from every other, also from one that later gets the same inode number.
///
/// The birth time is what distinguishes a reused inode number; hosts without birth times leave it
/// `None`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Identity {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Time of creation, where the host keeps one.
    pub btime: Option<Timestamp>,
}

/// Attributes of one object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Which one it is.
    pub id: Identity,
    /// Permission bits, `mode & 0o7777`.
    pub mode: u32,
    /// Number of names.
    pub nlink: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes (ciphertext).
    pub size: u64,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
    /// Last read.
    pub atime: Timestamp,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of content or attributes.
    pub ctime: Timestamp,
}

/// A place in a directory listing: resume after the entry that carried it.
///
/// Valid as long as the directory exists, whatever entries come and go. [`Cookie::START`] is the
/// beginning.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Cookie(pub u64);

impl Cookie {
    /// The beginning of every listing.
    pub const START: Self = Self(0);
}

/// One name met in a listing.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// The name, also `.` and `..` if the host gives them.
    pub name: &'a [u8],
    /// What it is, if the host tells without a further call.
    pub kind: Option<Kind>,
    /// Inode number.
    pub ino: u64,
    /// Resumes the listing after this entry.
    pub next: Cookie,
}

/// Whether opening may make a new file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Create {
    /// The file must exist.
    No,
    /// Make it if it is not there.
    IfMissing,
    /// It must not exist.
    New,
}

/// How to open a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenMode {
    /// Permit reading.
    pub read: bool,
    /// Permit writing.
    pub write: bool,
    /// Whether to make the file.
    pub create: Create,
    /// Permission bits of a file made by this call, before the process's umask.
    pub mode: u32,
}

impl OpenMode {
    /// Opens an existing file for reading.
    pub const READ: Self = Self {
        read: true,
        write: false,
        create: Create::No,
        mode: 0,
    };
    /// Opens an existing file for reading and writing.
    pub const READ_WRITE: Self = Self {
        read: true,
        write: true,
        create: Create::No,
        mode: 0,
    };

    /// Makes a file that must not exist yet, for reading and writing.
    #[must_use]
    pub const fn new_file(mode: u32) -> Self {
        Self {
            read: true,
            write: true,
            create: Create::New,
            mode,
        }
    }
}

/// What a rename does with a target that exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RenameMode {
    /// Replaces it.
    Replace,
    /// Fails with `Exists`.
    NoReplace,
    /// Swaps the two; both must exist.
    Exchange,
}

/// How long a call may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Latency {
    /// Usually answered from memory or a local disk.
    Local,
    /// May wait for a network; callers should use more threads.
    Slow,
}

/// What a store can do; fixed for its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// `write_at` changes only the bytes it names.
    pub in_place_write: bool,
    /// A rename shows the old state or the new one, never both or none.
    pub atomic_rename: bool,
    /// `link` works.
    pub hard_links: bool,
    /// Unwritten ranges take no space.
    pub holes: bool,
    /// Expected delay.
    pub latency: Latency,
    /// The host reports foreign changes of directories below the root (inotify).
    pub watchable: bool,
    /// `sync_all` of a file that was never moved since it was made takes its name along.
    pub sync_takes_name: bool,
}

/// Room in the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Unit of the block counts, in bytes.
    pub block_size: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Free blocks an ordinary user may take.
    pub avail: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Longest name of one component, in bytes.
    pub name_max: u64,
}
