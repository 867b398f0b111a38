//! What the tray knows: settings, mounts, what is being done, and what happened. Pure data; nothing
//! here waits or asks.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::fault::Fault;
use crate::mounts::{Mount, State};
use crate::settings::{Entry, Settings, Trigger};

/// Events kept for the menu.
const KEPT: usize = 50;

/// What is being done to a vault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    Unlocking,
    Locking,
}

/// How a vault stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    Locked,
    Unlocking,
    Unlocked,
    Locking,
    /// Its directory does not exist.
    Missing,
    /// Mounted, but its process is gone.
    Stale,
}

impl Standing {
    /// As others see it on the bus.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Unlocking => "unlocking",
            Self::Unlocked => "unlocked",
            Self::Locking => "locking",
            Self::Missing => "missing",
            Self::Stale => "stale",
        }
    }
}

/// A vault that has a name, or is mounted without one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Vault {
    /// Its name, or its path where it has none.
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    pub(crate) entry: Option<Entry>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) work: Option<Work>,
}

impl Vault {
    pub(crate) fn standing(&self) -> Standing {
        match self.work {
            Some(Work::Unlocking) => return Standing::Unlocking,
            Some(Work::Locking) => return Standing::Locking,
            None => {}
        }
        match self.mounts.first() {
            Some(mount) if mount.state == State::Stale => Standing::Stale,
            Some(_) => Standing::Unlocked,
            None if self.entry.as_ref().is_some_and(|e| e.real.is_none()) => Standing::Missing,
            None => Standing::Locked,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.mounts.is_empty()
    }

    /// What to call it: its name, or the last part of its path.
    pub(crate) fn label(&self) -> String {
        if self.entry.is_some() {
            return self.id.clone();
        }
        let last = self.path.file_name().unwrap_or(self.path.as_os_str());
        last.to_string_lossy().into_owned()
    }

    /// Whether it locks itself at this. A vault without a name was mounted for a purpose that is not
    /// ours to judge.
    pub(crate) fn locks_on(&self, trigger: Trigger) -> bool {
        let entry = self.entry.as_ref();
        // One that is just being unlocked is open in a moment.
        let opens = self.is_open() || self.work == Some(Work::Unlocking);
        opens && entry.is_some_and(|e| e.lock_on.contains(&trigger))
    }
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) at: SystemTime,
    pub(crate) vault: String,
    pub(crate) kind: String,
    pub(crate) text: String,
    /// Whether somebody should look.
    pub(crate) urgent: bool,
}

/// What the icon shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Face {
    Locked,
    Unlocked,
    Attention,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) settings: Settings,
    /// Why the settings or the mounts could not be read; what was read before stays.
    pub(crate) settings_fault: Option<Fault>,
    pub(crate) status_fault: Option<Fault>,
    pub(crate) mounts: Vec<Mount>,
    work: BTreeMap<String, Work>,
    pub(crate) records: VecDeque<Record>,
    unseen: usize,
    pub(crate) starts_at_login: bool,
}

impl Model {
    /// The vaults with names in their order, then those that are mounted without.
    pub(crate) fn vaults(&self) -> Vec<Vault> {
        let mut all: Vec<Vault> = self
            .settings
            .vaults
            .iter()
            .map(|entry| Vault {
                id: entry.name.clone(),
                path: entry.path.clone(),
                entry: Some(entry.clone()),
                mounts: Vec::new(),
                work: None,
            })
            .collect();
        for mount in &self.mounts {
            let is_of = |v: &&mut Vault| match &v.entry {
                Some(entry) => is_vault_of(entry, mount),
                None => v.path == mount.vault,
            };
            match all.iter_mut().find(is_of) {
                Some(vault) => vault.mounts.push(mount.clone()),
                None => all.push(Vault {
                    id: mount.vault.to_string_lossy().into_owned(),
                    path: mount.vault.clone(),
                    entry: None,
                    mounts: vec![mount.clone()],
                    work: None,
                }),
            }
        }
        for vault in &mut all {
            vault.work = self.work.get(&vault.id).copied();
        }
        all
    }

    pub(crate) fn vault(&self, id: &str) -> Option<Vault> {
        self.vaults().into_iter().find(|vault| vault.id == id)
    }

    /// Whether a mount is to be shown and locked.
    pub(crate) fn takes(&self, mount: &Mount) -> bool {
        let mut named = self.settings.vaults.iter();
        self.settings.tray.takes_unnamed() || named.any(|entry| is_vault_of(entry, mount))
    }

    /// The vault that is mounted there.
    pub(crate) fn vault_of(&self, mount: &Mount) -> String {
        let mut named = self.settings.vaults.iter();
        match named.find(|entry| is_vault_of(entry, mount)) {
            Some(entry) => entry.name.clone(),
            None => mount.vault.to_string_lossy().into_owned(),
        }
    }

    /// Notes that something is being done.
    pub(crate) fn begin(&mut self, id: &str, work: Work) {
        self.work.insert(id.to_owned(), work);
    }

    pub(crate) fn end(&mut self, id: &str) {
        self.work.remove(id);
    }

    pub(crate) fn record(&mut self, record: Record) {
        if self.records.len() == KEPT {
            self.records.pop_back();
        }
        self.unseen += usize::from(record.urgent);
        self.records.push_front(record);
    }

