//! Noticing changes that other programs make to directories (inotify).

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::handle::LocalDir;
use crate::error::Result;

/// What is reported for a watched directory. Opens and reads are not; a descriptor that stays open
/// raises no close, so writes are reported as they happen.
const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);

/// Those after which a name may lead elsewhere.
const ENTRIES: ReadFlags = ReadFlags::CREATE
    .union(ReadFlags::DELETE)
    .union(ReadFlags::MOVED_FROM)
    .union(ReadFlags::MOVED_TO);

/// Names a watched directory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WatchId(pub i32);

/// One thing that happened, by whomever: also what this process did itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchEvent<'a> {
    /// The object of this name in this directory was written to, or its attributes changed.
    Name(WatchId, &'a [u8]),
    /// This name in this directory came, went, or leads to another object.
    Entry(WatchId, &'a [u8]),
    /// The attributes of the directory itself.
    Dir(WatchId),
    /// The watch is gone, with its directory.
    Gone(WatchId),
    /// Events were lost: anything may have happened.
    Lost,
}

/// Watches directories. Adding and removing work from any thread while one waits.
#[derive(Debug)]
pub struct Watcher {
    inotify: OwnedFd,
    stop: OwnedFd,
}

impl Watcher {
    /// A watcher of nothing yet.
    ///
    /// # Errors
    /// `TooManyOpenFiles` when the user's inotify instances are used up.
    pub fn new() -> Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { inotify, stop })
    }

    /// Watches a directory from now on.
    ///
    /// # Errors
    /// `NoSpace` when the user's watches are used up.
    pub fn add(&self, dir: &LocalDir) -> Result<WatchId> {
        let path = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
        Ok(WatchId(inotify::add_watch(&self.inotify, path, EVENTS)?))
    }

    /// Watches the directory `name` in `dir` from now on; the same id as before for one that is
    /// watched already.
    ///
    /// # Errors
    /// As [`Watcher::add`]; when there is no such directory.
    pub fn add_beneath(&self, dir: &LocalDir, name: &[u8]) -> Result<WatchId> {
        let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        // A link is not followed: it would lead out of the vault.
        let flags = EVENTS | WatchFlags::DONT_FOLLOW;
        Ok(WatchId(inotify::add_watch(&self.inotify, path, flags)?))
    }

    /// Ends a watch; one that is gone already is no error.
    pub fn remove(&self, id: WatchId) {
        let _ = inotify::remove_watch(&self.inotify, id.0);
    }

    /// Ends [`Watcher::wait`], now and for ever.
    pub fn stop(&self) {
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
    }

    /// Sleeps until something happened, and then until [`Watcher::drain`] has something to give.
    /// False after [`Watcher::stop`].
    pub fn wait(&self) -> bool {
        let mut fds = [
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::new(&self.stop, PollFlags::IN),
        ];
        loop {
            match poll(&mut fds, None) {
                Ok(_) => return fds[1].revents().is_empty(),
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Visits what happened since the last call; does not wait.
    ///
    /// # Errors
    /// Only if the descriptor itself fails.
    pub fn drain(&self, mut visit: impl FnMut(WatchEvent<'_>)) -> Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let id = WatchId(event.wd());
            let flags = event.events();
            visit(if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                WatchEvent::Lost
            } else if flags.contains(ReadFlags::IGNORED) {
                WatchEvent::Gone(id)
            } else {
                match event.file_name() {
                    Some(name) if flags.intersects(ENTRIES) => {
                        WatchEvent::Entry(id, name.to_bytes())
                    }
                    Some(name) => WatchEvent::Name(id, name.to_bytes()),
                    None => WatchEvent::Dir(id),
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LocalStore, Store};

    fn names(watcher: &Watcher) -> Vec<String> {
        let mut seen = Vec::new();
        watcher
            .drain(|event| {
                if let WatchEvent::Name(_, name) | WatchEvent::Entry(_, name) = event {
                    seen.push(String::from_utf8_lossy(name).into_owned());
                }
            })
            .unwrap();
        seen.dedup();
        seen
    }

    #[test]
    fn changes_in_a_watched_directory_are_told_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("other")).unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        let watcher = Watcher::new().unwrap();
        let id = watcher.add(&store.root()).unwrap();
        std::fs::write(dir.path().join("a"), b"1").unwrap();
        std::fs::write(dir.path().join("other/b"), b"1").unwrap();
        assert!(watcher.wait());
        assert_eq!(names(&watcher), ["a"]);
        watcher.remove(id);
        std::fs::write(dir.path().join("c"), b"1").unwrap();
        assert!(names(&watcher).is_empty());
    }

    #[test]
    fn a_directory_is_watched_by_name_and_a_link_is_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("inner")).unwrap();
        std::os::unix::fs::symlink("inner", dir.path().join("link")).unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        let watcher = Watcher::new().unwrap();
        let id = watcher.add_beneath(&store.root(), b"inner").unwrap();
        assert_eq!(watcher.add_beneath(&store.root(), b"inner").unwrap(), id);
        watcher.add_beneath(&store.root(), b"link").unwrap_err();
        watcher.add_beneath(&store.root(), b"none").unwrap_err();
        std::fs::write(dir.path().join("outer"), b"1").unwrap();
        std::fs::write(dir.path().join("inner/a"), b"1").unwrap();
        assert_eq!(names(&watcher), ["a"]);
    }

    #[test]
    fn a_stopped_watcher_waits_no_more() {
        let watcher = Watcher::new().unwrap();
        watcher.stop();
        assert!(!watcher.wait());
    }
}
