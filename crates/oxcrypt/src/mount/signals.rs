//! Signals to the process of a mount.
//!
//! The first SIGINT or SIGTERM locks in order. While programs use the vault that cannot be: after a
//! moment (or at once at the second signal) the mount goes out of sight, and the process ends with
//! its last user. SIGUSR1 writes the counters to the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::control::How;
use super::live::Live;
use super::lock;
use crate::failure::{Host, Result};

/// How long programs may take to let go after the first signal.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the signals did.
pub(super) struct Handled(Arc<AtomicBool>);

impl Handled {
    /// The mount was taken away from programs that used it.
    pub(super) fn was_forced(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Handles signals until the process ends.
pub(super) fn handle(live: &Arc<Live>) -> Result<Handled> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1]).what("signals")?;
    let forced = Arc::new(AtomicBool::new(false));
    let (live, noted) = (Arc::clone(live), Arc::clone(&forced));
    std::thread::spawn(move || {
        let mut asked = false;
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => {
                    let status = live.status();
                    tracing::warn!(?status, "counters");
                }
                // The terminal it was started from has gone: the mount stays.
                SIGHUP => {}
                _ if asked => {
                    noted.store(true, Ordering::Release);
                    let _ = lock::from_inside(&live, How::Lazily);
                }
                _ => {
                    asked = true;
                    let (live, noted) = (Arc::clone(&live), Arc::clone(&noted));
                    std::thread::spawn(move || end(&live, &noted));
                }
            }
        }
    });
    Ok(Handled(forced))
}

/// Locks as soon as nobody uses the vault, and out of sight after a while.
fn end(live: &Live, forced: &AtomicBool) {
    let start = Instant::now();
    while let Err(e) = lock::from_inside(live, How::Gently) {
        if forced.load(Ordering::Acquire) {
            return;
        }
        if start.elapsed() >= PATIENCE {
            tracing::error!(reason = %e.message, "in use; taken out of sight");
            let _ = lock::from_inside(live, How::Lazily);
            return;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}
