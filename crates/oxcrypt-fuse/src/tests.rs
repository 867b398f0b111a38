//! A kernel of our own at the other end of a socket: what it asks is answered, and nothing it sends
//! brings the mount down.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use oxcrypt_core::rng::with_rng;
use oxcrypt_core::{CipherCombo, Cryptor, DirId, MasterKey};
use oxcrypt_store::{MemStore, Store};
use oxcrypt_vfs::{LogEvents, VaultFs, VfsOptions};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::device::Device;
use crate::ops::Server;
use crate::options::{Access, MountOptions};
use crate::pool::Pool;
use crate::session::agree;
use crate::transport::{Helpers, Shared, dev};

const ROOT: u64 = 1;
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const MKNOD: u32 = 8;
const RENAME2: u32 = 45;
const READ: u32 = 15;
const WRITE: u32 = 16;
const FSYNC: u32 = 20;
const GETXATTR: u32 = 22;
const INIT: u32 = 26;
const READDIR: u32 = 28;
const INTERRUPT: u32 = 36;
const LSEEK: u32 = 46;
const STATX: u32 = 52;

fn vault() -> VaultFs<MemStore> {
    let cryptor = Cryptor::new(&with_rng(MasterKey::random), CipherCombo::SivGcm, 220);
    let store = MemStore::new();
    let hash = cryptor.dir_hash(&DirId::ROOT);
    let root = store.root();
    for dir in ["d".to_owned(), format!("d/{}", hash.prefix())] {
        store.create_dir(&root, dir.as_bytes(), 0o755).unwrap();
    }
    let data = store.open_dir(&root, b"d").unwrap();
    let path = format!("{}/{}", hash.prefix(), hash.rest());
    store.create_dir(&data, path.as_bytes(), 0o755).unwrap();
    let (store, cryptor) = (Arc::new(store), Arc::new(cryptor));
    VaultFs::new(store, cryptor, VfsOptions::default(), Box::new(LogEvents)).unwrap()
}

/// The kernel's end.
struct Kernel {
    end: OwnedFd,
    server: Option<JoinHandle<std::io::Result<()>>>,
    unique: u64,
}

impl Kernel {
    fn new(options: MountOptions) -> Self {
        let (end, device) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let server = std::thread::spawn(move || {
            let device = Arc::new(Device::new(device));
            let mut server = Server::new(Arc::new(vault()), options);
            let Some(rings) = agree(&mut server, &device)? else {
                return Ok(());
            };
            assert!(rings.is_none(), "none were offered");
            dev::serve(&Arc::new(Shared {
                server,
                device,
                pool: Pool::new()?,
                helpers: Helpers::new(true),
            }))
        });
        Self {
            end,
            server: Some(server),
            unique: 2,
        }
    }

    /// One that has introduced itself.
    fn ready(options: MountOptions) -> Self {
        let mut kernel = Self::new(options);
        let init = words(&[7, 40, 131_072, 0]);
        let (error, reply) = kernel.ask(INIT, 0, &init);
        assert_eq!((error, reply.len()), (0, 64));
        kernel
    }

    fn request(&mut self, opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
        self.unique += 2;
        let mut request = Vec::new();
        request.extend((40 + body.len() as u32).to_ne_bytes());
        request.extend(opcode.to_ne_bytes());
        request.extend(self.unique.to_ne_bytes());
        request.extend(node.to_ne_bytes());
        request.extend(words(&[1000, 1000, 1, 0]));
        request.extend(body);
        request
    }

    fn send(&self, bytes: &[u8]) {
        rustix::io::write(&self.end, bytes).unwrap();
    }

    /// Error and content of the next reply.
    fn receive(&self) -> (u64, i32, Vec<u8>) {
        let mut buf = vec![0; 1 << 16];
        let len = rustix::io::read(&self.end, &mut buf).unwrap();
        assert!(len >= 16, "no reply");
        buf.truncate(len);
        assert_eq!(u32_at(&buf, 0) as usize, len);
        (
            u64_at(&buf, 8),
            u32_at(&buf, 4).cast_signed(),
            buf.split_off(16),
        )
    }

    fn ask(&mut self, opcode: u32, node: u64, body: &[u8]) -> (i32, Vec<u8>) {
        let request = self.request(opcode, node, body);
        self.send(&request);
        let (unique, error, content) = self.receive();
        assert_eq!(unique, self.unique);
        (error, content)
    }

