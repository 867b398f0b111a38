//! Applying what an interrupted mount left in its logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use oxcrypt_core::content::layout::ChunkIndex;
use oxcrypt_core::{ChunkBuf, Cryptor, FileHeader};
use oxcrypt_store::{Node as StoreNode, OpenMode, Store, StoreErrorKind, TimeSet, Timestamp};

use super::mend::Mender;
use super::record::Mark;
use super::session::Session;
use super::unborn::remove_unborn;
use super::walk::walk;
use super::{CHUNK_LOGS, EXTEND_LOGS, HEAD_LEN, Head, Kind, mark_of};
use crate::error::Result;
use crate::resolve::{LONG_SUFFIX, SHORT_SUFFIX};

/// Seconds by which change times may be behind the clock of who wrote the notes.
const CLOCK_SLACK: i64 = 5;

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Files that got chunks or a length from the log.
    pub files: usize,
    /// Chunks written.
    pub chunks: usize,
    /// Files whose torn end was cut off or mended.
    pub mended: usize,
    /// Ciphertext paths of files that were not found: removed since, or the vault is another copy.
    pub missing: Vec<String>,
}

impl Replayed {
    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.chunks += other.chunks;
        self.mended += other.mended;
        self.missing.extend(other.missing);
    }
}

/// A file by inode number and mark.
type FileKey = (u64, Mark);

/// A record and where its body is.
struct Entry {
    head: Head,
    file: usize,
    body_at: u64,
}

#[derive(Default)]
struct Story {
    paths: Vec<Vec<u8>>,
    entries: Vec<Entry>,
}

struct Replay<'a, S: Store> {
    /// Where the vault is.
    vault: &'a S,
    data_dir: &'a S::Dir,
    cryptor: &'a Cryptor,
    /// Where the logs are.
    place: &'a S,
    done: Replayed,
}

/// Applies the logs in `place` to the vault, makes the result durable and empties them.
pub(crate) fn replay<S: Store>(
    vault: &Arc<S>,
    data_dir: &S::Dir,
    cryptor: &Cryptor,
    place: &Arc<S>,
) -> Result<Replayed> {
    let dir = &place.root();
    let mut replay = Replay {
        vault: &**vault,
        data_dir,
        cryptor,
        place: &**place,
        done: Replayed::default(),
    };
    let chunk_files = replay.open_logs(dir, CHUNK_LOGS)?;
    let extend_files = replay.open_logs(dir, EXTEND_LOGS)?;
    let chunks = replay.stories(&chunk_files)?;
    let extends = replay.stories(&extend_files)?;
    let found = replay.find_all(&chunks, &extends)?;
    let mut changed = false;
    for (key, story) in &chunks {
        match found.get(key) {
            Some((file, header)) => {
                changed |= replay.apply(&chunk_files, file, header.as_ref(), story)?;
            }
            None => replay.report_missing(story),
        }
    }
    let mut last_note = Timestamp::default();
    for (key, story) in &extends {
        for entry in &story.entries {
            let (secs, nanos) = entry.head.mtime;
            last_note = last_note.max(Timestamp { secs, nanos });
        }
        let from = story.entries.iter().map(|e| e.head.at).min();
        if let (Some((file, header)), Some(from)) = (found.get(key), from) {
            let mended = replay.mender().behind(file, header.as_ref(), from)?;
            replay.done.mended += usize::from(mended);
            changed |= mended;
        }
    }
    if let Some(session) = Session::left_in(&**place)?
        && session.lost_something(&**vault, &**place)?
    {
        let early = |mut t: Timestamp| {
            t.secs = t.secs.saturating_sub(CLOCK_SLACK);
            t
        };
        // A note is durable, but the small files of nodes that were made before it need not be.
        let (made, grown) = (early(session.since), early(session.since.max(last_note)));
        changed |= replay.mend_since(made, grown)?;
    }
    if changed {
        vault.sync_everything()?;
    }
    for file in chunk_files.iter().chain(&extend_files) {
        place.set_len(file, 0)?;
        place.sync_all(file)?;
    }
    Session::end(&**place)?;
    Ok(replay.done)
}

type FoundFiles<S> = BTreeMap<FileKey, (<S as Store>::File, Option<FileHeader>)>;

