//! Where a passphrase or key comes from: the same options at every command, at most one of them,
//! never a value on the command line.

mod env;
mod read;
mod saved;
mod tty;

use std::path::{Path, PathBuf};

use oxcrypt_core::{MasterKey, Passphrase, recovery};
use oxcrypt_vault::VaultError;

pub(crate) use env::hide_variables;
pub(crate) use read::read_text;
pub(crate) use saved::{Saved, forget, is_saved, save};

use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::target::Target;

/// How a vault is to be unlocked.
#[derive(clap::Args, Debug, Clone, Default)]
#[group(id = "unlock-source", multiple = false)]
pub(crate) struct Source {
    /// Read the passphrase from this file; one newline at its end is dropped.
    #[arg(long, value_name = "FILE", help_heading = "Passphrase")]
    password_file: Option<PathBuf>,
    /// Read the passphrase from standard input, one line.
    #[arg(long, help_heading = "Passphrase")]
    password_stdin: bool,
    /// Read the passphrase from this open file descriptor.
    #[arg(long, value_name = "N", help_heading = "Passphrase")]
    password_fd: Option<u32>,
    /// Take what this command prints. Repeat it for each argument, or give one line to be split
    /// like a shell does; no shell is started.
    #[arg(
        long,
        value_name = "ARG",
        allow_hyphen_values = true,
        help_heading = "Passphrase"
    )]
    password_command: Vec<String>,
    /// Take it from this environment variable, which is then removed.
    #[arg(long, value_name = "NAME", help_heading = "Passphrase")]
    password_env: Option<String>,
    /// Take it from the desktop's key ring (see `oxcrypt key`).
    #[arg(long, help_heading = "Passphrase")]
    keyring: bool,
    /// Take it from the kernel's key ring (see `oxcrypt key`).
    #[arg(long, help_heading = "Passphrase")]
    keyutils: bool,
    /// Unlock with the 44 words of the recovery key in this file.
    #[arg(long, value_name = "FILE", help_heading = "Passphrase")]
    recovery_key_file: Option<PathBuf>,
    /// Unlock with the raw master key in this file: 64 bytes, or as hexadecimal or base64 text.
    #[arg(long, value_name = "FILE", help_heading = "Passphrase")]
    masterkey_file: Option<PathBuf>,
    /// Only there to say why it is refused.
    #[arg(long, hide = true, num_args = 0..=1, value_name = "REFUSED")]
    password: Option<Option<String>>,
}

/// Where a new passphrase comes from.
#[derive(clap::Args, Debug, Clone, Default)]
#[group(id = "new-source", multiple = false)]
pub(crate) struct NewSource {
    /// Read the new passphrase from this file; one newline at its end is dropped.
    #[arg(long, value_name = "FILE", help_heading = "New passphrase")]
    new_password_file: Option<PathBuf>,
    /// Read the new passphrase from standard input, one line; after the line of the old one.
    #[arg(long, help_heading = "New passphrase")]
    new_password_stdin: bool,
    /// Read the new passphrase from this open file descriptor.
    #[arg(long, value_name = "N", help_heading = "New passphrase")]
    new_password_fd: Option<u32>,
    /// Take what this command prints, as with --password-command.
    #[arg(
        long,
        value_name = "ARG",
        allow_hyphen_values = true,
        help_heading = "New passphrase"
    )]
    new_password_command: Vec<String>,
    /// Take the new passphrase from this environment variable, which is then removed.
    #[arg(long, value_name = "NAME", help_heading = "New passphrase")]
    new_password_env: Option<String>,
    /// Only there to say why it is refused.
    #[arg(long, hide = true, num_args = 0..=1, value_name = "REFUSED")]
    new_password: Option<Option<String>>,
}

/// What unlocks a vault.
#[derive(Debug)]
pub(crate) enum Secret {
    Passphrase(Passphrase),
    Key(MasterKey),
}

/// A source that was decided on.
enum Chosen {
    File(PathBuf),
    Stdin,
    Fd(u32),
    Command(Vec<String>),
    Env(String),
    Saved(Saved),
    RecoveryKey(PathBuf),
    MasterKey(PathBuf),
    Terminal,
}

