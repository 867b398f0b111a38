//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::fakefs::Fault;

/// How fast is an encrypted file system on this machine, beside others?
///
/// Measures mounts in other processes, as a user has them: fixed work, checked content, targets in
/// turn, medians with confidence intervals.
///
/// Short form: oxbench VAULT fuse --password PW --suite workloads --iterations 5
/// measures a copy of an existing vault beside a plain directory and a bare FUSE passthrough.
///
/// Exit codes: 0 done; 1 a case failed; 2 bad request; 3 `compare` found a regression;
/// 130 interrupted.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure
    Run(RunArgs),
    /// Two runs, row by row: what became slower?
    Compare(CompareArgs),
    /// Make page, charts, table and Markdown from a run.json
    Report(ReportArgs),
    /// Suites and cases
    List,
    /// Peers: which are installed, which version, how to get them
    Peers(PeersArgs),
    /// Our product with each of its optimisations switched off, one at a time
    Ablate(AblateArgs),
    /// Where the daemon's CPU time goes in each measured part (needs perf)
    Profile(ProfileArgs),
    /// Serve SOURCE at MOUNTPOINT without encryption: the floor of every FUSE file system
    #[command(hide = true)]
    Passthrough(PassthroughArgs),
    /// The short form, after its first word
    #[command(hide = true)]
    Vault(VaultArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// Suites: their names, SUITE/CASE, quick, standard or full
    #[arg(long, value_delimiter = ',', default_value = "standard")]
    pub(crate) suite: Vec<String>,
    /// Targets: self, plain, passthrough, a peer, path:NAME=DIR, cmd:NAME=INIT;MOUNT;UNMOUNT.
    /// Default: all that are installed (quick: self, plain, passthrough, gocryptfs). NAME[KEY=VALUE] sets its environment
    #[arg(long = "target", short, value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct HowArgs {
    /// Passes; targets take turns within each (quick: 3)
    #[arg(long, visible_alias = "runs", short = 'n', default_value_t = 5, default_value_if("suite", "quick", "3"), value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) iterations: u32,
    /// Amount of work, against the standard (quick: 0.25)
    #[arg(long, default_value_t = 1.0, default_value_if("suite", "quick", "0.25"), value_parser = scale)]
    pub(crate) scale: f64,
    /// Of the generated data
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Ratios are given against this target [default: gocryptfs, else passthrough, else the first]
    #[arg(long)]
    pub(crate) reference: Option<String>,
    /// Where the stores are made; on the disk to be measured [default: the temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Where run.json and the page go; must be new or empty [default: none are written]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// A case that takes longer on one target is ended and reported as hung
    #[arg(long, default_value = "2m", value_parser = duration)]
    pub(crate) case_limit: Duration,
    /// No new case is begun after this time
    #[arg(long, default_value = "60m", value_parser = duration)]
    pub(crate) time_limit: Duration,
    /// Untimed work after each mount (Java: at least 2s)
    #[arg(long, default_value = "50ms", value_parser = duration)]
    pub(crate) warm_up: Duration,
    /// Our own program [default: beside this one, then the path]
    #[arg(long, env = "OXCRYPT_BIN", value_name = "PROGRAM")]
    pub(crate) oxcrypt: Option<PathBuf>,
    /// run.json on standard output instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct VaultArgs {
    pub(crate) vault: PathBuf,
    /// How it is mounted
    #[arg(value_parser = ["fuse"])]
    pub(crate) frontend: String,
    /// Of a throw-away vault: anyone on this machine can see it
    #[arg(long)]
    pub(crate) password: String,
    #[arg(long, value_delimiter = ',', default_value = "workloads")]
    pub(crate) suite: Vec<String>,
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CompareArgs {
    pub(crate) before: PathBuf,
    pub(crate) after: PathBuf,
    /// Exit with 3 if a row became slower by more than this, and surely so
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) fail_over: Option<f64>,
    /// Only this target [default: every target of both runs]
    #[arg(long)]
    pub(crate) target: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReportArgs {
    pub(crate) run: PathBuf,
    /// [default: beside the run]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PeersArgs {
    #[arg(long, env = "OXCRYPT_BIN")]
    pub(crate) oxcrypt: Option<PathBuf>,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AblateArgs {
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "workloads/concurrent_access,workloads/ide_simulation"
    )]
    pub(crate) suite: Vec<String>,
    /// Switches, each KEY=VALUE for the daemon's environment [default: all known]
    #[arg(long = "switch", value_name = "KEY=VALUE")]
    pub(crate) switches: Vec<String>,
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ProfileArgs {
    /// Suites, or SUITE/CASE
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "seq/stream,rand/write,small,parallel/parallel,meta/entries"
    )]
    pub(crate) suite: Vec<String>,
    #[arg(long, short, default_value = "self")]
    pub(crate) target: String,
    /// Also the functions with the most samples, so many
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) symbols: usize,
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PassthroughArgs {
    pub(crate) source: PathBuf,
    pub(crate) mountpoint: PathBuf,
    /// slow=MICROSECONDS, corrupt=N, hang=N or die=N
    #[arg(long)]
    pub(crate) fault: Option<Fault>,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.001..=100.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0.001 to 100".into()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("{e} (for example 90s or 2m)"))
}

/// `5%` or `5`, as a share.
fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(value) if (0.0..1000.0).contains(&value) => Ok(value / 100.0),
        _ => Err("expected a percentage like 5%".into()),
    }
}

/// Puts the hidden subcommand before a first word that names a directory, so that
/// `oxbench VAULT fuse …` works.
pub(crate) fn with_short_form(mut words: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let is_short = words.get(2).is_some_and(|w| w == "fuse")
        && words
            .get(1)
            .is_some_and(|w| !w.as_encoded_bytes().starts_with(b"-"));
    if is_short {
        words.insert(1, "vault".into());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_short_form_is_understood() {
        let words =
            "oxbench tests/data/bench-vault fuse --password PW --suite workloads --iterations 5";
        let words = with_short_form(words.split(' ').map(Into::into).collect());
        let Command::Vault(args) = Cli::parse_from(words).command else {
            panic!("not the short form")
        };
        assert_eq!((args.how.iterations, args.password.as_str()), (5, "PW"));
    }

    #[test]
    fn quick_is_quick_unless_told_otherwise() {
        let how = |words: &str| {
            let Command::Run(args) = Cli::parse_from(words.split(' ')).command else {
                panic!("not a run")
            };
            (args.how.iterations, args.how.scale)
        };
        assert_eq!(how("oxbench run --suite quick"), (3, 0.25));
        assert_eq!(how("oxbench run --suite quick -n 7 --scale 1"), (7, 1.0));
        assert_eq!(how("oxbench run --suite seq"), (5, 1.0));
    }

    #[test]
    fn percentages_durations_scales() {
        assert_eq!(percent("5%"), Ok(0.05));
        assert!(percent("x").is_err() && percent("-1").is_err());
        assert!(scale("0").is_err() && scale("nan").is_err() && scale("0.1").is_ok());
        assert!(duration("2").is_err() && duration("2m").is_ok());
    }
}
