//! Desktop notifications, and what is chosen in them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use zbus::Connection;
use zbus::zvariant::Value;

use crate::settings::{Notice, Tray};

/// Events of one kind and vault that follow each other faster are told together.
const GATHER: Duration = Duration::from_secs(5);
/// A notification server that does not answer keeps nobody waiting.
const PATIENCE: Duration = Duration::from_secs(5);
/// Notifications whose choices are remembered.
const KEPT: usize = 64;

/// Something to tell.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    /// `None` is the answer to something the user just did, and is always shown.
    pub(crate) notice: Option<Notice>,
    /// The vault, for choices.
    pub(crate) vault: String,
    /// What it is called.
    pub(crate) label: String,
    /// A sentence without names of vaults and files.
    pub(crate) detail: String,
    /// A place, shown only where names may be.
    pub(crate) place: Option<String>,
}

/// What the user chose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    Retry(String),
    Force(String),
    Open(String),
}

/// The texts of a notification.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Texts {
    summary: String,
    body: String,
}

fn compose(what: &Happening, names: bool) -> Texts {
    let label = &what.label;
    let summary = match (what.notice, names) {
        (Some(Notice::Unlocked), false) => "A vault was unlocked".to_owned(),
        (Some(Notice::Unlocked), true) => format!("{label} was unlocked"),
        (Some(Notice::Locked), false) => "A vault was locked".to_owned(),
        (Some(Notice::Locked), true) => format!("{label} was locked"),
        (Some(Notice::LockFailed), false) => "A vault could not be locked".to_owned(),
        (Some(Notice::LockFailed), true) => format!("{label} could not be locked"),
        (Some(Notice::Conflict), false) => "A file in a vault has two versions".to_owned(),
        (Some(Notice::Conflict), true) => format!("A file in {label} has two versions"),
        (Some(Notice::Damaged), false) => "A file in a vault is damaged".to_owned(),
        (Some(Notice::Damaged), true) => format!("A file in {label} is damaged"),
        (Some(Notice::LowSpace), false) => "The storage of a vault is nearly full".to_owned(),
        (Some(Notice::LowSpace), true) => format!("The storage of {label} is nearly full"),
        (Some(Notice::Updated), false) => "A vault was changed elsewhere".to_owned(),
        (Some(Notice::Updated), true) => format!("{label} was changed elsewhere"),
        (None, _) => "oxcrypt".to_owned(),
    };
    let mut body = what.detail.clone();
    if let (true, Some(place)) = (names, &what.place) {
        if !body.is_empty() {
            body.push('\n');
        }
        body.push_str(place);
    }
    Texts { summary, body }
}

/// For texts in which a server reads markup.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
        out
    })
}

/// The latest notification of a vault and kind.
struct Latest {
    id: u32,
    at: Instant,
    untold: u32,
}

type Key = (String, Option<Notice>);

