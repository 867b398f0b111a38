//! The connection to the kernel: requests are read from it, replies and notifications written to it.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oxcrypt_vfs::NodeId;
use rustix::io::Errno;

use crate::wire::notify::{MAX_NODES, Notification};
use crate::wire::reply::{self, Reply};

/// An open /dev/fuse that belongs to a mount.
#[derive(Debug)]
pub(crate) struct Device(OwnedFd);

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Device {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Waits for a request; `None` when the mount has ended.
    pub(crate) fn receive(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match rustix::io::read(&self.0, &mut *buf) {
                Ok(0) | Err(Errno::NODEV) => return Ok(None),
                Ok(len) => return Ok(Some(len)),
                // NOENT: what was about to be read was interrupted.
                Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Answers the request with this number.
    pub(crate) fn reply(&self, unique: u64, reply: &Reply) {
        self.send(unique, reply.code(), reply.bytes());
    }

    /// Answers it with data.
    pub(crate) fn data(&self, unique: u64, data: &[u8]) {
        self.send(unique, 0, data);
    }

    fn send(&self, unique: u64, code: i32, data: &[u8]) {
        let header = reply::header(unique, code, data.len());
        let parts = [IoSlice::new(&header), IoSlice::new(data)];
        match rustix::io::writev(&self.0, &parts) {
            // Nobody waits for it any more: interrupted, or the mount has ended.
            Ok(_) | Err(Errno::NOENT | Errno::NODEV) => {}
            Err(e) => {
                tracing::error!(error = %e, "the kernel does not take a reply");
                // Whoever waits must not wait for ever.
                let header = reply::header(unique, -Errno::IO.raw_os_error(), 0);
                let _ = rustix::io::write(&self.0, &header);
            }
        }
    }

    /// Tells the kernel something. It may know nothing about the node, which is fine.
    pub(crate) fn notify(&self, notification: &Notification) {
        let _ = rustix::io::write(&self.0, notification.bytes());
    }

    /// Asks the kernel to forget nodes; false when it does not know how to.
    pub(crate) fn prune(&self, nodes: &[NodeId]) -> bool {
        nodes.chunks(MAX_NODES).all(|nodes| {
            let notification = Notification::unwanted(nodes);
            rustix::io::write(&self.0, notification.bytes()) != Err(Errno::INVAL)
        })
    }

    /// Whether the mount has ended, or the connection was aborted.
    pub(crate) fn has_ended(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        poll(&mut fds, Some(&Timespec::default())).is_ok()
            && fds[0].revents().contains(PollFlags::ERR)
    }
}
