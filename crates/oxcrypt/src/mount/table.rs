//! What is mounted: the kernel's table is the only truth.

use std::path::{Path, PathBuf};

use oxcrypt_store::mountinfo::{self, TABLE};

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

impl Mounted {
    /// Whether it is mounted still.
    pub(crate) fn is_there(&self) -> Result<bool> {
        let is_it =
            |m: &Self| m.point == self.point && (m.major, m.minor) == (self.major, self.minor);
        Ok(mounts()?.iter().any(is_it))
    }
}

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
    mountinfo::parse(table).filter_map(vault).collect()
}

fn vault(mount: mountinfo::Mounted<'_>) -> Option<Mounted> {
    if mount.kind != b"fuse.oxcrypt" {
        return None;
    }
    let uid = mount.super_options.split(|b| *b == b',').find_map(|o| {
        std::str::from_utf8(o.strip_prefix(b"user_id=")?)
            .ok()?
            .parse()
            .ok()
    });
    Some(Mounted {
        point: mount.point,
        vault: mount.source,
        major: mount.major,
        minor: mount.minor,
        read_only: mount.options.split(|b| *b == b',').any(|o| o == b"ro"),
        uid,
    })
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
