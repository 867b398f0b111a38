//! Runs the `oxcrypt` command: everything the tray knows and does about vaults goes through it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::fault::{Fault, Holder};
use crate::secret::Secret;

/// Longest answer that is read. A list of mounts has some hundred bytes for each.
const MAX_ANSWER: u64 = 4 << 20;
/// Unlocking derives a key on purpose slowly, and a key ring may ask a person first.
const PATIENCE: Duration = Duration::from_secs(300);

/// The command.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    program: PathBuf,
}

/// What the command reads on its standard input.
#[derive(Debug)]
pub(crate) enum Input {
    Nothing,
    /// A passphrase that this process has been told.
    Secret(Secret),
    /// A passphrase that it never sees: the command reads it from this descriptor.
    Descriptor(OwnedFd),
}

impl Runner {
    /// Beside this program, or in PATH.
    pub(crate) fn find() -> Self {
        let beside = std::env::current_exe()
            .ok()
            .map(|own| own.with_file_name("oxcrypt"))
            .filter(|program| program.is_file());
        Self {
            program: beside.unwrap_or_else(|| PathBuf::from("oxcrypt")),
        }
    }

    /// The objects the command answers, one a line; its failure as a [`Fault`].
    pub(crate) async fn run<S: AsRef<std::ffi::OsStr>>(
        &self,
        words: &[S],
        input: Input,
    ) -> Result<Vec<serde_json::Value>, Fault> {
        match tokio::time::timeout(PATIENCE, self.run_to_end(words, input)).await {
            Ok(done) => done,
            Err(_) => Err(Fault::new("timeout", "the oxcrypt command does not end")),
        }
    }

    async fn run_to_end<S: AsRef<std::ffi::OsStr>>(
        &self,
        words: &[S],
        input: Input,
    ) -> Result<Vec<serde_json::Value>, Fault> {
        let (stdin, secret) = match input {
            Input::Nothing => (Stdio::null(), None),
            Input::Secret(secret) => (Stdio::piped(), Some(secret)),
            Input::Descriptor(fd) => (Stdio::from(fd), None),
        };
        let mut child = Command::new(&self.program)
            .arg("--json")
            .args(words)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| {
                Fault::new(
                    "no_command",
                    format!("cannot run {}: {e}", self.program.display()),
                )
            })?;
        if let (Some(mut pipe), Some(secret)) = (child.stdin.take(), secret) {
            // A command that refuses before it reads says why in its answer.
            let _ = pipe.write_all(secret.bytes()).await;
        }
        let mut answer = Vec::new();
        if let Some(out) = child.stdout.take() {
            let read = out.take(MAX_ANSWER).read_to_end(&mut answer).await;
            read.map_err(|e| Fault::new("other", format!("the oxcrypt command: {e}")))?;
        }
        let status = child
            .wait()
            .await
            .map_err(|e| Fault::new("other", format!("the oxcrypt command: {e}")))?;
        let objects = objects(&answer);
        if status.success() {
            return Ok(objects);
        }
        Err(objects.into_iter().find_map(failure).unwrap_or_else(|| {
            Fault::new("other", format!("the oxcrypt command failed: {status}"))
        }))
    }

    /// The one object the command answers.
    pub(crate) async fn ask<T: for<'a> Deserialize<'a>>(&self, words: &[&str]) -> Result<T, Fault> {
        let answer = self.run(words, Input::Nothing).await?;
        answer
            .into_iter()
            .next()
            .and_then(|object| serde_json::from_value(object).ok())
            .ok_or_else(|| {
                Fault::new(
                    "other",
                    "the oxcrypt command gave an answer of another version",
                )
            })
    }
}

fn objects(answer: &[u8]) -> Vec<serde_json::Value> {
    answer
        .split(|b| *b == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

fn failure(object: serde_json::Value) -> Option<Fault> {
    #[derive(Deserialize)]
    struct Failure {
        schema: String,
        code: String,
        message: String,
        hint: Option<String>,
        #[serde(default)]
        pids: Vec<Holder>,
    }
    let failure: Failure = serde_json::from_value(object).ok()?;
    (failure.schema == "oxcrypt.error/1").then_some(Fault {
        code: failure.code,
        message: failure.message,
        hint: failure.hint,
        holders: failure.pids,
    })
}

/// A path in an answer: text, or base64 of bytes that are not UTF-8.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Text {
    Plain(String),
    Bytes { b64: String },
}

impl From<Text> for PathBuf {
    fn from(text: Text) -> Self {
        match text {
            Text::Plain(text) => text.into(),
            Text::Bytes { b64 } => {
                let bytes = data_encoding::BASE64.decode(b64.as_bytes());
                OsString::from_vec(bytes.unwrap_or_default()).into()
            }
        }
    }
}

/// A program in PATH.
pub(crate) fn in_path(program: impl AsRef<Path>) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths)
        .map(|dir| dir.join(program.as_ref()))
        .find(|file| {
            std::fs::metadata(file)
                .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_found_among_answers() {
        let answer = br#"{"schema":"oxcrypt.lock/1","mountpoint":"/m","vault":"/v","locked":false}
{"schema":"oxcrypt.error/1","code":"busy","exit":9,"message":"/m is in use","hint":"h","pids":[{"pid":7,"comm":"bash","why":"cwd"}]}
not json
"#;
        let fault = objects(answer)
            .into_iter()
            .find_map(failure)
            .expect("a failure");
        assert_eq!((fault.code.as_str(), fault.holders.len()), ("busy", 1));
        assert_eq!(fault.users(), "bash (7)");
    }

    #[test]
    fn paths_that_are_not_text() {
        let text: Text = serde_json::from_str(r#"{"b64":"L/8="}"#).expect("the form of a path");
        assert_eq!(
            PathBuf::from(text).into_os_string().into_vec(),
            [b'/', 0xff]
        );
    }
}
