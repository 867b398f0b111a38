//! What the items of the menu and the buttons of notifications do.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::process::Command;

use crate::app::App;
use crate::autostart;
use crate::fault::Fault;
use crate::menu::Act;
use crate::notify::Choice;
use crate::prompt;
use crate::runner::Input;

impl App {
    /// Does it in the background; what fails is told.
    pub(crate) fn act(self: &Arc<Self>, act: Act) {
        let app = Arc::clone(self);
        tokio::spawn(async move {
            let done = match act {
                Act::Unlock { vault, read_only } => {
                    app.unlock_and_tell(&vault, read_only).await;
                    Ok(())
                }
                Act::Lock { vault, force } => {
                    app.lock_and_tell(&vault, force).await;
                    Ok(())
                }
                Act::Open(vault) => app.open(&vault),
                Act::Remember(vault) => app.remember(&vault).await,
                Act::Forget(vault) => app.forget(&vault).await,
                Act::LockAll => {
                    app.lock_all_and_tell().await;
                    Ok(())
                }
                Act::Seen => {
                    app.model().seen();
                    app.publish();
                    Ok(())
                }
                Act::AddVault => app.add_vault().await,
                Act::Settings => app.open_settings().await,
                Act::StartAtLogin(on) => app.start_at_login(on),
                Act::Quit { keep } => app.quit_from_menu(keep).await,
            };
            if let Err(fault) = done {
                app.failed("", &fault);
            }
        });
    }

    pub(crate) fn chosen(self: &Arc<Self>, choice: Choice) {
        self.act(match choice {
            Choice::Retry(vault) => Act::Lock {
                vault,
                force: false,
            },
            Choice::Force(vault) => Act::Lock { vault, force: true },
            Choice::Open(vault) => Act::Open(vault),
        });
    }

    /// Whether all are locked now.
    async fn lock_all_and_tell(self: &Arc<Self>) -> bool {
        let open: Vec<String> = {
            let model = self.model();
            model
                .vaults()
                .into_iter()
                .filter(|v| v.is_open())
                .map(|v| v.id)
                .collect()
        };
        let locking = open.iter().map(|id| self.lock_and_tell(id, false));
        futures_util::future::join_all(locking)
            .await
            .into_iter()
            .all(|done| done)
    }

    /// Shows the folder of an unlocked vault.
    pub(crate) fn open(&self, id: &str) -> Result<(), Fault> {
        let vault = self.model().vault(id);
        let vault = vault
            .ok_or_else(|| Fault::new("unknown_vault", format!("there is no vault named {id}")))?;
        let mount = vault.mounts.first();
        let mount = mount.ok_or_else(|| Fault::new("other", "it is locked"))?;
        show(&mount.point)
    }

    async fn add_vault(self: &Arc<Self>) -> Result<(), Fault> {
        let Some(folder) = prompt::choose_folder().await? else {
            return Ok(());
        };
        let name = self.free_name(&folder);
        // Only what the command knows as a vault gets a name.
        let info: [&OsStr; 3] = ["info".as_ref(), "--".as_ref(), folder.as_os_str()];
        self.runner.run(&info, Input::Nothing).await?;
        let add: [&OsStr; 5] = [
            "vault".as_ref(),
            "add".as_ref(),
            "--".as_ref(),
            name.as_ref(),
            folder.as_os_str(),
        ];
        self.runner.run(&add, Input::Nothing).await?;
        self.reload().await;
        Ok(())
    }

    /// A name made of that of the folder, which no vault has yet.
    fn free_name(&self, folder: &Path) -> String {
        let last = folder.file_name().unwrap_or_default().to_string_lossy();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let mut name: String = last
            .chars()
            .map(|c| if is_plain(c) { c } else { '-' })
            .collect();
        if name.is_empty() {
            name.push_str("vault");
        }
        let model = self.model();
        let is_taken = |name: &str| model.settings.vaults.iter().any(|v| v.name == name);
        let numbered = (2..).map(|n| format!("{name}-{n}"));
        std::iter::once(name.clone())
            .chain(numbered)
            .find(|n| !is_taken(n))
            .unwrap_or(name)
    }

    async fn open_settings(&self) -> Result<(), Fault> {
        let file = self.model().settings.file.clone();
        if !file.exists() {
            use std::os::unix::fs::OpenOptionsExt;
            let made = file
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| {
                    let mut options = std::fs::OpenOptions::new();
                    options.append(true).create(true).mode(0o600).open(&file)
                });
            made.map_err(|e| Fault::new("permission", format!("{}: {e}", file.display())))?;
        }
        show(&file)
    }

    fn start_at_login(&self, on: bool) -> Result<(), Fault> {
        let done = autostart::set(on);
        self.model().starts_at_login = autostart::is_on();
        self.publish();
        done.map_err(|e| {
            Fault::new(
                "permission",
                format!("cannot change the start at login: {e}"),
            )
        })
    }

    async fn quit_from_menu(self: &Arc<Self>, keep: bool) -> Result<(), Fault> {
        if keep || self.lock_all_and_tell().await {
            self.quit.send_replace(true);
        }
        Ok(())
    }

    /// Ends this process; not while a vault stays unlocked that should be locked.
    pub(crate) async fn quit(self: &Arc<Self>, keep_unlocked: bool) -> Result<(), Fault> {
        if !keep_unlocked {
            self.lock_all(false, "The tray was ended").await?;
        }
        self.quit.send_replace(true);
        Ok(())
    }
}

/// By what the desktop opens such a thing with.
fn show(path: &Path) -> Result<(), Fault> {
    let started = Command::new("xdg-open")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = started.map_err(|e| {
        Fault::new(
            "other",
            format!("cannot open {}: xdg-open: {e}", path.display()),
        )
    })?;
    tokio::spawn(async move { child.wait().await });
    Ok(())
}
