//! What is mounted: the kernel's table is the only truth.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::failure::{Host, Result};

/// A mounted vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    pub(crate) point: PathBuf,
    pub(crate) vault: PathBuf,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) read_only: bool,
    /// Whose it is, where the kernel says so.
    pub(crate) uid: Option<u32>,
}

const TABLE: &str = "/proc/self/mountinfo";

/// All vaults mounted on this machine, in this mount namespace.
pub(crate) fn mounts() -> Result<Vec<Mounted>> {
    let table = std::fs::read(TABLE).host(Path::new(TABLE))?;
    Ok(parse(&table))
}

/// The vault mounted at exactly this place; the topmost if there are several.
pub(crate) fn at(point: &Path) -> Result<Option<Mounted>> {
    Ok(mounts()?.into_iter().rfind(|mount| mount.point == point))
}

fn parse(table: &[u8]) -> Vec<Mounted> {
    table
        .split(|b| *b == b'\n')
        .filter_map(parse_line)
        .collect()
}

/// `36 35 0:52 / /mnt rw,nosuid shared:1 - fuse.oxcrypt /vault rw,user_id=0,…`
fn parse_line(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|b| *b == b' ');
    let device = std::str::from_utf8(fields.nth(2)?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let point = unescape(fields.nth(1)?);
    let options = fields.next()?;
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    if fields.next()? != b"fuse.oxcrypt" {
        return None;
    }
    let vault = unescape(fields.next()?);
    let uid = fields
        .next()
        .unwrap_or_default()
        .split(|b| *b == b',')
        .find_map(|o| {
            std::str::from_utf8(o.strip_prefix(b"user_id=")?)
                .ok()?
                .parse()
                .ok()
        });
    Some(Mounted {
        point,
        vault,
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        read_only: options.split(|b| *b == b',').any(|o| o == b"ro"),
        uid,
    })
}

/// The kernel writes space, tab, newline and backslash as `\ooo`.
fn unescape(text: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail
            .first_chunk::<3>()
            .filter(|d| d.iter().all(|b| (b'0'..=b'7').contains(b)));
        match (first, digits) {
            (b'\\', Some([a, b, c])) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = &tail[3..];
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_table() {
        let table = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            36 22 0:52 / /mnt/my\\040vault ro,nosuid,nodev shared:7 master:1 - fuse.oxcrypt \
            /home/a\\134b rw,user_id=1000,group_id=1000\n\
            37 22 0:53 / /mnt/other rw - fuse.sshfs host: rw\n";
        let found = parse(table);
        assert_eq!(
            found,
            [Mounted {
                point: "/mnt/my vault".into(),
                vault: "/home/a\\b".into(),
                major: 0,
                minor: 52,
                read_only: true,
                uid: Some(1000),
            }]
        );
    }

    #[test]
    fn broken_lines_are_passed_over() {
        for line in [
            "",
            "36",
            "36 22 x / /m rw - fuse.oxcrypt /v rw",
            "1 2 0:1 / /m rw -",
        ] {
            assert!(parse(line.as_bytes()).is_empty(), "{line}");
        }
    }
}
