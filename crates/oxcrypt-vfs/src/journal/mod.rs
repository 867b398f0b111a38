//! The redo journal: an interrupted write damages nothing but itself.
//!
//! Content is sealed in chunks of 32 KiB, so a torn overwrite (a kill in the middle of a write, a
//! power cut during write-back) would destroy bytes around it that were durable already. Chunks
//! that exist are therefore never overwritten before their new ciphertext is durable elsewhere:
//!
//! 1. A write to existing chunks appends their new ciphertext to a log in the state directory. From
//!    then on readers take these chunks from the log ([`Logged`]). The vault's file is unchanged.
//! 2. `fsync` makes the log durable; everybody who waits shares one sync.
//! 3. A checkpoint makes the log durable, writes the logged chunks to their files, syncs these, and
//!    only then voids the log.
//!
//! Data behind the end of a file needs no copy, because nothing durable is near it. Only the
//! beginning of the extension is noted, in a log of its own, so that a torn end can be cut off.
//! Shortening a file inside a chunk seals that chunk anew and is logged as one step with the new
//! length.
//!
//! After a crash [`replay()`] applies what the logs hold before the vault is used. All of it
//! is ciphertext; each chunk must authenticate under its file's key before it is written.
//!
//! # Order of records and direct changes
//! A direct change (extension, cut) of a file with live records must not be undone by replaying
//! them. Extensions lie behind everything logged, so they are safe. A cut is itself logged and made
//! durable before it is done; before the file is extended directly after a cut, it is synced and the
//! records are declared done.

mod checkpoint;
mod log;
mod logged;
mod mend;
mod place;
mod record;
mod replay;
mod session;
mod unborn;
mod walk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use oxcrypt_store::Store;

pub(crate) use log::{Begun, Log, Lsn, Refusal, Spot};
pub(crate) use logged::{Logged, LogicalLen};
pub use place::{Claimed, claim};
pub(crate) use record::{HEAD_LEN, Head, Kind, mark_of};
pub use replay::Replayed;
pub(crate) use replay::{is_empty, replay};
use session::Session;

use crate::error::Result;
use crate::node::Node;
use crate::sync::atomic::AtomicBool;
use crate::sync::{Condvar, Mutex};

/// Names of the log files.
const CHUNK_LOGS: [&[u8]; 2] = [b"chunks.a", b"chunks.b"];
const EXTEND_LOGS: [&[u8]; 2] = [b"extends.a", b"extends.b"];
/// A record of an extension is about 200 bytes.
const EXTENDS_CAPACITY: u64 = 4 * 1024 * 1024;

/// Bounds of the journal.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// Bytes of ciphertext logged at most before a checkpoint; twice as many may be on disk.
    pub capacity: u64,
    /// Logged chunks reach their files after this long.
    pub delay: Duration,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            capacity: 64 * 1024 * 1024,
            delay: Duration::from_secs(2),
        }
    }
}

/// The journal of a file system.
pub(crate) struct Journal<S: Store> {
    pub(crate) chunks: Log<S>,
    pub(crate) extends: Log<S>,
    pub(crate) options: JournalOptions,
    /// Where the logs are.
    place: Arc<S>,
    /// Files with records in the chunk log. The journal holds a lookup on each.
    pub(crate) nodes: Mutex<Vec<Arc<Node<S>>>>,
    /// One checkpoint at a time.
    pub(crate) checkpoint: Mutex<()>,
    clock: Mutex<Clock>,
    ticked: Condvar,
    /// A thread runs [`VaultFs::run_background`](crate::VaultFs::run_background).
    pub(crate) served: AtomicBool,
}

/// When something was logged that waits for the background thread.
#[derive(Default)]
struct Clock {
    chunks_since: Option<Instant>,
    extends_since: Option<Instant>,
    /// A commit of the extends log is due.
    uncommitted: bool,
    hurry: bool,
    stopping: bool,
}

impl<S: Store> Journal<S> {
    /// Starts an empty journal in `store` for changes in `vault`.
    pub(crate) fn open(vault: &S, store: &Arc<S>, options: JournalOptions) -> Result<Self> {
        let dir = &store.root();
        Session::now(vault, &**store)?.write(&**store)?;
        Ok(Self {
            place: Arc::clone(store),
            chunks: Log::open(Arc::clone(store), dir, CHUNK_LOGS, options.capacity)?,
            extends: Log::open(Arc::clone(store), dir, EXTEND_LOGS, EXTENDS_CAPACITY)?,
            options,
            nodes: Mutex::default(),
            checkpoint: Mutex::default(),
            clock: Mutex::default(),
            ticked: Condvar::new(),
            served: AtomicBool::new(false),
        })
    }

    /// Notes that chunks were logged.
    pub(crate) fn note_chunks(&self) {
        let full = self.chunks.fill() > self.chunks.capacity() / 2;
        let mut clock = self.clock.lock();
        if clock.chunks_since.is_none() {
            clock.chunks_since = Some(crate::sync::now());
            self.ticked.notify_one();
        }
        if full && !clock.hurry {
            clock.hurry = true;
            self.ticked.notify_one();
        }
    }

    /// Notes that the beginning of an extension was logged.
    pub(crate) fn note_extend(&self) {
        let mut clock = self.clock.lock();
        if clock.extends_since.is_none() {
            clock.extends_since = Some(crate::sync::now());
        }
        if !clock.uncommitted {
            clock.uncommitted = true;
            self.ticked.notify_one();
        }
    }

    /// Asks for a checkpoint now.
    pub(crate) fn hurry(&self) {
        self.clock.lock().hurry = true;
        self.ticked.notify_one();
    }

    /// Ends the service.
    pub(crate) fn stop(&self) {
        self.clock.lock().stopping = true;
        self.ticked.notify_one();
    }
}
