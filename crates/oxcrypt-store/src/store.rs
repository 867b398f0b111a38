//! The [`Store`] trait.

use std::ops::ControlFlow;

use crate::error::Result;
use crate::types::{
    Capabilities, Cookie, DirEntry, Incarnation, OpenMode, RenameMode, Space, Stat, TimeSet,
    Timestamp,
};

/// Names the object whose attributes are changed.
#[derive(Debug)]
pub enum Node<'a, S: Store + ?Sized> {
    /// An open file.
    File(&'a S::File),
    /// An open directory.
    Dir(&'a S::Dir),
    /// One or two components below a directory; a link at the end is changed itself, never
    /// followed.
    Name(&'a S::Dir, &'a [u8]),
}

impl<S: Store + ?Sized> Clone for Node<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Store + ?Sized> Copy for Node<'_, S> {}

/// A tree of directories and regular files with opaque names.
///
/// Names are bytes: one component, never empty, `.`, `..`, absolute, or with NUL. Calls marked *two
/// components* also take `a/b`; `a` must then be a real directory, not a link. Nothing is durable
/// before the matching `sync` call.
pub trait Store: Send + Sync + 'static {
    /// An open directory; cheap to clone.
    type Dir: Clone + Send + Sync + 'static;
    /// An open regular file. Stays usable after its name is gone.
    type File: Send + Sync + 'static;

    /// What this store can do.
    fn capabilities(&self) -> Capabilities;

    /// Present time, as change times show it; these may be older by a tick of the host's clock.
    fn now(&self) -> Timestamp;

    /// Which stretch of its life the store is in.
    ///
    /// # Errors
    /// `Io`, `Stale`.
    fn incarnation(&self) -> Result<Incarnation>;

    /// The top directory.
    fn root(&self) -> Self::Dir;

    /// Opens a directory. Two components.
    ///
    /// # Errors
    /// `NotFound`, `NotDirectory` (or `Loop`) for anything else, links included;
    /// `PermissionDenied`.
    fn open_dir(&self, at: &Self::Dir, name: &[u8]) -> Result<Self::Dir>;

    /// Attributes of what `name` leads to, links not followed. Exactly one component, one system
    /// call.
    ///
    /// # Errors
    /// `NotFound` above all; costs no allocation.
    fn stat(&self, at: &Self::Dir, name: &[u8]) -> Result<Stat>;

    /// Like [`Store::stat`] for `a/b`, without following a link at `a` either.
    ///
    /// # Errors
    /// `NotFound`, `NotDirectory` if `a` is no directory, also if it is a link to one.
    fn stat_beneath(&self, at: &Self::Dir, name: &[u8]) -> Result<Stat>;

    /// Attributes of an open directory.
    ///
    /// # Errors
    /// `Io`, `Stale`.
    fn stat_dir(&self, dir: &Self::Dir) -> Result<Stat>;

    /// Attributes of an open file.
    ///
    /// # Errors
    /// `Io`, `Stale`.
    fn stat_file(&self, file: &Self::File) -> Result<Stat>;

    /// Calls `visit` for each entry after `from` until it breaks.
    ///
    /// `buf_hint` is about how many bytes of entries to take from the host at once. Any number of
    /// threads may list one directory, and `visit` may call the store. Every entry that exists
    /// during the whole listing is met exactly once.
    ///
    /// # Errors
    /// `PermissionDenied`, `Io`. Entries met before an error have been visited.
    fn list(
        &self,
        at: &Self::Dir,
        from: Cookie,
        buf_hint: usize,
        visit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()>;

    /// Makes a directory. Two components.
    ///
    /// # Errors
    /// `Exists`, `NoSpace`, `TooManyLinks`.
    fn create_dir(&self, at: &Self::Dir, name: &[u8], mode: u32) -> Result<()>;

    /// Removes an empty directory. Two components.
    ///
    /// # Errors
    /// `NotFound`, `NotEmpty`, `NotDirectory`.
    fn remove_dir(&self, at: &Self::Dir, name: &[u8]) -> Result<()>;

    /// Removes one name of anything but a directory. Two components.
    ///
    /// # Errors
    /// `NotFound`, `IsDirectory`.
    fn remove_file(&self, at: &Self::Dir, name: &[u8]) -> Result<()>;

    /// Moves a name. Two components on both sides.
    ///
    /// # Errors
    /// `NotFound`, `Exists` with `NoReplace`, `NotEmpty`/`IsDirectory`/`NotDirectory` for unfit
    /// targets, `Unsupported` if the host cannot do this mode.
    fn rename(
        &self,
        from_at: &Self::Dir,
        from: &[u8],
        to_at: &Self::Dir,
        to: &[u8],
        mode: RenameMode,
    ) -> Result<()>;

    /// Gives a file a second name. Two components on both sides.
    ///
    /// # Errors
    /// `Exists`, `TooManyLinks`, `Unsupported` or `PermissionDenied` where the host has no links.
    fn link(&self, from_at: &Self::Dir, from: &[u8], to_at: &Self::Dir, to: &[u8]) -> Result<()>;

    /// Opens a regular file. Two components.
    ///
    /// Never blocks on a pipe and never follows a link.
    ///
    /// # Errors
    /// `NotRegular` for pipes, sockets, devices; `IsDirectory`; `Loop` for a link; `NotFound`,
    /// `Exists`.
    fn open(&self, at: &Self::Dir, name: &[u8], mode: OpenMode) -> Result<Self::File>;

    /// Fills `buf` with as much as exists from `offset` on; fewer bytes mean the end of the file.
    ///
    /// # Errors
    /// `Io`, `Stale`.
    fn read_at(&self, file: &Self::File, buf: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes all of `data`, or fails; after a failure any prefix may have been written.
    ///
    /// # Errors
    /// `NoSpace`, `Quota`, `TooLarge`, `Io`.
    fn write_at(&self, file: &Self::File, data: &[u8], offset: u64) -> Result<()>;

    /// Cuts the file or extends it with zeros.
    ///
    /// # Errors
    /// `TooLarge`, `NoSpace`.
    fn set_len(&self, file: &Self::File, len: u64) -> Result<()>;

    /// Reserves space, extending the file unless `keep_size`.
    ///
    /// # Errors
    /// `Unsupported`, `NoSpace`, `TooLarge`.
    fn allocate(&self, file: &Self::File, offset: u64, len: u64, keep_size: bool) -> Result<()>;

    /// Makes content and length durable.
    ///
    /// # Errors
    /// `Io`, `NoSpace`, `Quota`: earlier writes may be lost.
    fn sync_data(&self, file: &Self::File) -> Result<()>;

    /// Makes content and attributes durable.
    ///
    /// # Errors
    /// As for [`Store::sync_data`].
    fn sync_all(&self, file: &Self::File) -> Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// `Io`.
    fn sync_dir(&self, dir: &Self::Dir) -> Result<()>;

    /// Makes everything that was done in this store so far durable.
    ///
    /// # Errors
    /// `Io`, `NoSpace`, `Quota`: something may be lost.
    fn sync_everything(&self) -> Result<()>;

    /// Sets times; `None` leaves one as it is.
    ///
    /// # Errors
    /// `PermissionDenied`, `NotFound`.
    fn set_times(
        &self,
        node: Node<'_, Self>,
        atime: Option<TimeSet>,
        mtime: Option<TimeSet>,
    ) -> Result<()>;

    /// Sets the permission bits.
    ///
    /// # Errors
    /// `PermissionDenied`, `NotFound`, `Unsupported` for a symbolic link.
    fn set_mode(&self, node: Node<'_, Self>, mode: u32) -> Result<()>;

    /// Sets owner and group; `None` leaves one as it is.
    ///
    /// # Errors
    /// `PermissionDenied`, `NotFound`.
    fn set_owner(&self, node: Node<'_, Self>, uid: Option<u32>, gid: Option<u32>) -> Result<()>;

    /// Room in the store.
    ///
    /// # Errors
    /// `Io`, `Stale`.
    fn space(&self) -> Result<Space>;

    /// The whole of a small regular file. Two components.
    ///
    /// # Errors
    /// `TooLarge` above `max_len` bytes, before anything is read; otherwise as [`Store::open`].
    fn read_small(&self, at: &Self::Dir, name: &[u8], max_len: usize) -> Result<Vec<u8>>;
}
