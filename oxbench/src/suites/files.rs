//! File work shared by the cases. All of it checks what it reads.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::ctx::same;
use crate::data::{BLOCK, Content, MIB};
use crate::error::{AtPath, CaseFailure, CaseResult};

/// Sequential write in 1 MiB calls from a buffer made beforehand, so that only writing is timed.
/// `prepared` holds the whole content.
pub(crate) fn write_all(path: &Path, prepared: &[u8], sync: bool) -> CaseResult {
    let mut file = File::create(path).at("create", path)?;
    for block in prepared.chunks(MIB) {
        file.write_all(block).at("write", path)?;
    }
    if sync {
        file.sync_all().at("fsync", path)?;
    }
    // Closing writes back what the kernel still holds, so it belongs to the work. What it reports is
    // not looked at; lost data is found when the content is verified.
    drop(file);
    Ok(())
}

/// Sequential read in 1 MiB calls; returns the number of bytes.
pub(crate) fn read_through(path: &Path) -> CaseResult<u64> {
    let mut file = File::open(path).at("open", path)?;
    let mut buf = vec![0; MIB];
    let mut total = 0;
    loop {
        match file.read(&mut buf).at("read", path)? {
            0 => return Ok(total),
            n => total += n as u64,
        }
    }
}

pub(crate) fn sha256_of(path: &Path) -> CaseResult<[u8; 32]> {
    let mut file = File::open(path).at("open", path)?;
    let mut hasher = Sha256::new();
    let mut buf = vec![0; MIB];
    loop {
        match file.read(&mut buf).at("read", path)? {
            0 => return Ok(hasher.finalize().into()),
            n => hasher.update(&buf[..n]),
        }
    }
}

/// The file must hold exactly the first `len` bytes of `content`.
pub(crate) fn verify(path: &Path, content: &Content, len: u64) -> CaseResult {
    let found = fs::metadata(path).at("stat", path)?.len();
    same(&format!("size of {}", name(path)), &found, &len)?;
    if sha256_of(path)? == content.sha256(len) {
        return Ok(());
    }
    Err(CaseFailure::Corrupt(first_difference(path, content, len)))
}

/// Says where a file is wrong: the offset is what a developer needs first.
fn first_difference(path: &Path, content: &Content, len: u64) -> String {
    let file = name(path);
    let Ok(handle) = File::open(path) else {
        return format!("{file} differs");
    };
    let (mut found, mut expected) = (vec![0; BLOCK], vec![0; BLOCK]);
    for block in 0..len.div_ceil(BLOCK as u64) {
        let at = block * BLOCK as u64;
        let take = (len - at).min(BLOCK as u64) as usize;
        content.fill(block, 0, &mut expected[..take]);
        if handle.read_exact_at(&mut found[..take], at).is_err() {
            return format!("{file}: ends before byte {len}");
        }
        if let Some(i) = (0..take).find(|&i| found[i] != expected[i]) {
            return format!("{file}: first wrong byte at {}", at + i as u64);
        }
    }
    format!("{file}: differed at the first reading, not at the second")
}

pub(crate) fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

pub(crate) fn write_small(path: &Path, bytes: &[u8]) -> CaseResult {
    let mut file = File::create(path).at("create", path)?;
    file.write_all(bytes).at("write", path)?;
    drop(file);
    Ok(())
}

pub(crate) fn write_small_sync(path: &Path, bytes: &[u8]) -> CaseResult {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .at("create", path)?;
    file.write_all(bytes).at("write", path)?;
    file.sync_all().at("fsync", path)
}

/// Reads a small file into `buf` and checks it against its CRC-32.
pub(crate) fn read_small(path: &Path, buf: &mut Vec<u8>, crc: u32) -> CaseResult {
    buf.clear();
    let mut file = File::open(path).at("open", path)?;
    file.read_to_end(buf).at("read", path)?;
    if crc32fast::hash(buf) == crc {
        return Ok(());
    }
    Err(CaseFailure::Corrupt(format!(
        "{} ({} bytes read)",
        name(path),
        buf.len()
    )))
}

/// What a walk has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    pub(crate) dirs: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Lists and stats a tree, as `find` and every backup program does.
pub(crate) fn walk(dir: &Path) -> CaseResult<Seen> {
    let mut seen = Seen::default();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).at("list", &dir)? {
            let entry = entry.at("list", &dir)?;
            let meta = entry.metadata().at("stat", &entry.path())?;
            if meta.is_dir() {
                seen.dirs += 1;
                pending.push(entry.path());
            } else {
                seen.files += 1;
                seen.bytes += meta.len();
            }
        }
    }
    Ok(seen)
}

pub(crate) fn files_below(dir: &Path) -> CaseResult<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).at("list", &dir)? {
            let entry = entry.at("list", &dir)?;
            let kind = entry.file_type().at("stat", &entry.path())?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// One hash over names and contents of a tree: equal trees, equal hashes.
pub(crate) fn tree_hash(dir: &Path) -> CaseResult<[u8; 32]> {
    let mut hasher = Sha256::new();
    for file in files_below(dir)? {
        let inner = file.strip_prefix(dir).unwrap_or(&file);
        hasher.update(inner.as_os_str().as_encoded_bytes());
        hasher.update([0]);
        hasher.update(sha256_of(&file)?);
    }
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_names_the_first_wrong_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let content = Content::new(3, 1);
        let mut bytes = content.bytes(10_000);
        write_all(&path, &bytes, true).unwrap();
        verify(&path, &content, 10_000).unwrap();
        bytes[7777] ^= 1;
        write_all(&path, &bytes, false).unwrap();
        let error = verify(&path, &content, 10_000).unwrap_err().to_string();
        assert!(
            error.contains("CORRUPT") && error.contains("7777"),
            "{error}"
        );
        write_all(&path, &bytes[..9999], false).unwrap();
        assert!(
            verify(&path, &content, 10_000)
                .unwrap_err()
                .to_string()
                .contains("9999")
        );
    }

    #[test]
    fn tree_hashes_see_names_and_bytes() {
        let dir = tempfile::tempdir().unwrap();
        write_small(&dir.path().join("a"), b"1").unwrap();
        let one = tree_hash(dir.path()).unwrap();
        fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
        let renamed = tree_hash(dir.path()).unwrap();
        write_small(&dir.path().join("b"), b"2").unwrap();
        let changed = tree_hash(dir.path()).unwrap();
        assert!(one != renamed && renamed != changed);
        assert_eq!(
            walk(dir.path()).unwrap(),
            Seen {
                dirs: 0,
                files: 1,
                bytes: 1
            }
        );
    }
}
