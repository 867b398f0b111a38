//! Random operation sequences in a vault, compared step by step with a simple file system in
//! memory.
//!
//! Without further ado a few thousand steps from fixed seeds. `OXCRYPT_MODEL_STEPS=5000000` does as
//! many, from seeds of the moment unless `OXCRYPT_MODEL_SEED` names one. A failure is shrunk and
//! printed in a form that can be kept in `regressions.rs`.
#![allow(
    clippy::unwrap_used,
    reason = "a broken test bed is best reported by a panic"
)]

mod bed;
mod machine;
mod op;
mod reference;
mod regressions;

use std::time::{SystemTime, UNIX_EPOCH};

use oxcrypt_store::{LocalStore, MemStore, Store};
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use bed::{Bed, Setting};
use machine::Machine;
use op::Op;

/// Steps of one run, on average.
const RUN: usize = 120;

fn env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number")),
    )
}

/// Runs at least as many steps as asked for, spread over all settings.
fn explore<S: Store>(default_steps: u64, make_bed: impl Fn(Setting) -> Bed<S>) {
    let asked = env("OXCRYPT_MODEL_STEPS");
    let steps = asked.unwrap_or(default_steps);
    let settings: Vec<_> = Setting::all().collect();
    let cases = steps.div_ceil((settings.len() * RUN) as u64) as u32;
    for (nth, setting) in settings.into_iter().enumerate() {
        let seed = env("OXCRYPT_MODEL_SEED")
            .or(asked.map(|_| moment()))
            .unwrap_or(nth as u64);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let config = Config {
            cases,
            failure_persistence: None,
            max_shrink_iters: 20_000,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let result = runner.run(&vec(op::op(), 1..2 * RUN), |ops| {
            Machine::new(make_bed(setting))
                .run(&ops)
                .map_err(TestCaseError::fail)
        });
        match result {
            Ok(()) => {}
            Err(TestError::Fail(reason, ops)) => {
                panic!("seed {seed}, {setting:?}: {reason}\nshrunk to: &{ops:?}")
            }
            Err(TestError::Abort(reason)) => panic!("seed {seed}: {reason}"),
        }
    }
}

fn moment() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_nanos() as u64
}

fn in_memory(setting: Setting) -> Bed<MemStore> {
    Bed::new(MemStore::new(), MemStore::new(), setting)
}

#[test]
fn a_vault_in_memory_behaves_like_the_reference() {
    explore(20_000, in_memory);
}

#[test]
fn a_vault_on_disk_behaves_like_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let next = std::cell::Cell::new(0u64);
    explore(4_000, |setting| {
        let path = dir.path().join(next.replace(next.get() + 1).to_string());
        std::fs::create_dir_all(path.join("vault")).unwrap();
        std::fs::create_dir(path.join("state")).unwrap();
        if let Some(old) = next.get().checked_sub(2) {
            let _ = std::fs::remove_dir_all(dir.path().join(old.to_string()));
        }
        let store = |name: &str| LocalStore::open(&path.join(name)).unwrap();
        Bed::new(store("vault"), store("state"), setting)
    });
}

/// Runs a kept sequence in every setting.
fn replay(ops: &[Op]) {
    for setting in Setting::all() {
        if let Err(reason) = Machine::new(in_memory(setting)).run(ops) {
            panic!("{setting:?}: {reason}");
        }
    }
}

/// The same in a directory of the host.
fn replay_on_disk(ops: &[Op]) {
    for setting in Setting::all() {
        let dir = tempfile::tempdir().unwrap();
        let store = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            LocalStore::open(&path).unwrap()
        };
        let bed = Bed::new(store("vault"), store("state"), setting);
        if let Err(reason) = Machine::new(bed).run(ops) {
            panic!("{setting:?}: {reason}");
        }
    }
}
