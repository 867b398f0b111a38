//! The tray on a private bus, with stand-ins for the desktop and real mounts of the real command.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod autolock;
mod bed;
mod desktop;
mod icon;
mod menu;
mod notices;
mod packages;
mod service;
mod trouble;
