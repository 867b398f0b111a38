//! Locks vaults when the machine is left: it sleeps, its lid closes, the screen is locked, the
//! session ends. logind and UPower say so on the system bus, screen savers on the session's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use zbus::message::Type;
use zbus::zvariant::{OwnedFd, OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, MatchRule, Message, MessageStream};

use crate::app::App;
use crate::settings::Trigger;

const LOGIN: &str = "org.freedesktop.login1";
const LOGIN_PATH: &str = "/org/freedesktop/login1";
const LOGIN_MANAGER: &str = "org.freedesktop.login1.Manager";
const LOGIN_SESSION: &str = "org.freedesktop.login1.Session";
const UPOWER: &str = "org.freedesktop.UPower";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Screen savers that say when they lock.
const SCREEN_SAVERS: [&str; 5] = [
    "org.freedesktop.ScreenSaver",
    "org.gnome.ScreenSaver",
    "org.cinnamon.ScreenSaver",
    "org.mate.ScreenSaver",
    "org.xfce.ScreenSaver",
];

fn signals<'a>() -> zbus::match_rule::Builder<'a> {
    MatchRule::builder().msg_type(Type::Signal)
}

/// Starts watching; what is not there is not watched, and said once.
pub(crate) async fn start(app: &Arc<App>) {
    if let Err(e) = watch_screen(app).await {
        crate::log(&format!("screen savers are not noticed: {e}"));
    }
    match Connection::system().await {
        Ok(system) => {
            if let Err(e) = watch_system(app, &system).await {
                crate::log(&format!("sleep and session end are not noticed: {e}"));
            }
        }
        Err(e) => crate::log(&format!(
            "sleep, session end and lid are not noticed, there is no system bus: {e}"
        )),
    }
}

async fn watch_screen(app: &Arc<App>) -> zbus::Result<()> {
    for name in SCREEN_SAVERS {
        let rule = signals().interface(name)?.member("ActiveChanged")?.build();
        let stream = MessageStream::for_match_rule(rule, &app.bus, None).await?;
        let app = Arc::clone(app);
        on_each(stream, move |message| {
            if message.body().deserialize::<bool>() == Ok(true) {
                let app = Arc::clone(&app);
                tokio::spawn(async move { app.triggered(Trigger::ScreenLock).await });
            }
        });
    }
    Ok(())
}

async fn watch_system(app: &Arc<App>, system: &Connection) -> zbus::Result<()> {
    let inhibitor = Arc::new(Inhibitor::new(system.clone()));
    for (member, trigger) in [
        ("PrepareForSleep", Trigger::Sleep),
        ("PrepareForShutdown", Trigger::Logout),
    ] {
        let rule = signals().interface(LOGIN_MANAGER)?.member(member)?.build();
        let stream = MessageStream::for_match_rule(rule, system, None).await?;
        let (app, inhibitor) = (Arc::clone(app), Arc::clone(&inhibitor));
        on_each(stream, move |message| {
            let Ok(begins) = message.body().deserialize::<bool>() else {
                return;
            };
            let (app, inhibitor) = (Arc::clone(&app), Arc::clone(&inhibitor));
            tokio::spawn(async move {
                if begins {
                    app.triggered(trigger).await;
                    inhibitor.release();
                } else {
                    inhibitor.take().await;
                }
            });
        });
    }
    inhibitor.take().await;
    watch_sessions(app, system).await?;
    watch_lid(app, system).await
}

/// Keeps the machine awake until the vaults are locked, for as long as logind allows.
struct Inhibitor {
    system: Connection,
    held: Mutex<Option<OwnedFd>>,
}

impl Inhibitor {
    fn new(system: Connection) -> Self {
        Self {
            system,
            held: Mutex::default(),
        }
    }

    fn set(&self, fd: Option<OwnedFd>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = fd;
    }

    async fn take(&self) {
        let why = ("sleep:shutdown", "oxcrypt", "Vaults are locked", "delay");
        let answer = self
            .system
            .call_method(
                Some(LOGIN),
                LOGIN_PATH,
                Some(LOGIN_MANAGER),
                "Inhibit",
                &why,
            )
            .await;
        match answer.and_then(|message| message.body().deserialize()) {
            Ok(fd) => self.set(Some(fd)),
            Err(e) => crate::log(&format!("vaults may be locked only after a sleep: {e}")),
        }
    }

    fn release(&self) {
        self.set(None);
    }
}