impl Chosen {
    fn get(&self, target: &Path, prompt: &str) -> Result<Secret> {
        let text = match self {
            Self::File(path) => read::file(path)?,
            Self::Stdin => read::stdin_line()?,
            Self::Fd(fd) => read::fd(*fd)?,
            Self::Command(argv) => read::command(argv)?,
            Self::Env(name) => env::take(name)?,
            Self::Saved(place) => saved::load(*place, target)?,
            Self::RecoveryKey(path) => return recovery_key(path).map(Secret::Key),
            Self::MasterKey(path) => return read::master_key(path).map(Secret::Key),
            Self::Terminal => tty::ask(prompt)?,
        };
        Ok(Secret::Passphrase(text))
    }
}

impl Source {
    /// Order: option, environment, configuration, credential directory, terminal.
    fn chosen(&self, target: &Target) -> Result<Chosen> {
        refuse(&self.password, "--password")?;
        if let Some(chosen) = self.option() {
            return Ok(chosen);
        }
        if let Some(path) = variable("OXCRYPT_PASSWORD_FILE") {
            return Ok(Chosen::File(path.into()));
        }
        if let Some(line) = variable("OXCRYPT_PASSWORD_COMMAND") {
            return Ok(Chosen::Command(vec![line.to_string_lossy().into_owned()]));
        }
        if let Some(chosen) = configured(target)? {
            return Ok(chosen);
        }
        if let Some(dir) = variable("CREDENTIALS_DIRECTORY") {
            let file = Path::new(&dir).join(target.credential_name());
            if file.exists() {
                return Ok(Chosen::File(file));
            }
        }
        Ok(Chosen::Terminal)
    }

    fn option(&self) -> Option<Chosen> {
        Some(if let Some(path) = &self.password_file {
            Chosen::File(path.clone())
        } else if self.password_stdin {
            Chosen::Stdin
        } else if let Some(fd) = self.password_fd {
            Chosen::Fd(fd)
        } else if !self.password_command.is_empty() {
            Chosen::Command(self.password_command.clone())
        } else if let Some(name) = &self.password_env {
            Chosen::Env(name.clone())
        } else if self.keyring {
            Chosen::Saved(Saved::Keyring)
        } else if self.keyutils {
            Chosen::Saved(Saved::Keyutils)
        } else if let Some(path) = &self.recovery_key_file {
            Chosen::RecoveryKey(path.clone())
        } else if let Some(path) = &self.masterkey_file {
            Chosen::MasterKey(path.clone())
        } else {
            return None;
        })
    }

    /// Whether standard input is spoken for.
    pub(crate) fn takes_stdin(&self) -> bool {
        self.password_stdin
    }

    /// Gets the secret and tries it; at a terminal up to three times.
    pub(crate) fn unlock<T>(
        &self,
        ctx: &Ctx,
        target: &Target,
        mut attempt: impl FnMut(Secret) -> std::result::Result<T, VaultError>,
    ) -> Result<T> {
        let chosen = self.chosen(target)?;
        let tries = if matches!(chosen, Chosen::Terminal) {
            3
        } else {
            1
        };
        let prompt = format!("Passphrase of {}: ", target.label());
        for round in 1..=tries {
            let secret = chosen.get(&target.path, &prompt)?;
            match attempt(secret) {
                Err(VaultError::WrongPassphrase) if round < tries => {
                    ctx.out.note("wrong passphrase");
                }
                Err(e) => return Err(Failure::from(e).at(target.label())),
                Ok(done) => return Ok(done),
            }
        }
        Err(VaultError::WrongPassphrase.into())
    }

    /// The passphrase itself; keys are refused.
    pub(crate) fn passphrase<T>(
        &self,
        ctx: &Ctx,
        target: &Target,
        mut attempt: impl FnMut(&Passphrase) -> std::result::Result<T, VaultError>,
    ) -> Result<T> {
        let chosen = self.chosen(target)?;
        if matches!(chosen, Chosen::RecoveryKey(_) | Chosen::MasterKey(_)) {
            return Err(Failure::usage("this needs the passphrase, not a key")
                .hint("with the recovery key: `oxcrypt recovery reset`"));
        }
        self.unlock(ctx, target, |secret| match secret {
            Secret::Passphrase(text) => attempt(&text),
            Secret::Key(_) => Err(VaultError::WrongPassphrase),
        })
    }
}

