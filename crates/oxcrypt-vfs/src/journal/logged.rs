//! What is logged of one file, and the moves between log and file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use oxcrypt_core::content::layout::ChunkIndex;
use oxcrypt_store::{Node as StoreNode, Store, StoreErrorKind, TimeSet, Timestamp};

use super::{HEAD_LEN, Head, Journal, Kind, Lsn, Refusal, Spot, mark_of};
use crate::error::{Error, ErrorKind, Result};
use crate::node::{Body, FileIo, Node};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::types::{NodeId, TimeChange};
use crate::vault_fs::VaultFs;
use crate::watch::nanos;

/// The live records of one file. Guarded by the file's lock.
#[derive(Debug)]
pub(crate) struct Logged {
    /// Chunks that are newer in the log than in the file.
    pub(crate) chunks: BTreeMap<u64, Spot>,
    /// Length of the file on disk; the length of its content may be greater.
    pub(crate) stored_len: u64,
    /// Behind the newest record of this file.
    pub(crate) lsn: Lsn,
    /// Which use of the log has the path of this file.
    path_epoch: u64,
    /// Space is reserved up to here.
    reserved: u64,
    /// A cut was logged and done; see [`VaultFs::before_extension`].
    cut_live: bool,
}

impl Logged {
    pub(crate) fn new(stored_len: u64) -> Self {
        Self {
            chunks: BTreeMap::new(),
            stored_len,
            lsn: 0,
            path_epoch: 0,
            reserved: stored_len,
            cut_live: false,
        }
    }
}

/// The length of a file as its users see it, where a look at the disk may show an older one.
///
/// Every look that shows a change time up to `stale_until` is older than the last move of logged
/// chunks to the file, and its length is replaced by `len`.
#[derive(Debug, Default)]
pub(crate) struct LogicalLen {
    len: AtomicU64,
    stale_until: AtomicU64,
}

impl LogicalLen {
    fn pending(&self, len: u64) {
        self.len.store(len, Ordering::Release);
        self.stale_until.store(u64::MAX, Ordering::Release);
    }

    fn settled(&self, len: u64, ctime: Timestamp) {
        self.len.store(len, Ordering::Release);
        self.stale_until.store(nanos(ctime), Ordering::Release);
    }

    /// The file changed its length in place. Its change time may be that of the last move.
    pub(crate) fn changed(&self, len: u64) {
        self.len.store(len, Ordering::Release);
    }

    /// The length of the ciphertext, given what the disk shows.
    pub(crate) fn correct(&self, seen: u64, ctime: Timestamp) -> u64 {
        let until = self.stale_until.load(Ordering::Acquire);
        if until != 0 && nanos(ctime) <= until {
            self.len.load(Ordering::Acquire)
        } else {
            seen
        }
    }
}

fn now() -> (i64, u32) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        since.subsec_nanos(),
    )
}

/// Tries before a writer gives up waiting for room in the log, a tenth of a second each.
const PATIENCE: usize = 300;

impl<S: Store> VaultFs<S> {
    /// The journal, unless there is none or nothing of this file can survive a crash anyway.
    pub(crate) fn journal_for(&self, node: &Node<S>) -> Option<&Journal<S>> {
        let journal = self.journal.as_ref()?;
        (!node.is_nameless()).then_some(journal)
    }

