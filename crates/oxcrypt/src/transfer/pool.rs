//! Files side by side: a queue of bounded length, one worker for each CPU.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Runs `feed`, which sends jobs, while `work` does them on `threads` threads.
pub(super) fn run<J: Send, R>(
    threads: usize,
    work: &(dyn Fn(J) + Sync),
    feed: impl FnOnce(&SyncSender<J>) -> R,
) -> R {
    let (sender, receiver) = sync_channel::<J>(4 * threads);
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(job) = take(&receiver) {
                    work(job);
                }
            });
        }
        let fed = feed(&sender);
        drop(sender);
        fed
    })
}

fn take<J>(receiver: &Mutex<Receiver<J>>) -> Option<J> {
    receiver
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
}
