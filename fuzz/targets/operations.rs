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

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let settings: Vec<_> = Setting::all().collect();
    let setting = settings[usize::from(*choice) % settings.len()];
    // The input is the randomness that the operations are drawn from; where it ends, it repeats: from
    // zeros alone nothing can be drawn.
    let marked = [data, b"\x9e\x37\x79\xb9\x7f\x4a\x7c\x15".as_slice()].concat();
    let drawn: Vec<u8> = marked.iter().copied().cycle().take(64 * 1024).collect();
    let rng = TestRng::from_seed(RngAlgorithm::PassThrough, &drawn);
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
