//! What the product must survive, each as a repeatable run with a seed. See `tests/crash/README.md`.
#![allow(
    clippy::unwrap_used,
    reason = "a broken test bed is best reported by a panic"
)]

mod adversary;
mod checks;
mod daemon;
mod enospc;
mod hygiene;
mod judge;
mod kill9;
mod lost;
mod lower;
mod model;
mod powercut;
mod random;
mod soak;
mod walk;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs one kind of trouble against the program.
#[derive(Parser, Debug)]
struct Cli {
    /// The program under test.
    #[arg(
        long,
        env = "OXCRYPT",
        global = true,
        default_value = "target/release/oxcrypt"
    )]
    program: PathBuf,
    /// Decides everything random but the timing.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    trouble: Trouble,
}

#[derive(Subcommand, Debug)]
enum Trouble {
    /// Kills the daemon at random instants of a mixed workload.
    Kill9 {
        /// How often.
        #[arg(long, default_value_t = 30)]
        rounds: u32,
    },
    /// Takes the power from the disk below, with a native control beside.
    Powercut {
        /// How often.
        #[arg(long, default_value_t = 10)]
        rounds: u32,
    },
    /// A full disk.
    Enospc,
    /// Storage that turns read-only, fails, or goes away, and comes back.
    Lost,
    /// One change to the ciphertext at a time, behind the back of the program.
    Adversary {
        /// Only each n-th case.
        #[arg(long, default_value_t = 1)]
        every: usize,
    },
    /// Secrets in memory and on disk.
    Hygiene,
    /// Mixed load for a long time.
    Soak {
        /// How long, in seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Used by the runs themselves: reads all of a directory tree, in a process that may hang.
    #[command(hide = true)]
    Walk {
        /// The directory.
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let program = cli.program.canonicalize().unwrap_or(cli.program);
    let passed = match cli.trouble {
        Trouble::Kill9 { rounds } => kill9::run(&program, rounds, cli.seed),
        Trouble::Powercut { rounds } => powercut::run(&program, rounds, cli.seed),
        Trouble::Enospc => enospc::run(&program),
        Trouble::Lost => lost::run(&program),
        Trouble::Adversary { every } => adversary::run(&program, every),
        Trouble::Hygiene => hygiene::run(&program),
        Trouble::Soak { seconds } => soak::run(&program, seconds, cli.seed),
        Trouble::Walk { dir } => {
            walk::print(&dir);
            true
        }
    };
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
