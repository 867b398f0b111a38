//! SIGKILL at random instants.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oxcrypt_core::{Cryptor, Passphrase};
use oxcrypt_store::LocalStore;
use oxcrypt_tests::vaults;
use oxcrypt_vault::check::{CheckOptions, Event, Severity, check, repair};
use oxcrypt_vault::open_key;

use crate::daemon::Bed;
use crate::judge::{Wrong, judge};
use crate::model::Loss;
use crate::random::Random;
use crate::workload::Worker;

const WORKERS: u64 = 3;

pub(crate) fn run(program: &Path, rounds: u32, seed: u64) -> bool {
    let mut passed = true;
    for (i, name) in ["v8_empty_gcm", "v8_empty_ctrmac"].into_iter().enumerate() {
        // Two thirds with the usual ciphers.
        let share = if i == 0 {
            rounds - rounds / 3
        } else {
            rounds / 3
        };
        passed &= with_vault(program, name, share, seed + i as u64);
    }
    passed
}

fn with_vault(program: &Path, name: &str, rounds: u32, seed: u64) -> bool {
    let place = tempfile::tempdir().unwrap();
    let vault = vaults::v8(name);
    let bed = Bed::new(
        program,
        &vault.path,
        place.path(),
        &place.path().join("home"),
        vault.password(),
    );
    let mut random = Random::new(seed);
    let mut workers: Vec<_> = (0..WORKERS)
        .map(|i| {
            Worker::new(
                &bed.mountpoint,
                &format!("w{i}"),
                Loss::Kill,
                seed * 100 + i,
            )
        })
        .collect();
    let mut all = Wrong::default();
    let mut bad_rounds = 0;
    for round in 0..rounds {
        if random.one_in(5) {
            cut_short(&bed, &mut random);
        }
        let Some(mut daemon) = bed.mount_again(&format!("kill9 {name} round {round}")) else {
            return false;
        };
        if round > 0 {
            let mut wrong = Wrong::default();
            for worker in &mut workers {
                wrong.add(&judge(&bed.mountpoint, worker));
            }
            report(&format!("kill9 {name} round {round}"), &wrong);
            bad_rounds += u32::from(wrong.count() > 0);
            all.add(&wrong);
        }
        for worker in &workers {
            worker.prepare().unwrap();
        }
        let wait = Duration::from_micros(20_000 + random.next() % 400_000);
        work_until_killed(&mut workers, || {
            std::thread::sleep(wait);
            let alive = daemon.is_alive();
            daemon.kill();
            alive
        });
    }
    let daemon = bed.mount().unwrap();
    let mut wrong = Wrong::default();
    for worker in &mut workers {
        wrong.add(&judge(&bed.mountpoint, worker));
    }
    daemon.unmount();
    report(&format!("kill9 {name} last round"), &wrong);
    bad_rounds += u32::from(wrong.count() > 0);
    all.add(&wrong);
    let damage = damage(&vault.path, vault.password());
    let ops: u64 = workers.iter().map(|worker| worker.ops).sum();
    let syncs: u64 = workers.iter().map(|worker| worker.syncs).sum();
    println!(
        "kill9 {name}: {rounds} kills, {ops} operations, {syncs} fsyncs; {bad_rounds} bad rounds: {all}; \
         {} findings of the check",
        damage.len()
    );
    for line in damage.iter().take(10) {
        println!("  check: {line}");
    }
    ops > 0 && syncs > 0 && all.count() == 0 && damage.is_empty()
}

/// Kills the daemon while it starts, replays its journal or has just mounted.
fn cut_short(bed: &Bed, random: &mut Random) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut child = bed.start(log.path());
    std::thread::sleep(Duration::from_micros(random.next() % 60_000));
    let _ = child.kill();
    let _ = child.wait();
    bed.clean_up();
}

/// Runs all workers until `kill` has returned; it tells whether the daemon had lived until then.
pub(crate) fn work_until_killed(workers: &mut [Worker], kill: impl FnOnce() -> bool) {
    let stop = AtomicBool::new(false);
    let alive = std::thread::scope(|scope| {
        for worker in workers.iter_mut() {
            let stop = &stop;
            scope.spawn(move || worker.run(stop));
        }
        let alive = kill();
        stop.store(true, Ordering::Relaxed);
        alive
    });
    assert!(alive, "the daemon had died before it was killed");
}

pub(crate) fn report(what: &str, wrong: &Wrong) {
    if wrong.count() > 0 {
        println!("{what}: {wrong}");
        for line in wrong.lines.iter().take(6) {
            println!("  {line}");
        }
    }
}

/// What the whole check finds below the file system, every name, header and chunk, and cannot mend.
/// Leftovers of what was interrupted are mended and printed, and do not count.
pub(crate) fn damage(vault: &Path, password: &str) -> Vec<String> {
    let store = LocalStore::open(vault).unwrap();
    let open = open_key(&store, &Passphrase::new(password.to_owned())).unwrap();
    let cryptor = Cryptor::new(&open.key, open.config.combo(), open.config.threshold());
    let findings = || {
        let mut found = Vec::new();
        check(&store, &cryptor, &CheckOptions::default(), &mut |event| {
            if let Event::Finding(finding) = event {
                found.push(finding);
            }
            ControlFlow::Continue(())
        });
        found
    };
    let mut mended = BTreeMap::new();
    for finding in findings() {
        if let Some(fix) = &finding.fix
            && repair(&store, &cryptor, fix).is_ok()
        {
            *mended.entry(finding.code.as_str()).or_insert(0) += 1;
        }
    }
    if !mended.is_empty() {
        println!("  leftovers, mended without loss: {mended:?}");
    }
    findings()
        .iter()
        .filter(|finding| finding.severity() == Severity::Critical)
        .map(|finding| {
            format!(
                "{} {}: {}",
                finding.code.as_str(),
                finding.cipher_path,
                finding.detail
            )
        })
        .collect()
}
