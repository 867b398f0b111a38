//! Stand-ins for what a desktop has: a host of icons, a server of notifications, logind.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use zbus::Connection;
use zbus::zvariant::{ObjectPath, OwnedValue};

use crate::bed::connect;

/// What was notified.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) id: u32,
    pub(crate) summary: String,
    pub(crate) body: String,
    pub(crate) actions: Vec<String>,
    pub(crate) timeout: i32,
}

#[derive(Default)]
struct Shared {
    items: Vec<String>,
    notices: Vec<Notice>,
}

type State = Arc<Mutex<Shared>>;

struct Watcher(State);

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(&self, service: &str) {
        self.0.lock().unwrap().items.push(service.to_owned());
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }
}

struct Notifications(State);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Notifications {
    #[expect(clippy::too_many_arguments, reason = "as the specification has it")]
    fn notify(
        &self,
        _app: &str,
        replaced: u32,
        _icon: &str,
        summary: &str,
        body: &str,
        actions: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        timeout: i32,
    ) -> u32 {
        let mut state = self.0.lock().unwrap();
        let next = u32::try_from(state.notices.len()).unwrap() + 1;
        let id = if replaced == 0 { next } else { replaced };
        state.notices.push(Notice {
            id,
            summary: summary.to_owned(),
            body: body.to_owned(),
            actions,
            timeout,
        });
        id
    }

    fn get_capabilities(&self) -> Vec<String> {
        vec!["actions".to_owned(), "body-markup".to_owned()]
    }
}

/// The desktop.
pub(crate) struct Desktop {
    state: State,
    address: String,
    watcher: Mutex<Option<Connection>>,
    notifications: Connection,
}

impl Desktop {
    pub(crate) async fn start(address: &str) -> Self {
        let state = State::default();
        let notifications = connect(address).await;
        let server = Notifications(Arc::clone(&state));
        let path = "/org/freedesktop/Notifications";
        notifications
            .object_server()
            .at(path, server)
            .await
            .unwrap();
        notifications
            .request_name("org.freedesktop.Notifications")
            .await
            .unwrap();
        let desktop = Self {
            state,
            address: address.to_owned(),
            watcher: Mutex::default(),
            notifications,
        };
        desktop.start_watcher().await;
        desktop
    }

    pub(crate) async fn start_watcher(&self) {
        let bus = connect(&self.address).await;
        let watcher = Watcher(Arc::clone(&self.state));
        bus.object_server()
            .at("/StatusNotifierWatcher", watcher)
            .await
            .unwrap();
        bus.request_name("org.kde.StatusNotifierWatcher")
            .await
            .unwrap();
        *self.watcher.lock().unwrap() = Some(bus);
    }

    pub(crate) async fn stop_watcher(&self) {
        let bus = self.watcher.lock().unwrap().take().unwrap();
        bus.close().await.unwrap();
        self.state.lock().unwrap().items.clear();
    }

    /// A desktop without notifications.
    pub(crate) async fn stop_notifications(&self) {
        let name = "org.freedesktop.Notifications";
        self.notifications.release_name(name).await.unwrap();
    }

    /// As if nothing had happened yet.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock().unwrap();
        state.items.clear();
        state.notices.clear();
    }

    /// Names of registered icons.
    pub(crate) fn items(&self) -> Vec<String> {
        self.state.lock().unwrap().items.clone()
    }

    pub(crate) fn notices(&self) -> Vec<Notice> {
        self.state.lock().unwrap().notices.clone()
    }

    /// The latest notification whose summary holds this.
    pub(crate) fn notice(&self, summary: &str) -> Option<Notice> {
        self.notices()
            .into_iter()
            .rev()
            .find(|n| n.summary.contains(summary))
    }

    /// Waits for it.
    pub(crate) async fn told(&self, summary: &str) -> Notice {
        let what = format!("a notification {summary:?}");
        crate::bed::until(&what, async || self.notice(summary).is_some()).await;
        self.notice(summary).unwrap()
    }

    /// Somebody presses a button.
    pub(crate) async fn press(&self, id: u32, key: &str) {
        let path = "/org/freedesktop/Notifications";
        let name = "org.freedesktop.Notifications";
        let body = (id, key);
        self.notifications
            .emit_signal(None::<&str>, path, name, "ActionInvoked", &body)
            .await
            .unwrap();
    }

    /// A screen saver locks the screen.
    pub(crate) async fn lock_screen(&self) {
        let path = "/org/gnome/ScreenSaver";
        let name = "org.gnome.ScreenSaver";
        self.notifications
            .emit_signal(None::<&str>, path, name, "ActiveChanged", &(true,))
            .await
            .unwrap();
    }
}

