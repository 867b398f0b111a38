//! What the configuration says, as `oxcrypt config list` tells it.

use std::path::PathBuf;

use serde::Deserialize;

use crate::fault::Fault;
use crate::runner::{Runner, Text};

/// What makes the helper lock a vault by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Trigger {
    Sleep,
    ScreenLock,
    Logout,
    Lid,
}

impl Trigger {
    /// For vaults that do not say it, where nothing else is configured.
    const USUAL: [Self; 3] = [Self::Sleep, Self::ScreenLock, Self::Logout];

    /// As the reason of a locked vault.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Sleep => "the computer goes to sleep",
            Self::ScreenLock => "the screen was locked",
            Self::Logout => "the session ends",
            Self::Lid => "the lid was closed",
        }
    }
}

/// Kinds of notifications; each can be switched off.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Notice {
    Unlocked,
    Locked,
    LockFailed,
    Conflict,
    Damaged,
    LowSpace,
    Updated,
}

/// What happens to a vault in use when it is to be locked by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WhenBusy {
    #[default]
    Ask,
    Force,
}

/// The section `[tray]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tray {
    pub(crate) prompter: Option<Vec<String>>,
    lock_on: Option<Vec<Trigger>>,
    pub(crate) busy: WhenBusy,
    silent: Vec<Notice>,
    pub(crate) names: bool,
    low_space_mib: Option<u64>,
    folder: Option<PathBuf>,
    unnamed: Option<bool>,
}

impl Tray {
    pub(crate) fn wants(&self, notice: Notice) -> bool {
        !self.silent.contains(&notice)
    }

    /// Bytes below which storage counts as short; `None` for never.
    pub(crate) fn low_space(&self) -> Option<u64> {
        const USUAL_MIB: u64 = 500;
        let mib = self.low_space_mib.unwrap_or(USUAL_MIB);
        (mib > 0).then(|| mib.saturating_mul(1 << 20))
    }

    /// Whether mounted vaults without a name are ours as well.
    pub(crate) fn takes_unnamed(&self) -> bool {
        self.unnamed.unwrap_or(true)
    }

    /// Where vaults without a place of their own are mounted.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join("Vaults"));
        self.folder.clone().or_else(usual)
    }
}

/// A vault with a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// Without links; `None` while it does not exist.
    pub(crate) real: Option<PathBuf>,
    pub(crate) mountpoint: Option<PathBuf>,
    pub(crate) unlock: Option<String>,
    pub(crate) read_only: bool,
    pub(crate) lock_on: Vec<Trigger>,
    pub(crate) at_login: bool,
}

/// Everything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) file: PathBuf,
    /// Where files are read from; changes there are changes of the settings.
    pub(crate) dirs: Vec<PathBuf>,
    pub(crate) tray: Tray,
    pub(crate) vaults: Vec<Entry>,
}

impl Settings {
    pub(crate) async fn load(runner: &Runner) -> Result<Self, Fault> {
        let answer: Answer = runner.ask(&["config", "list"]).await?;
        Ok(answer.into())
    }
}

#[derive(Deserialize)]
struct Answer {
    file: Text,
    dirs: Vec<Text>,
    tray: Tray,
    vaults: Vec<AnswerOfVault>,
}

#[derive(Deserialize)]
struct AnswerOfVault {
    name: String,
    path: Text,
    real: Option<Text>,
    mountpoint: Option<Text>,
    unlock: Option<String>,
    ro: bool,
    lock_on: Option<Vec<Trigger>>,
    at_login: bool,
}

impl From<Answer> for Settings {
    fn from(answer: Answer) -> Self {
        let usual = answer.tray.lock_on.clone();
        let usual = usual.unwrap_or_else(|| Trigger::USUAL.to_vec());
        let entry = |vault: AnswerOfVault| Entry {
            name: vault.name,
            path: vault.path.into(),
            real: vault.real.map(PathBuf::from),
            mountpoint: vault.mountpoint.map(PathBuf::from),
            unlock: vault.unlock,
            read_only: vault.ro,
            lock_on: vault.lock_on.unwrap_or_else(|| usual.clone()),
            at_login: vault.at_login,
        };
        Self {
            file: answer.file.into(),
            dirs: answer.dirs.into_iter().map(PathBuf::from).collect(),
            vaults: answer.vaults.into_iter().map(entry).collect(),
            tray: answer.tray,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tray: &str, vault: &str) -> Settings {
        let text = format!(
            r#"{{"schema":"oxcrypt.config/1","file":"/c/config.toml","dirs":["/c"],"tray":{tray},
            "vaults":[{{"name":"work","path":"/v","ro":false,"at_login":false{vault}}}]}}"#
        );
        let answer: Answer = serde_json::from_str(&text).expect("the form of the answer");
        answer.into()
    }

    #[test]
    fn what_is_not_said() {
        let all = read("{}", "");
        assert_eq!(all.vaults[0].lock_on, Trigger::USUAL);
        assert_eq!(all.tray.low_space(), Some(500 << 20));
        assert!(all.tray.wants(Notice::Updated) && !all.tray.names);
        assert_eq!(all.tray.busy, WhenBusy::Ask);
    }

    #[test]
    fn the_nearest_word_wins() {
        let tray =
            r#"{"lock_on":["lid"],"low_space_mib":0,"silent":["lock-failed"],"busy":"force"}"#;
        let all = read(tray, "");
        assert_eq!(all.vaults[0].lock_on, [Trigger::Lid]);
        assert_eq!(all.tray.low_space(), None);
        assert!(!all.tray.wants(Notice::LockFailed) && all.tray.wants(Notice::Locked));
        let all = read(tray, r#","lock_on":[]"#);
        assert!(all.vaults[0].lock_on.is_empty());
    }
}
