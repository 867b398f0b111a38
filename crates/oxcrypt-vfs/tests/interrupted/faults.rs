//! Every call of the store fails once, in every operation: by an error, a full disk, a short write,
//! the death of the process before it or in the middle of it, and the loss of power.
//!
//! What is there afterwards is the old state or the new one, nothing is unreadable, and the check of
//! the vault finds nothing that it cannot mend without loss.

use std::ops::ControlFlow;

use oxcrypt_core::CipherCombo;
use oxcrypt_store::{At, Fault, StoreErrorKind};
use oxcrypt_vault::check::{CheckOptions, Code, Event, Severity, check, repair};

use crate::cases::{Case, all};
use crate::journal::explain;
use crate::machine::Machine;
use crate::tree::{Item, Tree, tree};

/// Faults that the process survives.
const ERRORS: [Fault; 4] = [
    Fault::Error(StoreErrorKind::Io),
    Fault::Error(StoreErrorKind::NoSpace),
    Fault::NoSpace,
    Fault::ShortWrite(100),
];

/// Faults that it does not.
const DEATHS: [Fault; 4] = [
    Fault::Stop,
    Fault::TornWrite(1),
    Fault::TornWrite(100),
    Fault::TornWrite(20_000),
];

/// The states before and after the operation.
struct States {
    old: Tree,
    new: Tree,
    /// It is more than one operation, and anything in between may be found.
    has_steps: bool,
}

impl States {
    fn of(case: &Case, combo: CipherCombo) -> Self {
        let machine = case.machine(combo);
        let (fs, _, _) = machine.boot();
        let old = tree(&fs);
        case.act(&fs)
            .unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let new = tree(&fs);
        fs.stop();
        assert_ne!(old, new, "{} changes nothing", case.name);
        let has_steps = case.makes_durable;
        Self {
            old,
            new,
            has_steps,
        }
    }

    /// Why this cannot be left of the operation.
    fn judge(&self, found: &Tree) -> Result<(), String> {
        if self.has_steps {
            let broken = found.values().find(|item| matches!(item, Item::Broken(_)));
            return broken.map_or(Ok(()), |item| Err(format!("{item:?}")));
        }
        for (path, item) in found {
            self.judge_item(path, item)
                .map_err(|why| format!("{path:.20}: {why}"))?;
        }
        for (path, item) in &self.old {
            let is_kept = found.contains_key(path);
            let places: Vec<_> = self
                .new
                .iter()
                .filter(|(to, moved)| *moved == item && self.old.get(*to) != Some(item))
                .map(|(to, _)| to)
                .collect();
            let is_moved = places.iter().any(|to| found.get(*to) == Some(item));
            let must_be_somewhere = self.new.contains_key(path) || !places.is_empty();
            if must_be_somewhere && !is_kept && !is_moved {
                return Err(format!("{path:.20} is gone"));
            }
            let has_moved = self.new.get(path) != Some(item) && !places.is_empty();
            if has_moved && found.get(path) != Some(item) && !is_moved {
                return Err(format!("what was {path:.20} is gone"));
            }
        }
        Ok(())
    }

    /// A node that was replaced may be under the name of that which replaced it.
    fn is_replaced(&self, path: &str, item: &Item) -> bool {
        let is_old_name = self.old.contains_key(path) && !self.new.contains_key(path);
        is_old_name
            && self
                .old
                .iter()
                .any(|(to, old)| old == item && self.new.get(to).is_some_and(|new| new != item))
    }

    fn judge_item(&self, path: &str, item: &Item) -> Result<(), String> {
        let known: Vec<_> = [self.old.get(path), self.new.get(path)]
            .into_iter()
            .flatten()
            .collect();
        if known.contains(&item) || self.is_replaced(path, item) {
            return Ok(());
        }
        let Item::File(content) = item else {
            return Err(format!("{item:?} is none of {known:?}"));
        };
        let mut states: Vec<_> = known
            .iter()
            .filter_map(|item| match item {
                Item::File(content) => Some(content.clone()),
                _ => None,
            })
            .collect();
        if states.is_empty() {
            return Err("nobody made this file".to_owned());
        }
        if !self.old.contains_key(path) {
            states.push(Vec::new());
        }
        explain(content, &states)
    }
}

/// What the check finds and cannot mend, after it mended the rest.
fn damage(machine: &Machine) -> Vec<String> {
    let cryptor = machine.cryptor();
    let options = CheckOptions {
        jobs: 1,
        ..CheckOptions::default()
    };
    let findings = || {
        let mut all = Vec::new();
        check(&machine.vault, &cryptor, &options, &mut |event| {
            if let Event::Finding(finding) = event {
                all.push(finding);
            }
            ControlFlow::Continue(())
        });
        all
    };
    for finding in findings() {
        if let Some(fix) = &finding.fix {
            repair(&machine.vault, &cryptor, fix).unwrap();
        }
    }
    findings()
        .into_iter()
        .filter(|finding| finding.severity() >= Severity::Warning)
        // A file whose header was to come with its first bytes; it reads as empty.
        .filter(|finding| finding.code != Code::ZeroByteFile)
        .map(|finding| format!("{}: {}", finding.code.as_str(), finding.detail))
        .collect()
}

fn see(machine: &Machine) -> Tree {
    let (fs, _, _) = machine.boot();
    let found = tree(&fs);
    fs.stop();
    found
}

