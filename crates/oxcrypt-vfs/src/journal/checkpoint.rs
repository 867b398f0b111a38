//! Moving the log's content to the files and starting over.

use std::sync::Arc;
use std::time::Duration;

use oxcrypt_store::Store;

use super::session::Session;
use super::{Begun, Journal, Lsn};
use crate::error::Result;
use crate::node::{Body, Node};
use crate::sync::atomic::Ordering;
use crate::vault_fs::VaultFs;

/// Beginnings of extensions become durable this long after they were logged: well before the kernel
/// starts to write the extensions themselves.
const EXTEND_COMMIT: Duration = Duration::from_millis(500);
/// They are dropped after this long, when the kernel has written nearly all of the data by itself.
const EXTEND_LIFE: Duration = Duration::from_secs(35);
/// A failed checkpoint is tried again after this long.
const RETRY: Duration = Duration::from_secs(1);
/// More files than this are synced by syncing the whole store at once.
const MANY: usize = 16;

/// A file whose lock is not had after this long is passed over.
const BUSY: Duration = Duration::from_millis(100);

enum Duty {
    Checkpoint,
    CommitExtends,
    RetireExtends,
    Stop,
}

impl<S: Store> Journal<S> {
    /// Waits for the next thing to do.
    fn next_duty(&self) -> Duty {
        let mut clock = self.clock.lock();
        loop {
            if clock.stopping {
                return Duty::Stop;
            }
            let now = crate::sync::now();
            let commit_at = clock
                .extends_since
                .filter(|_| clock.uncommitted)
                .map(|_| now + EXTEND_COMMIT);
            if clock.hurry {
                clock.hurry = false;
                clock.chunks_since = None;
                return Duty::Checkpoint;
            }
            let chunks_at = clock.chunks_since.map(|t| t + self.options.delay);
            let retire_at = clock.extends_since.map(|t| t + EXTEND_LIFE);
            if chunks_at.is_some_and(|t| t <= now) {
                clock.chunks_since = None;
                return Duty::Checkpoint;
            }
            if retire_at.is_some_and(|t| t <= now) {
                clock.extends_since = None;
                clock.uncommitted = false;
                return Duty::RetireExtends;
            }
            let next = [commit_at, chunks_at, retire_at]
                .into_iter()
                .flatten()
                .min();
            match next {
                None => self.ticked.wait(&mut clock),
                Some(t) => {
                    let ended = self.ticked.wait_until(&mut clock, t).timed_out();
                    if ended && commit_at == Some(t) && clock.uncommitted {
                        clock.uncommitted = false;
                        return Duty::CommitExtends;
                    }
                }
            }
        }
    }
}

/// Whether a writer who holds the lock of this file waits for the checkpoint: then all records of
/// the file are done and durable, and waiting for its lock would be for ever.
fn awaits_room<S: Store>(node: &Node<S>) -> bool {
    match &node.body {
        Body::File(file) => file.awaits_room.load(Ordering::Acquire),
        _ => false,
    }
}

impl<S: Store> VaultFs<S> {
    /// Serves the journal until it is stopped. Sleeps without waking while nothing is logged.
    pub(crate) fn run_journal(&self) {
        let Some(journal) = &self.journal else { return };
        journal.served.store(true, Ordering::Release);
        loop {
            let done = match journal.next_duty() {
                Duty::Checkpoint => self.checkpoint(journal),
                Duty::CommitExtends => journal.extends.commit(journal.extends.end()),
                Duty::RetireExtends => self.retire_extends(journal),
                Duty::Stop => break,
            };
            if let Err(e) = done {
                tracing::error!(error = %e, "the journal cannot be worked off yet");
                journal.note_chunks();
                crate::sync::thread::sleep(RETRY);
            }
        }
        journal.served.store(false, Ordering::Release);
    }

    /// Moves all logged chunks to their files, and makes them durable there.
    pub(crate) fn checkpoint(&self, journal: &Journal<S>) -> Result<()> {
        let _one = journal.checkpoint.lock();
        match journal.chunks.begin_checkpoint()? {
            Begun::Records(boundary) => {
                self.let_go_of_settled(journal, boundary, |nodes| {
                    self.settle_all(nodes)?;
                    self.sync_all_of(nodes)?;
                    journal.chunks.void_checkpointed()
                })?;
                journal.chunks.end_checkpoint();
            }
            // Left are those that could not be looked at the last time.
            Begun::Empty(end) => self.let_go_of_settled(journal, end, |_| Ok(()))?,
        }
        if !journal.nodes.lock().is_empty() {
            journal.note_chunks();
        }
        Ok(())
    }

