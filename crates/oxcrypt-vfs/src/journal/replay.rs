//! Applying what an interrupted mount left in its logs.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use oxcrypt_core::content::layout::{CHUNK_LEN, ChunkIndex};
use oxcrypt_core::rng::with_rng;
use oxcrypt_core::{ChunkBuf, Cryptor, FileHeader};
use oxcrypt_store::{
    Cookie, Node as StoreNode, OpenMode, Store, StoreErrorKind, TimeSet, Timestamp,
};

use super::record::Mark;
use super::{CHUNK_LOGS, EXTEND_LOGS, HEAD_LEN, Head, Kind, mark_of};
use crate::error::Result;

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
    for (key, story) in &extends {
        if let Some((file, header)) = found.get(key) {
            changed |= replay.mend_end(file, header.as_ref(), story)?;
        }
    }
    if changed {
        vault.sync_everything()?;
    }
    for file in chunk_files.iter().chain(&extend_files) {
        place.set_len(file, 0)?;
        place.sync_all(file)?;
    }
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
        let mut sealed = [0; 128];
        let len = self.cryptor.layout().header_len();
        let got = self.vault.read_at(&file, &mut sealed[..len], 0).ok()?;
        let header = self.cryptor.open_header(&sealed[..got]).ok();
        match &header {
            Some(header) if mark_of(header.sealed()) != key.1 => None,
            _ => Some((file, header)),
        }
    }

    /// Looks at the inode numbers of the whole vault.
    fn search(&self, lost: &BTreeMap<u64, Vec<FileKey>>, found: &mut FoundFiles<S>) -> Result<()> {
        for top in self.names(self.data_dir)? {
            let Ok(top_dir) = self.vault.open_dir(self.data_dir, &top.0) else {
                continue;
            };
            for content in self.names(&top_dir)? {
                let mut dir_path = top.0.clone();
                dir_path.push(b'/');
                dir_path.extend_from_slice(&content.0);
                let Ok(dir) = self.vault.open_dir(&top_dir, &content.0) else {
                    continue;
                };
                for (name, mut ino) in self.names(&dir)? {
                    let mut path = dir_path.clone();
                    path.push(b'/');
                    path.extend_from_slice(&name);
                    if name.ends_with(crate::resolve::LONG_SUFFIX) {
                        let inner = [&name[..], b"/", crate::resolve::CONTENTS_FILE].concat();
                        let Ok(stat) = self.vault.stat_beneath(&dir, &inner) else {
                            continue;
                        };
                        ino = stat.id.ino;
                        path.push(b'/');
                        path.extend_from_slice(crate::resolve::CONTENTS_FILE);
                    }
                    for key in lost.get(&ino).into_iter().flatten() {
                        if let Some(file) = self.open_if(key, &path) {
                            found.insert(*key, file);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn names(&self, dir: &S::Dir) -> Result<Vec<(Vec<u8>, u64)>> {
        let mut names = Vec::new();
        self.vault
            .list(dir, Cookie::START, 32 * 1024, &mut |entry| {
                if !matches!(entry.name, b"." | b"..") {
                    names.push((entry.name.to_vec(), entry.ino));
                }
                ControlFlow::Continue(())
            })?;
        Ok(names)
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

    /// Cuts off a torn end; a torn chunk with sound ones behind it becomes zeros, as on any file
    /// system whose power went while it wrote.
    fn mend_end(
        &mut self,
        file: &S::File,
        header: Option<&FileHeader>,
        story: &Story,
    ) -> Result<bool> {
        let layout = self.cryptor.layout();
        let Some(from) = story.entries.iter().map(|e| e.head.at).min() else {
            return Ok(false);
        };
        let size = self.vault.stat_file(file)?.size;
        let Some(header) = header else {
            if size == 0 || from > 0 {
                return Ok(false);
            }
            // A new file whose header never reached the disk.
            self.vault.set_len(file, 0)?;
            self.done.mended += 1;
            return Ok(true);
        };
        let step = layout.cipher_chunk_len();
        let header_len = layout.header_len() as u64;
        let first = from.saturating_sub(header_len) / step as u64;
        let mut torn = Vec::new();
        let mut sound_end = layout.chunk_start(ChunkIndex(first)).min(size);
        let mut sealed = vec![0; step];
        let mut plain = ChunkBuf::take();
        let mut index = first;
        loop {
            let start = layout.chunk_start(ChunkIndex(index));
            let got = self.vault.read_at(file, &mut sealed, start)?;
            if got == 0 {
                break;
            }
            let opened = got
                .checked_sub(layout.overhead())
                .filter(|n| *n > 0)
                .is_some_and(|len| {
                    self.cryptor
                        .open_chunk(header, ChunkIndex(index), &sealed[..got], &mut plain[..len])
                        .is_ok()
                });
            if opened {
                sound_end = start + got as u64;
            } else {
                torn.push(index);
            }
            index += 1;
        }
        let mut mended = false;
        for index in torn {
            let start = layout.chunk_start(ChunkIndex(index));
            if start < sound_end {
                let len = with_rng(|rng| {
                    let zeros = [0; CHUNK_LEN];
                    self.cryptor
                        .seal_chunk(header, ChunkIndex(index), rng, &zeros, &mut sealed)
                });
                self.vault.write_at(file, &sealed[..len], start)?;
                mended = true;
            }
        }
        if sound_end < size {
            self.vault.set_len(file, sound_end.max(header_len))?;
            mended = true;
        }
        self.done.mended += usize::from(mended);
        Ok(mended)
    }
}

/// Whether the logs in `place` are empty.
pub(crate) fn is_empty<S: Store>(place: &S) -> Result<bool> {
    let dir = &place.root();
    for name in CHUNK_LOGS.into_iter().chain(EXTEND_LOGS) {
        match place.stat(dir, name) {
            Ok(stat) if stat.size > 0 => return Ok(false),
            Err(e) if e.kind != StoreErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    Ok(true)
}
