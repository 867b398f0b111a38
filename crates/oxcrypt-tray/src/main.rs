//! The desktop helper: an icon, a menu and a service on the session bus. It holds no key and serves
//! no mount; it may end at any time without harm to what is mounted.

mod act;
mod app;
mod args;
mod autolock;
mod autostart;
mod control;
mod fault;
mod icons;
mod lock;
mod menu;
mod model;
mod mounts;
mod notify;
mod prompt;
mod runner;
mod secret;
mod service;
mod settings;
mod texts;
mod tray;
mod unlock;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use zbus::fdo::{RequestNameFlags, RequestNameReply};
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream};

use crate::app::App;
use crate::args::{Args, Wish};
use crate::runner::Runner;
use crate::settings::Trigger;

/// Nothing to work with: starting again would not help.
const UNAVAILABLE: u8 = 69;

/// Storage that does not answer must not keep those waiting who started it by a call.
const FIRST_LOOK: std::time::Duration = std::time::Duration::from_secs(5);
/// One that serves answers sooner.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// An answer on its way has left by then.
const LAST_ANSWER: std::time::Duration = std::time::Duration::from_millis(100);

/// A line for the log of the session.
pub(crate) fn log(text: &str) {
    eprintln!("oxcrypt-tray: {text}");
}

fn main() -> ExitCode {
    let args = match Args::read(std::env::args_os().skip(1)) {
        Ok(args) => args,
        Err(text) => {
            log(&text);
            return ExitCode::from(2);
        }
    };
    match args.wish {
        Wish::Help => {
            println!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Wish::Version => {
            println!("oxcrypt-tray {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Wish::Run | Wish::Quit => {}
    }
    keep_memory_private();
    // One thread does it all; others exist for moments, where the storage is asked for its space.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(std::time::Duration::from_secs(1))
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(&args)),
        Err(e) => {
            log(&format!("cannot start: {e}"));
            ExitCode::FAILURE
        }
    }
}

/// Passphrases pass through: no core file, and no look into the memory by the user's other programs.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let done = rustix::process::setrlimit(Resource::Core, none).and(
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable),
    );
    if let Err(e) = done {
        log(&format!("memory cannot be kept from other programs: {e}"));
    }
}

async fn run(args: &Args) -> ExitCode {
    let bus = match Connection::session().await {
        Ok(bus) => bus,
        Err(e) => {
            log(&format!("there is no session bus: {e}"));
            return ExitCode::from(UNAVAILABLE);
        }
    };
    if args.wish == Wish::Quit {
        return quit(&bus, args.keep).await;
    }
    // A name may for a moment belong to one that has been killed.
    let mut tries = 0;
    loop {
        match owner(&bus).await {
            Ok(None) => break,
            Ok(Some(other)) => match greet(&bus, &other, args.hidden).await {
                Ok(()) => return ExitCode::SUCCESS,
                Err(e) if is_gone(&e) && tries < 10 => {
                    tries += 1;
                    tokio::time::sleep(LAST_ANSWER).await;
                }
                Err(e) => return failed(&e),
            },
            Err(e) => return failed(&e),
        }
    }
    let app = App::new(Runner::find(), bus.clone(), !args.hidden);
    match serve(&app, args.login).await {
        Ok(true) => ExitCode::SUCCESS,
        // Another one was faster.
        Ok(false) => match greet(&bus, service::NAME, args.hidden).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => failed(&e),
        },
        Err(e) => failed(&e),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    log(&error.to_string());
    ExitCode::FAILURE
}

/// Whether this is the only one.
async fn own_name(app: &Arc<App>) -> zbus::Result<bool> {
    let manager = service::Manager(Arc::clone(app));
    app.bus.object_server().at(service::PATH, manager).await?;
    let flags = RequestNameFlags::DoNotQueue.into();
    let reply = app.bus.request_name_with_flags(service::NAME, flags).await;
    match reply {
        Ok(reply) => Ok(reply == RequestNameReply::PrimaryOwner),
        Err(zbus::Error::NameTaken) => Ok(false),
        Err(e) => Err(e),
    }
}

