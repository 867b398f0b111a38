//! The icon and its menu, as a host of icons reads them.

use std::collections::HashMap;

use zbus::zvariant::{OwnedValue, Value};

use crate::bed::Bed;

const MENU: &str = "com.canonical.dbusmenu";
const ITEM: &str = "org.kde.StatusNotifierItem";

type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

/// An item of the menu.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    id: i32,
    pub(crate) label: String,
    pub(crate) enabled: bool,
    /// Of an item that can be switched on.
    pub(crate) is_on: bool,
    pub(crate) below: Vec<Node>,
}

impl Node {
    fn new((id, properties, below): Layout) -> Self {
        let label = properties
            .get("label")
            .and_then(|v| v.downcast_ref::<String>().ok());
        let enabled = properties
            .get("enabled")
            .and_then(|v| v.downcast_ref::<bool>().ok());
        let is_on = properties
            .get("toggle-state")
            .and_then(|v| v.downcast_ref::<i32>().ok());
        let below = below.into_iter().map(|v| Self::new(v.try_into().unwrap()));
        Self {
            id,
            label: label.unwrap_or_default(),
            enabled: enabled.unwrap_or(true),
            is_on: is_on == Some(1),
            below: below.collect(),
        }
    }

    /// The labels, items below others indented.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut all = Vec::new();
        for node in &self.below {
            all.push(node.label.clone());
            all.extend(node.lines().iter().map(|line| format!("  {line}")));
        }
        all
    }
}

impl Bed {
    /// The latest registered icon.
    async fn item(&self) -> String {
        let is_there = async || !self.desktop.items().is_empty();
        crate::bed::until("the icon is registered", is_there).await;
        self.desktop.items().last().cloned().unwrap()
    }

    pub(crate) async fn menu(&self) -> Node {
        let body = (0, -1, Vec::<&str>::new());
        let answer = self
            .bus
            .call_method(
                Some(self.item().await),
                "/MenuBar",
                Some(MENU),
                "GetLayout",
                &body,
            )
            .await
            .unwrap();
        let (_, layout): (u32, Layout) = answer.body().deserialize().unwrap();
        Node::new(layout)
    }

    /// Clicks the item that is found by these labels, one below the other.
    pub(crate) async fn click(&self, labels: &[&str]) {
        let mut node = self.menu().await;
        for label in labels {
            let found = node
                .below
                .iter()
                .find(|n| n.label.starts_with(label))
                .cloned();
            node = found.unwrap_or_else(|| panic!("no {label:?} in {:?}", node.lines()));
        }
        assert!(node.enabled, "{labels:?} can be clicked");
        let body = (node.id, "clicked", Value::I32(0), 0_u32);
        self.bus
            .call_method(
                Some(self.item().await),
                "/MenuBar",
                Some(MENU),
                "Event",
                &body,
            )
            .await
            .unwrap();
    }

    pub(crate) async fn item_property(&self, name: &str) -> OwnedValue {
        let body = (ITEM, name);
        let properties = Some("org.freedesktop.DBus.Properties");
        let answer = self
            .bus
            .call_method(
                Some(self.item().await),
                "/StatusNotifierItem",
                properties,
                "Get",
                &body,
            )
            .await
            .unwrap();
        answer.body().deserialize().unwrap()
    }

    /// `oxcrypt: unlocked` and so on.
    pub(crate) async fn title(&self) -> String {
        self.item_property("Title").await.downcast_ref().unwrap()
    }

    pub(crate) async fn until_title(&self, title: &str) {
        let what = format!("the icon says {title}");
        crate::bed::until(&what, async || self.title().await == title).await;
    }
}
