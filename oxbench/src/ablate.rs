//! Our product against itself, with one optimisation switched off at a time: what each of them is
//! worth, as a ratio with its confidence interval, also when that is nothing.

use crate::cli::AblateArgs;
use crate::error::{Error, exit};
use crate::mount::{Kind, Programs, Target};
use crate::report::table;
use crate::run::{Request, measure, publish, throw_away_password};
use crate::suites;

/// The daemon's switches: present in a build for benchmarks, ignored by others.
const SWITCHES: [&str; 8] = [
    "OXCRYPT_NO_POOL=1",
    "OXCRYPT_NO_INLINE=1",
    "OXCRYPT_NO_MIMALLOC=1",
    "OXCRYPT_NO_HANDLE_CACHE=1",
    "OXCRYPT_NO_KERNEL_CACHE=1",
    "OXCRYPT_NO_ZERO_OPEN=1",
    "OXCRYPT_NO_WRITEBACK=1",
    "OXCRYPT_NO_FAN_OUT=1",
];
/// What a build that knows them calls itself.
const MARK: &str = "+ablation";

pub(crate) fn ablate(args: &AblateArgs) -> Result<u8, Error> {
    let cases = suites::select(&args.suite)?;
    let programs = Programs::discover(args.how.oxcrypt.clone())?;
    if programs.find("oxcrypt").is_none() {
        return Err(Error::BadRequest(
            "oxcrypt was not found; build it, or give --oxcrypt PROGRAM".into(),
        ));
    }
    if !programs.version(&Kind::Oxcrypt).contains(MARK) {
        return Err(Error::BadRequest(
            "this oxcrypt has no switches; build one: \
             cargo build --release -p oxcrypt --features ablation"
                .into(),
        ));
    }
    let switches: Vec<&str> = if args.switches.is_empty() {
        SWITCHES.to_vec()
    } else {
        args.switches.iter().map(String::as_str).collect()
    };
    let request = Request {
        targets: variants(&switches)?,
        cases,
        reference: Some("oxcrypt".into()),
        password: throw_away_password(),
    };
    let run = measure(&args.how, &request, &programs)?;
    publish(&args.how, &run)?;
    if !args.how.json {
        crate::print(&table::gains(&run, "oxcrypt"))?;
    }
    Ok(if run.has_faults() {
        exit::FAILURES
    } else {
        exit::OK
    })
}

/// Everything on, each switch alone, everything off.
fn variants(switches: &[&str]) -> Result<Vec<Target>, Error> {
    let mut targets = vec![Target::new("oxcrypt", Kind::Oxcrypt)];
    let mut all_off = Target::new("all off", Kind::Oxcrypt);
    for switch in switches {
        let (key, value) = switch
            .split_once('=')
            .ok_or_else(|| Error::BadRequest(format!("--switch {switch}: expected KEY=VALUE")))?;
        let name = key
            .strip_prefix("OXCRYPT_")
            .unwrap_or(key)
            .to_lowercase()
            .replace('_', " ");
        let mut target = Target::new(&name, Kind::Oxcrypt);
        target.env.insert(key.into(), value.into());
        all_off.env.insert(key.into(), value.into());
        targets.push(target);
    }
    if switches.len() > 1 {
        targets.push(all_off);
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_alone_and_all_together() {
        let targets = variants(&["OXCRYPT_NO_POOL=1", "B=2"]).unwrap();
        let names: Vec<&str> = targets.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["oxcrypt", "no pool", "b", "all off"]);
        assert_eq!(targets[3].env.len(), 2);
        assert!(variants(&["x"]).is_err());
    }
}
