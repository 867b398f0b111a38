//! From a request to a finished run: checks first, so that a wrong request costs nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::cli::{HowArgs, RunArgs, VaultArgs};
use crate::error::{Error, exit};
use crate::model::{Run, SCHEMA};
use crate::mount::target::BUILT_IN;
use crate::mount::{Instance, Kind, Programs, Setup, Target, Watch, WorkDir};
use crate::runner::{Runner, Schedule};
use crate::suites::ctx::{ClockLog, Params};
use crate::suites::source::Sources;
use crate::suites::{self, Case};
use crate::{machine, report};

/// What all runs are told apart by.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) targets: Vec<Target>,
    pub(crate) cases: Vec<Case>,
    pub(crate) reference: Option<String>,
    pub(crate) password: String,
}

/// The targets of a quick run.
const QUICK: [&str; 4] = ["plain", "passthrough", "oxcrypt", "gocryptfs"];

pub(crate) fn run(args: &RunArgs) -> Result<u8, Error> {
    let cases = suites::select(&args.suite)?;
    let programs = Programs::discover(args.how.oxcrypt.clone())?;
    let only_quick = args.suite.iter().all(|suite| suite == "quick");
    let targets = choose(&args.targets, only_quick, &programs)?;
    let request = Request {
        targets,
        cases,
        reference: None,
        password: throw_away_password(),
    };
    finish(&args.how, &request, &programs)
}

/// The short form: a copy of an existing vault, beside the floor and the ceiling.
pub(crate) fn vault(args: &VaultArgs) -> Result<u8, Error> {
    let cases = suites::select(&args.suite)?;
    let programs = Programs::discover(args.how.oxcrypt.clone())?;
    let vault = args
        .vault
        .canonicalize()
        .map_err(|e| Error::BadRequest(format!("{}: {e}", args.vault.display())))?;
    if !vault.join("vault.cryptomator").is_file() {
        return Err(Error::BadRequest(format!(
            "{}: not a vault (no vault.cryptomator)",
            args.vault.display()
        )));
    }
    if programs.find("oxcrypt").is_none() {
        return Err(Error::BadRequest(
            "oxcrypt was not found; build it, or give --oxcrypt PROGRAM".into(),
        ));
    }
    let own = Target::new("oxcrypt", Kind::VaultCopy(vault));
    let request = Request {
        targets: vec![
            Target::new("plain", Kind::Plain),
            Target::new("passthrough", Kind::Passthrough),
            own,
        ],
        cases,
        reference: Some("passthrough".into()),
        password: args.password.clone(),
    };
    finish(&args.how, &request, &programs)
}

fn finish(how: &HowArgs, request: &Request, programs: &Programs) -> Result<u8, Error> {
    let run = measure(how, request, programs)?;
    publish(how, &run)?;
    Ok(if run.has_faults() {
        exit::FAILURES
    } else {
        exit::OK
    })
}

pub(crate) fn publish(how: &HowArgs, run: &Run) -> Result<(), Error> {
    if let Some(out) = &how.out {
        report::write_all(run, out)?;
        eprintln!("written: {}", out.join("index.html").display());
    }
    if how.json {
        let json = serde_json::to_string_pretty(run).map_err(|e| Error::Failed(e.to_string()))?;
        return crate::print(&format!("{json}\n"));
    }
    crate::print(&report::table::render(run))
}

/// The targets asked for, each of which must be there; or all that are. A quick run goes without
/// those that take seconds to mount.
fn choose(specs: &[String], only_quick: bool, programs: &Programs) -> Result<Vec<Target>, Error> {
    if specs.is_empty() {
        let fits = |target: &Target| {
            programs.is_installed(&target.kind)
                && (!only_quick || QUICK.contains(&target.name.as_str()))
        };
        let all = BUILT_IN
            .iter()
            .map(|(name, kind)| Target::new(name, kind.clone()));
        return Ok(all.filter(fits).collect());
    }
    let mut targets: Vec<Target> = Vec::new();
    for spec in specs.iter().flat_map(|s| split_targets(s)) {
        let target = Target::parse(&spec)?;
        if !programs.is_installed(&target.kind) {
            return Err(Error::BadRequest(format!(
                "{} is not installed: {}",
                target.name,
                crate::mount::programs::how_to_get(&target.kind)
            )));
        }
        if targets.iter().any(|t| t.name == target.name) {
            return Err(Error::BadRequest(format!(
                "target '{}' is given twice",
                target.name
            )));
        }
        targets.push(target);
    }
    Ok(targets)
}

