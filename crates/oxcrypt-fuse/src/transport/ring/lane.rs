//! One thread with its ring: takes requests, answers them, sleeps.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use oxcrypt_store::Store;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

use super::plan::Seat;
use super::uring::{Completion, Incoming, Lent, Uring};
use crate::ops::Outcome;
use crate::transport::Shared;
use crate::wire::reply::Reply;
use crate::wire::request::{Header, bulk};

/// Slots besides those of the plan, to stand in for slots whose reply waits for the disk. A queue
/// would stand still if all of its slots did.
const SPARE_SLOTS: usize = 32;
/// After so much silence the memory of large requests is given back.
const REST: Duration = Duration::from_secs(1);
/// Reads and writes this long are worth the way to another thread and back.
const LARGE: usize = 64 << 10;
/// The reply to a read or write this long is handed over at once; others together with what else was
/// asked.
const LONG: usize = 32 << 10;
/// Every so many rounds the thread looks whether it is still where it belongs: the kernel moves it
/// when its processor is switched off.
const ROUNDS: u32 = 1024;

/// An answer from another thread.
enum Letter {
    /// To what waited for the disk.
    Reply(usize, Box<Reply>),
    /// In a slot that was lent: error code and length.
    Lent(Lent, i32, usize),
}

/// Answers of other threads, for the thread that owns their slots.
struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    bell: OwnedFd,
}

impl Mailbox {
    fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            letters: Mutex::default(),
            bell,
        })
    }

    fn put(&self, letter: Letter) {
        self.letters.lock().push(letter);
        // Cannot fail: the counter never comes near its end.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    fn empty(&self) -> Vec<Letter> {
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        std::mem::take(&mut *self.letters.lock())
    }
}

/// A ring that is ready to be registered.
pub(super) struct Lane<'d> {
    ring: Uring<'d>,
    cpu: Option<usize>,
    queues: Vec<(u16, usize)>,
    mailbox: Arc<Mailbox>,
    /// Slots never used so far.
    unused: std::ops::Range<usize>,
    /// Slots that were registered and did not end.
    alive: usize,
    /// Slots whose reply waits for the disk.
    waiting: usize,
    /// Spare slots that are registered.
    spare: usize,
}

impl<'d> Lane<'d> {
    /// Makes the ring. It belongs to the calling thread, which is bound to its processor.
    pub(super) fn new(device: std::os::fd::BorrowedFd<'d>, seat: &Seat) -> io::Result<Self> {
        stay_on(seat.cpu);
        let slots = SPARE_SLOTS + seat.queues.iter().map(|(_, slots)| slots).sum::<usize>();
        Ok(Self {
            ring: Uring::new(device, slots)?,
            cpu: seat.cpu,
            queues: seat.queues.clone(),
            mailbox: Arc::new(Mailbox::new()?),
            unused: 0..slots,
            alive: 0,
            waiting: 0,
            spare: 0,
        })
    }

    /// Offers the slots to the kernel, which begins to use them when every thread has done so.
    pub(super) fn register<S: Store>(&mut self, shared: &Arc<Shared<S>>) -> io::Result<()> {
        for (queue, slots) in self.queues.clone() {
            for _ in 0..slots {
                self.register_one(queue)?;
            }
        }
        self.ring.listen(&self.mailbox.bell)?;
        let all = self.alive;
        self.ring.submit(false, None)?;
        self.take_all(shared)?;
        if self.alive == all {
            Ok(())
        } else {
            Err(Errno::NOTCONN.into())
        }
    }

    fn register_one(&mut self, queue: u16) -> io::Result<()> {
        if let Some(slot) = self.unused.next() {
            self.ring.register(slot, queue)?;
            self.alive += 1;
        }
        Ok(())
    }

    /// Serves until the mount ends.
    pub(super) fn serve<S: Store>(&mut self, shared: &Arc<Shared<S>>) -> io::Result<()> {
        let mut round = 0_u32;
        while self.alive > 0 {
            let patience = self.ring.is_swollen().then_some(REST);
            if self.ring.submit(true, patience)? {
                self.take_all(shared)?;
            } else {
                self.ring.release();
            }
            round = round.wrapping_add(1);
            if round.is_multiple_of(ROUNDS) && self.cpu.is_some_and(|cpu| cpu != sched_getcpu()) {
                stay_on(self.cpu);
            }
        }
        Ok(())
    }

