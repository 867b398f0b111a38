//! Requests about names and attributes.

use std::ops::ControlFlow;

use oxcrypt_store::Store;
use oxcrypt_vfs::{ErrorKind, NodeId, NodeKind, RenameFlags, SetAttr};
use rustix::io::Errno;

use super::{Outcome, Server, caller, fail};
use crate::wire::reply::{Line, Listing, Reply};
use crate::wire::request::{Header, Range};

/// Ciphertext entries taken at once for a listing reply.
const LIST_ROOM: usize = 32 * 1024;

impl<S: Store> Server<S> {
    pub(super) fn lookup(&self, parent: NodeId, name: &[u8]) -> Reply {
        match self.vfs.lookup(parent, name) {
            Err(e) if e.kind == ErrorKind::NotFound && self.vfs.watches(parent) => {
                Reply::no_entry(self.options.negative_ttl)
            }
            result => self.entry(result),
        }
    }

    pub(super) fn getattr(&self, node: NodeId) -> Reply {
        let result = self.vfs.getattr(node);
        result.map_or_else(fail, |a| Reply::attr(&self.shown(&a), self.ttl(&a)))
    }

    /// Asked only where the kernel compares no modes, on behalf of root.
    pub(super) fn access(&self, node: NodeId, mask: u32) -> Reply {
        const EXECUTE: u32 = 1;
        match self.vfs.getattr(node) {
            Ok(a) if mask & EXECUTE != 0 && a.kind == NodeKind::File && a.mode & 0o111 == 0 => {
                Reply::error(Errno::ACCESS)
            }
            Ok(_) => Reply::done(),
            Err(e) => fail(e),
        }
    }

    pub(super) fn statx(&self, node: NodeId) -> Reply {
        let result = self.vfs.getattr(node);
        result.map_or_else(fail, |a| Reply::statx(&self.shown(&a), self.ttl(&a)))
    }

    pub(super) fn setattr(&self, node: NodeId, change: SetAttr) -> Reply {
        let result = self.vfs.setattr(node, change);
        result.map_or_else(fail, |a| Reply::attr(&self.shown(&a), self.ttl(&a)))
    }

    pub(super) fn mknod(&self, header: &Header, name: &[u8], mode: u32) -> Reply {
        const FILE_TYPE: u32 = 0o170_000;
        const REGULAR: u32 = 0o100_000;
        // The format knows no devices, fifos and sockets.
        if mode & FILE_TYPE != REGULAR && mode & FILE_TYPE != 0 {
            return Reply::error(Errno::PERM);
        }
        self.entry(self.vfs.create(caller(header), header.node, name, mode))
    }

    pub(super) fn create(&self, header: &Header, name: &[u8], mode: u32, flags: u32) -> Reply {
        const O_EXCL: u32 = 0o200;
        const O_TRUNC: u32 = 0o1000;
        let parent = header.node;
        let result = match self.vfs.create(caller(header), parent, name, mode) {
            // Somebody else was faster than the kernel's own lookup.
            Err(e) if e.kind == ErrorKind::Exists && flags & O_EXCL == 0 => {
                self.vfs.lookup(parent, name).and_then(|mut entry| {
                    if flags & O_TRUNC != 0 {
                        let cut = SetAttr {
                            size: Some(0),
                            ..SetAttr::default()
                        };
                        entry.attr = self.vfs.setattr(entry.node, cut)?;
                    }
                    Ok(entry)
                })
            }
            result => result,
        };
        result.map_or_else(fail, |e| {
            Reply::created(&self.shown(&e.attr), self.ttl(&e.attr))
        })
    }

    pub(super) fn rename(
        &self,
        (parent, name): (NodeId, &[u8]),
        (new_parent, new_name): (NodeId, &[u8]),
        flags: u32,
    ) -> Reply {
        const NO_REPLACE: u32 = 1;
        const EXCHANGE: u32 = 2;
        let flags = match flags {
            0 => RenameFlags::Replace,
            NO_REPLACE => RenameFlags::NoReplace,
            EXCHANGE => RenameFlags::Exchange,
            _ => return Reply::error(Errno::INVAL),
        };
        super::empty(self.vfs.rename(parent, name, new_parent, new_name, flags))
    }

    pub(super) fn open(&self, opened: Reply) -> Reply {
        if self.options.zero_message_open {
            Reply::error(Errno::NOSYS)
        } else {
            opened
        }
    }

    pub(super) fn readlink(&self, node: NodeId, room: &mut [u8]) -> Outcome {
        match self.vfs.readlink(node) {
            Ok(target) => match room.get_mut(..target.len()) {
                Some(room) => {
                    room.copy_from_slice(&target);
                    Outcome::Data(target.len())
                }
                None => Errno::NAMETOOLONG.into(),
            },
            Err(e) => Outcome::Reply(fail(e)),
        }
    }

    pub(super) fn list(&self, node: NodeId, range: Range, room: &mut [u8]) -> Outcome {
        let size = range.size.min(room.len());
        let mut listing = Listing::new(&mut room[..size]);
        let listed = self.vfs.list(node, range.offset, LIST_ROOM, &mut |item| {
            let line = Line {
                ino: item.ino,
                next: item.next,
                kind: item.kind,
                name: item.name,
            };
            more(listing.add(line))
        });
        match listed {
            Ok(()) => Outcome::Data(listing.len()),
            Err(e) => Outcome::Reply(fail(e)),
        }
    }

    pub(super) fn list_plus(&self, node: NodeId, range: Range, room: &mut [u8]) -> Outcome {
        let size = range.size.min(room.len());
        let mut listing = Listing::new(&mut room[..size]);
        let visit = &mut |item: oxcrypt_vfs::ListItem<'_>, entry: Option<oxcrypt_vfs::Entry>| {
            let line = Line {
                ino: item.ino,
                next: item.next,
                kind: item.kind,
                name: item.name,
            };
            let found = entry.map(|e| (self.shown(&e.attr), self.ttl(&e.attr)));
            more(listing.add_plus(line, found.as_ref().map(|(attr, ttl)| (attr, *ttl))))
        };
        match self.vfs.list_plus(node, range.offset, LIST_ROOM / 4, visit) {
            Ok(()) => Outcome::Data(listing.len()),
            Err(e) => Outcome::Reply(fail(e)),
        }
    }
}

fn more(fitted: bool) -> ControlFlow<()> {
    if fitted {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}
