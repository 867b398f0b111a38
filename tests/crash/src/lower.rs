//! A disk that can be filled and whose power can be cut: ext4 in a file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted ext4 image; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Lower {
    image: PathBuf,
    pub(crate) dir: PathBuf,
}

fn run(command: &mut Command) {
    let done = command
        .stdout(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

impl Lower {
    pub(crate) fn new(place: &Path, mib: u64) -> Self {
        let lower = Self {
            image: place.join("disk.img"),
            dir: place.join("disk"),
        };
        std::fs::create_dir_all(&lower.dir).unwrap();
        std::fs::File::create(&lower.image)
            .unwrap()
            .set_len(mib << 20)
            .unwrap();
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0"])
            .arg(&lower.image));
        lower.mount();
        lower
    }

    fn mount(&self) {
        // commit=300: nothing reaches the disk but by fsync and memory pressure.
        run(Command::new("mount")
            .args(["-o", "loop,commit=300"])
            .arg(&self.image)
            .arg(&self.dir));
    }

    fn unmount(&self) {
        run(Command::new("umount").arg(&self.dir));
    }

    /// Makes it read-only, or writable again.
    pub(crate) fn read_only(&self, read_only: bool) -> Result<(), String> {
        let mode = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        let done = Command::new("mount")
            .args(["-o", mode])
            .arg(&self.dir)
            .output();
        let done = done.unwrap();
        if done.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into_owned())
        }
    }

    /// Takes it from its place; whoever has something open there keeps it.
    pub(crate) fn detach(&self) {
        run(Command::new("umount").arg("-l").arg(&self.dir));
    }

    /// Puts it back to its place.
    pub(crate) fn attach(&self) {
        self.mount();
    }

    /// The power goes: nothing more reaches the disk, also not what the journal holds.
    pub(crate) fn cut(&self) {
        let dir = std::fs::File::open(&self.dir).unwrap();
        shut_down(&dir).expect("ext4 can be shut down by root");
    }

    /// The power comes back: the file system replays its own journal.
    pub(crate) fn restart(&self) {
        self.unmount();
        self.mount();
    }
}

impl Drop for Lower {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
    }
}

#[expect(unsafe_code, reason = "an ioctl without a safe wrapper")]
fn shut_down(dir: &std::fs::File) -> rustix::io::Result<()> {
    /// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, u32)`
    const SHUTDOWN: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(b'X', 125);
    /// Without flushing the journal.
    const NO_LOG_FLUSH: u32 = 2;
    // SAFETY: the operation reads one u32 through the pointer, which is what the setter passes.
    unsafe {
        rustix::ioctl::ioctl(
            dir,
            rustix::ioctl::Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH),
        )
    }
}
