//! A ring and its slots: places where the kernel puts one request each and takes the reply from.
//!
//! A slot belongs to the kernel from the moment it is handed over ([`Uring::register`],
//! [`Uring::reply`]) until its completion is seen in [`Uring::next`]; only then its memory is
//! reached, by us or by whom it is lent to. The kernel writes to a slot only while this thread is
//! inside [`Uring::submit`].

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;
use rustix::io_uring::{IoringFeatureFlags, IoringSetupFlags, io_uring_params};

use super::memory::{self, Mapping};
use crate::ops::MAX_IO;
use crate::wire::reply;
use crate::wire::request::{HEADER_LEN, MAX_ARGS};

/// A request's header, its fixed part and the words about the payload, each with a place.
const ARGS_AT: usize = 128;
const ABOUT_AT: usize = 256;
const HEADERS_LEN: usize = 288;
/// Where the kernel reads the two addresses of a slot that is registered.
const ADDRESSES_AT: usize = 512;
const PAGE: usize = 4096;
const SLOT_LEN: usize = PAGE + MAX_IO;
/// A slot that held no more keeps its pages: they will be used again.
const KEPT: usize = 16 << 10;

const COMMAND_LEN: usize = 128;
const COMPLETION_LEN: usize = 16;
const COMMANDS_AT: u64 = 0x1000_0000;
const OP_POLL: u8 = 6;
const OP_FUSE: u8 = 46;
const REGISTER: u32 = 1;
const COMMIT_AND_FETCH: u32 = 2;
const POLL_IN: u32 = 1;
/// Completions with this tag are no slot's.
const WAKE: u64 = u64::MAX;

/// What was completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completion {
    /// There is a request in this slot.
    Request(usize),
    /// This slot will not be used again.
    Ended(usize, Errno),
    /// Somebody called.
    Woken,
}

/// A request as it lies in a slot.
pub(super) struct Incoming<'a> {
    pub(super) header: [u8; HEADER_LEN],
    pub(super) args: [u8; MAX_ARGS],
    /// What follows the fixed part, of which `sent` bytes came, and the reply goes.
    pub(super) room: &'a mut [u8],
    pub(super) sent: usize,
}

/// A slot with its request, on its way to another thread and back.
pub(super) struct Lent {
    slot: usize,
    memory: Mapping,
}

impl Lent {
    /// The request.
    pub(super) fn incoming(&mut self) -> Incoming<'_> {
        incoming(&mut self.memory)
    }

    /// Which slot it is.
    pub(super) fn slot(&self) -> usize {
        self.slot
    }
}

fn incoming(memory: &mut Mapping) -> Incoming<'_> {
    let sent = u32::from_ne_bytes(memory.read(ABOUT_AT + 16)) as usize;
    Incoming {
        header: memory.read(0),
        args: memory.read(ARGS_AT),
        room: memory.bytes_mut(PAGE, MAX_IO),
        sent: sent.min(MAX_IO),
    }
}

#[derive(Debug)]
struct Slot {
    queue: u16,
    owner: Owner,
    /// Bytes of the payload that were used since it was released.
    used: usize,
    /// `None` while it is lent.
    memory: Option<Mapping>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Not registered yet.
    Nobody,
    Kernel,
    /// With a request of this number.
    Us(u64),
    /// Completed for the last time.
    Ended,
}

/// Offsets of the ring's numbers, as the kernel told them.
#[derive(Debug)]
struct Layout {
    submit_head: usize,
    submit_tail: usize,
    submit_mask: u32,
    complete_head: usize,
    complete_tail: usize,
    complete_mask: u32,
    completions: usize,
}

/// A ring, its memory and the device its commands are for.
pub(super) struct Uring<'d> {
    ring: OwnedFd,
    device: BorrowedFd<'d>,
    shared: Mapping,
    commands: Mapping,
    layout: Layout,
    slots: Vec<Slot>,
    /// Some slot holds pages that could be given back.
    swollen: bool,
}

