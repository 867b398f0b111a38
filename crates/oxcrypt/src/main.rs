//! `oxcrypt`: Cryptomator-compatible encrypted vaults at the shell.
//!
//! `cli` is the command tree; `exit` and `failure` say how commands end; `secret` where passphrases
//! come from; `open` how a vault becomes a file system. Then one file for each command.

mod cli;
mod config;
mod ctx;
mod demo;
mod descriptors;
mod exit;
mod failure;
mod hardening;
mod inner;
mod life;
mod memory;
mod mount;
mod open;
mod out;
mod secret;
mod target;
mod tools;
mod transfer;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::ctx::Ctx;
use crate::failure::Failure;
use crate::mount::helper::Wanted;
use crate::out::{Out, OutArgs};

fn main() -> ExitCode {
    hardening::close_memory();
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let helper = mount::helper::is_meant(&arguments);
    if helper {
        match mount::helper::words(&arguments) {
            Ok(Wanted::Mount(words)) => arguments = words,
            Ok(Wanted::Nothing) => return ExitCode::SUCCESS,
            Err(e) => return end(&Out::new(&OutArgs::default()), &e, helper),
        }
    }
    if let Err(e) = secret::hide_variables(&arguments) {
        return end(&Out::new(&OutArgs::default()), &e, helper);
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) if helper => {
            let _ = e.print();
            return ExitCode::from(1);
        }
        Err(e) => e.exit(),
    };
    let mut out = cli.out.clone();
    let config = match config::Config::load() {
        Ok(config) => config,
        // A typing error must not keep vaults open.
        Err(e) if cli.command.is_about_mounts() => {
            Out::new(&out).warn(format!("without the configuration: {}", e.message));
            config::Config::default()
        }
        Err(e) => return end(&Out::new(&out), &e, helper),
    };
    out.configured(config.defaults.color.as_deref());
    let ctx = Ctx::new(Out::new(&out), config);
    match cli.command.run(&ctx).and_then(|()| ctx.out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => end(&ctx.out, &e, helper),
    }
}

fn end(out: &Out, failure: &Failure, helper: bool) -> ExitCode {
    out.failure(failure);
    ExitCode::from(if helper {
        mount::helper::code(failure)
    } else {
        failure.code()
    })
}
