//! The journal: shared commits, checkpoints beside writers, and nodes that only it still holds.

use std::sync::Mutex;

use shuttle::thread::scope;

use crate::bed::{Bed, CHUNK, ROOT, explore, interleave, make, read};

/// Of each writer: what was synced, and what was written at all, counted up.
type Progress = [(u8, u8); 2];

fn writers_sync_until_the_power_goes() {
    let bed = Bed::new();
    let (fs, faults) = bed.open();
    make(&fs, ROOT, "file", &[0; 2 * CHUNK]);
    let node = fs.lookup(ROOT, b"file").unwrap().node;
    interleave(&faults);
    // Real locks, never held over a step.
    let progress = Mutex::new(Progress::default());
    let at_cut = Mutex::new(None);
    let fs_ref = &fs;
    scope(|threads| {
        let background = threads.spawn(|| fs_ref.run_background());
        let writers: Vec<_> = (0..2)
            .map(|i| {
                let progress = &progress;
                threads.spawn(move || {
                    for fill in 1..=3 {
                        progress.lock().unwrap()[i].1 = fill;
                        let offset = (i * CHUNK) as u64;
                        fs_ref.write(node, offset, &[fill; CHUNK]).unwrap();
                        fs_ref.fsync(node, true).unwrap();
                        progress.lock().unwrap()[i].0 = fill;
                    }
                })
            })
            .collect();
        threads.spawn(|| {
            use shuttle::rand::Rng;
            for _ in 0..shuttle::rand::thread_rng().gen_range(0..40) {
                shuttle::thread::yield_now();
            }
            *at_cut.lock().unwrap() = Some((*progress.lock().unwrap(), bed.after_power_cut()));
        });
        for writer in writers {
            writer.join().unwrap();
        }
        fs_ref.stop();
        background.join().unwrap();
    });
    fs.forget(node, 1);
    drop(fs);
    let (progress, cut) = at_cut.into_inner().unwrap().unwrap();
    let (fs, _) = cut.open();
    let node = fs.lookup(ROOT, b"file").unwrap().node;
    let content = read(&fs, node).unwrap();
    assert_eq!(content.len(), 2 * CHUNK);
    for (chunk, (synced, written)) in content.chunks(CHUNK).zip(progress) {
        let found = chunk[0];
        assert!(chunk.iter().all(|byte| *byte == found), "a mixture");
        assert!(
            (synced..=written).contains(&found),
            "{found}, but {synced} was synced, {written} written"
        );
    }
    drop(fs);
    cut.assert_sound();
}

#[test]
fn what_was_synced_is_there_after_a_power_cut_at_any_step() {
    explore(150, writers_sync_until_the_power_goes);
}

fn a_file_is_forgotten_while_its_chunks_move() {
    let bed = Bed::new();
    let (fs, faults) = bed.open();
    let at_rest = fs.node_count();
    make(&fs, ROOT, "kept", &[0; CHUNK]);
    make(&fs, ROOT, "gone", &[0; CHUNK]);
    interleave(&faults);
    let fs_ref = &fs;
    scope(|threads| {
        let background = threads.spawn(|| fs_ref.run_background());
        let overwrite = |name: &'static [u8]| {
            threads.spawn(move || {
                for fill in 1..=2 {
                    let Ok(entry) = fs_ref.lookup(ROOT, name) else {
                        return;
                    };
                    fs_ref.write(entry.node, 0, &[fill; CHUNK]).unwrap();
                    let seen = read(fs_ref, entry.node).unwrap();
                    assert_eq!(seen, [fill; CHUNK], "an older chunk");
                    fs_ref.forget(entry.node, 1);
                }
            })
        };
        let workers = [
            overwrite(b"kept"),
            overwrite(b"gone"),
            threads.spawn(|| fs_ref.unlink(ROOT, b"gone").unwrap()),
        ];
        for worker in workers {
            worker.join().unwrap();
        }
        fs_ref.stop();
        background.join().unwrap();
    });
    assert_eq!(fs.node_count(), at_rest, "nodes that nobody holds");
    let kept = fs.lookup(ROOT, b"kept").unwrap().node;
    assert_eq!(read(&fs, kept).unwrap(), [2; CHUNK]);
    drop(fs);
    bed.assert_sound();
}

#[test]
fn who_comes_back_to_a_forgotten_file_finds_the_newest_chunks() {
    explore(150, a_file_is_forgotten_while_its_chunks_move);
}