/// Sends notifications.
pub(crate) struct Notifier {
    bus: Connection,
    has_markup: OnceCell<bool>,
    latest: Mutex<HashMap<Key, Latest>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notifier {
    pub(crate) fn new(bus: Connection) -> Self {
        Self {
            bus,
            has_markup: OnceCell::new(),
            latest: Mutex::default(),
        }
    }

    /// Tells it, if it is wanted. Without a server it becomes a line of the log.
    pub(crate) async fn tell(&self, what: &Happening, settings: &Tray) {
        if what.notice.is_some_and(|notice| !settings.wants(notice)) {
            return;
        }
        let key = (what.vault.clone(), what.notice);
        let Some((replaced, untold)) = self.begin(&key, gathers(what)) else {
            return;
        };
        let mut texts = compose(what, settings.names);
        if untold > 0 {
            let body = format!("{} (and {untold} more)", texts.body);
            texts.body = body.trim_start().to_owned();
        }
        match tokio::time::timeout(PATIENCE, self.send(what, &texts, replaced)).await {
            Ok(Ok(id)) => {
                if let Some(seen) = locked(&self.latest).get_mut(&key) {
                    seen.id = id;
                }
            }
            // Nobody to show it: the log is the next best place.
            Ok(Err(_)) | Err(_) => {
                let Texts { summary, body } = texts;
                crate::log(&format!("{summary}: {body}"));
            }
        }
    }

    /// The notification to replace and how many were not told since; `None` not to tell this one
    /// either.
    fn begin(&self, key: &Key, gathers: bool) -> Option<(u32, u32)> {
        let mut latest = locked(&self.latest);
        if let Some(seen) = latest.get_mut(key) {
            if gathers && seen.at.elapsed() < GATHER {
                seen.untold += 1;
                return None;
            }
            seen.at = Instant::now();
            return Some((seen.id, std::mem::take(&mut seen.untold)));
        }
        if latest.len() >= KEPT {
            latest.retain(|_, seen| seen.at.elapsed() < GATHER);
        }
        let seen = Latest {
            id: 0,
            at: Instant::now(),
            untold: 0,
        };
        latest.insert(key.clone(), seen);
        Some((0, 0))
    }

    async fn send(&self, what: &Happening, texts: &Texts, replaced: u32) -> zbus::Result<u32> {
        let failed = what.notice == Some(Notice::LockFailed);
        let actions: &[&str] = match what.notice {
            Some(Notice::LockFailed) => &["retry", "Retry", "force", "Force"],
            Some(Notice::Unlocked) => &["default", "Open folder"],
            _ => &[],
        };
        let has_markup = *self.has_markup.get_or_init(|| self.asks_for_markup()).await;
        let body = if has_markup {
            escaped(&texts.body)
        } else {
            texts.body.clone()
        };
        let mut hints: HashMap<&str, Value<'_>> = HashMap::new();
        hints.insert("desktop-entry", "org.oxcrypt.Tray".into());
        hints.insert("urgency", Value::U8(if failed { 2 } else { 1 }));
        // Stays until somebody has seen it, or as long as the server thinks right.
        let timeout: i32 = if failed { 0 } else { -1 };
        let icon = match what.notice {
            Some(Notice::Unlocked) => "oxcrypt-unlocked",
            Some(Notice::Locked) => "oxcrypt-locked",
            _ => "oxcrypt-attention",
        };
        let content = (
            "oxcrypt",
            replaced,
            icon,
            texts.summary.as_str(),
            body.as_str(),
            actions,
            hints,
            timeout,
        );
        self.call("Notify", &content).await?.body().deserialize()
    }

    async fn asks_for_markup(&self) -> bool {
        let answer = self.call("GetCapabilities", &()).await;
        let all: Vec<String> = answer
            .and_then(|message| message.body().deserialize())
            .unwrap_or_default();
        all.iter().any(|name| name == "body-markup")
    }

    async fn call<B>(&self, method: &str, content: &B) -> zbus::Result<zbus::Message>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        const NAME: &str = "org.freedesktop.Notifications";
        let path = "/org/freedesktop/Notifications";
        self.bus
            .call_method(Some(NAME), path, Some(NAME), method, content)
            .await
    }

    /// What a press of a button in one of our notifications means.
    pub(crate) fn choice(&self, id: u32, key: &str) -> Option<Choice> {
        let latest = locked(&self.latest);
        let ((vault, _), _) = latest.iter().find(|(_, seen)| seen.id == id)?;
        let vault = vault.clone();
        match key {
            "retry" => Some(Choice::Retry(vault)),
            "force" => Some(Choice::Force(vault)),
            "default" => Some(Choice::Open(vault)),
            _ => None,
        }
    }
}

/// Kinds that can come in floods.
fn gathers(what: &Happening) -> bool {
    matches!(
        what.notice,
        Some(Notice::Conflict | Notice::Damaged | Notice::Updated)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(notice: Notice) -> Happening {
        Happening {
            notice: Some(notice),
            vault: "secret-plans".into(),
            label: "secret-plans".into(),
            detail: "used by vi (7)".into(),
            place: Some("/home/me/secret-plans".into()),
        }
    }

    #[test]
    fn names_are_hidden_unless_wanted() {
        for notice in [
            Notice::Unlocked,
            Notice::Locked,
            Notice::LockFailed,
            Notice::Conflict,
            Notice::Damaged,
            Notice::LowSpace,
            Notice::Updated,
        ] {
            let texts = compose(&happening(notice), false);
            let all = format!("{texts:?}");
            assert!(!all.contains("secret-plans"), "{all}");
            assert!(all.contains("vi (7)"), "{all}");
            let all = format!("{:?}", compose(&happening(notice), true));
            assert!(
                all.contains("secret-plans") && all.contains("/home/me"),
                "{all}"
            );
        }
    }

    #[test]
    fn markup() {
        assert_eq!(escaped("<b>&"), "&lt;b&gt;&amp;");
    }
}
