//! Follows what happens in one mounted vault, at the socket of its process.

use std::path::Path;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// Longest line; an event holds a path and a sentence.
const MAX_LINE: u64 = 64 << 10;

/// One event. Never a cleartext name.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) seq: u64,
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) cipher_path: Option<String>,
    #[serde(default)]
    pub(crate) text: Option<String>,
}

/// Calls `visit` with each event, until the mount has ended or its process is gone.
pub(crate) async fn follow(socket: &Path, mut visit: impl FnMut(Event)) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        return Err(std::io::ErrorKind::PermissionDenied.into());
    }
    stream
        .write_all(b"{\"ask\":\"events\",\"since\":0,\"follow\":true}\n")
        .await?;
    let mut lines = BufReader::with_capacity(1024, stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut lines)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .await?;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
        if let Ok(event) = serde_json::from_slice(&line) {
            visit(event);
        }
    }
}
