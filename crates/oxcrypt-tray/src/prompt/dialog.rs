//! kdialog and zenity: a passphrase, and a folder.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use super::{NoAnswer, Question, has_display, printed};
use crate::fault::Fault;
use crate::runner::in_path;
use crate::secret::Secret;

const TITLE: &str = "oxcrypt";

#[derive(Clone, Copy)]
enum Tool {
    Kdialog,
    Zenity,
}

/// The one that fits the desktop, else the other.
fn tool() -> Option<Tool> {
    if !has_display() {
        return None;
    }
    let desktop = std::env::var("XDG_CURRENT_DESKTOP").unwrap_or_default();
    let is_kde = desktop
        .split(':')
        .any(|name| name == "KDE" || name == "LXQt");
    let there = |tool: Tool| {
        let name = match tool {
            Tool::Kdialog => "kdialog",
            Tool::Zenity => "zenity",
        };
        in_path(name).map(|_| tool)
    };
    if is_kde {
        there(Tool::Kdialog).or_else(|| there(Tool::Zenity))
    } else {
        there(Tool::Zenity).or_else(|| there(Tool::Kdialog))
    }
}

pub(super) async fn ask(question: &Question) -> Result<Secret, NoAnswer> {
    let text = question.one_text();
    let command = match tool().ok_or(NoAnswer::Unusable)? {
        Tool::Kdialog => {
            let mut command = Command::new("kdialog");
            command.args(["--title", TITLE, "--password", &text]);
            command
        }
        Tool::Zenity => {
            let mut command = Command::new("zenity");
            command.args(["--entry", "--hide-text", "--title", TITLE]);
            command.arg(format!("--text={}", crate::notify::escaped(&text)));
            command
        }
    };
    printed(command).await
}

/// Lets a person choose a folder; `None` when he does not want to.
pub(crate) async fn choose_folder() -> Result<Option<PathBuf>, Fault> {
    let missing = || {
        Fault::new("no_prompter", "no program can ask for a folder here")
            .hint("use `oxcrypt vault add NAME FOLDER`, or install kdialog or zenity")
    };
    let mut command = match tool().ok_or_else(missing)? {
        Tool::Kdialog => {
            let mut command = Command::new("kdialog");
            command.args(["--title", TITLE, "--getexistingdirectory"]);
            command
        }
        Tool::Zenity => {
            let mut command = Command::new("zenity");
            command.args(["--file-selection", "--directory", "--title", TITLE]);
            command
        }
    };
    let done = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|_| missing())?;
    let mut path = done.stdout;
    if path.last() == Some(&b'\n') {
        path.pop();
    }
    let chosen = done.status.success() && !path.is_empty();
    Ok(chosen.then(|| OsString::from_vec(path).into()))
}
