//! Two log files used in turn, and commits shared by all who wait for one.

use std::sync::Arc;

use oxcrypt_store::{OpenMode, Store, StoreErrorKind};

use super::record::{HEAD_LEN, Head};
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};

/// Position behind a record in the order of all records since the mount; 0 is before all.
pub(crate) type Lsn = u64;

/// Where a body lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    /// Which log file.
    pub(crate) half: usize,
    /// Offset of the body in it.
    pub(crate) offset: u64,
    /// Which use of that file.
    pub(crate) epoch: u64,
}

/// What a checkpoint begins with.
pub(crate) enum Begun {
    /// All records up to this position are durable and in one half, and new ones go to the other.
    Records(Lsn),
    /// All records up to this position are done.
    Empty(Lsn),
}

/// Why a record was not taken.
pub(crate) enum Refusal {
    /// Both halves are in use; room comes with the next checkpoint.
    Full,
    /// The store failed.
    Failed(Error),
}

struct State {
    /// The half that is written to.
    active: usize,
    /// Whether the other half is free.
    other_free: bool,
    at: u64,
    epoch: u64,
    seq: u64,
    end: Lsn,
    /// `end` when the halves were switched last.
    switched_at: Lsn,
}

#[derive(Default)]
struct Commits {
    synced: Lsn,
    running: bool,
}

/// The log.
pub(crate) struct Log<S: Store> {
    store: Arc<S>,
    files: [S::File; 2],
    capacity: u64,
    state: Mutex<State>,
    commits: Mutex<Commits>,
    committed: Condvar,
    freed: Condvar,
    /// As in the state, for a look without a lock.
    epoch: AtomicU64,
}

/// Opens a file of the journal for both, and makes it if it is missing.
pub(super) fn open_or_make<S: Store>(store: &S, dir: &S::Dir, name: &[u8]) -> Result<S::File> {
    match store.open(dir, name, OpenMode::READ_WRITE) {
        Err(e) if e.kind == StoreErrorKind::NotFound => {
            Ok(store.open(dir, name, OpenMode::new_file(0o600))?)
        }
        other => Ok(other?),
    }
}

impl<S: Store> Log<S> {
    /// Opens the log files in `dir`, which are empty or do not exist yet.
    pub(crate) fn open(
        store: Arc<S>,
        dir: &S::Dir,
        names: [&[u8]; 2],
        capacity: u64,
    ) -> Result<Self> {
        let epoch = 1;
        let open = |name| open_or_make(&*store, dir, name);
        let files = [open(names[0])?, open(names[1])?];
        store.sync_dir(dir)?;
        Ok(Self {
            files,
            capacity,
            state: Mutex::new(State {
                active: 0,
                other_free: true,
                at: 0,
                epoch,
                seq: 0,
                end: 0,
                switched_at: 0,
            }),
            commits: Mutex::default(),
            committed: Condvar::new(),
            freed: Condvar::new(),
            epoch: AtomicU64::new(epoch),
            store,
        })
    }

    /// Appends a record. `record` has room for the head in front of the body; epoch, order and body
    /// length in `head` are filled in here.
    pub(crate) fn append(
        &self,
        mut head: Head,
        record: &mut [u8],
    ) -> std::result::Result<(Spot, Lsn), Refusal> {
        let len = record.len() as u64;
        let mut state = self.state.lock();
        if state.at + len > self.capacity {
            if !state.other_free {
                return Err(Refusal::Full);
            }
            self.switch(&mut state).map_err(Refusal::Failed)?;
        }
        head.epoch = state.epoch;
        head.seq = state.seq;
        let (front, body) = record.split_at_mut(HEAD_LEN);
        head.body_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let front: &mut [u8; HEAD_LEN] = front.try_into().expect("split there");
        head.encode(front, body);
        // Under the lock: the log has no holes, so a commit of a later record covers this one.
        let half = state.active;
        self.store
            .write_at(&self.files[half], record, state.at)
            .map_err(|e| Refusal::Failed(e.into()))?;
        let spot = Spot {
            half,
            offset: state.at + HEAD_LEN as u64,
            epoch: state.epoch,
        };
        state.at += len;
        state.seq += 1;
        state.end += len;
        Ok((spot, state.end))
    }

    /// Goes on in the other half, which must be free. What the left half holds is durable then.
    fn switch(&self, state: &mut State) -> Result<()> {
        self.store.sync_data(&self.files[state.active])?;
        {
            let mut commits = self.commits.lock();
            commits.synced = commits.synced.max(state.end);
        }
        state.active = 1 - state.active;
        state.other_free = false;
        state.at = 0;
        state.epoch += 1;
        state.switched_at = state.end;
        self.epoch.store(state.epoch, Ordering::Release);
        Ok(())
    }

    /// Starts a checkpoint, or goes on with one that failed.
    pub(crate) fn begin_checkpoint(&self) -> Result<Begun> {
        let mut state = self.state.lock();
        if state.other_free {
            if state.at == 0 {
                return Ok(Begun::Empty(state.end));
            }
            self.switch(&mut state)?;
        }
        Ok(Begun::Records(state.switched_at))
    }

    /// Makes the records of the half under checkpoint void, durably: what they say is done.
    pub(crate) fn void_checkpointed(&self) -> Result<()> {
        let half = 1 - self.state.lock().active;
        self.store.write_at(&self.files[half], &[0; HEAD_LEN], 0)?;
        Ok(self.store.sync_data(&self.files[half])?)
    }

    /// Ends a checkpoint: the half is free again.
    pub(crate) fn end_checkpoint(&self) {
        self.state.lock().other_free = true;
        self.freed.notify_all();
    }

    /// The current use of the active half, for a look without a lock.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Waits a moment for a checkpoint to end.
    pub(crate) fn wait_for_room(&self) {
        let mut state = self.state.lock();
        if !state.other_free {
            let _ = self
                .freed
                .wait_for(&mut state, std::time::Duration::from_millis(100));
        }
    }

    /// Makes all records up to `lsn` durable. Who comes while the disk is busy shares the next
    /// round.
    pub(crate) fn commit(&self, lsn: Lsn) -> Result<()> {
        let mut commits = self.commits.lock();
        loop {
            if commits.synced >= lsn {
                return Ok(());
            }
            if !commits.running {
                break;
            }
            self.committed.wait(&mut commits);
        }
        commits.running = true;
        drop(commits);
        let (half, end) = {
            let state = self.state.lock();
            (state.active, state.end)
        };
        // Should the halves be switched now, the switch itself makes the left one durable.
        let synced = self.store.sync_data(&self.files[half]);
        let mut commits = self.commits.lock();
        commits.running = false;
        if synced.is_ok() {
            commits.synced = commits.synced.max(end);
        }
        self.committed.notify_all();
        Ok(synced?)
    }

    /// The end of the log.
    pub(crate) fn end(&self) -> Lsn {
        self.state.lock().end
    }

    /// How full the active half is, in bytes.
    pub(crate) fn fill(&self) -> u64 {
        self.state.lock().at
    }

    /// Bytes a half may hold.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Reads a part of a body.
    pub(crate) fn read(&self, spot: Spot, out: &mut [u8]) -> Result<usize> {
        Ok(self
            .store
            .read_at(&self.files[spot.half], out, spot.offset)?)
    }

    /// Empties both files. Only when every record was dealt with.
    pub(crate) fn clear(&self) -> Result<()> {
        for file in &self.files {
            self.store.set_len(file, 0)?;
        }
        Ok(())
    }
}
