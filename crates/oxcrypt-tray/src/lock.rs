//! Locking: because somebody wants it, or because the machine is being left.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::app::App;
use crate::fault::Fault;
use crate::model::{Vault, Work};
use crate::mounts::Mount;
use crate::runner::Input;
use crate::settings::{Notice, Trigger, WhenBusy};

/// For locking that somebody waits for.
const PATIENCE: Duration = Duration::from_secs(10);
/// logind waits five seconds before the machine sleeps; so long it may take altogether.
const BEFORE_SLEEP: Duration = Duration::from_millis(3500);
/// A file indexer or a thumbnailer has let go by then.
const BETWEEN_TRIES: Duration = Duration::from_millis(300);
/// What locking by force needs at the end.
const FOR_FORCE: Duration = Duration::from_millis(1200);

impl App {
    /// Locks all mounts of a vault.
    pub(crate) async fn lock(
        self: &Arc<Self>,
        id: &str,
        force: bool,
        reason: &str,
    ) -> Result<(), Fault> {
        let deadline = Instant::now() + PATIENCE;
        let vault = self.working_on(id, Work::Locking, deadline).await?;
        let mut done = Ok(());
        for mount in &vault.mounts {
            let locked = if force {
                self.lock_mount(mount, true, reason, PATIENCE).await
            } else {
                self.lock_if_free(mount, reason).await
            };
            done = done.and(locked);
        }
        self.done_with(id).await;
        self.settle(&vault, done)
    }

    /// The table of mounts has the last word: a process that took too long to end has been unmounted
    /// all the same.
    fn settle(&self, vault: &Vault, done: Result<(), Fault>) -> Result<(), Fault> {
        let left = self.model().mounts.clone();
        let is_left = |mount: &&Mount| left.iter().any(|m| m.point == mount.point);
        let mut left = vault.mounts.iter().filter(is_left).peekable();
        if left.peek().is_none() {
            return Ok(());
        }
        // One that only took too long still goes, and then for this reason; one that went may be in
        // the model for a moment more.
        if done.as_ref().is_err_and(|fault| !fault.is("timeout")) {
            for mount in left {
                self.expect_no_more(mount);
            }
        }
        done
    }

    /// Locks everything; the first failure of several.
    pub(crate) async fn lock_all(self: &Arc<Self>, force: bool, reason: &str) -> Result<(), Fault> {
        let open: Vec<Vault> = self
            .model()
            .vaults()
            .into_iter()
            .filter(Vault::is_open)
            .collect();
        let locking = open.iter().map(|vault| self.lock(&vault.id, force, reason));
        join_all(locking).await.into_iter().collect()
    }

    /// As [`Self::lock`], telling the user when it does not work, with a choice.
    pub(crate) async fn lock_and_tell(self: &Arc<Self>, id: &str, force: bool) -> bool {
        let done = self.lock(id, force, "As you wanted").await;
        let Err(fault) = done else { return true };
        self.tell_not_locked(id, &fault, None);
        false
    }

    /// Locks the vaults that lock themselves at this.
    pub(crate) async fn triggered(self: &Arc<Self>, trigger: Trigger) {
        // A mount of this moment may not be in the model yet.
        let _ = self.refresh().await;
        let deadline = Instant::now() + BEFORE_SLEEP;
        let vaults = self.model().vaults();
        let locking = vaults
            .iter()
            .filter(|vault| vault.locks_on(trigger))
            .map(|vault| self.lock_by_itself(vault, trigger, deadline));
        join_all(locking).await;
    }

    async fn lock_by_itself(self: &Arc<Self>, vault: &Vault, trigger: Trigger, deadline: Instant) {
        // Nobody can be asked for a passphrase while the machine is left.
        let Ok(vault) = self.working_on(&vault.id, Work::Locking, deadline).await else {
            return;
        };
        let force = self.model().settings.tray.busy == WhenBusy::Force;
        let reason = crate::texts::capital(trigger.reason());
        let last_try = if force {
            deadline - FOR_FORCE
        } else {
            deadline
        };
        let mut all = Ok(());
        for mount in &vault.mounts {
            let mut done = self.lock_patiently(mount, &reason, last_try).await;
            if force
                && done
                    .as_ref()
                    .is_err_and(|e| e.is("busy") || e.is("timeout"))
            {
                done = self.lock_mount(mount, true, &reason, FOR_FORCE).await;
            }
            all = all.and(done);
        }
        self.done_with(&vault.id).await;
        if let Err(fault) = self.settle(&vault, all) {
            self.tell_not_locked(&vault.id, &fault, Some(trigger));
        }
    }

