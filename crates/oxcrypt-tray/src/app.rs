//! The heart: keeps the model true, and tells the desktop what happened.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use zbus::Connection;

use crate::control::{self, Event};
use crate::fault::Fault;
use crate::model::{Model, Record};
use crate::mounts::{self, Mount, State};
use crate::notify::{Happening, Notifier};
use crate::runner::Runner;
use crate::settings::{Notice, Settings};
use crate::texts::{capital, small};

/// How long the last words of a mount's process are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// One for the whole process. Its locks are held for moments only, never across a wait.
pub(crate) struct App {
    pub(crate) runner: Runner,
    pub(crate) bus: Connection,
    pub(crate) notifier: Notifier,
    model: Mutex<Model>,
    /// Rung after every change of the model.
    pub(crate) changed: Notify,
    /// Rung when work with a vault has ended.
    pub(crate) finished: Notify,
    /// Rung when something was mounted or unmounted.
    pub(crate) mounts_changed: Notify,
    /// Held while the mounts are asked for, so that answers are taken in their order. Whether it was
    /// done before.
    refreshing: tokio::sync::Mutex<bool>,
    /// Who listens to mounts; they end with the last words of its process.
    followers: Mutex<HashMap<PathBuf, JoinHandle<Option<String>>>>,
    /// Why mounts are being locked, by mount point.
    reasons: Mutex<HashMap<PathBuf, String>>,
    /// How often was looked for mounts that do not answer.
    looks: AtomicU32,
    pub(crate) shown: watch::Sender<bool>,
    pub(crate) quit: watch::Sender<bool>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl App {
    pub(crate) fn new(runner: Runner, bus: Connection, shown: bool) -> Arc<Self> {
        Arc::new(Self {
            runner,
            notifier: Notifier::new(bus.clone()),
            bus,
            model: Mutex::default(),
            changed: Notify::new(),
            finished: Notify::new(),
            mounts_changed: Notify::new(),
            refreshing: tokio::sync::Mutex::new(false),
            followers: Mutex::default(),
            reasons: Mutex::default(),
            looks: AtomicU32::new(0),
            shown: watch::Sender::new(shown),
            quit: watch::Sender::new(false),
        })
    }

    /// Looks at the model, or changes it; whoever shows it is told with [`Self::publish`].
    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        locked(&self.model)
    }

    pub(crate) fn publish(&self) {
        self.changed.notify_one();
    }

    /// Reads the settings again. What was read before stays if they are broken now.
    pub(crate) async fn reload(self: &Arc<Self>) {
        let loaded = Settings::load(&self.runner).await;
        let fresh = {
            let mut model = self.model();
            match loaded {
                Ok(settings) => {
                    model.settings = settings;
                    model.settings_fault = None;
                    None
                }
                Err(fault) if model.settings_fault.as_ref() != Some(&fault) => {
                    model.settings_fault = Some(fault.clone());
                    Some(fault)
                }
                Err(_) => None,
            }
        };
        self.publish();
        if let Some(fault) = fresh {
            self.failed("", &fault);
        }
    }

    /// Asks what is mounted, and tells what came and went since the last time.
    pub(crate) async fn refresh(self: &Arc<Self>) -> Result<(), Fault> {
        let mut is_later = self.refreshing.lock().await;
        let listed = mounts::list(&self.runner).await;
        let mounts = match listed {
            Ok(mounts) => mounts,
            Err(fault) => {
                self.model().status_fault = Some(fault.clone());
                self.publish();
                return Err(fault);
            }
        };
        let (before, mounts) = {
            let mut model = self.model();
            model.status_fault = None;
            let ours = mounts.into_iter().filter(|mount| model.takes(mount));
            let ours: Vec<Mount> = ours.collect();
            (std::mem::replace(&mut model.mounts, ours.clone()), ours)
        };
        for mount in &mounts {
            match before.iter().find(|old| is_same(old, mount)) {
                None => self.came(mount, *is_later),
                Some(old) if old.state != State::Stale && mount.state == State::Stale => {
                    self.died(mount);
                }
                Some(old) if old.control.is_none() => self.follow(mount, 0),
                Some(_) => {}
            }
        }
        self.look_again(&mounts);
        for old in &before {
            if !mounts.iter().any(|mount| is_same(old, mount)) {
                self.went(old);
            }
        }
        *is_later = true;
        self.publish();
        Ok(())
    }