impl<'d> Uring<'d> {
    /// A ring with room for so many slots. It belongs to the calling thread.
    pub(super) fn new(device: BorrowedFd<'d>, slots: usize) -> io::Result<Self> {
        let entries = u32::try_from(slots + 1).map_err(|_| Errno::INVAL)?;
        let mut params = io_uring_params::default();
        params.flags = IoringSetupFlags::SQE128
            | IoringSetupFlags::SINGLE_ISSUER
            | IoringSetupFlags::DEFER_TASKRUN
            | IoringSetupFlags::SUBMIT_ALL;
        let ring = memory::setup(entries.next_power_of_two(), &mut params)?;
        let needed = IoringFeatureFlags::SINGLE_MMAP | IoringFeatureFlags::EXT_ARG;
        if !params.features.contains(needed) {
            return Err(Errno::NOSYS.into());
        }
        let (sq, cq) = (&params.sq_off, &params.cq_off);
        let array_end = sq.array as usize + params.sq_entries as usize * 4;
        let completions_end = cq.cqes as usize + params.cq_entries as usize * COMPLETION_LEN;
        let shared = Mapping::of_ring(&ring, array_end.max(completions_end), 0)?;
        let commands_len = params.sq_entries as usize * COMMAND_LEN;
        let commands = Mapping::of_ring(&ring, commands_len, COMMANDS_AT)?;
        for i in 0..params.sq_entries {
            let place = shared.atomic(sq.array as usize + i as usize * 4);
            place.store(i, Ordering::Relaxed);
        }
        let layout = Layout {
            submit_head: sq.head as usize,
            submit_tail: sq.tail as usize,
            submit_mask: params.sq_entries - 1,
            complete_head: cq.head as usize,
            complete_tail: cq.tail as usize,
            complete_mask: params.cq_entries - 1,
            completions: cq.cqes as usize,
        };
        let unused = || {
            let memory = Some(Mapping::anonymous(SLOT_LEN)?);
            Ok(Slot {
                queue: 0,
                owner: Owner::Nobody,
                used: 0,
                memory,
            })
        };
        let slots = (0..slots).map(|_| unused()).collect::<io::Result<_>>()?;
        Ok(Self {
            ring,
            device,
            shared,
            commands,
            layout,
            slots,
            swollen: false,
        })
    }

    /// Gives a slot that was never used to the kernel, for requests of `queue`.
    pub(super) fn register(&mut self, slot: usize, queue: u16) -> io::Result<()> {
        let ours = &mut self.slots[slot];
        let (Owner::Nobody, Some(memory)) = (ours.owner, &mut ours.memory) else {
            return Err(Errno::INVAL.into());
        };
        let parts = [
            memory.address(0, HEADERS_LEN),
            HEADERS_LEN as u64,
            memory.address(PAGE, MAX_IO),
            MAX_IO as u64,
        ];
        for (i, part) in parts.iter().enumerate() {
            memory.write(ADDRESSES_AT + i * 8, &part.to_ne_bytes());
        }
        let addresses = memory.address(ADDRESSES_AT, 32);
        ours.queue = queue;
        ours.owner = Owner::Kernel;
        let command = self.fuse_command(REGISTER, slot, 0, addresses);
        self.push(&command)
    }