    /// Lets `settle` work off all records up to `boundary`, and gives up the nodes that have no later
    /// ones.
    fn let_go_of_settled(
        &self,
        journal: &Journal<S>,
        boundary: Lsn,
        settle: impl FnOnce(&[Arc<Node<S>>]) -> Result<()>,
    ) -> Result<()> {
        let nodes = std::mem::take(&mut *journal.nodes.lock());
        let (mut kept, nodes): (Vec<_>, Vec<_>) =
            nodes.into_iter().partition(|node| awaits_room(node));
        let done = settle(&nodes);
        for node in nodes {
            if done.is_err() || self.keeps_records(&node, boundary) {
                kept.push(node);
            } else {
                self.forget(node.id, 1);
            }
        }
        journal.nodes.lock().append(&mut kept);
        done
    }

    fn settle_all(&self, nodes: &[Arc<Node<S>>]) -> Result<()> {
        let mut result = Ok(());
        for node in nodes {
            let Body::File(file) = &node.body else {
                continue;
            };
            if !file.has_logged.load(Ordering::Acquire) {
                continue;
            }
            let _own = node.own.begin();
            let Some(mut io) = file.io.try_write_for(Duration::from_secs(1)) else {
                result = Err(crate::error::ErrorKind::Busy.into());
                continue;
            };
            if let Err(e) = self.settle(node, &mut io) {
                result = Err(e);
            }
        }
        result
    }

    fn sync_all_of(&self, nodes: &[Arc<Node<S>>]) -> Result<()> {
        if nodes.len() > MANY {
            return Ok(self.store.sync_everything()?);
        }
        for node in nodes {
            let Body::File(file) = &node.body else {
                continue;
            };
            let Some(io) = file.io.try_read_for(BUSY) else {
                return Ok(self.store.sync_everything()?);
            };
            if let Some(backing) = &io.backing {
                self.store.sync_data(&backing.file)?;
            }
        }
        Ok(())
    }

    /// Whether a file has records behind the checkpoint; if not, it has none at all any more.
    fn keeps_records(&self, node: &Node<S>, boundary: Lsn) -> bool {
        let Body::File(file) = &node.body else {
            return false;
        };
        let Some(mut io) = file.io.try_write_for(BUSY) else {
            return true;
        };
        let keeps = io
            .logged
            .as_ref()
            .is_some_and(|logged| logged.lsn > boundary || !logged.chunks.is_empty());
        if !keeps {
            io.logged = None;
        }
        keeps
    }

    /// Makes everything that was extended durable, after which the old notes are void.
    pub(crate) fn retire_extends(&self, journal: &Journal<S>) -> Result<()> {
        let _one = journal.checkpoint.lock();
        if let Begun::Records(_) = journal.extends.begin_checkpoint()? {
            // Before the sync: what is extended meanwhile is noted in the other half.
            let session = Session::now(&*self.store, &*journal.place)?;
            self.store.sync_everything()?;
            session.write(&*journal.place)?;
            journal.extends.void_checkpointed()?;
            journal.extends.end_checkpoint();
        }
        Ok(())
    }

    /// Works everything off at the end of a mount. On failure the logs stay for the next unlock.
    pub(crate) fn close_journal(&self) {
        let Some(journal) = &self.journal else { return };
        let done = self
            .checkpoint(journal)
            .and_then(|()| self.checkpoint(journal))
            .and_then(|()| self.retire_extends(journal));
        match done {
            Ok(()) if journal.nodes.lock().is_empty() => {
                if let Err(e) = journal
                    .chunks
                    .clear()
                    .and_then(|()| journal.extends.clear())
                    .and_then(|()| Session::end(&*journal.place))
                {
                    tracing::warn!(error = %e, "cannot empty the journal");
                }
            }
            Ok(()) => {}
            Err(e) => tracing::error!(error = %e, "the journal is kept for the next unlock"),
        }
    }
}