    /// Hangs up, and sees how the mount takes it.
    fn end(mut self) {
        rustix::net::shutdown(&self.end, rustix::net::Shutdown::Both).unwrap();
        self.server.take().unwrap().join().unwrap().unwrap();
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(*bytes[at..].first_chunk().unwrap())
}

fn named(args: &[u32], name: &[u8]) -> Vec<u8> {
    [&words(args), name, &[0]].concat()
}

#[test]
fn a_file_is_made_written_read_and_listed() {
    let mut kernel = Kernel::ready(MountOptions::default());
    assert_eq!(kernel.ask(LOOKUP, ROOT, b"file\0").0, -2);
    let (error, made) = kernel.ask(MKNOD, ROOT, &named(&[0o100_640, 0, 0, 0], b"file"));
    assert_eq!((error, made.len()), (0, 128));
    let node = u64_at(&made, 0);
    assert_eq!(u32_at(&made, 40 + 60), 0o100_640);
    let write = [words(&[0, 0, 0, 0, 5, 0, 0, 0, 0, 0]), b"hello".to_vec()].concat();
    let (error, written) = kernel.ask(WRITE, node, &write);
    assert_eq!((error, u32_at(&written, 0)), (0, 5));
    // By another thread.
    assert_eq!(kernel.ask(FSYNC, node, &words(&[0, 0, 1, 0])).0, 0);
    let (error, read) = kernel.ask(READ, node, &words(&[0, 0, 1, 0, 100, 0, 0, 0, 0, 0]));
    assert_eq!((error, &read[..]), (0, &b"ello"[..]));
    let (error, statx) = kernel.ask(STATX, node, &words(&[0; 6]));
    assert_eq!((error, statx.len(), u64_at(&statx, 32 + 40)), (0, 288, 5));
    let (error, list) = kernel.ask(READDIR, ROOT, &words(&[0, 0, 0, 0, 4096, 0, 0, 0, 0, 0]));
    assert_eq!(error, 0);
    assert!(list.windows(4).any(|w| w == b"file"));
    let rename = [&words(&[1, 0, 1, 0])[..], b"file\0other\0"].concat();
    assert_eq!(kernel.ask(RENAME2, ROOT, &rename).0, 0);
    assert_eq!(kernel.ask(LOOKUP, ROOT, b"other\0").0, 0);
    // What is not served is refused for good.
    assert_eq!(kernel.ask(GETXATTR, node, &words(&[0, 0])).0, -38);
    assert_eq!(kernel.ask(INTERRUPT, 0, &words(&[4, 0])).0, -38);
    // The kernel knows the length of what it has not written back, and we do not.
    assert_eq!(kernel.ask(LSEEK, node, &words(&[0; 6])).0, -38);
    kernel.end();
}

#[test]
fn old_kernels_are_told_and_newer_ones_asked_again() {
    let mut old = Kernel::new(MountOptions::default());
    assert_eq!(old.ask(INIT, 0, &words(&[7, 30, 0, 0])).0, -71);
    assert!(old.server.take().unwrap().join().unwrap().is_err());

    let mut newer = Kernel::new(MountOptions::default());
    let (error, reply) = newer.ask(INIT, 0, &words(&[8, 0, 0, 0]));
    assert_eq!((error, u32_at(&reply, 0), u32_at(&reply, 4)), (0, 7, 45));
    assert_eq!(newer.ask(INIT, 0, &words(&[7, 45, 0, 0])).0, 0);
    newer.end();

    // Gone before it said anything.
    Kernel::new(MountOptions::default()).end();
}

#[test]
fn only_root_and_the_owner_are_let_in_if_so_wanted() {
    let options = MountOptions {
        access: Access::Root,
        ..MountOptions::default()
    };
    let mut kernel = Kernel::ready(options);
    let me = rustix::process::geteuid().as_raw();
    let is_owner = me == 1000;
    let (error, _) = kernel.ask(GETATTR, ROOT, &words(&[0; 4]));
    assert_eq!(error, if is_owner { 0 } else { -13 });
    let mut root = kernel.request(GETATTR, ROOT, &words(&[0; 4]));
    root[24..28].fill(0);
    kernel.send(&root);
    assert_eq!(kernel.receive().1, 0);
    kernel.end();
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

#[test]
fn nothing_a_kernel_sends_brings_the_mount_down() {
    /// Their numbers could ask for more memory than a test should use.
    const BIG: [u32; 5] = [4, WRITE, 43, 47, 53];
    let mut kernel = Kernel::ready(MountOptions::default());
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for round in 0..20_000 {
        let opcode = dice.below(70) as u32;
        let len = dice.below(if BIG.contains(&opcode) { 20 } else { 200 });
        let mut body: Vec<u8> = (0..len).map(|_| dice.next() as u8).collect();
        match dice.below(4) {
            0 => body.fill(0),
            1 => body.iter_mut().for_each(|b| *b %= 3),
            _ => {}
        }
        let mut request = kernel.request(opcode, dice.below(6) as u64, &body);
        match dice.below(10) {
            // No header.
            0 => request.truncate(dice.below(40).max(1)),
            // Its length is wrong.
            1 => request[..4].copy_from_slice(&(dice.next() as u32).to_ne_bytes()),
            _ => {}
        }
        kernel.send(&request);
        // Replies must not fill the socket; which there are, is seen by this one.
        if round % 16 == 0 {
            let ours = kernel.request(GETATTR, ROOT, &words(&[0; 4]));
            kernel.send(&ours);
            while kernel.receive().0 != kernel.unique {}
        }
    }
    // Forgetting what was never known changes nothing either.
    let forget = kernel.request(FORGET, 77, &words(&[u32::MAX, u32::MAX]));
    kernel.send(&forget);
    let last = kernel.request(GETATTR, ROOT, &words(&[0; 4]));
    kernel.send(&last);
    let (error, attr) = loop {
        let (unique, error, content) = kernel.receive();
        if unique == kernel.unique {
            break (error, content);
        }
    };
    assert_eq!((error, attr.len(), u64_at(&attr, 16)), (0, 104, ROOT));
    kernel.end();
}
