//! The icon and its menu, by StatusNotifierItem.

use std::path::PathBuf;
use std::sync::Arc;

use ksni::menu::{CheckmarkItem, StandardItem, SubMenu};
use ksni::{Category, Handle, Icon, MenuItem, OfflineReason, Status, ToolTip, TrayMethods};

use crate::app::App;
use crate::icons;
use crate::menu::{self, Act, Item};
use crate::model::{Face, Vault};
use crate::notify::escaped;
use crate::service;

/// What is shown.
#[derive(Clone, PartialEq, Eq)]
struct View {
    face: Face,
    menu: Vec<Item>,
    tooltip: Vec<String>,
}

fn view(app: &App) -> View {
    let model = app.model();
    View {
        face: model.face(),
        menu: menu::menu(&model),
        tooltip: menu::tooltip(&model),
    }
}

struct Tray {
    app: Arc<App>,
    view: View,
    /// Whether the icons are installed where hosts look for them.
    has_theme: bool,
}

fn icon_name(face: Face) -> &'static str {
    match face {
        Face::Locked => "oxcrypt-locked",
        Face::Unlocked => "oxcrypt-unlocked",
        Face::Attention => "oxcrypt-attention",
    }
}

/// A host that is told the name of an icon it cannot find shows nothing, so the name is given only
/// where the file is.
fn has_theme() -> bool {
    let dirs = std::env::var_os("XDG_DATA_DIRS").filter(|d| !d.is_empty());
    let dirs = dirs.unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    let home = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let mut all = home.into_iter().chain(std::env::split_paths(&dirs));
    all.any(|dir| {
        dir.join("icons/hicolor/scalable/status/oxcrypt-locked.svg")
            .is_file()
    })
}

impl ksni::Tray for Tray {
    const MENU_ON_ACTIVATE: bool = true;

    fn id(&self) -> String {
        "org.oxcrypt.Tray".to_owned()
    }

    fn title(&self) -> String {
        match self.view.face {
            Face::Locked => "oxcrypt: locked".to_owned(),
            Face::Unlocked => "oxcrypt: unlocked".to_owned(),
            Face::Attention => "oxcrypt: see the menu".to_owned(),
        }
    }

    fn category(&self) -> Category {
        Category::SystemServices
    }

    fn status(&self) -> Status {
        match self.view.face {
            Face::Attention => Status::NeedsAttention,
            _ => Status::Active,
        }
    }

    fn icon_name(&self) -> String {
        if self.has_theme {
            icon_name(self.view.face).to_owned()
        } else {
            String::new()
        }
    }

    fn icon_pixmap(&self) -> Vec<Icon> {
        icons::icons(self.view.face)
    }

    fn attention_icon_name(&self) -> String {
        if self.has_theme {
            icon_name(Face::Attention).to_owned()
        } else {
            String::new()
        }
    }

    fn attention_icon_pixmap(&self) -> Vec<Icon> {
        icons::icons(Face::Attention)
    }

    fn tool_tip(&self) -> ToolTip {
        ToolTip {
            icon_name: String::new(),
            icon_pixmap: Vec::new(),
            title: self.title(),
            description: escaped(&self.view.tooltip.join("\n")),
        }
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        self.view.menu.iter().map(item).collect()
    }

    fn menu_about_to_show(&mut self) {
        // The figures are those of the last change; fresh ones follow as fast as they come.
        let app = Arc::clone(&self.app);
        tokio::spawn(async move { app.refresh().await });
    }

    fn watcher_offline(&self, reason: OfflineReason) -> bool {
        if matches!(reason, OfflineReason::Error(_)) {
            crate::log("no tray shows icons here; the icon comes when there is one");
        }
        true
    }
}

/// In labels `_` marks the key that selects the item.
fn label(text: &str) -> String {
    text.replace('_', "__")
}

fn item(item: &Item) -> MenuItem<Tray> {
    match item {
        Item::Line(text) => StandardItem {
            label: label(text),
            enabled: false,
            ..Default::default()
        }
        .into(),
        Item::Action(text, act) => StandardItem {
            label: label(text),
            activate: activate(act),
            ..Default::default()
        }
        .into(),
        Item::Check(text, checked, act) => CheckmarkItem {
            label: label(text),
            checked: *checked,
            activate: activate(act),
            ..Default::default()
        }
        .into(),
        Item::Sub(text, below) => SubMenu {
            label: label(text),
            submenu: below.iter().map(self::item).collect(),
            ..Default::default()
        }
        .into(),
        Item::Separator => MenuItem::Separator,
    }
}

fn activate(act: &Act) -> Box<dyn Fn(&mut Tray) + Send> {
    let act = act.clone();
    Box::new(move |tray| tray.app.act(act.clone()))
}

/// Shows the model, after every change of it.
pub(crate) async fn present(app: Arc<App>) {
    let mut shown = app.shown.subscribe();
    let mut handle: Option<Handle<Tray>> = None;
    let mut told: Vec<Vault> = Vec::new();
    let mut last = None;
    loop {
        let now = view(&app);
        if handle.is_none() && *shown.borrow_and_update() {
            handle = spawn(&app, now.clone()).await;
        }
        if let Some(handle) = &handle
            && last.as_ref() != Some(&now)
        {
            last = Some(now.clone());
            handle.update(|tray: &mut Tray| tray.view = now).await;
        }
        told = tell_changed(&app, told).await;
        tokio::select! {
            () = app.changed.notified() => {}
            _ = shown.changed() => {}
        }
    }
}

async fn spawn(app: &Arc<App>, view: View) -> Option<Handle<Tray>> {
    let tray = Tray {
        app: Arc::clone(app),
        view,
        has_theme: has_theme(),
    };
    match tray.assume_sni_available(true).spawn().await {
        Ok(handle) => Some(handle),
        Err(e) => {
            crate::log(&format!("no icon can be shown: {e}"));
            // Asking again and again would not help; the service works without.
            app.shown.send_replace(false);
            None
        }
    }
}

/// Tells other programs which vaults stand otherwise than they were told last.
async fn tell_changed(app: &App, told: Vec<Vault>) -> Vec<Vault> {
    let now = app.model().vaults();
    for vault in &now {
        let last = told.iter().find(|old| old.id == vault.id);
        if last.is_none_or(|old| old.standing() != vault.standing()) {
            service::tell_vault(app, vault).await;
        }
    }
    now
}
