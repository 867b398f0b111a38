//! What a mount can be told.

use std::time::Duration;

/// With fewer threads that read /dev/fuse, the kernel more often wakes one whose processor sleeps,
/// and all of them may be waiting for the disk.
const LEAST_READERS: usize = 4;

/// Who may use the mount besides its owner. The kernel checks the permission bits in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Access {
    /// Nobody.
    #[default]
    Owner,
    /// Root.
    Root,
    /// Everybody.
    Everybody,
}

/// How requests come from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Transport {
    /// Through rings where the kernel offers them.
    #[default]
    Auto,
    /// Through rings shared with the kernel, one for each processor.
    Ring,
    /// By reading and writing /dev/fuse.
    Dev,
}

impl Transport {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ring => "ring",
            Self::Dev => "dev",
        }
    }
}

/// Options of one mount.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// Refuse every change.
    pub read_only: bool,
    /// Who may use the mount.
    pub access: Access,
    /// Show this owner instead of the ciphertext's.
    pub uid: Option<u32>,
    /// Show this group instead of the ciphertext's.
    pub gid: Option<u32>,
    /// Hide these permission bits.
    pub umask: u32,
    /// Honour set-user-id and set-group-id bits of programs in the vault.
    pub suid: bool,
    /// Honour device nodes (there are none in a vault).
    pub dev: bool,
    /// Forbid running programs from the vault.
    pub noexec: bool,
    /// Source shown in the mount table.
    pub fsname: String,
    /// How requests come.
    pub transport: Transport,
    /// Threads that read /dev/fuse; 0 means one per CPU, and at least four.
    pub threads: usize,
    /// How long the kernel may trust names and attributes whose changes we will notice.
    pub ttl: Duration,
    /// The same where changes are not noticed: unwatched directories, network storage.
    pub unwatched_ttl: Duration,
    /// How long the kernel may remember that a name does not exist in a watched directory.
    pub negative_ttl: Duration,
    /// Let the kernel collect writes before it hands them over.
    pub writeback: bool,
    /// Answer open and opendir without a message.
    pub zero_message_open: bool,
    /// Hand every request to another thread, with memory of its own. Slower; to measure by how much.
    pub spawn_each: bool,
    /// Let other threads help with large requests.
    pub fan_out: bool,
    /// Tell where the time of every so many requests went; 0 is none.
    pub trace_rate: u64,
    /// Passed to the kernel as they are.
    pub extra: Vec<String>,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            access: Access::Owner,
            uid: None,
            gid: None,
            umask: 0,
            suid: false,
            dev: false,
            noexec: false,
            fsname: "oxcrypt".into(),
            transport: Transport::Auto,
            threads: 0,
            ttl: Duration::from_secs(3600),
            unwatched_ttl: Duration::from_secs(1),
            // Should events ever be lost, names that did not exist then are asked for again.
            negative_ttl: Duration::from_secs(60),
            writeback: true,
            zero_message_open: true,
            spawn_each: false,
            fan_out: true,
            trace_rate: 0,
            extra: Vec::new(),
        }
    }
}

impl MountOptions {
    /// How long to trust these attributes.
    pub(crate) fn ttl_of(&self, attr: &oxcrypt_vfs::Attr) -> &Duration {
        if attr.watched {
            &self.ttl
        } else {
            &self.unwatched_ttl
        }
    }

    /// Whether the kernel is to compare modes with the rights of whoever asks.
    ///
    /// A mount of root's that nobody else may enter needs no such comparison: root may do all, but
    /// run what nobody may. It would cost one more request before each that follows a change in
    /// the same directory, because the kernel then asks for the directory's mode anew.
    pub(crate) fn kernel_compares_modes(&self) -> bool {
        self.access != Access::Owner || !rustix::process::geteuid().is_root()
    }

    pub(crate) fn reader_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism()
                .map_or(LEAST_READERS, usize::from)
                .max(LEAST_READERS),
            n => n,
        }
    }
}
