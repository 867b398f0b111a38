//! Locking a vault that nobody uses.

use std::sync::Arc;
use std::time::Duration;

use super::busy::Look;
use super::live::Live;
use super::{busy, lock, table};

/// Watches over a mount with an idle limit; without one no thread is started, and nothing wakes.
pub(super) fn watch(live: &Arc<Live>) {
    let Some(limit) = live.idle_limit else { return };
    let live = Arc::clone(live);
    let watcher = std::thread::Builder::new()
        .name("oxcrypt-idle".into())
        .stack_size(256 * 1024);
    let started = watcher.spawn(move || {
        let step = (limit / 8).clamp(Duration::from_millis(50), Duration::from_secs(30));
        let mut told = false;
        while !live.is_ending() {
            let idle = live.idle();
            if idle < limit {
                told = false;
                std::thread::sleep(
                    step.min(limit.saturating_sub(idle))
                        .max(Duration::from_millis(10)),
                );
                continue;
            }
            if try_lock(&live, limit, &mut told) {
                return;
            }
            std::thread::sleep(step);
        }
    });
    if let Err(e) = started {
        tracing::error!(error = %e, "the vault will not be locked when idle");
    }
}

/// Whether the vault is locked now. Never while a program has a file of it open.
fn try_lock(live: &Live, limit: Duration, told: &mut bool) -> bool {
    // The kernel knows best: it refuses while a file is open, mapped, or a directory is sat in.
    let text = format!("not used for {}", humantime::format_duration(limit));
    live.set_reason(Some(text));
    if lock::quietly(live).is_ok() {
        return true;
    }
    live.set_reason(None);
    // Once for each time it stays unused, not at every look.
    if !*told {
        *told = true;
        let mounted = table::at(&live.point).ok().flatten();
        let users = mounted.map_or_else(Vec::new, |m| busy::holders(&m, Look::Quick));
        let names: Vec<String> = users
            .iter()
            .map(|u| format!("{} ({})", u.pid, u.comm))
            .collect();
        let by = if names.is_empty() {
            "another user".to_owned()
        } else {
            names.join(", ")
        };
        live.events
            .say("lock_failed", Some(format!("idle, but in use by {by}")));
    }
    false
}