    /// The request that was completed in this slot.
    pub(super) fn incoming(&mut self, slot: usize) -> Option<Incoming<'_>> {
        let slot = &mut self.slots[slot];
        match (slot.owner, &mut slot.memory) {
            (Owner::Us(_), Some(memory)) => Some(incoming(memory)),
            _ => None,
        }
    }

    /// Hands the slot, with the request in it, to who will answer it.
    pub(super) fn lend(&mut self, slot: usize) -> Option<Lent> {
        let ours = &mut self.slots[slot];
        let Owner::Us(_) = ours.owner else {
            return None;
        };
        let memory = ours.memory.take()?;
        Some(Lent { slot, memory })
    }

    /// Takes back what was lent.
    pub(super) fn take_back(&mut self, lent: Lent) {
        self.slots[lent.slot].memory = Some(lent.memory);
    }

    /// Gives the slot back with a reply whose `len` bytes are in its room already, and waits in it
    /// for the next request.
    pub(super) fn reply(&mut self, slot: usize, code: i32, len: usize) -> io::Result<()> {
        let ours = &mut self.slots[slot];
        let (Owner::Us(unique), Some(memory)) = (ours.owner, &mut ours.memory) else {
            return Err(Errno::INVAL.into());
        };
        let len = len.min(MAX_IO);
        memory.write(0, &reply::header(unique, code, len));
        memory.write(ABOUT_AT + 16, &(len as u32).to_ne_bytes());
        ours.owner = Owner::Kernel;
        self.note_use(slot, len);
        let command = self.fuse_command(COMMIT_AND_FETCH, slot, unique, 0);
        self.push(&command)
    }

    /// As [`Uring::reply`], with bytes that are not in the room yet.
    pub(super) fn reply_with(&mut self, slot: usize, reply: &reply::Reply) -> io::Result<()> {
        let bytes = reply.bytes();
        if let Some(incoming) = self.incoming(slot) {
            incoming.room[..bytes.len()].copy_from_slice(bytes);
        }
        self.reply(slot, reply.code(), bytes.len())
    }

    /// Completes as [`Completion::Woken`] once when `bell` can be read.
    pub(super) fn listen(&mut self, bell: &OwnedFd) -> io::Result<()> {
        let mut command = [0; COMMAND_LEN];
        command[0] = OP_POLL;
        command[4..8].copy_from_slice(&bell.as_raw_fd().to_ne_bytes());
        command[28..32].copy_from_slice(&POLL_IN.to_ne_bytes());
        command[32..40].copy_from_slice(&WAKE.to_ne_bytes());
        self.push(&command)
    }

    fn fuse_command(&self, op: u32, slot: usize, unique: u64, addresses: u64) -> [u8; COMMAND_LEN] {
        let mut command = [0; COMMAND_LEN];
        command[0] = OP_FUSE;
        command[4..8].copy_from_slice(&self.device.as_raw_fd().to_ne_bytes());
        command[8..12].copy_from_slice(&op.to_ne_bytes());
        command[16..24].copy_from_slice(&addresses.to_ne_bytes());
        if addresses != 0 {
            command[24..28].copy_from_slice(&2_u32.to_ne_bytes());
        }
        command[32..40].copy_from_slice(&(slot as u64).to_ne_bytes());
        command[56..64].copy_from_slice(&unique.to_ne_bytes());
        command[64..66].copy_from_slice(&self.slots[slot].queue.to_ne_bytes());
        command
    }

    fn push(&mut self, command: &[u8; COMMAND_LEN]) -> io::Result<()> {
        if self.pending() > self.layout.submit_mask {
            // Every slot and the bell have a place of their own; this cannot last.
            self.submit(false, None)?;
        }
        let tail = self.shared.atomic(self.layout.submit_tail);
        let next = tail.load(Ordering::Relaxed);
        let place = (next & self.layout.submit_mask) as usize;
        self.commands.write(place * COMMAND_LEN, command);
        tail.store(next.wrapping_add(1), Ordering::Release);
        Ok(())
    }

    fn pending(&self) -> u32 {
        let tail = self
            .shared
            .atomic(self.layout.submit_tail)
            .load(Ordering::Relaxed);
        let head = self
            .shared
            .atomic(self.layout.submit_head)
            .load(Ordering::Acquire);
        tail.wrapping_sub(head)
    }

    /// Hands over what is pending and, if wanted, waits for a completion; false after `patience`.
    pub(super) fn submit(&mut self, wait: bool, patience: Option<Duration>) -> io::Result<bool> {
        loop {
            // SAFETY: the slots' memory is left alone until their completion, and is not unmapped
            // before (see `drop`).
            #[allow(unsafe_code, reason = "the promise that this module keeps")]
            let entered = unsafe { memory::enter(&self.ring, self.pending(), wait, patience) };
            match entered {
                Ok(_) if self.pending() == 0 => return Ok(true),
                Err(Errno::TIME) => return Ok(false),
                Ok(_) | Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => {
                    if self.has_completions() {
                        return Ok(true);
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn has_completions(&self) -> bool {
        let head = self
            .shared
            .atomic(self.layout.complete_head)
            .load(Ordering::Relaxed);
        head != self
            .shared
            .atomic(self.layout.complete_tail)
            .load(Ordering::Acquire)
    }

    /// The next completion, if there is one.
    pub(super) fn next(&mut self) -> Option<Completion> {
        if !self.has_completions() {
            return None;
        }
        let head = self.shared.atomic(self.layout.complete_head);
        let place = head.load(Ordering::Relaxed);
        let at =
            self.layout.completions + (place & self.layout.complete_mask) as usize * COMPLETION_LEN;
        let tag = u64::from_ne_bytes(self.shared.read(at));
        let result = i32::from_ne_bytes(self.shared.read(at + 8));
        head.store(place.wrapping_add(1), Ordering::Release);
        Some(self.completed(tag, result))
    }

    fn completed(&mut self, tag: u64, result: i32) -> Completion {
        let slot = match usize::try_from(tag) {
            Ok(slot) if slot < self.slots.len() => slot,
            _ => return Completion::Woken,
        };
        let ours = &mut self.slots[slot];
        let Some(memory) = ours.memory.as_ref().filter(|_| result >= 0) else {
            ours.owner = Owner::Ended;
            return Completion::Ended(slot, Errno::from_raw_os_error(-result));
        };
        let unique = u64::from_ne_bytes(memory.read(ABOUT_AT + 8));
        let sent = u32::from_ne_bytes(memory.read(ABOUT_AT + 16)) as usize;
        ours.owner = Owner::Us(unique);
        self.note_use(slot, sent);
        Completion::Request(slot)
    }

    fn note_use(&mut self, slot: usize, bytes: usize) {
        let used = &mut self.slots[slot].used;
        *used = bytes.max(*used);
        self.swollen |= bytes > KEPT;
    }

    /// The queue a slot serves.
    pub(super) fn queue(&self, slot: usize) -> u16 {
        self.slots[slot].queue
    }

    /// Whether any slot holds pages that [`Uring::release`] would give back.
    pub(super) fn is_swollen(&self) -> bool {
        self.swollen
    }

    /// Gives back what large requests have left in slots that wait for the next.
    pub(super) fn release(&mut self) {
        self.swollen = false;
        for slot in &mut self.slots {
            if slot.used > KEPT
                && slot.owner == Owner::Kernel
                && let Some(memory) = &mut slot.memory
            {
                memory.release(PAGE, MAX_IO);
                slot.used = 0;
            }
            self.swollen |= slot.used > KEPT;
        }
    }
}

impl Drop for Uring<'_> {
    fn drop(&mut self) {
        // A slot that is still the kernel's might yet be written to: better lost than reused.
        for slot in self.slots.iter_mut().filter(|s| s.owner == Owner::Kernel) {
            std::mem::forget(slot.memory.take());
        }
    }
}