impl<S: Store> Replay<'_, S> {
    fn open_logs(&self, dir: &S::Dir, names: [&[u8]; 2]) -> Result<Vec<S::File>> {
        let mut files = Vec::new();
        for name in names {
            match self.place.open(dir, name, OpenMode::READ_WRITE) {
                Ok(file) => files.push(file),
                Err(e) if e.kind == StoreErrorKind::NotFound => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(files)
    }

    /// The sound records of both halves in their order, by file.
    fn stories(&self, files: &[S::File]) -> Result<BTreeMap<FileKey, Story>> {
        let mut entries = Vec::new();
        for (i, file) in files.iter().enumerate() {
            self.read_half(i, file, &mut entries)?;
        }
        entries.sort_by_key(|e: &(Entry, Vec<u8>)| (e.0.head.epoch, e.0.head.seq));
        let mut stories = BTreeMap::<FileKey, Story>::new();
        for (entry, path) in entries {
            let story = stories
                .entry((entry.head.ino, entry.head.mark))
                .or_default();
            if !path.is_empty() {
                story.paths.push(path);
            }
            match entry.head.kind {
                Kind::Path => {}
                // What came before is in the file.
                Kind::Done => story.entries.clear(),
                _ => story.entries.push(entry),
            }
        }
        Ok(stories)
    }

    /// Records up to the first that is torn or of an earlier use of the file.
    fn read_half(
        &self,
        index: usize,
        file: &S::File,
        out: &mut Vec<(Entry, Vec<u8>)>,
    ) -> Result<()> {
        let mut at = 0;
        let mut before: Option<Head> = None;
        let mut bytes = [0; HEAD_LEN];
        while self.place.read_at(file, &mut bytes, at)? == HEAD_LEN {
            let Some(head) = Head::decode(&bytes) else {
                break;
            };
            let follows = before.is_none_or(|b| b.epoch == head.epoch && b.seq + 1 == head.seq);
            let body_at = at + HEAD_LEN as u64;
            let mut path = Vec::new();
            if matches!(head.kind, Kind::Path | Kind::Extend) {
                path.resize(head.body_len as usize, 0);
                if self.place.read_at(file, &mut path, body_at)? < path.len() {
                    break;
                }
            }
            if !follows || !head.is_sound(&bytes, &path) {
                break;
            }
            before = Some(head);
            at = body_at + u64::from(head.body_len);
            let entry = Entry {
                head,
                file: index,
                body_at,
            };
            out.push((entry, path));
        }
        Ok(())
    }

    /// Opens every file that the logs speak of: by its last path, or else wherever it is now.
    fn find_all(
        &self,
        chunks: &BTreeMap<FileKey, Story>,
        extends: &BTreeMap<FileKey, Story>,
    ) -> Result<FoundFiles<S>> {
        let mut found = FoundFiles::<S>::new();
        let mut lost = BTreeMap::<u64, Vec<FileKey>>::new();
        for (key, story) in chunks.iter().chain(extends) {
            if found.contains_key(key) {
                continue;
            }
            let paths = story.paths.iter().rev();
            match paths.filter_map(|path| self.open_if(key, path)).next() {
                Some(file) => {
                    found.insert(*key, file);
                }
                None => lost.entry(key.0).or_default().push(*key),
            }
        }
        if !lost.is_empty() {
            self.search(&lost, &mut found)?;
        }
        Ok(found)
    }

    /// The file at `path` if it is the one meant: same inode, and the same header or, where the
    /// header itself was lost, none.
    fn open_if(&self, key: &FileKey, path: &[u8]) -> Option<(S::File, Option<FileHeader>)> {
        let split = path
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'/')
            .nth(1)?
            .0;
        let dir = self.vault.open_dir(self.data_dir, &path[..split]).ok()?;
        let file = self
            .vault
            .open(&dir, &path[split + 1..], OpenMode::READ_WRITE)
            .ok()?;
        if self.vault.stat_file(&file).ok()?.id.ino != key.0 {
            return None;
        }
        let header = self.header_of(&file).ok()?;
        match &header {
            Some(header) if mark_of(header.sealed()) != key.1 => None,
            _ => Some((file, header)),
        }
    }

    /// Looks at the inode numbers of the whole vault.
    fn search(&self, lost: &BTreeMap<u64, Vec<FileKey>>, found: &mut FoundFiles<S>) -> Result<()> {
        walk(self.vault, self.data_dir, &mut |seen| {
            let ino = if seen.name.contains(&b'/') {
                match self.vault.stat_beneath(seen.dir, seen.name) {
                    Ok(stat) => stat.id.ino,
                    Err(_) => return Ok(()),
                }
            } else {
                seen.ino
            };
            for key in lost.get(&ino).into_iter().flatten() {
                if let Some(file) = self.open_if(key, seen.path) {
                    found.insert(*key, file);
                }
            }
            Ok(())
        })
    }

    /// Looks for what a cut leaves unfinished: at nodes that changed since `made`, and at files that
    /// did since `grown`.
    fn mend_since(&mut self, made: Timestamp, grown: Timestamp) -> Result<bool> {
        let mender = self.mender();
        let mut mended = 0;
        walk(self.vault, self.data_dir, &mut |seen| {
            if !seen.node.ends_with(SHORT_SUFFIX) && !seen.node.ends_with(LONG_SUFFIX) {
                return Ok(());
            }
            let Ok(node) = self.vault.stat(seen.dir, seen.node) else {
                return Ok(());
            };
            if node.kind == oxcrypt_store::Kind::Dir
                && node.ctime >= made
                && remove_unborn(self.vault, seen.dir, seen.node, made)?
            {
                tracing::warn!(
                    node = %String::from_utf8_lossy(seen.path),
                    "a new node was never finished because of the crash and is removed"
                );
                mended += 1;
                return Ok(());
            }
            let Ok(stat) = self.vault.stat_beneath(seen.dir, seen.name) else {
                return Ok(());
            };
            if stat.kind != oxcrypt_store::Kind::File || stat.ctime < grown || stat.size == 0 {
                return Ok(());
            }
            // What is not ours to write was not torn by us.
            let Ok(file) = self.vault.open(seen.dir, seen.name, OpenMode::READ_WRITE) else {
                return Ok(());
            };
            let header = self.header_of(&file)?;
            if mender.unnoted(&file, header.as_ref())? {
                tracing::warn!(
                    file = %String::from_utf8_lossy(seen.path),
                    "what the crash tore of a growing file is cut off"
                );
                mended += 1;
            }
            Ok(())
        })?;
        self.done.mended += mended;
        Ok(mended > 0)
    }

    fn mender(&self) -> Mender<'_, S> {
        Mender {
            vault: self.vault,
            cryptor: self.cryptor,
        }
    }

    /// The header of a file, if it has a sound one.
    fn header_of(&self, file: &S::File) -> Result<Option<FileHeader>> {
        let mut sealed = [0; 128];
        let len = self.cryptor.layout().header_len();
        let got = self.vault.read_at(file, &mut sealed[..len], 0)?;
        Ok(self.cryptor.open_header(&sealed[..got]).ok())
    }

    fn report_missing(&mut self, story: &Story) {
        if story.entries.is_empty() {
            return;
        }
        let path = story
            .paths
            .last()
            .map_or_else(String::new, |p| format!("d/{}", String::from_utf8_lossy(p)));
        self.done.missing.push(path);
    }

    /// Writes the logged chunks of one file, as far as they authenticate.
    fn apply(
        &mut self,
        logs: &[S::File],
        file: &S::File,
        header: Option<&FileHeader>,
        story: &Story,
    ) -> Result<bool> {
        let Some(header) = header else {
            // Never durable: the log had nothing to protect.
            return Ok(false);
        };
        let mut mtime = None;
        let mut changed = false;
        for entry in &story.entries {
            let head = &entry.head;
            let mut body = vec![0; head.body_len as usize];
            let got = self
                .place
                .read_at(&logs[entry.file], &mut body, entry.body_at)?;
            if got < body.len() || !self.authenticates(header, head, &body) {
                // Torn, so never acknowledged as durable, and neither was what follows.
                break;
            }
            let size = self.vault.stat_file(file)?.size;
            match head.kind {
                Kind::Chunks if head.at <= size => {
                    // A last chunk that is shorter than the file's was sealed after a cut that was
                    // not durable, and so was never promised.
                    let end = head.at + body.len() as u64;
                    let tail = body.len() % self.cryptor.layout().cipher_chunk_len();
                    let keep = body.len() - if end < size { tail } else { 0 };
                    self.vault.write_at(file, &body[..keep], head.at)?;
                }
                Kind::Cut if head.len <= size => {
                    if !body.is_empty() {
                        self.vault.write_at(file, &body, head.at)?;
                    }
                    self.vault.set_len(file, head.len)?;
                }
                _ => continue,
            }
            changed = true;
            mtime = Some(head.mtime);
            self.done.chunks += body
                .len()
                .div_ceil(self.cryptor.layout().cipher_chunk_len());
        }
        if let Some((secs, nanos)) = mtime {
            let at = TimeSet::At(Timestamp { secs, nanos });
            self.vault
                .set_times(StoreNode::File(file), None, Some(at))?;
        }
        self.done.files += usize::from(changed);
        Ok(changed)
    }

    /// Whether every chunk in `body` belongs where the record puts it.
    fn authenticates(&self, header: &FileHeader, head: &Head, body: &[u8]) -> bool {
        let layout = self.cryptor.layout();
        let step = layout.cipher_chunk_len();
        let Some(first) = head.at.checked_sub(layout.header_len() as u64) else {
            return body.is_empty();
        };
        if first % step as u64 != 0 {
            return false;
        }
        let first = first / step as u64;
        let mut plain = ChunkBuf::take();
        body.chunks(step).enumerate().all(|(i, sealed)| {
            sealed
                .len()
                .checked_sub(layout.overhead())
                .is_some_and(|len| {
                    let index = ChunkIndex(first + i as u64);
                    self.cryptor
                        .open_chunk(header, index, sealed, &mut plain[..len])
                        .is_ok()
                })
        })
    }
}

/// Whether `place` was left in order, or never used.
pub(crate) fn is_empty<S: Store>(place: &S) -> Result<bool> {
    let dir = &place.root();
    for name in CHUNK_LOGS.into_iter().chain(EXTEND_LOGS) {
        match place.stat(dir, name) {
            Ok(stat) if stat.size > 0 => return Ok(false),
            Err(e) if e.kind != StoreErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    Ok(Session::left_in(place)?.is_none())
}
