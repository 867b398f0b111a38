//! How a mount does, found out from outside in bounded time.
//!
//! A process that is suspended must not suspend whoever asks. So the kernel is asked only where nobody
//! listens at the mount's socket: a request that a ring has taken cannot even be given up by a kill.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Pid;

use super::control;
use super::live::Status;
use super::table::Mounted;
use crate::exit::Exit;

/// How long a mount may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// For a process that ends to be gone.
const MOMENT: Duration = Duration::from_millis(5);

/// How a mount does.
#[derive(Debug)]
pub(crate) enum State {
    Live(Box<Status>),
    /// Its process is gone.
    Stale,
    /// Its process is there but does not answer.
    Silent,
    /// It tells this user nothing.
    Unknown,
}

impl Mounted {
    pub(crate) fn state(&self) -> State {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if !control::is_listening(self, left) {
                return self.asked_of_the_kernel(left);
            }
            match control::status(self, left) {
                Ok(status) => return State::Live(Box::new(status)),
                Err(e) if e.exit == Exit::Timeout => return State::Silent,
                Err(e) if e.exit == Exit::Other => return State::Unknown,
                // It is just ending, or has too much to do.
                Err(_) if Instant::now() + MOMENT < end => std::thread::sleep(MOMENT),
                Err(_) => return State::Silent,
            }
        }
    }

    /// Whether the process behind it is gone: every access fails. One that listens is not, whether it
    /// answers or not; unless it was killed, and a thread that cannot end keeps its files open.
    pub(crate) fn is_stale(&self) -> bool {
        if control::is_listening(self, PATIENCE) {
            return control::process(self).is_some_and(has_ended);
        }
        matches!(self.asked_of_the_kernel(PATIENCE), State::Stale)
    }

    fn asked_of_the_kernel(&self, patience: Duration) -> State {
        let (told, answer) = std::sync::mpsc::channel();
        let point = self.point.clone();
        std::thread::spawn(move || {
            // Nobody may be waiting any more.
            let _ = told.send(rustix::fs::statfs(&point));
        });
        match answer.recv_timeout(patience) {
            // The latter if its process died while it was asked.
            Ok(Err(Errno::NOTCONN | Errno::CONNABORTED)) => State::Stale,
            Ok(_) => State::Unknown,
            Err(_) => State::Silent,
        }
    }
}

/// Whether a process has ended, as far as it can: one that cannot be seen has not.
fn has_ended(process: Pid) -> bool {
    matches!(state_of(process), Some('Z' | 'X'))
}

/// What the kernel says a process does.
pub(super) fn state_of(process: Pid) -> Option<char> {
    let pid = process.as_raw_nonzero();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// How several mounts do, all asked at the same time.
pub(crate) fn states(mounts: &[Mounted]) -> Vec<State> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = mounts
            .iter()
            .map(|mount| {
                std::thread::Builder::new()
                    .stack_size(256 * 1024)
                    .spawn_scoped(scope, || mount.state())
            })
            .collect();
        asked
            .into_iter()
            .map(|thread| {
                let state = thread.ok().and_then(|thread| thread.join().ok());
                state.unwrap_or(State::Unknown)
            })
            .collect()
    })
}
