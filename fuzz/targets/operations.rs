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

/// The input is the randomness that the operations are drawn from. Noise of its own follows: drawing
/// throws away what does not fit, and would go on for ever with zeros or with what repeats.
fn with_noise(data: &[u8]) -> Vec<u8> {
    let mut noise = data.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut drawn = data.to_vec();
    for _ in 0..4096 {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        drawn.extend(noise.to_le_bytes());
    }
    drawn
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let settings: Vec<_> = Setting::all().collect();
    let setting = settings[usize::from(*choice) % settings.len()];
    let rng = TestRng::from_seed(RngAlgorithm::PassThrough, &with_noise(data));
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
