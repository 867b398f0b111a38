//! Paths inside a vault: always from its top, `/` between the names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// A path inside a vault, without `.`; `..` goes up by name and stops at the top.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct InnerPath {
    names: Vec<Vec<u8>>,
    /// It was written with a slash at the end: a directory is meant.
    pub(crate) wants_dir: bool,
}

impl InnerPath {
    /// The paths given to a command, or the top of the vault if there are none.
    pub(crate) fn parse_or_top(texts: &[OsString]) -> Vec<Self> {
        if texts.is_empty() {
            return vec![Self::parse(OsStr::new("/"))];
        }
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    pub(crate) fn parse(text: &OsStr) -> Self {
        let bytes = text.as_bytes();
        let mut names: Vec<Vec<u8>> = Vec::new();
        for name in bytes.split(|b| *b == b'/') {
            match name {
                b"" | b"." => {}
                b".." => {
                    names.pop();
                }
                name => names.push(name.to_vec()),
            }
        }
        Self {
            names,
            wants_dir: bytes.ends_with(b"/"),
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.names.is_empty()
    }

    pub(crate) fn names(&self) -> &[Vec<u8>] {
        &self.names
    }

    pub(crate) fn name(&self) -> Option<&[u8]> {
        self.names.last().map(Vec::as_slice)
    }

    /// The directory around it; the top's is the top.
    pub(crate) fn parent(&self) -> Self {
        let mut names = self.names.clone();
        names.pop();
        Self {
            names,
            wants_dir: true,
        }
    }

    pub(crate) fn join(&self, name: &[u8]) -> Self {
        let mut names = self.names.clone();
        names.push(name.to_vec());
        Self {
            names,
            wants_dir: false,
        }
    }

    /// `/a/b` as bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        if self.is_root() {
            return b"/".to_vec();
        }
        self.names.iter().fold(Vec::new(), |mut all, name| {
            all.push(b'/');
            all.extend_from_slice(name);
            all
        })
    }

    /// Whether `other` is this or lies below it.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        other.names.starts_with(&self.names)
    }
}

impl std::fmt::Display for InnerPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::out::printable(&self.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_like_a_shell_user_expects() {
        for (text, expect) in [
            ("", "/"),
            ("/", "/"),
            ("a", "/a"),
            ("/a//b/./c/", "/a/b/c"),
            ("a/../b", "/b"),
            ("../../x", "/x"),
        ] {
            assert_eq!(
                InnerPath::parse(OsStr::new(text)).to_string(),
                expect,
                "{text}"
            );
        }
        assert!(InnerPath::parse(OsStr::new("a/")).wants_dir);
        assert!(!InnerPath::parse(OsStr::new("a")).wants_dir);
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        let path = InnerPath::parse(OsStr::new("a\x1b[2Jb"));
        assert!(!path.to_string().contains('\x1b'));
    }
}