    /// Logs sealed chunks of `node` from chunk `first` on. `record` holds room for a head, then the
    /// chunks.
    pub(crate) fn log_chunks(
        &self,
        journal: &Journal<S>,
        node: &Arc<Node<S>>,
        io: &mut FileIo<S>,
        first: ChunkIndex,
        record: &mut [u8],
    ) -> Result<()> {
        let layout = self.cryptor.layout();
        let start = layout.chunk_start(first);
        let end = start + (record.len() - HEAD_LEN) as u64;
        self.start_logging(journal, node, io);
        self.reserve_growth(io, end)?;
        let mtime = now();
        let spot =
            self.append_record(journal, node, io, Kind::Chunks, (start, end), mtime, record)?;
        let step = layout.cipher_chunk_len() as u64;
        let logged = io.logged.as_mut().ok_or(ErrorKind::Internal)?;
        let count = (end - start).div_ceil(step);
        for i in 0..count {
            let offset = spot.offset + i * step;
            logged.chunks.insert(first.0 + i, Spot { offset, ..spot });
        }
        io.cipher_len = io.cipher_len.max(end);
        if let Body::File(file) = &node.body {
            file.len.pending(io.cipher_len);
        }
        let backing = io.backing.as_ref().ok_or(ErrorKind::Internal)?;
        let at = TimeSet::At(Timestamp {
            secs: mtime.0,
            nanos: mtime.1,
        });
        self.store
            .set_times(StoreNode::File(&backing.file), None, Some(at))?;
        journal.note_chunks();
        Ok(())
    }

