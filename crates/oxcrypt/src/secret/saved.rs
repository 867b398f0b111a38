//! Passphrases kept by others: the desktop's key ring and the kernel's. Both only where a vault was
//! set up for it, by way of their own programs (`secret-tool`, `keyctl`), which take the secret
//! from a pipe.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use data_encoding::HEXLOWER;
use oxcrypt_core::Passphrase;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::read;
use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};

/// Who keeps a passphrase.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Saved {
    /// The desktop's key ring (Secret Service: GNOME Keyring, KWallet, KeePassXC).
    Keyring,
    /// The kernel's key ring of this user, until the machine is shut down or a timeout ends.
    Keyutils,
}

impl Saved {
    fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Keyring => ("secret-tool", "libsecret-tools"),
            Self::Keyutils => ("keyctl", "keyutils"),
        }
    }
}

/// What a vault is called there. Not its path: others may see the name of an entry.
fn id(vault: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    HEXLOWER.encode(&Sha256::digest(vault.as_os_str().as_bytes())[..12])
}

fn entry(vault: &Path) -> String {
    format!("oxcrypt:{}", id(vault))
}

/// Runs the program with `input`; its output.
fn run(place: Saved, arguments: &[&str], input: &[u8]) -> Result<(bool, Zeroizing<Vec<u8>>)> {
    let (program, package) = place.program();
    let missing = |e: std::io::Error| {
        Failure::io(&e)
            .at(program)
            .hint(format!("install the package {package}"))
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(missing)?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that does not read has told why in its exit code.
        let _ = pipe.write_all(input);
    }
    let done = child.wait_with_output().what(program)?;
    Ok((done.status.success(), Zeroizing::new(done.stdout)))
}

pub(super) fn load(place: Saved, vault: &Path) -> Result<Passphrase> {
    let id = id(vault);
    let missing = || {
        Failure::new(Exit::WrongKey, "no passphrase of this vault is saved there")
            .hint("`oxcrypt key add` saves it")
    };
    let (good, text) = match place {
        Saved::Keyring => run(
            place,
            &["lookup", "application", "oxcrypt", "vault", &id],
            b"",
        )?,
        Saved::Keyutils => {
            let name = entry(vault);
            let (good, number) = run(place, &["search", "@u", "user", &name], b"")?;
            let number = String::from_utf8_lossy(&number).trim().to_owned();
            if !good {
                return Err(missing());
            }
            run(place, &["pipe", &number], b"")?
        }
    };
    if !good || text.is_empty() {
        return Err(missing());
    }
    read::single_line(text, "the key ring")
}

/// Whether a passphrase of the vault is kept there; errors count as no.
pub(crate) fn is_saved(place: Saved, vault: &Path) -> bool {
    load(place, vault).is_ok()
}

/// Keeps a passphrase; in the kernel for at most `timeout` seconds.
pub(crate) fn save(
    place: Saved,
    vault: &Path,
    text: &Passphrase,
    timeout: Option<u64>,
) -> Result<()> {
    let (program, _) = place.program();
    let failed = || {
        Failure::new(
            Exit::Other,
            format!("{program} could not save the passphrase"),
        )
        .hint("`oxcrypt doctor` tells whether there is a key ring here")
    };
    let id = id(vault);
    let secret = text.as_str().as_bytes();
    match place {
        Saved::Keyring => {
            let label = format!("--label=oxcrypt vault {}", vault.display());
            let arguments = ["store", &label, "application", "oxcrypt", "vault", &id];
            let (good, _) = run(place, &arguments, secret)?;
            good.then_some(()).ok_or_else(failed)
        }
        Saved::Keyutils => {
            let name = entry(vault);
            let (good, number) = run(place, &["padd", "user", &name, "@u"], secret)?;
            if !good {
                return Err(failed());
            }
            let number = String::from_utf8_lossy(&number).trim().to_owned();
            if let Some(seconds) = timeout {
                run(place, &["timeout", &number, &seconds.to_string()], b"")?;
            }
            Ok(())
        }
    }
}

/// Removes a kept passphrase; whether there was one.
pub(crate) fn forget(place: Saved, vault: &Path) -> Result<bool> {
    let id = id(vault);
    match place {
        Saved::Keyring => {
            let known = is_saved(place, vault);
            run(
                place,
                &["clear", "application", "oxcrypt", "vault", &id],
                b"",
            )?;
            Ok(known)
        }
        Saved::Keyutils => {
            let name = entry(vault);
            let (good, number) = run(place, &["search", "@u", "user", &name], b"")?;
            if !good {
                return Ok(false);
            }
            let number = String::from_utf8_lossy(&number).trim().to_owned();
            Ok(run(place, &["unlink", &number, "@u"], b"")?.0)
        }
    }
}
