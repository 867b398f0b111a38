//! A passphrase on its way from a prompter to the command. It is wiped when it has been passed on.

use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

/// Longest passphrase, as the command has it.
pub(crate) const MAX_LEN: usize = 32 * 1024;

/// One line without its newline.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A buffer that is never moved by growing, so that no copy stays behind.
pub(crate) fn room() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(MAX_LEN + 2))
}

impl Secret {
    /// `None` for an empty line, for several and for one that is too long.
    pub(crate) fn from_line(mut line: Zeroizing<Vec<u8>>) -> Option<Self> {
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let good = !line.is_empty() && line.len() <= MAX_LEN && !line.contains(&b'\n');
        good.then_some(Self(line))
    }

    /// What a program prints until its end.
    pub(crate) async fn read(from: impl AsyncRead + Unpin) -> std::io::Result<Option<Self>> {
        let mut line = room();
        let mut from = from.take(MAX_LEN as u64 + 2);
        // `read_buf` fills the capacity there is and never makes the buffer grow before it is full.
        while line.len() < line.capacity() && from.read_buf(&mut *line).await? > 0 {}
        Ok(Self::from_line(line))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let of = |text: &[u8]| {
            Secret::from_line(Zeroizing::new(text.to_vec())).map(|s| s.bytes().to_vec())
        };
        assert_eq!(of(b"word\n"), Some(b"word".to_vec()));
        assert_eq!(of("ä b".as_bytes()), Some("ä b".as_bytes().to_vec()));
        for bad in [&b""[..], b"\n", b"a\nb", &[b'x'; MAX_LEN + 1]] {
            assert_eq!(of(bad), None);
        }
    }
}
