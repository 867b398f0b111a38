//! `oxcrypt`: Cryptomator-compatible encrypted vaults at the shell.
//!
//! `cli` is the command tree; `exit` and `failure` say how commands end; `secret` where passphrases
//! come from; `open` how a vault becomes a file system. Then one file for each command.
#![forbid(unsafe_code)]

mod cli;
mod config;
mod ctx;
mod demo;
mod exit;
mod failure;
mod inner;
mod life;
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
use crate::out::{Out, OutArgs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Err(e) = secret::hide_variables(&arguments) {
        return end(&Out::new(&OutArgs::default()), &e);
    }
    let cli = Cli::parse_from(arguments);
    let out = Out::new(&cli.out);
    let config = match config::Config::load() {
        Ok(config) => config,
        Err(e) => return end(&out, &e),
    };
    let ctx = Ctx::new(out, config);
    match cli.command.run(&ctx).and_then(|()| ctx.out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => end(&ctx.out, &e),
    }
}

fn end(out: &Out, failure: &Failure) -> ExitCode {
    out.failure(failure);
    ExitCode::from(failure.code())
}
