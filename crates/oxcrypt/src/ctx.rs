//! What every command is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::out::Out;

/// The surroundings of a command.
#[derive(Debug)]
pub(crate) struct Ctx {
    pub(crate) out: Out,
    pub(crate) config: Config,
    interrupted: Arc<AtomicBool>,
}

impl Ctx {
    pub(crate) fn new(out: Out, config: Config) -> Self {
        Self {
            out,
            config,
            interrupted: Arc::new(AtomicBool::new(false)),
        }
    }

    /// From now on the first SIGINT or SIGTERM asks the work to end in order; the second ends the
    /// process.
    pub(crate) fn end_in_order(&self) {
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // Registering fails for no signal that exists; then the default stays.
            let _ = signal_hook::flag::register_conditional_shutdown(
                signal,
                i32::from(crate::exit::Exit::Interrupted.code()),
                Arc::clone(&self.interrupted),
            );
            let _ = signal_hook::flag::register(signal, Arc::clone(&self.interrupted));
        }
    }

    /// To be asked between two steps of long work.
    pub(crate) fn go_on(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            Err(Failure::interrupted())
        } else {
            Ok(())
        }
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

/// Threads for work that scales with them.
pub(crate) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
