//! Asking at the terminal.

use oxcrypt_core::Passphrase;

use crate::failure::{Failure, Result};

/// One passphrase, typed without being shown.
pub(super) fn ask(prompt: &str) -> Result<Passphrase> {
    match rpassword::prompt_password(prompt) {
        Ok(text) => Ok(Passphrase::new(text)),
        Err(_) => Err(Failure::usage(
            "no passphrase was given, and there is no terminal to ask for it",
        )
        .hint(
            "use --password-file, --password-stdin, --password-fd, --password-command or \
             --password-env",
        )),
    }
}

/// A new passphrase, typed twice.
pub(super) fn ask_twice(label: &str) -> Result<Passphrase> {
    for _ in 0..3 {
        let first = ask(&format!("New passphrase of {label}: "))?;
        let again = ask("The same again: ")?;
        if first.as_str() == again.as_str() {
            return Ok(first);
        }
        eprintln!("the two are different");
    }
    Err(Failure::usage("no new passphrase was given"))
}