    /// Logs the first of the sealed chunks that `write` then writes in place, so that a kill in the
    /// middle leaves it whole. `run` holds room for a head, then the chunks. If `write` fails, readers
    /// take that chunk from the log.
    pub(crate) fn log_tail(
        &self,
        node: &Arc<Node<S>>,
        io: &mut FileIo<S>,
        index: ChunkIndex,
        run: &mut [u8],
        write: impl FnOnce(&mut FileIo<S>, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let (Some(journal), Body::File(file)) = (&self.journal, &node.body) else {
            return Err(ErrorKind::Internal.into());
        };
        let layout = self.cryptor.layout();
        let first = run.len().min(HEAD_LEN + layout.cipher_chunk_len());
        let record = &mut run[..first];
        let start = layout.chunk_start(index);
        let end = start + (first - HEAD_LEN) as u64;
        self.start_logging(journal, node, io);
        self.reserve_growth(io, end)?;
        let spot =
            self.append_record(journal, node, io, Kind::Chunks, (start, end), now(), record)?;
        journal.note_chunks();
        let written = write(io, &run[HEAD_LEN..]);
        let logged = io.logged.as_mut().ok_or(ErrorKind::Internal)?;
        if written.is_err() {
            logged.chunks.insert(index.0, spot);
            io.cipher_len = io.cipher_len.max(end);
            file.len.pending(io.cipher_len);
        }
        // Until here no checkpoint could pass the file over.
        file.has_logged
            .store(!logged.chunks.is_empty(), Ordering::Release);
        written
    }

    /// Puts a new modification time behind the logged chunks, so that a sync needs the log only.
    /// Returns whether there were any.
    pub(crate) fn log_time(&self, node: &Arc<Node<S>>, mtime: Option<TimeChange>) -> Result<bool> {
        let (Some(journal), Body::File(file)) = (&self.journal, &node.body) else {
            return Ok(false);
        };
        if !file.has_logged.load(Ordering::Acquire) {
            return Ok(false);
        }
        let mtime = match mtime {
            None => return Ok(true),
            Some(TimeChange::Now) => now(),
            Some(TimeChange::At(t)) => (t.secs, t.nanos),
        };
        let mut io = file.io.write();
        if io.logged.as_ref().is_none_or(|l| l.chunks.is_empty()) {
            return Ok(false);
        }
        let at = self.cryptor.layout().header_len() as u64;
        let mut record = [0; HEAD_LEN];
        self.append_record(
            journal,
            node,
            &mut io,
            Kind::Chunks,
            (at, at),
            mtime,
            &mut record,
        )?;
        Ok(true)
    }

    /// Gives the file a place for its live records, and keeps its node.
    fn start_logging(&self, journal: &Journal<S>, node: &Arc<Node<S>>, io: &mut FileIo<S>) {
        if io.logged.is_none() {
            io.logged = Some(Box::new(Logged::new(io.cipher_len)));
            self.nodes.keep(node);
            journal.nodes.lock().push(Arc::clone(node));
        }
    }

    /// Gives up what the journal holds of a file without a name when nobody else has it: its blocks
    /// must be free as soon as it is gone.
    pub(crate) fn let_go_of_removed(&self, id: NodeId) {
        let (Some(journal), Some(node)) = (&self.journal, self.nodes.get(id)) else {
            return;
        };
        if node.lookups() != 1 || !node.is_nameless() {
            return;
        }
        let held = {
            let mut nodes = journal.nodes.lock();
            let at = nodes.iter().position(|held| held.id == id);
            at.map(|at| nodes.swap_remove(at))
        };
        if held.is_some() {
            self.forget(id, 1);
        }
    }

    /// Takes the space for a logged growth now: later nobody could be told that there is none.
    fn reserve_growth(&self, io: &mut FileIo<S>, end: u64) -> Result<()> {
        const BLOCK: u64 = 4096;
        let backing = io.backing.as_ref().ok_or(ErrorKind::Internal)?;
        let logged = io.logged.as_mut().ok_or(ErrorKind::Internal)?;
        let have = logged.reserved.next_multiple_of(BLOCK);
        if end <= have {
            return Ok(());
        }
        match self.store.allocate(&backing.file, have, end - have, true) {
            Err(e) if e.kind != StoreErrorKind::Unsupported => return Err(e.into()),
            _ => {}
        }
        logged.reserved = end;
        Ok(())
    }

    /// Appends a record of this file, waiting for room if need be, behind its path where the log
    /// does not have it yet. (Should the halves be switched in between, the file is searched for.)
    #[expect(clippy::too_many_arguments, reason = "the parts of one record")]
    fn append_record(
        &self,
        journal: &Journal<S>,
        node: &Arc<Node<S>>,
        io: &mut FileIo<S>,
        kind: Kind,
        (at, len): (u64, u64),
        mtime: (i64, u32),
        record: &mut [u8],
    ) -> Result<Spot> {
        let header = io.header.as_ref().ok_or(ErrorKind::Internal)?;
        let head = Head {
            kind,
            epoch: 0,
            seq: 0,
            ino: node.identity.ino,
            mark: mark_of(header.sealed()),
            at,
            len,
            mtime,
            body_len: 0,
        };
        let knows_path = |io: &FileIo<S>| {
            let epoch = io.logged.as_ref().map(|logged| logged.path_epoch);
            epoch == Some(journal.chunks.epoch())
        };
        // Before the record itself: waiting for room may move everything known so far to the file,
        // and a record that is not known yet would be passed over.
        if !knows_path(io)
            && let Some(mut path) = self.path_record(node)
        {
            let head = Head {
                kind: Kind::Path,
                ..head
            };
            let (spot, lsn) = self.append_patiently(journal, node, io, head, &mut path)?;
            let logged = io.logged.as_mut().ok_or(ErrorKind::Internal)?;
            logged.lsn = lsn;
            logged.path_epoch = spot.epoch;
        }
        let (spot, lsn) = self.append_patiently(journal, node, io, head, record)?;
        io.logged.as_mut().ok_or(ErrorKind::Internal)?.lsn = lsn;
        if self.options.durability == crate::types::Durability::Strict {
            journal.chunks.commit(lsn)?;
        }
        Ok(spot)
    }

    fn append_patiently(
        &self,
        journal: &Journal<S>,
        node: &Arc<Node<S>>,
        io: &mut FileIo<S>,
        head: Head,
        record: &mut [u8],
    ) -> Result<(Spot, Lsn)> {
        let Body::File(file) = &node.body else {
            return Err(ErrorKind::Internal.into());
        };
        for _ in 0..PATIENCE {
            if head.kind == Kind::Chunks {
                // Before the record exists, so that no checkpoint passes it over.
                file.has_logged.store(true, Ordering::Release);
            }
            match journal.chunks.append(head, record) {
                Ok(done) => return Ok(done),
                Err(Refusal::Failed(e)) => return Err(e),
                Err(Refusal::Full) => {
                    // The checkpoint must not wait for this very file.
                    self.settle(node, io)?;
                    file.has_logged.store(false, Ordering::Release);
                    if let Some(backing) = &io.backing {
                        self.store.sync_data(&backing.file)?;
                    }
                    file.awaits_room.store(true, Ordering::Release);
                    let done = if journal.served.load(Ordering::Acquire) {
                        journal.hurry();
                        journal.chunks.wait_for_room();
                        Ok(())
                    } else {
                        self.checkpoint(journal)
                    };
                    file.awaits_room.store(false, Ordering::Release);
                    done?;
                }
            }
        }
        Err(ErrorKind::Io.into())
    }

    /// A record with the path of a file below the data directory, room for its head in front.
    pub(crate) fn path_record(&self, node: &Arc<Node<S>>) -> Option<Vec<u8>> {
        let place = node.place.lock().clone()?;
        let dir = place.parent.dir().ok()?;
        let name = oxcrypt_core::name::CleartextName::parse(&place.name).ok()?;
        let sealed = self.seal(dir, &name).ok()?;
        let mut record = vec![0; HEAD_LEN];
        record.extend_from_slice(&crate::vault_fs::hash_path(&dir.hash));
        record.push(b'/');
        record.extend_from_slice(sealed.node_name.as_bytes());
        if sealed.node_name.is_long() {
            record.push(b'/');
            record.extend_from_slice(crate::resolve::CONTENTS_FILE);
        }
        Some(record)
    }

    /// Moves the logged chunks of a file to where they belong.
    pub(crate) fn settle(&self, node: &Arc<Node<S>>, io: &mut FileIo<S>) -> Result<()> {
        let (Some(journal), Some(logged)) = (&self.journal, &mut io.logged) else {
            return Ok(());
        };
        if logged.chunks.is_empty() {
            return Ok(());
        }
        journal.chunks.commit(logged.lsn)?;
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        let before = self.store.stat_file(file)?;
        let layout = self.cryptor.layout();
        let step = layout.cipher_chunk_len();
        let mut buf = vec![0; step];
        for (index, spot) in &logged.chunks {
            let start = layout.chunk_start(ChunkIndex(*index));
            let len = usize::try_from(io.cipher_len - start)
                .unwrap_or(step)
                .min(step);
            let got = journal.chunks.read(*spot, &mut buf[..len])?;
            if got < len {
                return Err(Error::from(ErrorKind::Io));
            }
            self.store.write_at(file, &buf[..len], start)?;
        }
        self.store
            .set_times(StoreNode::File(file), None, Some(TimeSet::At(before.mtime)))?;
        logged.chunks.clear();
        logged.stored_len = io.cipher_len;
        if let Body::File(state) = &node.body {
            state.has_logged.store(false, Ordering::Release);
            let after = self.store.stat_file(file)?;
            state.len.settled(io.cipher_len, after.ctime);
        }
        Ok(())
    }

    /// Before a file grows in place: its length on disk must be that of its content, and no live
    /// record may cut off what is written now.
    pub(crate) fn before_extension(&self, node: &Arc<Node<S>>, io: &mut FileIo<S>) -> Result<()> {
        let Some(logged) = &io.logged else {
            return Ok(());
        };
        if logged.stored_len < io.cipher_len {
            self.settle(node, io)?;
        }
        self.declare_done(node, io)
    }

    /// After this no replay repeats a cut of this file.
    pub(crate) fn declare_done(&self, node: &Arc<Node<S>>, io: &mut FileIo<S>) -> Result<()> {
        let (Some(journal), Some(logged)) = (&self.journal, &io.logged) else {
            return Ok(());
        };
        if !logged.cut_live {
            return Ok(());
        }
        self.settle(node, io)?;
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        self.store.sync_data(file)?;
        let mut record = [0; HEAD_LEN];
        self.append_record(journal, node, io, Kind::Done, (0, 0), now(), &mut record)?;
        io.logged.as_mut().ok_or(ErrorKind::Internal)?.cut_live = false;
        Ok(())
    }

    /// Makes a cut to `len` bytes of ciphertext durable in the log, with the last chunk sealed anew
    /// in `record` behind room for a head. The caller does the cut afterwards.
    pub(crate) fn log_cut(
        &self,
        journal: &Journal<S>,
        node: &Arc<Node<S>>,
        io: &mut FileIo<S>,
        (at, len): (u64, u64),
        record: &mut [u8],
    ) -> Result<()> {
        self.start_logging(journal, node, io);
        self.settle(node, io)?;
        self.append_record(journal, node, io, Kind::Cut, (at, len), now(), record)?;
        let logged = io.logged.as_mut().ok_or(ErrorKind::Internal)?;
        logged.cut_live = true;
        journal.chunks.commit(logged.lsn)?;
        journal.note_chunks();
        Ok(())
    }

    /// After a cut was done in place.
    pub(crate) fn cut_done(&self, node: &Arc<Node<S>>, io: &mut FileIo<S>) {
        if let Body::File(file) = &node.body {
            file.len.changed(io.cipher_len);
        }
        if let (Some(logged), Body::File(file), Some(backing)) =
            (&mut io.logged, &node.body, &io.backing)
        {
            logged.stored_len = io.cipher_len;
            logged.reserved = io.cipher_len;
            if let Ok(stat) = self.store.stat_file(&backing.file) {
                file.len.settled(io.cipher_len, stat.ctime);
            }
        }
    }

    /// Notes, before it happens, that the file grows in place from `from` on. Once per file and use
    /// of the log.
    pub(crate) fn log_extension(
        &self,
        node: &Arc<Node<S>>,
        io: &mut FileIo<S>,
        from: u64,
    ) -> Result<()> {
        let Some(journal) = self.journal_for(node) else {
            return Ok(());
        };
        if io.extend_epoch == journal.extends.epoch() && io.extend_from <= from {
            return Ok(());
        }
        let header = io.header.as_ref().ok_or(ErrorKind::Internal)?;
        let Some(mut record) = self.path_record(node) else {
            return Ok(());
        };
        let noted = self.store.now();
        let head = Head {
            kind: Kind::Extend,
            epoch: 0,
            seq: 0,
            ino: node.identity.ino,
            mark: mark_of(header.sealed()),
            at: from,
            len: 0,
            mtime: (noted.secs, noted.nanos),
            body_len: 0,
        };
        for _ in 0..PATIENCE {
            match journal.extends.append(head, &mut record) {
                Ok((spot, _)) => {
                    io.extend_epoch = spot.epoch;
                    io.extend_from = from;
                    journal.note_extend();
                    return Ok(());
                }
                Err(Refusal::Failed(e)) => return Err(e),
                Err(Refusal::Full) if journal.served.load(Ordering::Acquire) => {
                    journal.hurry();
                    journal.extends.wait_for_room();
                }
                Err(Refusal::Full) => self.retire_extends(journal)?,
            }
        }
        Err(ErrorKind::Io.into())
    }

    /// Reads one sealed chunk as it is now.
    pub(crate) fn read_sealed(
        &self,
        io: &FileIo<S>,
        index: ChunkIndex,
        out: &mut [u8],
    ) -> Result<usize> {
        if let (Some(journal), Some(logged)) = (&self.journal, &io.logged)
            && let Some(spot) = logged.chunks.get(&index.0)
        {
            let start = self.cryptor.layout().chunk_start(index);
            let len =
                usize::try_from(io.cipher_len - start).map_or(out.len(), |n| n.min(out.len()));
            return journal.chunks.read(*spot, &mut out[..len]);
        }
        let file = &io.backing.as_ref().ok_or(ErrorKind::Internal)?.file;
        Ok(self
            .store
            .read_at(file, out, self.cryptor.layout().chunk_start(index))?)
    }
}
