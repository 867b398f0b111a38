//! Asking at the terminal.

use oxcrypt_core::Passphrase;

use crate::failure::{Failure, Result};

/// One passphrase, typed without being shown.
pub(super) fn ask(prompt: &str) -> Result<Passphrase> {
    type_one(prompt).ok_or_else(|| {
        Failure::usage("no passphrase was given, and there is no terminal to ask for it").hint(
            "use --password-file, --password-stdin, --password-fd, --password-command or \
             --password-env",
        )
    })
}

fn type_one(prompt: &str) -> Option<Passphrase> {
    rpassword::prompt_password(prompt).ok().map(Passphrase::new)
}

/// A new passphrase, typed twice; `options` are those that give it otherwise.
pub(super) fn ask_twice(label: &str, options: &str) -> Result<Passphrase> {
    let nobody = || {
        Failure::usage("no new passphrase was given, and there is no terminal to ask for it")
            .hint(format!("use {options}"))
    };
    for _ in 0..3 {
        let first = type_one(&format!("New passphrase of {label}: ")).ok_or_else(nobody)?;
        let again = type_one("The same again: ").ok_or_else(nobody)?;
        if first.as_str() == again.as_str() {
            return Ok(first);
        }
        eprintln!("the two are different");
    }
    Err(Failure::usage("no new passphrase was given"))
}
