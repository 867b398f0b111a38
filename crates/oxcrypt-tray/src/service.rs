//! `org.oxcrypt.Manager1` on the session bus: what the menu does, for other programs.

use std::collections::HashMap;
use std::sync::Arc;

use zbus::object_server::SignalEmitter;
use zbus::zvariant::{OwnedFd, OwnedValue, Value};

use crate::app::App;
use crate::fault::Fault;
use crate::model::{Record, Vault};
use crate::unlock::Source;

pub(crate) const NAME: &str = "org.oxcrypt.Manager1";
pub(crate) const PATH: &str = "/org/oxcrypt/Manager1";

/// Why a call failed. The text says it in a sentence.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.oxcrypt.Error")]
pub(crate) enum Error {
    #[zbus(error)]
    ZBus(zbus::Error),
    /// In use, with the programs in the text; or unlocked already.
    Busy(String),
    WrongKey(String),
    UnknownVault(String),
    /// Something is being done with the vault already.
    Working(String),
    /// The person asked for the passphrase gave none.
    Cancelled(String),
    NoPrompter(String),
    NotAVault(String),
    Timeout(String),
    Failed(String),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let make = match fault.code.as_str() {
            "busy" => Self::Busy,
            "wrong_key" => Self::WrongKey,
            "unknown_vault" => Self::UnknownVault,
            "working" => Self::Working,
            "cancelled" => Self::Cancelled,
            "no_prompter" => Self::NoPrompter,
            "not_a_vault" => Self::NotAVault,
            "timeout" => Self::Timeout,
            _ => Self::Failed,
        };
        make(fault.line())
    }
}

type Result<T> = std::result::Result<T, Error>;
type Dict = HashMap<String, OwnedValue>;

/// The object at [`PATH`].
pub(crate) struct Manager(pub(crate) Arc<App>);

#[zbus::interface(name = "org.oxcrypt.Manager1")]
impl Manager {
    /// The vaults with names and those that are mounted: name, path, state (locked, unlocking,
    /// unlocked, locking, missing, stale), mountpoint, read_only, pid, idle_s, users, rx, tx.
    async fn list_vaults(&self) -> Result<Vec<Dict>> {
        self.0.refresh().await?;
        Ok(self.0.model().vaults().iter().map(dict).collect())
    }

    /// Unlocks with the passphrase that is in the descriptor: one line. Gives the mount point.
    async fn unlock(&self, name: &str, passphrase: OwnedFd, read_only: bool) -> Result<String> {
        let source = Source::Descriptor(passphrase.into());
        let place = self.0.unlock(name, source, read_only).await?;
        Ok(place.to_string_lossy().into_owned())
    }

    /// Unlocks with what the vault is set up for, or by asking the user.
    async fn ask(&self, name: &str, read_only: bool) -> Result<String> {
        let place = self.0.unlock(name, Source::Usual, read_only).await?;
        Ok(place.to_string_lossy().into_owned())
    }

    /// Locks a vault; by force also while programs use it.
    async fn lock(&self, name: &str, force: bool) -> Result<()> {
        Ok(self.0.lock(name, force, "As a program wanted").await?)
    }

    /// Locks all vaults of this user.
    async fn lock_all(&self, force: bool) -> Result<()> {
        Ok(self.0.lock_all(force, "As a program wanted").await?)
    }

    /// Opens the folder of an unlocked vault.
    async fn reveal(&self, name: &str) -> Result<()> {
        Ok(self.0.open(name)?)
    }

    /// Shows the icon, if it was started hidden.
    fn show(&self) {
        self.0.shown.send_replace(true);
    }

    /// Ends the tray; the vaults are locked before, unless they are to stay unlocked.
    async fn quit(&self, keep_unlocked: bool) -> Result<()> {
        Ok(self.0.quit(keep_unlocked).await?)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    /// The vault has another state now; as `ListVaults` gives it.
    #[zbus(signal)]
    async fn vault_changed(emitter: &SignalEmitter<'_>, vault: Dict) -> zbus::Result<()>;

    /// Something happened: the vault, the kind, a sentence.
    #[zbus(signal)]
    async fn event(
        emitter: &SignalEmitter<'_>,
        vault: &str,
        kind: &str,
        text: &str,
    ) -> zbus::Result<()>;
}

fn dict(vault: &Vault) -> Dict {
    let mut all: HashMap<&str, Value<'_>> = HashMap::new();
    all.insert("name", vault.id.as_str().into());
    all.insert("path", vault.path.to_string_lossy().into_owned().into());
    all.insert("state", vault.standing().word().into());
    if let Some(mount) = vault.mounts.first() {
        let figures = mount.figures;
        all.insert(
            "mountpoint",
            mount.point.to_string_lossy().into_owned().into(),
        );
        all.insert("read_only", mount.read_only.into());
        all.insert("pid", figures.pid.into());
        all.insert("idle_s", figures.idle_s.into());
        all.insert("users", figures.users.into());
        all.insert("rx", figures.rx.into());
        all.insert("tx", figures.tx.into());
    }
    all.into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value.try_into().ok()?)))
        .collect()
}

fn emitter(app: &App) -> Option<SignalEmitter<'static>> {
    SignalEmitter::new(&app.bus, PATH)
        .ok()
        .map(|e| e.into_owned())
}

/// Nobody has to listen.
pub(crate) async fn tell_vault(app: &App, vault: &Vault) {
    if let Some(emitter) = emitter(app) {
        let _ = Manager::vault_changed(&emitter, dict(vault)).await;
    }
}

pub(crate) async fn tell_event(app: &App, record: &Record) {
    if let Some(emitter) = emitter(app) {
        let _ = Manager::event(&emitter, &record.vault, &record.kind, &record.text).await;
    }
}
