//! The log of a mount: standard error, or a file. With systemd, standard error is its journal.

use std::os::unix::fs::OpenOptionsExt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::fmt::format::FmtSpan;

use super::args::{LogFormat, Options};
use crate::failure::{Host, Result};

fn trace() -> Directive {
    "oxcrypt_trace=info".parse().expect("a target and a level")
}

/// From now on; `OXCRYPT_LOG` says how much (as in `info` or `oxcrypt_vfs=debug`).
pub(super) fn start(options: &Options, verbose: u8) -> Result<()> {
    let usual = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let mut filter =
        EnvFilter::try_from_env("OXCRYPT_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    if options.trace_rate.is_some_and(|rate| rate > 0) {
        filter = filter.add_directive(trace());
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(false);
    // Fails only where somebody listens already.
    let _ = match (&options.log_file, options.log_format) {
        (None, LogFormat::Text) => builder.with_writer(std::io::stderr).try_init(),
        (None, LogFormat::Json) => builder.json().with_writer(std::io::stderr).try_init(),
        (Some(path), format) => {
            let file = std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)
                .host(path)?;
            let builder = builder.with_writer(std::sync::Mutex::new(file));
            match format {
                LogFormat::Text => builder.try_init(),
                LogFormat::Json => builder.json().try_init(),
            }
        }
    };
    Ok(())
}
