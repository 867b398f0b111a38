//! The disk below loses its power: ext4 is shut down without flushing its journal, mounted again,
//! and replays it. A writer without encryption works beside, as a control of the test itself.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use oxcrypt_tests::vaults;

use crate::daemon::Bed;
use crate::judge::{Wrong, judge};
use crate::kill9::{damage, report, work_until_killed};
use crate::lower::Lower;
use crate::model::Loss;
use crate::random::Random;
use crate::workload::Worker;

pub(crate) fn run(program: &Path, rounds: u32, seed: u64) -> bool {
    let mut passed = true;
    for (i, name) in ["v8_empty_gcm", "v8_empty_ctrmac"].into_iter().enumerate() {
        let share = if i == 0 {
            rounds - rounds / 3
        } else {
            rounds / 3
        };
        passed &= with_vault(program, name, share, seed + 1000 + i as u64);
    }
    passed
}

fn with_vault(program: &Path, name: &str, rounds: u32, seed: u64) -> bool {
    let place = tempfile::tempdir().unwrap();
    let sample = vaults::v8(name);
    let lower = Lower::new(place.path(), 512);
    let vault = lower.dir.join("vault");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(&sample.path)
        .arg(&vault)
        .status()
        .unwrap();
    assert!(copied.success());
    let native = lower.dir.join("native");
    std::fs::create_dir(&native).unwrap();
    // The program's state, its journal above all, is on the disk that fails.
    let home = lower.dir.join("home");
    let bed = Bed::new(program, &vault, place.path(), &home, sample.password());
    rustix::fs::sync();
    let mut random = Random::new(seed);
    let worker = |root: &Path, i| Worker::new(root, &format!("w{i}"), Loss::Power, seed * 100 + i);
    let mut workers = vec![
        worker(&bed.mountpoint, 0),
        worker(&bed.mountpoint, 1),
        worker(&native, 2),
    ];
    workers[2].syncs_parents = true;
    let (mut ours, mut control) = (Wrong::default(), Wrong::default());
    let mut bad_rounds = 0;
    for round in 0..=rounds {
        let Some(daemon) = bed.mount_again(&format!("powercut {name} round {round}")) else {
            return false;
        };
        if round > 0 {
            let mut wrong = Wrong::default();
            let (mounted, alone) = workers.split_at_mut(2);
            for worker in mounted {
                wrong.add(&judge(&bed.mountpoint, worker));
            }
            report(&format!("powercut {name} round {round}"), &wrong);
            bad_rounds += u32::from(wrong.count() > 0);
            ours.add(&wrong);
            let wrong = judge(&native, &mut alone[0]);
            report(&format!("powercut native control round {round}"), &wrong);
            control.add(&wrong);
        }
        if round == rounds {
            daemon.unmount();
            break;
        }
        for worker in &workers {
            worker.prepare().unwrap();
        }
        // The beginning of each round is what has survived, and is known to last.
        rustix::fs::sync();
        let wait = Duration::from_micros(30_000 + random.next() % 500_000);
        let mut daemon = daemon;
        work_until_killed(&mut workers, || {
            std::thread::sleep(wait);
            let alive = daemon.is_alive();
            lower.cut();
            alive
        });
        daemon.kill();
        lower.restart();
    }
    let damage = damage(&vault, sample.password());
    let ops: u64 = workers.iter().map(|worker| worker.ops).sum();
    let syncs: u64 = workers[..2].iter().map(|worker| worker.syncs).sum();
    println!(
        "powercut {name}: {rounds} cuts, {ops} operations, {syncs} fsyncs; {bad_rounds} bad rounds: {ours}; \
         {} findings of the check; native control: {control}",
        damage.len()
    );
    for line in damage.iter().take(10) {
        println!("  check: {line}");
    }
    syncs > 0 && ours.count() == 0 && control.count() == 0 && damage.is_empty()
}
