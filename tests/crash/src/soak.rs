//! Mixed load for a long time: memory, descriptors and threads stay flat, nothing fails, and all
//! that was written is there, also for the official library.

mod figures;
mod load;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oxcrypt_tests::{official, vaults};
use serde_json::json;

use crate::daemon::{Bed, Daemon};
use crate::kill9::damage;
use crate::soak::figures::Figures;
use crate::soak::load::Load;

/// Both ciphers at the same time, each in a mount of its own.
pub(crate) fn run(program: &Path, seconds: u64, seed: u64) -> bool {
    let passed: Vec<bool> = std::thread::scope(|scope| {
        let runs: Vec<_> = ["v8_empty_gcm", "v8_empty_ctrmac"]
            .into_iter()
            .zip(seed..)
            .map(|(name, seed)| scope.spawn(move || with_vault(program, name, seconds, seed)))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    passed.into_iter().all(|passed| passed)
}

fn with_vault(program: &Path, name: &str, seconds: u64, seed: u64) -> bool {
    let place = tempfile::tempdir().unwrap();
    let sample = vaults::v8(name);
    let home = place.path().join("home");
    let bed = Bed::new(
        program,
        &sample.path,
        place.path(),
        &home,
        sample.password(),
    );
    let mut loads = load::all(&bed.mountpoint, seed);
    let mut faults = Vec::new();

    let mut daemon = bed.mount().unwrap_or_else(|no| panic!("{}", no.words));
    let figures = work(&mut daemon, &mut loads, seconds, &mut faults);
    println!("soak {name}: {figures}");
    faults.extend(figures.grown());
    faults.extend(wrong(&loads));
    end(daemon, &mut faults);

    // What a fresh mount shows, and then the official library below it.
    let daemon = bed.mount().unwrap_or_else(|no| panic!("{}", no.words));
    faults.extend(wrong(&loads));
    let manifest = json!({
        "format": 8,
        "cipherCombo": sample.manifest["cipherCombo"],
        "shorteningThreshold": 220,
        "password": sample.password(),
        "entries": official::entries(&bed.mountpoint),
    });
    end(daemon, &mut faults);
    faults.extend(damage(&sample.path, sample.password()));
    match official::official_verdict(&sample.path, &manifest, &["--strict"]) {
        Some(verdict) if !verdict.good => faults.push(verdict.report),
        Some(_) => println!("soak {name}: the official library agrees"),
        None => println!("soak {name}: the official library did NOT judge"),
    }

    for fault in faults.iter().take(20) {
        println!("soak {name}: {fault}");
    }
    let done: Vec<u64> = loads.iter().map(|load| load.done()).collect();
    println!(
        "soak {name}: {seconds} s, steps of each load {done:?}; {} faults",
        faults.len()
    );
    faults.is_empty() && done.iter().all(|done| *done > 0)
}

/// Each load in a thread of its own, in bursts with long rests, until the time is over.
fn work(
    daemon: &mut Daemon,
    loads: &mut [Box<dyn Load>],
    seconds: u64,
    faults: &mut Vec<String>,
) -> Figures {
    let stop = AtomicBool::new(false);
    let failed = Mutex::new(Vec::new());
    let mut figures = Figures::default();
    let end = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for load in loads {
            let (stop, failed) = (&stop, &failed);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    if let Err(fault) = load.burst() {
                        failed.lock().unwrap().push(fault);
                        stop.store(true, Ordering::Relaxed);
                        return;
                    }
                    // Other programs need the processors too; and a burst may have been stopped.
                    let rest = (start.elapsed() * 40).min(Duration::from_secs(5));
                    std::thread::sleep(rest);
                }
            });
        }
        while Instant::now() < end && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(500));
            if !daemon.is_alive() {
                failed.lock().unwrap().push("the daemon died".into());
                break;
            }
            figures.sample(daemon.pid());
        }
        stop.store(true, Ordering::Relaxed);
    });
    faults.extend(failed.into_inner().unwrap());
    figures
}

fn wrong(loads: &[Box<dyn Load>]) -> Vec<String> {
    loads.iter().flat_map(|load| load.wrong()).collect()
}

fn end(daemon: Daemon, faults: &mut Vec<String>) {
    // One line tells of the mount; all else is a complaint.
    for line in daemon
        .words()
        .lines()
        .filter(|line| !line.starts_with("Mounted at "))
    {
        faults.push(format!("the daemon said: {line}"));
    }
    if !daemon.unmount() {
        faults.push("the daemon did not end well".into());
    }
}
