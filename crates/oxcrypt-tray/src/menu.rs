//! What the menu says, as plain data.

use std::time::SystemTime;

use crate::model::{Model, Standing, Vault};
use crate::mounts::Mount;
use crate::texts::size;

/// What an item does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    Unlock {
        vault: String,
        read_only: bool,
    },
    Lock {
        vault: String,
        force: bool,
    },
    Open(String),
    /// Keeps the passphrase in the desktop's key ring.
    Remember(String),
    Forget(String),
    LockAll,
    Seen,
    AddVault,
    Settings,
    StartAtLogin(bool),
    Quit {
        keep: bool,
    },
}

/// An item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    /// Nothing but text.
    Line(String),
    Action(String, Act),
    Check(String, bool, Act),
    Sub(String, Vec<Item>),
    Separator,
}

fn action(label: &str, act: Act) -> Item {
    Item::Action(label.to_owned(), act)
}

/// The whole menu.
pub(crate) fn menu(model: &Model) -> Vec<Item> {
    let vaults = model.vaults();
    let mut items: Vec<Item> = vaults.iter().map(vault).collect();
    if vaults.is_empty() {
        items.push(Item::Line("No vault has a name yet".to_owned()));
    }
    let faults = [&model.settings_fault, &model.status_fault];
    for fault in faults.into_iter().flatten() {
        items.push(Item::Line(shortened(&fault.line())));
    }
    items.push(Item::Separator);
    let any_open = vaults.iter().any(Vault::is_open);
    if any_open {
        items.push(action("Lock all", Act::LockAll));
    }
    items.push(Item::Sub("Recent events".to_owned(), events(model)));
    items.push(Item::Separator);
    items.push(action("Add vault…", Act::AddVault));
    items.push(action("Settings", Act::Settings));
    let starts = model.starts_at_login;
    let start = "Start at login".to_owned();
    items.push(Item::Check(start, starts, Act::StartAtLogin(!starts)));
    items.push(Item::Separator);
    if any_open {
        items.push(action("Lock all and quit", Act::Quit { keep: false }));
        items.push(action(
            "Quit, leave vaults unlocked",
            Act::Quit { keep: true },
        ));
    } else {
        items.push(action("Quit", Act::Quit { keep: false }));
    }
    items
}

fn vault(vault: &Vault) -> Item {
    let id = || vault.id.clone();
    let lock = |force| Act::Lock { vault: id(), force };
    let standing = vault.standing();
    let mut items = Vec::new();
    match standing {
        Standing::Locked => {
            let unlock = |read_only| Act::Unlock {
                vault: id(),
                read_only,
            };
            items.push(action("Unlock…", unlock(false)));
            items.push(action("Unlock read-only…", unlock(true)));
            items.push(keyring(vault));
        }
        Standing::Missing => {
            items.push(Item::Line(format!("{} is not there", vault.path.display())));
        }
        Standing::Unlocking => items.push(Item::Line("Waiting for the passphrase…".to_owned())),
        Standing::Locking => items.push(Item::Line("Being locked…".to_owned())),
        Standing::Unlocked => {
            items.push(action("Open folder", Act::Open(id())));
            items.extend(vault.mounts.iter().map(|m| Item::Line(figures(m))));
            items.push(action("Lock", lock(false)));
            let force = vec![
                Item::Line("Programs that use it will get errors.".to_owned()),
                action("Take it away from them", lock(true)),
            ];
            items.push(Item::Sub("Force lock…".to_owned(), force));
            if vault.entry.is_some() {
                items.push(keyring(vault));
            }
        }
        Standing::Stale => {
            items.push(Item::Line("Its process has ended unexpectedly".to_owned()));
            items.push(action("Clear away", lock(true)));
        }
    }
    let note = match standing {
        Standing::Locked => String::new(),
        Standing::Unlocked if vault.mounts.iter().all(|m| m.read_only) => {
            " (unlocked, read-only)".to_owned()
        }
        other => format!(" ({})", other.word()),
    };
    Item::Sub(format!("{}{note}", vault.label()), items)
}

fn keyring(vault: &Vault) -> Item {
    let saved = vault.entry.as_ref().and_then(|e| e.unlock.as_deref()) == Some("keyring");
    if saved {
        action("Forget passphrase", Act::Forget(vault.id.clone()))
    } else {
        action("Remember passphrase…", Act::Remember(vault.id.clone()))
    }
}