/// `a,b` is two targets, but not inside brackets, and not in the command lines of `cmd:`.
fn split_targets(text: &str) -> Vec<String> {
    if text.starts_with("cmd:") || text.starts_with("path:") {
        return vec![text.to_owned()];
    }
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

/// Nobody needs to know it: the vaults it opens are deleted before the run ends.
pub(crate) fn throw_away_password() -> String {
    let mut bytes = [0; 16];
    let seeded = std::fs::File::open("/dev/urandom")
        .and_then(|mut f| std::io::Read::read_exact(&mut f, &mut bytes));
    if seeded.is_err() {
        bytes[..4].copy_from_slice(&std::process::id().to_le_bytes());
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn measure(how: &HowArgs, request: &Request, programs: &Programs) -> Result<Run, Error> {
    measure_into(how, request, programs, ClockLog::default())
}

/// Notes the measured parts in `clocked`.
pub(crate) fn measure_into(
    how: &HowArgs,
    request: &Request,
    programs: &Programs,
    clocked: ClockLog,
) -> Result<Run, Error> {
    if let Some(out) = &how.out {
        refuse_full(out)?;
    }
    let reference = reference(how, request)?;
    let parent = how.dir.clone().unwrap_or_else(std::env::temp_dir);
    let cancelled = Arc::new(AtomicBool::new(false));
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register(signal, Arc::clone(&cancelled))
            .map_err(Error::io("signal handler"))?;
    }
    // Daemons leave their parents; this makes them ours, so that none is lost.
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
        .map_err(|e| Error::Failed(format!("subreaper: {e}")))?;
    let work = WorkDir::create(&parent, need_bytes(request, how.scale))?;
    let params = params(how, programs, work.path(), clocked)?;
    check_vaults(request, &params, work.path())?;
    let schedule = Schedule {
        targets: request.targets.clone(),
        cases: request.cases.clone(),
        iterations: how.iterations,
        case_limit: how.case_limit,
        time_limit: how.time_limit,
        password: request.password.clone(),
        base: work.path().join("targets"),
    };
    let mut machine = machine::look(work.path());
    let (started, ticks, clock) = (
        jiff::Timestamp::now(),
        machine::stolen_and_all(),
        Instant::now(),
    );
    let runner = Runner {
        schedule: &schedule,
        params: Arc::new(params),
        cancelled: &cancelled,
    };
    let outcome = runner.run();
    let seconds = clock.elapsed().as_secs_f64();
    // Everything is unmounted here, and deleted with `work`.
    let outcome = outcome?;
    let noisy = machine::finish(&mut machine, ticks);
    Ok(Run {
        schema: SCHEMA.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        command: shown_command(),
        started: started.to_string(),
        seconds,
        iterations: how.iterations,
        scale: how.scale,
        seed: how.seed,
        cut_short: outcome.cut_short,
        machine,
        noisy,
        cold: outcome.cold,
        rows: outcome.collector.close(&reference),
        reference,
        targets: outcome.targets,
    })
}

fn params(
    how: &HowArgs,
    programs: &Programs,
    work: &Path,
    clocked: ClockLog,
) -> Result<Params, Error> {
    let make = |name: &str| -> Result<PathBuf, Error> {
        let dir = work.join(name);
        std::fs::create_dir_all(&dir).map_err(Error::io(dir.display().to_string()))?;
        Ok(dir)
    };
    Ok(Params {
        scale: how.scale,
        seed: how.seed,
        sources: Arc::new(Sources::new(make("sources")?, how.seed, how.scale)),
        programs: programs.clone(),
        scratch: make("scratch")?,
        warm_up: how.warm_up,
        watch: Watch::default(),
        clocked,
    })
}

/// A wrong password is told before anything is measured.
fn check_vaults(request: &Request, params: &Params, work: &Path) -> Result<(), Error> {
    for target in &request.targets {
        let Kind::VaultCopy(vault) = &target.kind else {
            continue;
        };
        let base = work.join("first-look");
        let setup = Setup {
            base: &base,
            password: &request.password,
            warm_up: params.warm_up,
            watch: &params.watch,
        };
        let mounted =
            Instance::create(target, &setup, &params.programs).and_then(|mut instance| {
                instance.mount()?;
                instance.unmount().map(drop)
            });
        mounted.map_err(|e| Error::BadRequest(format!("{}: {e}", vault.display())))?;
    }
    Ok(())
}

fn refuse_full(out: &Path) -> Result<(), Error> {
    let refused = |why: &dyn std::fmt::Display| {
        Err(Error::BadRequest(format!("--out {}: {why}", out.display())))
    };
    match std::fs::read_dir(out).map(|entries| entries.count()) {
        Ok(0) => Ok(()),
        Ok(_) => refused(&"not empty"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => refused(&e),
    }
}

fn reference(how: &HowArgs, request: &Request) -> Result<String, Error> {
    let has = |name: &str| request.targets.iter().any(|t| t.name == name);
    if let Some(name) = &how.reference {
        let name = if name == "self" { "oxcrypt" } else { name };
        if has(name) {
            return Ok(name.to_owned());
        }
        return Err(Error::BadRequest(format!(
            "--reference {name}: not among the targets"
        )));
    }
    if let Some(name) = &request.reference {
        return Ok(name.clone());
    }
    let preferred = ["gocryptfs", "passthrough"]
        .into_iter()
        .find(|n| has(n))
        .map(str::to_owned);
    preferred
        .or_else(|| request.targets.first().map(|t| t.name.clone()))
        .ok_or_else(|| Error::BadRequest("no target".into()))
}

/// Targets keep nothing between cases, so the largest case of each at once, the shared input, and
/// some slack are enough.
fn need_bytes(request: &Request, scale: f64) -> u64 {
    let largest = request.cases.iter().map(|c| c.need_mib).max().unwrap_or(0) as f64;
    let shared = 500.0;
    (((largest * 1.3 + shared) * scale + 100.0) * f64::from(1 << 20)) as u64
}

/// The command line, without the password of the short form.
fn shown_command() -> Vec<String> {
    let mut words: Vec<String> = std::env::args().collect();
    for i in 0..words.len() {
        if words[i] == "--password"
            && let Some(value) = words.get_mut(i + 1)
        {
            *value = "…".into();
        } else if words[i].starts_with("--password=") {
            words[i] = "--password=…".into();
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_split_targets_but_not_their_settings() {
        assert_eq!(split_targets("self,gocryptfs"), ["self", "gocryptfs"]);
        assert_eq!(
            split_targets("self[A=1,B=2],plain"),
            ["self[A=1,B=2]", "plain"]
        );
        assert_eq!(split_targets("cmd:x=a,b;c;d"), ["cmd:x=a,b;c;d"]);
    }

    #[test]
    fn passwords_are_not_repeated() {
        assert_ne!(throw_away_password(), throw_away_password());
    }
}
