//! All that can be seen and read below a directory.

use std::collections::BTreeMap;
use std::path::Path;

/// One node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    Dir,
    File(Vec<u8>),
    Link(String),
    /// It is listed but cannot be read, or a directory cannot be listed: the error number.
    Broken(i32),
    /// Neither file, directory nor link.
    Odd,
}

/// Nodes by path relative to `root`. No file longer than 64 MiB is read, no more than 100,000 nodes.
pub(crate) fn walk(root: &Path) -> BTreeMap<String, Seen> {
    let mut seen = BTreeMap::new();
    let mut pending = vec![String::new()];
    while let Some(at) = pending.pop() {
        let entries = match std::fs::read_dir(root.join(&at)) {
            Ok(entries) => entries,
            Err(error) => {
                seen.insert(at, Seen::Broken(number(&error)));
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    seen.insert(format!("{at}/?"), Seen::Broken(number(&error)));
                    break;
                }
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if at.is_empty() {
                name
            } else {
                format!("{at}/{name}")
            };
            let what = look(&root.join(&path));
            if what == Seen::Dir {
                pending.push(path.clone());
            }
            seen.insert(path, what);
            assert!(seen.len() < 100_000, "a walk must end");
        }
    }
    seen
}

fn look(path: &Path) -> Seen {
    let look = || -> std::io::Result<Seen> {
        let meta = std::fs::symlink_metadata(path)?;
        let kind = meta.file_type();
        Ok(if kind.is_dir() {
            Seen::Dir
        } else if kind.is_symlink() {
            Seen::Link(std::fs::read_link(path)?.to_string_lossy().into_owned())
        } else if kind.is_file() {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path)?;
            std::io::Read::read_to_end(&mut std::io::Read::take(file, 64 << 20), &mut bytes)?;
            Seen::File(bytes)
        } else {
            Seen::Odd
        })
    };
    look().unwrap_or_else(|error| Seen::Broken(number(&error)))
}

fn number(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(-1)
}

/// The same as lines, for a process that may be killed when it hangs.
pub(crate) fn print(root: &Path) {
    for (path, what) in walk(root) {
        let (kind, detail) = match what {
            Seen::Dir => ("dir", String::new()),
            Seen::File(bytes) => ("file", data_encoding::BASE64.encode(&bytes)),
            Seen::Link(target) => ("link", data_encoding::BASE64.encode(target.as_bytes())),
            Seen::Broken(errno) => ("broken", errno.to_string()),
            Seen::Odd => ("odd", String::new()),
        };
        println!(
            "{kind}\t{}\t{detail}",
            data_encoding::BASE64.encode(path.as_bytes())
        );
    }
    println!("end\t\t");
}

/// What [`print()`] printed; `None` if it did not come to its end.
pub(crate) fn parse(text: &str) -> Option<BTreeMap<String, Seen>> {
    let mut seen = BTreeMap::new();
    let decode = |text: &str| data_encoding::BASE64.decode(text.as_bytes()).ok();
    for line in text.lines() {
        let mut fields = line.split('\t');
        let (kind, path, detail) = (fields.next()?, fields.next()?, fields.next()?);
        let path = String::from_utf8(decode(path)?).ok()?;
        let what = match kind {
            "dir" => Seen::Dir,
            "file" => Seen::File(decode(detail)?),
            "link" => Seen::Link(String::from_utf8(decode(detail)?).ok()?),
            "broken" => Seen::Broken(detail.parse().ok()?),
            "odd" => Seen::Odd,
            "end" => return Some(seen),
            _ => return None,
        };
        seen.insert(path, what);
    }
    None
}