/// The ends of pipes whose other ends were handed out.
type Held = Arc<Mutex<Vec<OwnedFd>>>;

struct Manager(Held);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    fn inhibit(&self, what: &str, _who: &str, _why: &str, mode: &str) -> zbus::zvariant::OwnedFd {
        assert_eq!((what, mode), ("sleep:shutdown", "delay"));
        let (ours, theirs) = std::io::pipe().unwrap();
        self.0.lock().unwrap().push(ours.into());
        OwnedFd::from(theirs).into()
    }

    fn get_session(&self, _id: &str) -> ObjectPath<'static> {
        ObjectPath::from_static_str_unchecked(SESSION)
    }
}

struct Session;

#[zbus::interface(name = "org.freedesktop.login1.Session")]
impl Session {
    #[zbus(property)]
    fn user(&self) -> (u32, ObjectPath<'static>) {
        use std::os::unix::fs::MetadataExt;
        let uid = std::fs::metadata("/proc/self").unwrap().uid();
        (
            uid,
            ObjectPath::from_static_str_unchecked("/org/freedesktop/login1/user/me"),
        )
    }
}

struct OtherSession;

#[zbus::interface(name = "org.freedesktop.login1.Session")]
impl OtherSession {
    #[zbus(property)]
    fn user(&self) -> (u32, ObjectPath<'static>) {
        (
            54321,
            ObjectPath::from_static_str_unchecked("/org/freedesktop/login1/user/other"),
        )
    }
}

const SESSION: &str = "/org/freedesktop/login1/session/c1";
const OTHER: &str = "/org/freedesktop/login1/session/c2";
const LOGIN: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";

/// logind and UPower.
pub(crate) struct Login {
    bus: Connection,
    held: Held,
}

impl Login {
    pub(crate) async fn start(address: &str) -> Self {
        let bus = connect(address).await;
        let held = Held::default();
        let server = bus.object_server();
        server.at(LOGIN, Manager(Arc::clone(&held))).await.unwrap();
        server.at(SESSION, Session).await.unwrap();
        server.at(OTHER, OtherSession).await.unwrap();
        bus.request_name("org.freedesktop.login1").await.unwrap();
        Self { bus, held }
    }

    /// How many inhibitors were taken, and whether the latest is still held by anybody.
    pub(crate) fn inhibitors(&self) -> (usize, bool) {
        use std::io::Read;
        let held = self.held.lock().unwrap();
        let Some(last) = held.last() else {
            return (0, false);
        };
        let mut end = std::fs::File::from(last.try_clone().unwrap());
        let flags = rustix::fs::fcntl_getfl(&end).unwrap();
        rustix::fs::fcntl_setfl(&end, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        // The end of the file shows when the last writer has gone.
        let is_held = end.read(&mut [0]).is_err();
        (held.len(), is_held)
    }

    async fn emit<B>(&self, path: &str, interface: &str, member: &str, body: &B)
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.bus
            .emit_signal(None::<&str>, path, interface, member, body)
            .await
            .unwrap();
    }

    pub(crate) async fn sleep(&self, begins: bool) {
        self.emit(LOGIN, MANAGER, "PrepareForSleep", &(begins,))
            .await;
    }

    pub(crate) async fn lock_session(&self, own: bool) {
        let path = if own { SESSION } else { OTHER };
        self.emit(path, "org.freedesktop.login1.Session", "Lock", &())
            .await;
    }

    pub(crate) async fn end_session(&self) {
        let body = ("c1", ObjectPath::from_static_str_unchecked(SESSION));
        self.emit(LOGIN, MANAGER, "SessionRemoved", &body).await;
    }

    pub(crate) async fn close_lid(&self) {
        let mut changed = HashMap::new();
        changed.insert("LidIsClosed", zbus::zvariant::Value::Bool(true));
        let body = ("org.freedesktop.UPower", changed, Vec::<&str>::new());
        let path = "/org/freedesktop/UPower";
        let properties = "org.freedesktop.DBus.Properties";
        self.emit(path, properties, "PropertiesChanged", &body)
            .await;
    }
}
