//! pinentry, by the Assuan protocol.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout, Command};
use zeroize::Zeroizing;

use super::{NoAnswer, Question};
use crate::secret::{MAX_LEN, Secret, room};

/// Code of an error in its lower half: the person cancelled, or did not answer in time.
const CANCELLED: [u32; 2] = [99, 62];

struct Talk {
    to: ChildStdin,
    from: ChildStdout,
}

pub(super) async fn ask(question: &Question) -> Result<Secret, NoAnswer> {
    let mut child = Command::new("pinentry")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|_| NoAnswer::Unusable)?;
    let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(NoAnswer::Unusable);
    };
    let mut talk = Talk { to, from };
    let answer = talk.ask(question).await;
    // It ends with its input.
    let _ = talk.to.write_all(b"BYE\n").await;
    drop(talk);
    let _ = child.wait().await;
    answer
}

impl Talk {
    async fn ask(&mut self, question: &Question) -> Result<Secret, NoAnswer> {
        self.answer().await?;
        let mut settings = vec![
            ("SETTITLE", "oxcrypt"),
            ("SETDESC", &question.text),
            ("SETPROMPT", "Passphrase:"),
        ];
        if let Some(error) = &question.error {
            settings.push(("SETERROR", error));
        }
        for (command, text) in settings {
            self.say(&format!("{command} {}\n", escaped(text))).await?;
            self.answer().await?;
        }
        self.say("GETPIN\n").await?;
        let data = self.answer().await?;
        Secret::from_line(data).ok_or(NoAnswer::Cancelled)
    }

    async fn say(&mut self, line: &str) -> Result<(), NoAnswer> {
        let said = self.to.write_all(line.as_bytes()).await;
        said.map_err(|_| NoAnswer::Unusable)
    }

    /// Reads up to OK or ERR; the data that came before it.
    async fn answer(&mut self) -> Result<Zeroizing<Vec<u8>>, NoAnswer> {
        let mut data = room();
        loop {
            let line = self.line().await?;
            let line = line.strip_suffix(b"\n").ok_or(NoAnswer::Unusable)?;
            if let Some(text) = line.strip_prefix(b"D ") {
                if data.len() + text.len() > MAX_LEN {
                    return Err(NoAnswer::Unusable);
                }
                unescape(text, &mut data);
            } else if line == b"OK" || line.starts_with(b"OK ") {
                return Ok(data);
            } else if let Some(text) = line.strip_prefix(b"ERR ") {
                return Err(error(text));
            }
            // Status lines and comments say nothing that matters here.
        }
    }

    async fn line(&mut self) -> Result<Zeroizing<Vec<u8>>, NoAnswer> {
        let mut line = room();
        // Byte by byte: a buffered reader would keep a copy that nobody wipes.
        while line.len() < MAX_LEN && line.last() != Some(&b'\n') {
            let byte = self.from.read_u8().await;
            line.push(byte.map_err(|_| NoAnswer::Unusable)?);
        }
        Ok(line)
    }
}

fn error(text: &[u8]) -> NoAnswer {
    let code = text.split(|b| *b == b' ').next().unwrap_or_default();
    let code = std::str::from_utf8(code)
        .ok()
        .and_then(|code| code.parse::<u32>().ok());
    match code {
        Some(code) if CANCELLED.contains(&(code & 0xffff)) => NoAnswer::Cancelled,
        _ => NoAnswer::Unusable,
    }
}

/// For one line of the protocol.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '%' => out.push_str("%25"),
            '\n' => out.push_str("%0A"),
            '\r' => out.push_str("%0D"),
            c => out.push(c),
        }
        out
    })
}

fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let digit = |b: u8| (b as char).to_digit(16);
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        if let (b'%', [a, b, after @ ..]) = (first, tail)
            && let (Some(a), Some(b)) = (digit(*a), digit(*b))
        {
            #[expect(clippy::cast_possible_truncation, reason = "two digits are one byte")]
            out.push((a * 16 + b) as u8);
            rest = after;
            continue;
        }
        out.push(first);
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(escaped("50% of\nit"), "50%25 of%0Ait");
        let mut out = Vec::new();
        unescape(b"a%25b%0Ac%4", &mut out);
        assert_eq!(out, b"a%b\nc%4");
    }

    #[test]
    fn errors() {
        assert_eq!(
            error(b"83886179 Operation cancelled <Pinentry>"),
            NoAnswer::Cancelled
        );
        assert_eq!(error(b"83918950 Inappropriate ioctl"), NoAnswer::Unusable);
        assert_eq!(error(b"nonsense"), NoAnswer::Unusable);
    }
}
