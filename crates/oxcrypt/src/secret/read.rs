//! Reading secrets from files, descriptors, pipes and commands, into memory that is wiped.

use std::io::{BufRead, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use oxcrypt_core::{MasterKey, Passphrase};
use zeroize::{Zeroize, Zeroizing};

use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};

/// Longest secret accepted, in bytes.
pub(crate) const MAX_LEN: usize = 32 * 1024;

/// One line, without the newline at its end.
pub(super) fn single_line(mut bytes: Zeroizing<Vec<u8>>, place: &str) -> Result<Passphrase> {
    if bytes.len() > MAX_LEN {
        return Err(Failure::usage(format!(
            "{place}: longer than any passphrase"
        )));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.contains(&b'\n') {
        return Err(
            Failure::usage(format!("{place}: the passphrase has more than one line"))
                .hint("only one newline at the end is dropped"),
        );
    }
    Passphrase::from_bytes(&bytes)
        .ok_or_else(|| Failure::usage(format!("{place}: the passphrase is not UTF-8")))
}

fn limited(from: impl Read, place: &str) -> Result<Zeroizing<Vec<u8>>> {
    // Room for all of it at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LEN + 2));
    from.take(MAX_LEN as u64 + 1)
        .read_to_end(&mut bytes)
        .what(place)?;
    Ok(bytes)
}

pub(super) fn file(path: &Path) -> Result<Passphrase> {
    let place = path.display().to_string();
    single_line(limited(open(path)?, &place)?, &place)
}

fn open(path: &Path) -> Result<std::fs::File> {
    let file = std::fs::File::open(path).host(path)?;
    let meta = file.metadata().host(path)?;
    if meta.is_file() && meta.mode() & 0o004 != 0 {
        eprintln!(
            "oxcrypt: warning: {} can be read by every user; `chmod 600` it",
            path.display()
        );
    }
    Ok(file)
}

/// One line of standard input; the next call gives the next line.
pub(super) fn stdin_line() -> Result<Passphrase> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LEN + 2));
    std::io::stdin()
        .lock()
        .take(MAX_LEN as u64 + 1)
        .read_until(b'\n', &mut bytes)
        .what("standard input")?;
    if bytes.is_empty() {
        return Err(Failure::usage("standard input ended before the passphrase"));
    }
    single_line(bytes, "standard input")
}

pub(super) fn fd(number: u32) -> Result<Passphrase> {
    let place = format!("file descriptor {number}");
    if number < 3 {
        let other = if number == 0 {
            "; use --password-stdin"
        } else {
            ""
        };
        return Err(Failure::usage(format!(
            "{place} is a standard stream{other}"
        )));
    }
    // Opened by way of /proc: descriptors by number are not safe to take over.
    let file = std::fs::File::open(format!("/proc/self/fd/{number}")).what(&place)?;
    single_line(limited(file, &place)?, &place)
}

pub(super) fn command(words: &[String]) -> Result<Passphrase> {
    let argv = match words {
        [line] => shlex::split(line)
            .ok_or_else(|| Failure::usage("the passphrase command has an open quote"))?,
        words => words.to_vec(),
    };
    let Some((program, arguments)) = argv.split_first() else {
        return Err(Failure::usage("the passphrase command is empty"));
    };
    let place = format!("passphrase command {program}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .what(&place)?;
    let printed = match child.stdout.take() {
        Some(pipe) => limited(pipe, &place)?,
        None => Zeroizing::new(Vec::new()),
    };
    let status = child.wait().what(&place)?;
    if !status.success() {
        return Err(Failure::new(
            Exit::Other,
            format!("{place}: failed ({status})"),
        ));
    }
    if printed.is_empty() {
        return Err(Failure::new(
            Exit::Other,
            format!("{place}: printed nothing"),
        ));
    }
    single_line(printed, &place)
}

/// A short text; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> Result<Zeroizing<String>> {
    let place = path.display().to_string();
    let bytes = if path == Path::new("-") {
        limited(std::io::stdin().lock(), "standard input")?
    } else {
        limited(open(path)?, &place)?
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Failure::usage(format!("{place}: not UTF-8"))),
    }
}

/// 64 raw bytes, or hexadecimal or base64 text of them.
pub(super) fn master_key(path: &Path) -> Result<MasterKey> {
    use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
    let place = path.display().to_string();
    let bytes = limited(open(path)?, &place)?;
    if let Ok(raw) = <&[u8; MasterKey::LEN]>::try_from(bytes.as_slice()) {
        return Ok(MasterKey::from_raw(raw));
    }
    let text = bytes.trim_ascii();
    let decoded = HEXLOWER_PERMISSIVE
        .decode(text)
        .or_else(|_| BASE64.decode(text))
        .map(Zeroizing::new)
        .unwrap_or_default();
    let mut raw: [u8; MasterKey::LEN] = decoded.as_slice().try_into().map_err(|_| {
        Failure::usage(format!("{place}: not a master key"))
            .hint("it is 64 bytes, or 128 hexadecimal digits, or 88 characters of base64")
    })?;
    let key = MasterKey::from_raw(&raw);
    raw.zeroize();
    Ok(key)
}
