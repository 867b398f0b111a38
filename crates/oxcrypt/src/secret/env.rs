//! Passphrases in environment variables.
//!
//! A process cannot take a variable out of the memory that `/proc/PID/environ` shows. So before
//! anything else the command starts itself anew without the variable, and hands what was in it
//! over in a pipe.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;

use oxcrypt_core::Passphrase;
use zeroize::{Zeroize, Zeroizing};

use super::read;
use crate::failure::{Failure, Host, Result};

const OPTIONS: [&str; 2] = ["--password-env", "--new-password-env"];

/// Starts this program anew if an option names a variable; returns if none does.
pub(crate) fn hide_variables(arguments: &[OsString]) -> Result<()> {
    let mut fresh: Vec<OsString> = Vec::with_capacity(arguments.len());
    let mut names = Vec::new();
    let mut pipes = Vec::new();
    let mut words = arguments.iter().skip(1).peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            fresh.push(word.clone());
            fresh.extend(words.cloned());
            break;
        }
        let Some((option, name)) = named(word, || words.next().cloned()) else {
            fresh.push(word.clone());
            continue;
        };
        let value = std::env::var_os(&name).ok_or_else(|| missing(&name))?;
        let pipe = filled_pipe(value)?;
        fresh.push(option.replace("-env", "-fd").into());
        fresh.push(pipe.as_raw_fd().to_string().into());
        pipes.push(pipe);
        names.push(name);
    }
    if names.is_empty() {
        return Ok(());
    }
    let mut command = std::process::Command::new(std::env::current_exe().what("this program")?);
    if let Some(zero) = arguments.first() {
        command.arg0(zero);
    }
    command.args(fresh);
    for name in names {
        command.env_remove(name);
    }
    Err(Failure::io(&command.exec()).at("cannot start again without the variable"))
}

/// The option and the variable's name, if this word is one of the options.
fn named(
    word: &OsStr,
    next: impl FnOnce() -> Option<OsString>,
) -> Option<(&'static str, OsString)> {
    for option in OPTIONS {
        if word == option {
            return Some((option, next()?));
        }
        let value = word.as_bytes().strip_prefix(option.as_bytes());
        if let Some(name) = value.and_then(|rest| rest.strip_prefix(b"=")) {
            return Some((option, OsStr::from_bytes(name).to_owned()));
        }
    }
    None
}

/// The reading end of a pipe that holds the value; it stays open across exec.
fn filled_pipe(value: OsString) -> Result<rustix::fd::OwnedFd> {
    let value = Zeroizing::new(value.into_vec());
    if value.len() > read::MAX_LEN {
        return Err(Failure::usage("the variable is longer than any passphrase"));
    }
    // A pipe takes 64 KiB without a reader.
    let (reader, writer) = rustix::pipe::pipe().what("a pipe")?;
    rustix::io::write(&writer, &value).what("a pipe")?;
    Ok(reader)
}

fn missing(name: &OsStr) -> Failure {
    Failure::usage(format!(
        "the environment variable {} is not set",
        name.to_string_lossy()
    ))
}

/// Reached only where the program was not started anew: inside an argument that clap completed.
pub(super) fn take(name: &str) -> Result<Passphrase> {
    let mut value = std::env::var(name).map_err(|_| missing(OsStr::new(name)))?;
    let text = Passphrase::from_bytes(value.as_bytes());
    value.zeroize();
    text.ok_or_else(|| Failure::usage("the variable is not UTF-8"))
}
