//! Where a passphrase comes from. Never from the command line.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};
use oxcrypt_core::Passphrase;

/// Longest passphrase accepted, in bytes.
const MAX_LEN: u64 = 64 * 1024;

/// The passphrase sources; at most one.
#[derive(clap::Args, Debug, Clone)]
#[group(multiple = false)]
pub(crate) struct Source {
    /// Read the passphrase from a file (one trailing newline is dropped).
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Read the passphrase from standard input.
    #[arg(long)]
    password_stdin: bool,
}

impl Source {
    pub(crate) fn read(&self) -> anyhow::Result<Passphrase> {
        let mut text = String::new();
        if let Some(path) = &self.password_file {
            let file = std::fs::File::open(path)
                .with_context(|| format!("cannot read the passphrase file {}", path.display()))?;
            file.take(MAX_LEN)
                .read_to_string(&mut text)
                .context("the passphrase is not UTF-8")?;
        } else if self.password_stdin {
            std::io::stdin()
                .take(MAX_LEN)
                .read_to_string(&mut text)
                .context("the passphrase is not UTF-8")?;
        } else {
            bail!("no passphrase given; use --password-file or --password-stdin");
        }
        if text.ends_with('\n') {
            text.pop();
        }
        if text.contains('\n') {
            bail!("the passphrase has more than one line");
        }
        Ok(Passphrase::new(text))
    }
}