    fn take_all<S: Store>(&mut self, shared: &Arc<Shared<S>>) -> io::Result<()> {
        while let Some(completion) = self.ring.next() {
            match completion {
                Completion::Request(slot) => self.answer(shared, slot)?,
                Completion::Woken => {
                    for letter in self.mailbox.empty() {
                        self.deliver(letter)?;
                    }
                    self.ring.listen(&self.mailbox.bell)?;
                }
                Completion::Ended(slot, e) => {
                    self.alive -= 1;
                    if !matches!(e, Errno::NOTCONN | Errno::CONNABORTED) {
                        tracing::error!(slot, error = %e, "the kernel gave up a slot of a ring");
                    }
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, letter: Letter) -> io::Result<()> {
        match letter {
            Letter::Reply(slot, reply) => {
                self.waiting -= 1;
                self.ring.reply_with(slot, &reply)
            }
            Letter::Lent(lent, code, len) => {
                let slot = lent.slot();
                self.ring.take_back(lent);
                self.ring.reply(slot, code, len)
            }
        }
    }

    fn answer<S: Store>(&mut self, shared: &Arc<Shared<S>>, slot: usize) -> io::Result<()> {
        let Some(incoming) = self.ring.incoming(slot) else {
            return Ok(());
        };
        let Ok(header) = Header::decode(&incoming.header) else {
            return self.ring.reply_with(slot, &Reply::error(Errno::IO));
        };
        let bytes = bulk(&header, &incoming.args, incoming.sent);
        if bytes >= LARGE && shared.pool.has_room() && shared.helpers.begin() {
            return self.lend(shared, slot);
        }
        let Incoming {
            args, room, sent, ..
        } = incoming;
        match shared.server.answer(&header, &args, room, sent) {
            Outcome::Reply(reply) => self.ring.reply_with(slot, &reply)?,
            // No such request comes this way; the kernel wants its slot back in any case.
            Outcome::Silence => self.ring.reply(slot, 0, 0)?,
            Outcome::Data(len) => self.ring.reply(slot, 0, len)?,
            Outcome::Later(work) => {
                let mailbox = Arc::clone(&self.mailbox);
                shared.pool.run(work, move |reply| {
                    mailbox.put(Letter::Reply(slot, Box::new(reply.clone())));
                });
                self.wait_for(slot)?;
            }
        }
        if bytes >= LONG {
            self.ring.submit(false, None)?;
        }
        crate::trace::replied();
        Ok(())
    }

    /// Has another thread answer, on whatever processor is free: this one is the one the program
    /// runs on.
    fn lend<S: Store>(&mut self, shared: &Arc<Shared<S>>, slot: usize) -> io::Result<()> {
        let Some(mut lent) = self.ring.lend(slot) else {
            return Ok(());
        };
        let (mailbox, helped) = (Arc::clone(&self.mailbox), Arc::clone(shared));
        shared.pool.spawn(move || {
            let (code, len) = answer_lent(&helped, &mut lent);
            helped.helpers.end();
            mailbox.put(Letter::Lent(lent, code, len));
            crate::trace::replied();
        });
        Ok(())
    }

    /// The reply waits for the disk: another slot stands in for this one.
    fn wait_for(&mut self, slot: usize) -> io::Result<()> {
        self.waiting += 1;
        if self.waiting > self.spare && self.spare < SPARE_SLOTS {
            self.spare += 1;
            self.register_one(self.ring.queue(slot))?;
        }
        Ok(())
    }
}

/// The error code and the length of the answer, which is in the slot's room.
fn answer_lent<S: Store>(shared: &Shared<S>, lent: &mut Lent) -> (i32, usize) {
    let Incoming {
        header,
        args,
        room,
        sent,
    } = lent.incoming();
    let outcome = match Header::decode(&header) {
        Ok(header) => shared.server.answer(&header, &args, room, sent),
        Err(_) => Errno::IO.into(),
    };
    let reply = match outcome {
        Outcome::Data(len) => return (0, len),
        Outcome::Reply(reply) => reply,
        Outcome::Later(work) => work(),
        Outcome::Silence => Reply::done(),
    };
    let bytes = reply.bytes();
    room[..bytes.len()].copy_from_slice(bytes);
    (reply.code(), bytes.len())
}

/// Binds this thread to a processor. Without, it serves as well, but not as soon.
fn stay_on(cpu: Option<usize>) {
    if let Some(cpu) = cpu.filter(|cpu| *cpu < CpuSet::MAX_CPU) {
        let mut set = CpuSet::new();
        set.set(cpu);
        let _ = sched_setaffinity(None, &set);
    }
}