fn same(found: &Tree, expected: &Tree, what: &str) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: {found:?}, expected {expected:?}"))
}

fn undamaged(machine: &Machine) -> Result<(), String> {
    let damage = damage(machine);
    if damage.is_empty() {
        return Ok(());
    }
    Err(format!("the check finds {damage:?}"))
}

/// The process lives on: what it shows is what is stored, and the operation can be repeated.
/// Whether the fault struck, or what is wrong.
fn fails(
    case: &Case,
    combo: CipherCombo,
    states: &States,
    fault: Fault,
    n: u64,
) -> Result<bool, String> {
    let machine = case.machine(combo);
    let (fs, faults, _) = machine.boot();
    faults.arm(At::Call(n), fault);
    let result = case.act(&fs);
    let Some(call) = faults.struck() else {
        result.map_err(|e| format!("{}: without any fault: {e}", case.name))?;
        return Ok(false);
    };
    faults.disarm();
    let judge = || {
        let live = tree(&fs);
        match result {
            Ok(()) => same(&live, &states.new, "reported as done")?,
            Err(_) => states.judge(&live)?,
        }
        if result.is_ok() && case.makes_durable {
            let cut = Machine {
                vault: machine.vault.after_power_cut(&mut || false),
                state: machine.state.after_power_cut(&mut || false),
                combo,
            };
            same(&see(&cut), &states.new, "synced, and the power went")?;
        }
        // Where both names are left, rename(2) has nothing more to do.
        let is_to_be_repeated =
            live == states.old || states.has_steps || live.keys().eq(states.new.keys());
        if live != states.new && is_to_be_repeated {
            case.act(&fs)
                .map_err(|e| format!("and again: {e} with {live:?}"))?;
            same(&tree(&fs), &states.new, "and again")?;
        }
        let live = tree(&fs);
        fs.stop();
        same(&see(&machine), &live, "after a new start")?;
        undamaged(&machine)
    };
    judge().map_err(|why| {
        format!(
            "{}: {fault:?} at call {n} ({call:?}), {result:?}: {why}",
            case.name
        )
    })?;
    Ok(true)
}

/// The process dies, or the host with it.
fn dies(
    case: &Case,
    combo: CipherCombo,
    states: &States,
    fault: Fault,
    n: u64,
) -> Result<bool, String> {
    let machine = case.machine(combo);
    let (fs, faults, _) = machine.boot();
    faults.arm(At::Call(n), fault);
    let result = case.act(&fs);
    drop(fs);
    let Some(call) = faults.struck() else {
        return Ok(false);
    };
    // Names are durable before data, as on hosts with a journal.
    let cut = (fault == Fault::Stop).then(|| Machine {
        vault: machine.vault.after_power_cut_of_data(),
        state: machine.state.after_power_cut(&mut || true),
        combo,
    });
    let judge = |machine: &Machine, is_killed: bool| {
        let found = see(machine);
        states
            .judge(&found)
            .map_err(|why| format!("{why} in {found:?}"))?;
        if result.is_ok() && is_killed {
            same(&found, &states.new, "reported as done")?;
        }
        undamaged(machine)?;
        let mut mended = see(machine);
        // Content directories without a node are found there; these were to go, or yet to come.
        mended.retain(|path, item| {
            !(path.starts_with("LOST+FOUND") && (*item == Item::Dir || states.has_steps))
        });
        same(&mended, &found, "mended")
    };
    let at = |how| {
        move |why| {
            format!(
                "{}: {fault:?} at call {n} ({call:?}), {how}: {why}",
                case.name
            )
        }
    };
    judge(&machine, true).map_err(at("killed"))?;
    if let Some(cut) = cut {
        judge(&cut, false).map_err(at("power cut"))?;
    }
    Ok(true)
}

/// `OXCRYPT_FAULT_CASE=text` runs only the cases with this in their names.
fn each(
    combo: CipherCombo,
    faults: &[Fault],
    run: fn(&Case, CipherCombo, &States, Fault, u64) -> Result<bool, String>,
) {
    let only = std::env::var("OXCRYPT_FAULT_CASE").unwrap_or_default();
    let (mut cases, mut struck, mut wrong) = (0, 0, Vec::new());
    for case in all().iter().filter(|case| case.name.contains(&only)) {
        cases += 1;
        let states = States::of(case, combo);
        for fault in faults {
            for n in 1.. {
                match run(case, combo, &states, *fault, n) {
                    Ok(true) => struck += 1,
                    Ok(false) => break,
                    Err(why) => wrong.push(why),
                }
            }
        }
    }
    println!("{cases} cases, {struck} faults");
    assert!(struck > cases, "every case has calls that can fail");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn an_error_leaves_the_old_state_or_the_new_one_gcm() {
    each(CipherCombo::SivGcm, &ERRORS, fails);
}

#[test]
fn an_error_leaves_the_old_state_or_the_new_one_ctrmac() {
    each(CipherCombo::SivCtrMac, &ERRORS, fails);
}

#[test]
fn a_death_leaves_the_old_state_or_the_new_one_gcm() {
    each(CipherCombo::SivGcm, &DEATHS, dies);
}

#[test]
fn a_death_leaves_the_old_state_or_the_new_one_ctrmac() {
    each(CipherCombo::SivCtrMac, &DEATHS, dies);
}