    /// Tries again only where nobody is seen to use it: then somebody just looked, as `df` does.
    async fn lock_if_free(&self, mount: &Mount, reason: &str) -> Result<(), Fault> {
        let mut tries = 4;
        loop {
            tries -= 1;
            let done = self.lock_mount(mount, false, reason, PATIENCE).await;
            match &done {
                Err(fault) if fault.is("busy") && fault.holders.is_empty() && tries > 0 => {}
                _ => return done,
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    }

    async fn lock_patiently(
        self: &Arc<Self>,
        mount: &Mount,
        reason: &str,
        deadline: Instant,
    ) -> Result<(), Fault> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let done = self.lock_mount(mount, false, reason, left).await;
            let is_busy = done.as_ref().is_err_and(|e| e.is("busy"));
            if !is_busy || Instant::now() + 2 * BETWEEN_TRIES >= deadline {
                return done;
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    }

    async fn lock_mount(
        &self,
        mount: &Mount,
        force: bool,
        reason: &str,
        patience: Duration,
    ) -> Result<(), Fault> {
        let mut words: Vec<OsString> = vec!["lock".into()];
        if force {
            words.push("--force".into());
        }
        words.push(format!("--timeout={}ms", patience.as_millis().max(100)).into());
        words.extend(["--".into(), mount.point.clone().into_os_string()]);
        self.expect(mount, reason);
        self.runner.run(&words, Input::Nothing).await.map(|_| ())
    }

    fn tell_not_locked(self: &Arc<Self>, id: &str, fault: &Fault, trigger: Option<Trigger>) {
        let vault = self.model().vault(id);
        let Some(mount) = vault.as_ref().and_then(|v| v.mounts.first()) else {
            return self.failed(id, fault);
        };
        let mut detail = if fault.is("busy") {
            match fault.users() {
                users if users.is_empty() => "It is in use".to_owned(),
                users => format!("It is in use by {users}"),
            }
        } else {
            crate::texts::capital(&fault.message)
        };
        if let Some(trigger) = trigger {
            detail.push_str(&format!(" ({})", trigger.reason()));
        }
        self.happened(mount, Notice::LockFailed, detail, None);
    }

    /// Takes the vault for some work, alone. What is being done is waited for, but not a person who
    /// is being asked for a passphrase to be asked again.
    pub(crate) async fn working_on(
        &self,
        id: &str,
        work: Work,
        deadline: Instant,
    ) -> Result<Vault, Fault> {
        loop {
            let finished = self.finished.notified();
            let other = match self.try_working_on(id, work)? {
                Ok(vault) => return Ok(vault),
                Err(other) => other,
            };
            let waits = (work, other) != (Work::Unlocking, Work::Unlocking);
            if !waits || tokio::time::timeout_at(deadline, finished).await.is_err() {
                let text = "something is being done with this vault already";
                return Err(Fault::new("working", text));
            }
        }
    }

    /// What is being done instead, if something is.
    fn try_working_on(&self, id: &str, work: Work) -> Result<Result<Vault, Work>, Fault> {
        let mut model = self.model();
        let vault = model
            .vault(id)
            .ok_or_else(|| Fault::new("unknown_vault", format!("there is no vault named {id}")))?;
        if let Some(other) = vault.work {
            return Ok(Err(other));
        }
        model.begin(id, work);
        drop(model);
        self.publish();
        Ok(Ok(vault))
    }

    /// Ends the work, and shows what came of it.
    pub(crate) async fn done_with(self: &Arc<Self>, id: &str) {
        // What came of it is shown in one step.
        let asked = self.refresh().await;
        self.model().end(id);
        self.finished.notify_waiters();
        self.publish();
        if let Err(fault) = asked {
            crate::log(&fault.line());
        }
    }
}
