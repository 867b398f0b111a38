//! Commands of the user around a mount. Split as a shell does, without a shell.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::live::Live;
use crate::descriptors;

/// A hook before locking may take this long.
const PATIENCE: Duration = Duration::from_secs(30);

fn command(live: &Live, line: &str) -> Option<Command> {
    let words = shlex::split(line)?;
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("OXCRYPT_MOUNTPOINT", &live.point)
        .env("OXCRYPT_VAULT", &live.vault)
        .stdin(Stdio::null());
    Some(command)
}

/// Runs when the mount answers; nobody waits for it.
pub(super) fn on_unlock(live: &Live, line: &str) {
    let Some(mut command) = command(live, line) else {
        return failed(
            live,
            "on_unlock",
            "the command has an open quote or is empty",
        );
    };
    match command.spawn() {
        // Waited for, so that it does not stay as a zombie.
        Ok(mut child) => {
            descriptors::usual_for(&child);
            let _ = std::thread::spawn(move || child.wait());
        }
        Err(e) => failed(live, "on_unlock", &e.to_string()),
    }
}

/// Runs before the mount is locked, in bounded time. A failure is told and does not keep the vault
/// open.
pub(super) fn before_lock(live: &Live, line: &str) {
    let Some(mut command) = command(live, line) else {
        return failed(
            live,
            "before_lock",
            "the command has an open quote or is empty",
        );
    };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return failed(live, "before_lock", &e.to_string()),
    };
    descriptors::usual_for(&child);
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return,
            Ok(Some(status)) => return failed(live, "before_lock", &status.to_string()),
            Ok(None) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return failed(live, "before_lock", "it took too long and was ended");
            }
            Err(e) => return failed(live, "before_lock", &e.to_string()),
        }
    }
}

fn failed(live: &Live, hook: &str, why: &str) {
    live.events
        .say("hook_failed", Some(format!("{hook}: {why}")));
}