impl NewSource {
    /// The new passphrase; at a terminal it is asked for twice.
    pub(crate) fn read(&self, ctx: &Ctx, label: &str) -> Result<Passphrase> {
        refuse(&self.new_password, "--new-password")?;
        let text = if let Some(path) = &self.new_password_file {
            read::file(path)?
        } else if self.new_password_stdin {
            read::stdin_line()?
        } else if let Some(fd) = self.new_password_fd {
            read::fd(fd)?
        } else if !self.new_password_command.is_empty() {
            read::command(&self.new_password_command)?
        } else if let Some(name) = &self.new_password_env {
            env::take(name)?
        } else if let Some(path) = variable("OXCRYPT_NEW_PASSWORD_FILE") {
            read::file(Path::new(&path))?
        } else {
            tty::ask_twice(
                label,
                "--new-password-file, --new-password-stdin or another --new- option",
            )?
        };
        accept_new(ctx, text)
    }
}

impl Source {
    /// For a vault that is just being made: the same options give its first passphrase.
    pub(crate) fn read_new(&self, ctx: &Ctx, target: &Path) -> Result<Passphrase> {
        refuse(&self.password, "--password")?;
        let chosen = match self.option() {
            Some(Chosen::RecoveryKey(_) | Chosen::MasterKey(_) | Chosen::Saved(_)) => {
                return Err(Failure::usage(
                    "a new vault has a passphrase of its own and a new key",
                ));
            }
            Some(chosen) => chosen,
            None => match variable("OXCRYPT_PASSWORD_FILE") {
                Some(path) => Chosen::File(path.into()),
                None => {
                    return accept_new(
                        ctx,
                        tty::ask_twice(
                            &target.display().to_string(),
                            "--password-file, --password-stdin or another of them",
                        )?,
                    );
                }
            },
        };
        match chosen.get(target, "")? {
            Secret::Passphrase(text) => accept_new(ctx, text),
            Secret::Key(_) => Err(Failure::usage("a new vault needs a passphrase")),
        }
    }
}

fn accept_new(ctx: &Ctx, text: Passphrase) -> Result<Passphrase> {
    /// What the official programs ask for.
    const ENOUGH: usize = 8;
    if text.is_empty() {
        return Err(Failure::usage("the new passphrase is empty"));
    }
    if text.as_str().chars().count() < ENOUGH {
        ctx.out
            .warn("a passphrase of fewer than 8 characters is quickly guessed");
    }
    Ok(text)
}

fn configured(target: &Target) -> Result<Option<Chosen>> {
    let entry = &target.entry;
    Ok(match entry.unlock.as_deref() {
        Some("keyring") => Some(Chosen::Saved(Saved::Keyring)),
        Some("keyutils") => Some(Chosen::Saved(Saved::Keyutils)),
        Some("prompt") => Some(Chosen::Terminal),
        Some("command") | None if entry.password_command.is_some() => {
            entry.password_command.clone().map(Chosen::Command)
        }
        Some("file") | None if entry.password_file.is_some() => entry
            .password_file
            .as_deref()
            .map(|path| Chosen::File(crate::config::expand(path))),
        None => None,
        Some(other) => {
            return Err(Failure::usage(format!(
                "the configuration of {} says unlock = \"{other}\"",
                target.label()
            ))
            .hint(
                "use prompt, keyring, keyutils, command (with password_command) or file (with \
                 password_file)",
            ));
        }
    })
}

fn refuse(given: &Option<Option<String>>, option: &str) -> Result<()> {
    if given.is_none() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{option} is refused: every user of this machine can read the command line of a process"
    ))
    .hint(format!(
        "use {option}-file, {option}-stdin, {option}-fd or {option}-command; a passphrase given \
         this way has been seen already, so change it"
    )))
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The key that the words in a file (or, for `-`, on standard input) spell.
pub(crate) fn recovery_key(path: &Path) -> Result<MasterKey> {
    let words = read_text(path)?;
    recovery::decode(&words).map_err(|e| {
        Failure::new(
            Exit::WrongKey,
            format!("the recovery key is not right: {e}"),
        )
        .hint("it has 44 words; compare them with the paper, in their order")
    })
}
