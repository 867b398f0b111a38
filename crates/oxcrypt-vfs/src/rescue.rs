//! Keeping both versions when another program replaces a file that was just written here.
//!
//! A sync client that receives a newer version moves it over ours. If ours held changes that the
//! client cannot have seen yet, they are copied to a file of their own beside it.

use std::sync::Arc;

use oxcrypt_core::content::layout::ChunkIndex;
use oxcrypt_core::name::CleartextName;
use oxcrypt_store::{Node as StoreNode, Store, StoreErrorKind};

use crate::error::{ErrorKind, Result};
use crate::event::EventKind;
use crate::node::{Backing, FileIo, Node};
use crate::vault_fs::VaultFs;

/// Names that are tried for a copy.
const TRIES: usize = 100;
/// Longest name that programs can handle.
const NAME_MAX: usize = 255;

impl<S: Store> VaultFs<S> {
    /// Saves the version of a node that lost the name `name` in `parent` to another program's file.
    /// Those who have it open go on in the copy.
    pub(crate) fn rescue(&self, node: &Arc<Node<S>>, parent: &Arc<Node<S>>, name: &str) {
        match self.copy_beside(node, parent, name) {
            Ok(copy) => {
                self.mark_changed(parent);
                tracing::warn!(
                    inode = node.identity.ino,
                    "another program replaced a file that was being written; our version was kept"
                );
                let path = format!("inode {}: kept as {}", node.identity.ino, copy);
                self.event(EventKind::ForeignChange, path.as_bytes());
            }
            Err(e) => {
                tracing::error!(
                    inode = node.identity.ino,
                    error = %e,
                    "another program replaced a file that was being written; our version is lost \
                     unless the program that wrote it saves it again"
                );
            }
        }
    }

    /// Returns the ciphertext name of the copy.
    fn copy_beside(
        &self,
        node: &Arc<Node<S>>,
        parent: &Arc<Node<S>>,
        name: &str,
    ) -> Result<String> {
        let dir = parent.dir()?;
        let _names = dir.names_exclusive();
        let content = self.content_dir(parent)?;
        let mut io = node.file()?.io.write();
        for nth in 1..=TRIES {
            let text = copy_name(name, nth);
            let sealed = self.seal(dir, &CleartextName::parse(text.as_bytes())?)?;
            let file = match self.make_file(&content, &sealed, 0o600) {
                Err(e) if e.kind == ErrorKind::Exists => continue,
                other => other?,
            };
            self.copy_ciphertext(&mut io, &file)?;
            io.backing = Some(Backing {
                file,
                writable: true,
            });
            return Ok(String::from_utf8_lossy(sealed.node_name.as_bytes()).into_owned());
        }
        Err(ErrorKind::Exists.into())
    }

    /// Copies header and chunks as they are sealed: the copy is the same file under another name.
    /// Chunks in the journal are moved to the copy, which is synced.
    fn copy_ciphertext(&self, io: &mut FileIo<S>, to: &S::File) -> Result<()> {
        let from = &io.backing.as_ref().ok_or(ErrorKind::Stale)?.file;
        let stat = self.store.stat_file(from)?;
        let layout = self.cryptor.layout();
        if let Some(header) = &io.header {
            self.store.write_at(to, header.sealed(), 0)?;
        }
        let mut buf = vec![0; layout.cipher_chunk_len()];
        let mut index = ChunkIndex(0);
        while layout.chunk_start(index) < io.cipher_len {
            let got = self.read_sealed(io, index, &mut buf)?;
            if got == 0 {
                break;
            }
            self.store
                .write_at(to, &buf[..got], layout.chunk_start(index))?;
            index.0 += 1;
        }
        match self.store.set_mode(StoreNode::File(to), stat.mode) {
            Err(e) if e.kind != StoreErrorKind::Unsupported => return Err(e.into()),
            _ => {}
        }
        self.store.sync_all(to)?;
        if let Some(logged) = &mut io.logged {
            logged.chunks.clear();
            logged.stored_len = io.cipher_len;
        }
        io.header_pending = false;
        Ok(())
    }
}

/// `report (conflict copy).odt`, `report (conflict copy 2).odt`, …
fn copy_name(name: &str, nth: usize) -> String {
    let mark = match nth {
        1 => " (conflict copy)".to_owned(),
        n => format!(" (conflict copy {n})"),
    };
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && ending.len() <= 16 => {
            (stem, format!(".{ending}"))
        }
        _ => (name, String::new()),
    };
    let mut keep = stem.len().min(NAME_MAX - mark.len() - ending.len());
    while !stem.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}{mark}{ending}", &stem[..keep])
}

#[cfg(test)]
mod tests {
    use super::copy_name;

    #[test]
    fn copies_keep_their_ending_and_fit() {
        assert_eq!(copy_name("a.odt", 1), "a (conflict copy).odt");
        assert_eq!(copy_name("a.odt", 3), "a (conflict copy 3).odt");
        assert_eq!(copy_name(".bashrc", 1), ".bashrc (conflict copy)");
        let long = "ä".repeat(127);
        let copy = copy_name(&format!("{long}.b"), 1);
        assert!(copy.len() <= 255 && copy.ends_with(" (conflict copy).b"));
    }
}