/// The connection of the one that serves.
async fn owner(bus: &Connection) -> zbus::Result<Option<String>> {
    let name = service::NAME
        .try_into()
        .expect("it is written as names of the bus are");
    let proxy = zbus::fdo::DBusProxy::new(bus).await?;
    match proxy.get_name_owner(name).await {
        Ok(owner) => Ok(Some(owner.to_string())),
        Err(zbus::fdo::Error::NameHasNoOwner(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Makes sure that the other one is there, and lets it show itself unless this one was to be hidden.
async fn greet(bus: &Connection, other: &str, hidden: bool) -> zbus::Result<()> {
    let (interface, method) = if hidden {
        ("org.freedesktop.DBus.Peer", "Ping")
    } else {
        (service::NAME, "Show")
    };
    let call = bus.call_method(Some(other), service::PATH, Some(interface), method, &());
    tokio::time::timeout(PATIENCE, call)
        .await
        .map_err(|_| zbus::Error::Failure("the one that runs does not answer".to_owned()))??;
    log("it is running already");
    Ok(())
}

/// Whether the one that was called had ended, or ended before it could answer.
fn is_gone(error: &zbus::Error) -> bool {
    let zbus::Error::MethodError(name, ..) = error else {
        return false;
    };
    matches!(
        name.as_str().strip_prefix("org.freedesktop.DBus.Error."),
        Some("NameHasNoOwner" | "NoReply" | "ServiceUnknown")
    )
}

async fn quit(bus: &Connection, keep: bool) -> ExitCode {
    let name = Some(service::NAME);
    let asked = bus
        .call_method(name, service::PATH, name, "Quit", &(keep,))
        .await;
    match asked {
        Ok(_) => ExitCode::SUCCESS,
        // It went away while it answered, or was not there.
        Err(zbus::Error::MethodError(error, text, _)) => {
            if error.as_str().starts_with("org.freedesktop.DBus.Error.") {
                log("it is not running");
                return ExitCode::SUCCESS;
            }
            log(&text.unwrap_or_else(|| error.to_string()));
            ExitCode::FAILURE
        }
        Err(e) => {
            log(&e.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Serves until it is to end; `false` if another one serves.
async fn serve(app: &Arc<App>, login: bool) -> zbus::Result<bool> {
    // From here on a signal does not end it before the vaults are seen to.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let choices = choices(app).await?;
    // Everything is in place before the first call can come.
    autolock::start(app).await;
    let look = async {
        app.reload().await;
        // What cannot be asked is in the menu.
        let _ = app.refresh().await;
    };
    let _ = tokio::time::timeout(FIRST_LOOK, look).await;
    app.model().starts_at_login = autostart::is_on();
    if !own_name(app).await? {
        return Ok(false);
    }
    let mut quit = app.quit.subscribe();
    tokio::spawn(watch::mounts(Arc::clone(app)));
    tokio::spawn(watch::settings(Arc::clone(app)));
    tokio::spawn(watch::figures(Arc::clone(app)));
    tokio::spawn(tray::present(Arc::clone(app)));
    if login {
        unlock_at_login(app);
    }
    tokio::select! {
        _ = quit.wait_for(|quit| *quit) => {
            // Who asked for it gets the answer before the connection ends.
            tokio::time::sleep(LAST_ANSWER).await;
            app.bus.clone().close().await?;
            return Ok(true);
        }
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hang_up.recv() => {}
        () = choices => log("the session bus is gone"),
    }
    app.triggered(Trigger::Logout).await;
    Ok(true)
}

/// Does what is chosen in notifications, until the bus is gone.
async fn choices(app: &Arc<App>) -> zbus::Result<impl Future<Output = ()> + use<>> {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .interface("org.freedesktop.Notifications")?
        .member("ActionInvoked")?
        .build();
    let mut stream = MessageStream::for_match_rule(rule, &app.bus, None).await?;
    let app = Arc::clone(app);
    Ok(async move {
        while let Some(Ok(message)) = stream.next().await {
            let Ok((id, key)) = message.body().deserialize::<(u32, String)>() else {
                continue;
            };
            if let Some(choice) = app.notifier.choice(id, &key) {
                app.chosen(choice);
            }
        }
    })
}

fn unlock_at_login(app: &Arc<App>) {
    let vaults = app.model().vaults();
    let wanted = |v: &&model::Vault| !v.is_open() && v.entry.as_ref().is_some_and(|e| e.at_login);
    for vault in vaults.iter().filter(wanted) {
        let vault = vault.id.clone();
        let read_only = false;
        app.act(menu::Act::Unlock { vault, read_only });
    }
}