async fn watch_sessions(app: &Arc<App>, system: &Connection) -> zbus::Result<()> {
    let lock = signals().interface(LOGIN_SESSION)?.member("Lock")?.build();
    let stream = MessageStream::for_match_rule(lock, system, None).await?;
    let (asked, locking) = (system.clone(), Arc::clone(app));
    on_each(stream, move |message| {
        session_locked(&locking, &asked, &message);
    });

    let hint = signals()
        .interface(PROPERTIES)?
        .member("PropertiesChanged")?
        .arg(0, LOGIN_SESSION)?
        .build();
    let stream = MessageStream::for_match_rule(hint, system, None).await?;
    let (asked, locking) = (system.clone(), Arc::clone(app));
    on_each(stream, move |message| {
        if has_become_true(&message, "LockedHint") {
            session_locked(&locking, &asked, &message);
        }
    });

    let Some(own) = own_session(system).await else {
        // Under a service manager; it ends this process with the session.
        return Ok(());
    };
    let removed = signals()
        .interface(LOGIN_MANAGER)?
        .member("SessionRemoved")?
        .build();
    let stream = MessageStream::for_match_rule(removed, system, None).await?;
    let app = Arc::clone(app);
    on_each(stream, move |message| {
        let gone = message.body().deserialize::<(String, OwnedObjectPath)>();
        if gone.is_ok_and(|(_, path)| path == own) {
            let app = Arc::clone(&app);
            tokio::spawn(async move { app.triggered(Trigger::Logout).await });
        }
    });
    Ok(())
}

/// A session is being locked: one of this user?
fn session_locked(app: &Arc<App>, system: &Connection, message: &Message) {
    let path = message.header().path().map(|path| path.to_owned());
    let (app, system) = (Arc::clone(app), system.clone());
    tokio::spawn(async move {
        let Some(path) = path else { return };
        let asked = (LOGIN_SESSION, "User");
        let answer = system
            .call_method(Some(LOGIN), path, Some(PROPERTIES), "Get", &asked)
            .await;
        let user = answer
            .and_then(|message| message.body().deserialize::<OwnedValue>())
            .ok()
            .and_then(|value| <(u32, OwnedObjectPath)>::try_from(value).ok());
        let own = rustix::process::geteuid().as_raw();
        // A session that cannot be asked may be ours: locking too much harms nobody.
        if user.is_none_or(|(uid, _)| uid == own) {
            app.triggered(Trigger::ScreenLock).await;
        }
    });
}

async fn own_session(system: &Connection) -> Option<OwnedObjectPath> {
    let answer = match std::env::var("XDG_SESSION_ID") {
        Ok(id) => {
            let id = (id.as_str(),);
            system
                .call_method(
                    Some(LOGIN),
                    LOGIN_PATH,
                    Some(LOGIN_MANAGER),
                    "GetSession",
                    &id,
                )
                .await
        }
        Err(_) => {
            let pid = (std::process::id(),);
            let method = "GetSessionByPID";
            system
                .call_method(Some(LOGIN), LOGIN_PATH, Some(LOGIN_MANAGER), method, &pid)
                .await
        }
    };
    answer.ok()?.body().deserialize().ok()
}

async fn watch_lid(app: &Arc<App>, system: &Connection) -> zbus::Result<()> {
    for (interface, property) in [(UPOWER, "LidIsClosed"), (LOGIN_MANAGER, "LidClosed")] {
        let rule = signals()
            .interface(PROPERTIES)?
            .member("PropertiesChanged")?
            .arg(0, interface)?
            .build();
        let stream = MessageStream::for_match_rule(rule, system, None).await?;
        let app = Arc::clone(app);
        on_each(stream, move |message| {
            if has_become_true(&message, property) {
                let app = Arc::clone(&app);
                tokio::spawn(async move { app.triggered(Trigger::Lid).await });
            }
        });
    }
    Ok(())
}

fn has_become_true(message: &Message, property: &str) -> bool {
    let body = message.body();
    let Ok((_, changed, _)) = body.deserialize::<(&str, HashMap<&str, Value<'_>>, Vec<&str>)>()
    else {
        return false;
    };
    changed.get(property) == Some(&Value::Bool(true))
}

fn on_each(mut stream: MessageStream, mut visit: impl FnMut(Message) + Send + 'static) {
    tokio::spawn(async move {
        while let Some(message) = stream.next().await {
            if let Ok(message) = message {
                visit(message);
            }
        }
    });
}