/// Live figures of a mount, one line.
pub(crate) fn figures(mount: &Mount) -> String {
    let f = mount.figures;
    let users = match f.users {
        0 => "not in use".to_owned(),
        1 => "1 program".to_owned(),
        n => format!("{n} programs"),
    };
    let (read, written) = (size(f.rx), size(f.tx));
    format!(
        "{read} read, {written} written, {users}, idle {}",
        time(f.idle_s)
    )
}

fn time(seconds: u64) -> String {
    match seconds {
        s @ ..60 => format!("{s} s"),
        s @ ..3600 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

fn events(model: &Model) -> Vec<Item> {
    const SHOWN: usize = 12;
    let now = SystemTime::now();
    let mut items: Vec<Item> = model
        .records
        .iter()
        .take(SHOWN)
        .map(|record| {
            let age = now.duration_since(record.at).unwrap_or_default();
            let vault = model
                .vault(&record.vault)
                .map_or_else(|| record.vault.clone(), |v| v.label());
            let text = format!("{} ago: {vault}: {}", time(age.as_secs()), record.text);
            Item::Line(shortened(&text))
        })
        .collect();
    if items.is_empty() {
        items.push(Item::Line("Nothing happened yet".to_owned()));
    }
    if model.has_unseen() {
        items.push(Item::Separator);
        items.push(action("Mark as seen", Act::Seen));
    }
    items
}

/// What the tooltip lists, one vault a line.
pub(crate) fn tooltip(model: &Model) -> Vec<String> {
    let open: Vec<Vault> = model.vaults().into_iter().filter(Vault::is_open).collect();
    if open.is_empty() {
        return vec!["All vaults are locked".to_owned()];
    }
    open.iter()
        .flat_map(|v| {
            v.mounts
                .iter()
                .map(|m| format!("{}: {}", v.label(), m.point.display()))
        })
        .collect()
}

/// Menus do not wrap.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 90;
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.chars().count() <= LONGEST {
        return line;
    }
    let mut cut: String = line.chars().take(LONGEST - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::model::samples::{model, record};

    fn labels(items: &[Item]) -> Vec<String> {
        items
            .iter()
            .flat_map(|item| match item {
                Item::Line(text) => vec![format!("({text})")],
                Item::Action(text, _) | Item::Check(text, _, _) => vec![text.clone()],
                Item::Sub(text, below) => {
                    let mut all = vec![text.clone()];
                    all.extend(labels(below).iter().map(|l| format!("  {l}")));
                    all
                }
                Item::Separator => vec!["-".to_owned()],
            })
            .collect()
    }

    #[test]
    fn a_locked_and_an_unlocked_vault() {
        let all = labels(&menu(&model(&["a", "b"], &["/v/b"])));
        let text = all.join("\n");
        let expected = "a\n  Unlock…\n  Unlock read-only…\n  Remember passphrase…\nb (unlocked)\n  \
            Open folder\n  (0 B read, 0 B written, not in use, idle 0 s)\n  Lock\n  Force lock…\n    \
            (Programs that use it will get errors.)\n    Take it away from them\n  \
            Remember passphrase…\n-\nLock all\nRecent events\n  (Nothing happened yet)\n-\nAdd \
            vault…\nSettings\nStart at login\n-\nLock all and quit\nQuit, leave vaults unlocked";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_wrong_is_in_the_menu() {
        let mut model = model(&["a"], &[]);
        model.settings.vaults[0].real = None;
        model.settings_fault = Some(Fault::new("usage", "config.toml: x is unknown"));
        model.record(record(true));
        let all = labels(&menu(&model)).join("\n");
        for part in [
            "a (missing)",
            "(/v/a is not there)",
            "x is unknown",
            "Mark as seen",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
        assert!(!all.contains("Lock all"), "{all}");
    }

    #[test]
    fn hostile_texts_stay_one_short_line() {
        let text = shortened(&format!("a\nb\t{}", "x".repeat(100_000)));
        assert!(text.chars().count() <= 90 && !text.contains('\n'));
    }

    #[test]
    fn times() {
        assert_eq!([time(59), time(61), time(7300)], ["59 s", "1 min", "2 h"]);
    }
}
