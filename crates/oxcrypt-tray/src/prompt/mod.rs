//! Asks a person, by programs made for it. No toolkit is linked, and a passphrase typed there is in
//! this process only on its way.

mod dialog;
mod pinentry;

pub(crate) use dialog::choose_folder;

use std::process::Stdio;

use tokio::process::Command;

use crate::fault::Fault;
use crate::secret::Secret;

/// What to ask.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) text: String,
    /// Why it is asked again.
    pub(crate) error: Option<String>,
}

impl Question {
    fn one_text(&self) -> String {
        match &self.error {
            Some(error) => format!("{error}. {}", self.text),
            None => self.text.clone(),
        }
    }
}

/// Why a prompter gave no passphrase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NoAnswer {
    /// The person does not want to.
    Cancelled,
    /// It does not work here; another may.
    Unusable,
}

/// Asks for a passphrase: by the configured command, or by pinentry, kdialog or zenity.
pub(crate) async fn ask(
    configured: Option<&[String]>,
    question: &Question,
) -> Result<Secret, Fault> {
    let answer = match configured {
        Some(command) => by_command(command, question).await,
        None => by_what_is_there(question).await,
    };
    answer.map_err(|why| match (why, configured) {
        (NoAnswer::Cancelled, _) => Fault::new("cancelled", "no passphrase was given"),
        (NoAnswer::Unusable, Some(command)) => Fault::new(
            "no_prompter",
            format!("cannot run the prompter {}", command.join(" ")),
        ),
        (NoAnswer::Unusable, None) => {
            Fault::new("no_prompter", "no program can ask for the passphrase here")
                .hint("install pinentry, kdialog or zenity, or set prompter in [tray]")
        }
    })
}

async fn by_what_is_there(question: &Question) -> Result<Secret, NoAnswer> {
    match pinentry::ask(question).await {
        Err(NoAnswer::Unusable) => dialog::ask(question).await,
        answer => answer,
    }
}

/// A command that gets the question as its last argument and prints the passphrase, as the askpass
/// programs of ssh do.
async fn by_command(command: &[String], question: &Question) -> Result<Secret, NoAnswer> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(NoAnswer::Unusable);
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(question.one_text());
    printed(command).await
}

/// The passphrase that a program prints.
async fn printed(mut command: Command) -> Result<Secret, NoAnswer> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|_| NoAnswer::Unusable)?;
    let out = child.stdout.take().ok_or(NoAnswer::Unusable)?;
    let secret = Secret::read(out).await.map_err(|_| NoAnswer::Unusable)?;
    match child.wait().await {
        Ok(status) if status.success() => secret.ok_or(NoAnswer::Cancelled),
        _ => Err(NoAnswer::Cancelled),
    }
}

/// Whether windows can be shown.
fn has_display() -> bool {
    ["WAYLAND_DISPLAY", "DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(script: &str) -> Result<Vec<u8>, String> {
        let command = ["sh", "-c", script, "prompter"].map(str::to_owned);
        let question = Question {
            text: "Passphrase of work".to_owned(),
            error: Some("Wrong passphrase".to_owned()),
        };
        let secret = ask(Some(&command), &question).await;
        secret.map(|s| s.bytes().to_vec()).map_err(|e| e.code)
    }

    #[tokio::test]
    async fn a_configured_command() {
        assert_eq!(answer("echo word").await, Ok(b"word".to_vec()));
        let seen = answer("printf %s \"$1\"").await.expect("the question");
        assert_eq!(seen, b"Wrong passphrase. Passphrase of work");
        assert_eq!(answer("echo word; exit 1").await, Err("cancelled".into()));
        assert_eq!(answer("true").await, Err("cancelled".into()));
        let endless = answer("yes | tr -d '\\n'").await;
        assert_eq!(endless, Err("cancelled".into()), "too long, and ended");
        let command = ["/nowhere/prompter".to_owned()];
        let question = Question {
            text: String::new(),
            error: None,
        };
        let missing = ask(Some(&command), &question);
        assert!(missing.await.is_err_and(|e| e.is("no_prompter")));
    }
}
