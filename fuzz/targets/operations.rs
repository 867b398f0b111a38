//! Sequences of operations in a vault and in the reference model of the tests, step by step.

#![no_main]

#[path = "../../crates/oxcrypt-vfs/tests/model/bed.rs"]
mod bed;
#[path = "../../crates/oxcrypt-vfs/tests/model/machine.rs"]
mod machine;
#[path = "../../crates/oxcrypt-vfs/tests/model/op.rs"]
mod op;
#[path = "../../crates/oxcrypt-vfs/tests/model/reference.rs"]
mod reference;

use bed::{Bed, Setting};
use libfuzzer_sys::fuzz_target;
use machine::Machine;
use oxcrypt_store::MemStore;
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// What the operations are drawn from. The input cannot be the randomness itself: drawing throws away
/// what does not fit, and would go on for ever behind its end.
fn seed(data: &[u8]) -> [u8; 32] {
    let mut seed = [0; 32];
    for (i, byte) in data.iter().enumerate() {
        let place: &mut u8 = &mut seed[i % 32];
        *place = place.rotate_left(3) ^ byte;
    }
    seed
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let settings: Vec<_> = Setting::all().collect();
    let setting = settings[usize::from(*choice) % settings.len()];
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed(data));
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let most = 1 + data.len() / 8;
    let Ok(ops) = vec(op::op(), 1..=most.min(150)).new_tree(&mut runner) else {
        return;
    };
    let ops = ops.current();
    let bed = Bed::new(MemStore::new(), MemStore::new(), setting);
    if let Err(reason) = Machine::new(bed).run(&ops) {
        panic!("{setting:?}: {reason}\n&{ops:?}");
    }
});