    /// Somebody has looked.
    pub(crate) fn seen(&mut self) {
        self.unseen = 0;
    }

    pub(crate) fn has_unseen(&self) -> bool {
        self.unseen > 0
    }

    pub(crate) fn face(&self) -> Face {
        let is_stale = self.mounts.iter().any(|m| m.state == State::Stale);
        if self.unseen > 0
            || is_stale
            || self.settings_fault.is_some()
            || self.status_fault.is_some()
        {
            Face::Attention
        } else if self.mounts.is_empty() {
            Face::Locked
        } else {
            Face::Unlocked
        }
    }

    /// Where a vault is to be mounted: what it says, or a directory of its name.
    pub(crate) fn place(&self, entry: &Entry) -> Option<PathBuf> {
        let usual = || Some(self.settings.tray.folder()?.join(Path::new(&entry.name)));
        entry.mountpoint.clone().or_else(usual)
    }
}

fn is_vault_of(entry: &Entry, mount: &Mount) -> bool {
    entry.path == mount.vault || entry.real.as_ref() == Some(&mount.vault)
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;
    use crate::mounts::Figures;

    pub(crate) fn entry(name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            path: format!("/v/{name}").into(),
            real: Some(format!("/v/{name}").into()),
            mountpoint: None,
            unlock: None,
            read_only: false,
            lock_on: vec![Trigger::Sleep],
            at_login: false,
        }
    }

    pub(crate) fn mount(vault: &str) -> Mount {
        Mount {
            point: format!("/m{vault}").into(),
            vault: vault.into(),
            read_only: false,
            state: State::Live,
            control: None,
            figures: Figures::default(),
        }
    }

    pub(crate) fn model(names: &[&str], mounted: &[&str]) -> Model {
        let mut model = Model::default();
        model.settings.vaults = names.iter().map(|n| entry(n)).collect();
        model.mounts = mounted.iter().map(|v| mount(v)).collect();
        model
    }

    pub(crate) fn record(urgent: bool) -> Record {
        Record {
            at: SystemTime::now(),
            vault: "a".into(),
            kind: "locked".into(),
            text: String::new(),
            urgent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{model, mount, record};
    use super::*;

    #[test]
    fn names_and_mounts_meet() {
        let mut model = model(&["a", "b"], &["/v/b", "/elsewhere/x"]);
        let ids: Vec<String> = model.vaults().into_iter().map(|v| v.id).collect();
        assert_eq!(ids, ["a", "b", "/elsewhere/x"]);
        let standing = |m: &Model, id| m.vault(id).expect("it is listed").standing();
        assert_eq!(standing(&model, "a"), Standing::Locked);
        assert_eq!(standing(&model, "b"), Standing::Unlocked);
        assert_eq!(model.vault("/elsewhere/x").expect("listed").label(), "x");
        model.settings.vaults[0].real = None;
        assert_eq!(standing(&model, "a"), Standing::Missing);
        // A link to the vault: the table of mounts knows the real path only.
        model.settings.vaults[0].path = "/link".into();
        model.settings.vaults[0].real = Some("/elsewhere/x".into());
        assert_eq!(standing(&model, "a"), Standing::Unlocked);
        assert_eq!(model.vault_of(&mount("/elsewhere/x")), "a");
        assert_eq!(model.vault_of(&mount("/v/b")), "b");
        assert_eq!(model.vault_of(&mount("/v/c")), "/v/c");
    }

    #[test]
    fn only_named_vaults_lock_themselves() {
        let model = model(&["a", "b"], &["/v/b", "/elsewhere/x"]);
        let locked: Vec<String> = model
            .vaults()
            .into_iter()
            .filter(|v| v.locks_on(Trigger::Sleep))
            .map(|v| v.id)
            .collect();
        assert_eq!(locked, ["b"]);
        assert!(!model.vaults().iter().any(|v| v.locks_on(Trigger::Lid)));
        let mut model = model;
        model.begin("a", Work::Unlocking);
        assert!(model.vaults()[0].locks_on(Trigger::Sleep));
    }

    #[test]
    fn work_shows() {
        let mut model = model(&["a"], &["/v/a"]);
        model.begin("a", Work::Locking);
        assert_eq!(model.vaults()[0].standing(), Standing::Locking);
        model.end("a");
        assert_eq!(model.vaults()[0].standing(), Standing::Unlocked);
    }

    #[test]
    fn faces() {
        let mut model = model(&["a"], &[]);
        assert_eq!(model.face(), Face::Locked);
        model.mounts.push(mount("/v/a"));
        assert_eq!(model.face(), Face::Unlocked);
        model.record(record(false));
        assert_eq!(model.face(), Face::Unlocked);
        model.record(record(true));
        assert_eq!(model.face(), Face::Attention);
        model.seen();
        assert_eq!(model.face(), Face::Unlocked);
        model.mounts[0].state = State::Stale;
        assert_eq!(model.face(), Face::Attention);
    }

    #[test]
    fn records_are_bounded() {
        let mut model = model(&[], &[]);
        for _ in 0..10 * KEPT {
            model.record(record(true));
        }
        assert_eq!(model.records.len(), KEPT);
    }
}