    /// A mount is in the table a moment before its process answers, and after it was killed.
    fn look_again(self: &Arc<Self>, mounts: &[Mount]) {
        /// Some seconds in all; a process that does not answer then never will.
        const TRIES: u32 = 6;
        let is_open = |mount: &Mount| matches!(mount.state, State::Unknown | State::Silent);
        if !mounts.iter().any(is_open) {
            self.looks.store(0, Ordering::Relaxed);
            return;
        }
        let look = self.looks.fetch_add(1, Ordering::Relaxed);
        if look >= TRIES {
            return;
        }
        let app = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50) * 2_u32.pow(look)).await;
            app.refresh_in_background().await;
        });
    }

    /// What cannot be asked is in the menu. Not an `async fn`, so that it can be part of itself.
    fn refresh_in_background(
        self: &Arc<Self>,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let _ = self.refresh().await;
        })
    }

    /// What was mounted before this process started is no news.
    fn came(self: &Arc<Self>, mount: &Mount, is_news: bool) {
        self.mounts_changed.notify_one();
        let known = if is_news { 0 } else { mount.figures.events };
        self.follow(mount, known);
        if is_news {
            let place = Some(mount.point.display().to_string());
            self.happened(mount, Notice::Unlocked, String::new(), place);
        }
    }

    fn went(self: &Arc<Self>, mount: &Mount) {
        self.mounts_changed.notify_one();
        let follower = locked(&self.followers).remove(&mount.point);
        let (app, mount) = (Arc::clone(self), mount.clone());
        tokio::spawn(async move {
            let told = match follower {
                Some(task) => tokio::time::timeout(LAST_WORDS, task).await,
                None => return app.gone(&mount, None),
            };
            app.gone(&mount, told.ok().and_then(Result::ok).flatten());
        });
    }

    fn gone(self: &Arc<Self>, mount: &Mount, told: Option<String>) {
        let ours = locked(&self.reasons).remove(&mount.point);
        let reason = ours
            .or_else(|| Some(format!("It was {}", told?)))
            .unwrap_or_else(|| "By another program".to_owned());
        self.happened(mount, Notice::Locked, reason, None);
    }

    fn died(self: &Arc<Self>, mount: &Mount) {
        let mut fault = Fault::new(
            "mount_failed",
            "The process of a vault has ended unexpectedly",
        );
        fault.hint = Some("clear it away in the menu, and unlock it again".to_owned());
        let vault = self.model().vault_of(mount);
        self.failed(&vault, &fault);
    }

    /// Why this mount is about to be locked; told when it is.
    pub(crate) fn expect(&self, mount: &Mount, reason: &str) {
        locked(&self.reasons).insert(mount.point.clone(), reason.to_owned());
    }

    /// It was not locked after all.
    pub(crate) fn expect_no_more(&self, mount: &Mount) {
        locked(&self.reasons).remove(&mount.point);
    }

    fn follow(self: &Arc<Self>, mount: &Mount, known: u64) {
        let Some(socket) = mount.control.clone() else {
            return;
        };
        let (app, followed) = (Arc::clone(self), mount.clone());
        let task = tokio::spawn(async move {
            let mut told = None;
            // A process that cannot be followed is still in the table of mounts.
            let _ = control::follow(&socket, |event| {
                if event.kind == "locked" {
                    told = event.text.or(told.take());
                } else if event.seq >= known {
                    app.heard(&followed, &event);
                }
            })
            .await;
            // A process that ended badly leaves its mount, and the table does not change.
            let later = Arc::clone(&app);
            tokio::spawn(async move { later.refresh_in_background().await });
            told
        });
        locked(&self.followers).insert(mount.point.clone(), task);
    }

    /// An event of a mount.
    fn heard(self: &Arc<Self>, mount: &Mount, event: &Event) {
        let place = event.cipher_path.clone();
        let text = event.text.clone().unwrap_or_default();
        match event.kind.as_str() {
            "decryption_failed" => {
                let text = "It cannot be read; `oxcrypt check` tells more".to_owned();
                self.happened(mount, Notice::Damaged, text, place);
            }
            "broken_file_node" | "broken_dir_file" => {
                let text = "`oxcrypt check` can mend it".to_owned();
                self.happened(mount, Notice::Damaged, text, place);
            }
            "conflict_resolved" => {
                let text = "Both were kept".to_owned();
                self.happened(mount, Notice::Conflict, text, place);
            }
            "conflict_resolution_failed" | "foreign_change" => {
                let text = "Changed here and elsewhere at the same time".to_owned();
                self.happened(mount, Notice::Conflict, text, place);
            }
            // What somebody asked for is answered to him; only the idle lock has nobody to tell.
            "lock_failed" if text.starts_with("idle") => {
                self.happened(mount, Notice::LockFailed, capital(&text), None);
            }
            "unlocked" | "lock_failed" => {}
            kind => {
                let urgent = kind == "hook_failed";
                let text = if text.is_empty() {
                    kind.replace('_', " ")
                } else {
                    text
                };
                let vault = self.model().vault_of(mount);
                self.record(vault, kind, text, urgent);
            }
        }
    }

    /// Records and tells something about a mount.
    pub(crate) fn happened(
        self: &Arc<Self>,
        mount: &Mount,
        notice: Notice,
        detail: String,
        place: Option<String>,
    ) {
        let vault = self.model().vault_of(mount);
        let (kind, urgent, short) = match notice {
            Notice::Unlocked => ("unlocked", false, "unlocked"),
            Notice::Locked => ("locked", false, "locked"),
            Notice::LockFailed => ("lock_failed", true, "not locked"),
            Notice::Conflict => ("conflict", true, "two versions of a file"),
            Notice::Damaged => ("damaged", true, "damaged file"),
            Notice::LowSpace => ("low_space", true, "little space left"),
            Notice::Updated => ("updated", false, "changed elsewhere"),
        };
        let text = if detail.is_empty() {
            short.to_owned()
        } else {
            format!("{short}: {}", small(&detail))
        };
        let label = self
            .model()
            .vault(&vault)
            .map_or_else(|| vault.clone(), |v| v.label());
        self.record(vault.clone(), kind, text, urgent);
        self.tell(Happening {
            notice: Some(notice),
            vault,
            label,
            detail,
            place,
        });
    }

    /// Records and tells that something could not be done.
    pub(crate) fn failed(self: &Arc<Self>, vault: &str, fault: &Fault) {
        if fault.is("cancelled") {
            return;
        }
        let label = self
            .model()
            .vault(vault)
            .map_or_else(|| vault.to_owned(), |v| v.label());
        self.record(vault.to_owned(), &fault.code, fault.line(), true);
        self.tell(Happening {
            notice: None,
            vault: vault.to_owned(),
            label,
            detail: fault.line(),
            place: None,
        });
    }

    fn tell(self: &Arc<Self>, what: Happening) {
        let app = Arc::clone(self);
        tokio::spawn(async move {
            let settings = app.model().settings.tray.clone();
            app.notifier.tell(&what, &settings).await;
        });
    }

    fn record(self: &Arc<Self>, vault: String, kind: &str, text: String, urgent: bool) {
        let record = Record {
            at: SystemTime::now(),
            vault,
            kind: kind.to_owned(),
            text,
            urgent,
        };
        self.model().record(record.clone());
        self.publish();
        let app = Arc::clone(self);
        tokio::spawn(async move { crate::service::tell_event(&app, &record).await });
    }
}

fn is_same(old: &Mount, new: &Mount) -> bool {
    let pids = (old.figures.pid, new.figures.pid);
    old.point == new.point
        && old.vault == new.vault
        && (pids.0 == pids.1 || new.state != State::Live || old.state != State::Live)
}
