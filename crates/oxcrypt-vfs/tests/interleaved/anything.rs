//! Three threads do what comes to mind on three names.

use oxcrypt_vfs::{ErrorKind, NodeId, RenameFlags, SetAttr};
use shuttle::rand::Rng;
use shuttle::thread::scope;

use crate::bed::{Bed, CALLER, CHUNK, Fs, ROOT, explore, interleave, make, make_dir, read, tree};

fn below(n: usize) -> usize {
    shuttle::rand::thread_rng().gen_range(0..n)
}

/// Each write covers its chunk with one byte.
fn step(fs: &Fs, dirs: [NodeId; 2]) -> oxcrypt_vfs::Result<()> {
    let long = "l".repeat(180);
    let names = [b"a", b"b", long.as_bytes()];
    let (dir, name) = (dirs[below(2)], names[below(3)]);
    let with_file = |act: &dyn Fn(NodeId) -> oxcrypt_vfs::Result<()>| {
        let entry = fs.lookup(dir, name)?;
        let done = act(entry.node);
        fs.forget(entry.node, 1);
        done
    };
    match below(11) {
        0 => {
            let made = fs.create(CALLER, dir, name, 0o600)?;
            let done = fs.write(made.node, 0, &[1; 1000]);
            fs.forget(made.node, 1);
            done
        }
        1 => fs
            .mkdir(CALLER, dir, name, 0o700)
            .map(|made| fs.forget(made.node, 1)),
        2 => fs
            .symlink(CALLER, dir, name, b"target")
            .map(|made| fs.forget(made.node, 1)),
        3 => fs.unlink(dir, name),
        4 => fs.rmdir(dir, name),
        5 | 6 => {
            let flags = [
                RenameFlags::Replace,
                RenameFlags::NoReplace,
                RenameFlags::Exchange,
            ][below(3)];
            fs.rename(dir, name, dirs[below(2)], names[below(3)], flags)
        }
        7 => with_file(&|file| {
            let linked = fs.link(file, dirs[below(2)], names[below(3)])?;
            fs.forget(linked.node, 1);
            Ok(())
        }),
        8 => with_file(&|file| fs.write(file, 0, &vec![2; [1000, CHUNK][below(2)]])),
        9 => with_file(&|file| {
            let size = Some([0, 700][below(2)]);
            fs.setattr(
                file,
                SetAttr {
                    size,
                    ..SetAttr::default()
                },
            )?;
            fs.fsync(file, false)
        }),
        _ => with_file(&|file| read(fs, file).map(drop)),
    }
}

fn anything_happens() {
    let bed = Bed::new();
    let (fs, faults) = bed.open();
    let dirs = [ROOT, make_dir(&fs, "dir")];
    make(&fs, ROOT, "a", &[3; CHUNK]);
    make(&fs, dirs[1], "b", &[4; 10]);
    let at_rest = fs.node_count();
    interleave(&faults);
    let fs_ref = &fs;
    scope(|threads| {
        let background = threads.spawn(|| fs_ref.run_background());
        let workers: Vec<_> = (0..3)
            .map(|_| {
                threads.spawn(move || {
                    for _ in 0..4 {
                        if let Err(e) = step(fs_ref, dirs) {
                            let impossible = [
                                ErrorKind::Damaged,
                                ErrorKind::Io,
                                ErrorKind::Loop,
                                ErrorKind::NoSpace,
                            ];
                            assert!(!impossible.contains(&e.kind), "{e}");
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        fs_ref.stop();
        background.join().unwrap();
    });
    assert_eq!(fs.node_count(), at_rest, "nodes that nobody holds");
    tree(&fs);
    drop(fs);
    bed.assert_sound();
}

#[test]
fn whatever_happens_at_once_the_vault_is_sound() {
    explore(300, anything_happens);
}
