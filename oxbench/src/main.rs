//! `oxbench`: encrypted file systems side by side, on the machine of whoever asks.
//!
//! It measures mounts in other processes and knows nothing of their insides; only the `crypto` suite
//! calls the vault format's code itself. Read first: [`runner`] (turns, limits, failures), then
//! [`mount`] (targets), [`suites`] (cases), [`report`] (what comes out).

#![forbid(unsafe_code)]

mod ablate;
mod cli;
mod collect;
mod compare;
mod data;
mod error;
mod fakefs;
mod list;
mod machine;
mod model;
mod mount;
mod process;
mod profile;
mod progress;
mod report;
mod run;
mod runner;
mod stats;
mod suites;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use error::{Error, exit};

fn main() -> ExitCode {
    let cli = Cli::parse_from(cli::with_short_form(std::env::args_os().collect()));
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Vault(args) => run::vault(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::Report(args) => report::report(&args),
        Command::List => list::suites(),
        Command::Peers(args) => list::peers(&args),
        Command::Ablate(args) => ablate::ablate(&args),
        Command::Profile(args) => profile::profile(&args),
        Command::Passthrough(args) => {
            fakefs::serve(&args.source, &args.mountpoint, args.fault).map(|()| exit::OK)
        }
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("oxbench: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints to standard output; a reader that went away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Error::io("standard output")),
    }
}
