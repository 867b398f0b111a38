//! The kernel's table of what is mounted where.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Where it is.
pub const TABLE: &str = "/proc/self/mountinfo";

/// One line: `36 35 0:52 / /mnt rw,nosuid shared:1 - ext4 /dev/sda1 rw`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted<'t> {
    /// Numbers of the device.
    pub major: u32,
    /// As above.
    pub minor: u32,
    /// The directory it is mounted at.
    pub point: PathBuf,
    /// Of the mount.
    pub options: &'t [u8],
    /// Of the file system.
    pub kind: &'t [u8],
    /// What is mounted.
    pub source: PathBuf,
    /// Of the file system.
    pub super_options: &'t [u8],
}

/// The lines of a table; broken ones are passed over. Of two at one place the last lies on top.
pub fn parse(table: &[u8]) -> impl DoubleEndedIterator<Item = Mounted<'_>> {
    table.split(|b| *b == b'\n').filter_map(parse_line)
}

/// What is mounted at exactly this place; the topmost if there are several.
#[must_use]
pub fn at<'t>(table: &'t [u8], point: &Path) -> Option<Mounted<'t>> {
    parse(table).rfind(|mount| mount.point == point)
}

fn parse_line(line: &[u8]) -> Option<Mounted<'_>> {
    let mut fields = line.split(|b| *b == b' ');
    let device = std::str::from_utf8(fields.nth(2)?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let point = unescape(fields.nth(1)?);
    let options = fields.next()?;
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    Some(Mounted {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        point,
        options,
        kind: fields.next()?,
        source: unescape(fields.next()?),
        super_options: fields.next().unwrap_or_default(),
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
    fn the_mount_on_top_is_found_whatever_its_name() {
        let table = b"22 1 254:0 / / rw - ext4 /dev/vda rw\n\
            40 22 0:41 / /mnt/a\\040b\\134c rw - fuse.oxcrypt v rw\n\
            41 40 0:42 / /mnt/a\\040b\\134c rw - fuse.oxcrypt v rw\n\
            42 22 0:43 / /mnt/a rw - tmpfs t rw\n";
        let of = |point| at(table, Path::new(point)).map(|m| (m.major, m.minor));
        assert_eq!(of("/mnt/a b\\c"), Some((0, 42)));
        assert_eq!(of("/mnt/a"), Some((0, 43)));
        assert_eq!(of("/mnt"), None);
    }
}
