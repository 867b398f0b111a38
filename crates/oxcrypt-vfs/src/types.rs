//! Values that cross the border to a frontend. They know neither FUSE nor ciphertext.

use std::time::Duration;

/// Names a node for as long as the frontend holds a lookup on it. Usually the inode number of the
/// ciphertext object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The root directory of the vault.
    pub const ROOT: NodeId = NodeId(1);
}

/// What a node is. The format knows nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NodeKind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
}

/// A point in time as the kernel counts it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Timestamp {
    /// Seconds since 1970, negative before.
    pub secs: i64,
    /// Nanoseconds, below 10^9.
    pub nanos: u32,
}

impl From<oxcrypt_store::Timestamp> for Timestamp {
    fn from(t: oxcrypt_store::Timestamp) -> Self {
        Self {
            secs: t.secs,
            nanos: t.nanos,
        }
    }
}

impl From<Timestamp> for oxcrypt_store::Timestamp {
    fn from(t: Timestamp) -> Self {
        Self {
            secs: t.secs,
            nanos: t.nanos,
        }
    }
}

/// Attributes of a node, sizes in cleartext.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    /// Inode number shown to programs, the same as the [`NodeId`].
    pub ino: u64,
    /// Kind of node.
    pub kind: NodeKind,
    /// Cleartext size in bytes.
    pub size: u64,
    /// Blocks of 512 bytes used by the ciphertext.
    pub blocks: u64,
    /// Permission bits including set-id and sticky.
    pub mode: u32,
    /// Number of hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of attributes.
    pub ctime: Timestamp,
    /// Creation, where the store knows it.
    pub btime: Timestamp,
    /// A change of this node by another program will be noticed.
    pub watched: bool,
}

/// A node found by name; the frontend now holds one lookup on it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The node.
    pub node: NodeId,
    /// Its attributes.
    pub attr: Attr,
}

/// Who asks. Only used to own what is created; access checks are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A new time for `setattr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeChange {
    /// The store's present time.
    Now,
    /// This time.
    At(Timestamp),
}

/// What `setattr` changes; `None` leaves a field alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// New permission bits.
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New cleartext size.
    pub size: Option<u64>,
    /// New access time.
    pub atime: Option<TimeChange>,
    /// New modification time.
    pub mtime: Option<TimeChange>,
    /// When the frontend made the change, if it keeps times itself. Nobody can set this time; it
    /// tells a change that is known already.
    pub noted_ctime: Option<Timestamp>,
}

/// How `rename` treats a taken target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameFlags {
    /// Replace it.
    Replace,
    /// Refuse.
    NoReplace,
    /// Swap the two.
    Exchange,
}

/// What `fallocate` does with the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateMode {
    /// Reserve; grow the file when the range ends beyond it.
    Grow,
    /// Reserve without changing the size.
    KeepSize,
    /// Make the range read as zeros; the size stays.
    PunchHole,
    /// Make the range read as zeros; grow the file when needed.
    ZeroRange,
    /// As [`AllocateMode::ZeroRange`], the size stays.
    ZeroRangeKeepSize,
}

/// Which boundary `seek` looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTarget {
    /// The next byte that holds data.
    Data,
    /// The next hole; the end of a file counts as one.
    Hole,
}

/// One line of a listing.
#[derive(Clone, Copy, Debug)]
pub struct ListItem<'a> {
    /// Cleartext name, or `.` and `..`.
    pub name: &'a [u8],
    /// Kind of node.
    pub kind: NodeKind,
    /// Inode number, as [`Attr::ino`] where known, never 0.
    pub ino: u64,
    /// Pass this to continue behind this entry.
    pub next: u64,
}

/// Space of the backing store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Unit of the block counts.
    pub block_size: u32,
    /// All blocks.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Free blocks for unprivileged users.
    pub available: u64,
    /// All inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Longest cleartext name in bytes.
    pub name_max: u32,
}

/// What a write survives before it is synced. What was synced survives everything in each case but
/// [`Durability::None`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Every overwrite is durable in the journal before it is acknowledged.
    Strict,
    /// An interrupted overwrite damages nothing but itself.
    #[default]
    Normal,
    /// No journal: a crash in the middle of an overwrite may destroy the 32 KiB around it.
    None,
}

/// Knobs of the file system.
#[derive(Clone, Debug)]
pub struct VfsOptions {
    /// Refuse every change.
    pub read_only: bool,
    /// Give new nodes to the caller; needs root.
    pub own_by_caller: bool,
    /// Open ciphertext files kept at most.
    pub max_open_files: usize,
    /// Open content directories kept at most.
    pub max_open_dirs: usize,
    /// Nodes kept at most, beyond those that the frontend uses; see
    /// [`VaultFs::surplus`](crate::VaultFs::surplus).
    pub max_nodes: usize,
    /// Write the header of an empty new file this much later, so that it joins the first data.
    pub header_delay: Duration,
    /// What writes survive; needs a journal to have any effect, see
    /// [`VaultFs::with_journal`](crate::VaultFs::with_journal).
    pub durability: Durability,
}

impl Default for VfsOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            own_by_caller: false,
            max_open_files: 512,
            max_open_dirs: 256,
            max_nodes: 128 * 1024,
            header_delay: Duration::from_millis(200),
            durability: Durability::Normal,
        }
    }
}

impl VfsOptions {
    /// The same, with no more kept open than suits a process that may have so many files open: new
    /// ones, and those that lost their last name while in use, need descriptors beyond these.
    #[must_use]
    pub fn within(self, descriptors: usize) -> Self {
        Self {
            max_open_files: self.max_open_files.min(descriptors / 16),
            max_open_dirs: self.max_open_dirs.min(descriptors / 16),
            ..self
        }
    }
}
