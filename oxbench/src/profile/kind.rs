//! Kinds of work, and which function belongs to which.

use super::samples::Frame;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Cipher,
    Copy,
    Fuse,
    FileSystem,
    Fault,
    Allocator,
    Scheduler,
    /// Entering and leaving the kernel, interrupts, and what no rule names.
    Kernel,
    /// The daemon's own code, and that of the crates that move its requests about.
    Glue,
}

impl Kind {
    pub(super) const ALL: [Self; 9] = [
        Self::Cipher,
        Self::Copy,
        Self::Fuse,
        Self::FileSystem,
        Self::Fault,
        Self::Allocator,
        Self::Scheduler,
        Self::Kernel,
        Self::Glue,
    ];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Cipher => "cipher",
            Self::Copy => "copy",
            Self::Fuse => "FUSE",
            Self::FileSystem => "file sys",
            Self::Fault => "faults",
            Self::Allocator => "alloc",
            Self::Scheduler => "futex+sch",
            Self::Kernel => "kernel",
            Self::Glue => "glue",
        }
    }

    /// In the kernel the nearest function outwards that a rule knows decides: copying on behalf of
    /// FUSE is copying, waking on behalf of FUSE is scheduling. In the program there is only the
    /// innermost function, because optimised code keeps no chain of frames.
    pub(super) fn of(frames: &[Frame]) -> Self {
        match frames.first() {
            Some(leaf) if !leaf.is_kernel() => in_program(leaf.name()),
            _ => frames
                .iter()
                .take_while(|frame| frame.is_kernel())
                .find_map(|frame| in_kernel(frame.name()))
                .unwrap_or(Self::Kernel),
        }
    }
}

type Rule = (Kind, &'static [&'static str]);

/// Beginnings of names. The first rule that fits a function is its kind.
const KERNEL: &[Rule] = &[
    (
        Kind::Scheduler,
        &[
            "schedule",
            "__schedule",
            "try_to_wake_up",
            "ttwu_",
            "wake_up",
            "__wake_up",
            "finish_task_switch",
            "futex",
            "do_futex",
            "__x64_sys_futex",
            "__do_sys_futex",
            "pick_next",
            "pick_eevdf",
            "enqueue_task",
            "dequeue_",
            "select_task_rq",
            "update_curr",
            "prepare_to_wait",
            "finish_wait",
            "autoremove_wake",
            "sched_",
            "__x64_sys_sched",
            "mutex_",
            "__mutex",
            "down_",
            "up_",
            "rwsem_",
            "io_schedule",
            "wait_woken",
            "exit_to_user_mode_loop",
            "eventfd_",
            "__x64_sys_epoll",
            "do_epoll",
            "ep_",
            "do_sys_poll",
            "__x64_sys_poll",
        ],
    ),
    (
        Kind::Fault,
        &[
            "asm_exc_page_fault",
            "exc_page_fault",
            "handle_mm_fault",
            "do_user_addr_fault",
            "__x64_sys_madvise",
            "__x64_sys_mmap",
            "__x64_sys_munmap",
            "__x64_sys_brk",
            "__x64_sys_mprotect",
        ],
    ),
    (
        Kind::Copy,
        &[
            "copy_user",
            "_copy_to_iter",
            "_copy_from_iter",
            "rep_movs",
            "rep_stos",
            "__memcpy",
            "memcpy",
            "__memmove",
            "memmove",
            "copy_page",
            "copy_folio",
            "copy_from_user",
            "copy_to_user",
            "_copy_from_user",
            "_copy_to_user",
            "__memset",
            "memset",
            "fuse_copy_do",
        ],
    ),
    (
        Kind::Fuse,
        &[
            "fuse_",
            "__fuse",
            "io_uring",
            "__io_uring",
            "__do_sys_io_uring",
            "__x64_sys_io_uring",
            "io_",
        ],
    ),
    (
        Kind::FileSystem,
        &[
            "ext4_",
            "__ext4",
            "jbd2_",
            "__jbd2",
            "xfs_",
            "btrfs_",
            "filemap_",
            "__filemap",
            "generic_",
            "iomap_",
            "vfs_",
            "ksys_",
            "do_sys_open",
            "do_filp",
            "path_",
            "link_path",
            "filename_",
            "do_unlink",
            "do_mkdir",
            "do_rmdir",
            "do_renameat",
            "submit_bio",
            "blk_",
            "d_",
            "__d_",
            "dput",
            "folio_",
            "truncate_",
            "evict",
            "iput",
            "inotify_",
            "fsnotify",
            "__fput",
            "iterate_dir",
            "do_fallocate",
            "do_fsync",
            "page_cache_",
            "__x64_sys_pread",
            "__x64_sys_pwrite",
            "__x64_sys_read",
            "__x64_sys_write",
            "__x64_sys_open",
            "__x64_sys_newfstatat",
            "__x64_sys_statx",
            "__x64_sys_fstat",
            "__x64_sys_newfstat",
            "__x64_sys_getdents",
            "__x64_sys_unlinkat",
            "__x64_sys_mkdirat",
            "__x64_sys_renameat",
            "__x64_sys_close",
            "__x64_sys_fadvise",
            "__x64_sys_fsync",
            "__x64_sys_fdatasync",
            "__x64_sys_lseek",
            "__x64_sys_symlinkat",
            "__x64_sys_linkat",
            "__x64_sys_fallocate",
            "__x64_sys_ftruncate",
            "__x64_sys_utimensat",
            "__x64_sys_readlinkat",
            "__x64_sys_fcntl",
            "__x64_sys_fstatfs",
            "__x64_sys_fchmod",
        ],
    ),
];

const PROGRAM: &[Rule] = &[
    // First, so that no rule below takes what is ours.
    (Kind::Glue, &["oxcrypt", "<oxcrypt"]),
    (
        Kind::Cipher,
        &[
            "aws_lc", "aes", "<aes", "AES_", "EVP_", "CRYPTO_", "gcm_", "ghash", "<ghash",
            "polyval", "<polyval", "ctr", "<ctr", "cmac", "<cmac", "dbl::", "sha1", "<sha1",
            "sha2", "<sha2", "hmac", "<hmac", "cipher", "<cipher", "digest", "<digest", "HMAC",
            "SHA", "scrypt", "OPENSSL",
        ],
    ),
    (
        Kind::Copy,
        &[
            "memcpy",
            "memmove",
            "memset",
            "memcmp",
            "__mem",
            "bcmp",
            "compiler_builtins::mem",
        ],
    ),
    (
        Kind::Allocator,
        &[
            "mi_",
            "_mi_",
            "malloc",
            "free",
            "calloc",
            "realloc",
            "cfree",
            "_int_",
            "__libc_malloc",
            "__rust",
            "alloc::alloc",
        ],
    ),
    (
        Kind::Scheduler,
        &[
            "parking_lot",
            "<parking_lot",
            "pthread_",
            "__pthread",
            "___pthread",
            "__lll",
            "std::sys::sync",
            "std::thread::park",
        ],
    ),
];

fn first_fit(rules: &[Rule], name: &str) -> Option<Kind> {
    let fits = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    let (kind, _) = rules.iter().find(|(_, starts)| fits(starts))?;
    Some(*kind)
}

fn in_kernel(name: &str) -> Option<Kind> {
    first_fit(KERNEL, name)
}

fn in_program(name: &str) -> Kind {
    first_fit(PROGRAM, name).unwrap_or(Kind::Glue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_function_outwards_decides() {
        let kernel = |names: &[&str]| {
            let frames: Vec<_> = names.iter().map(|name| Frame::kernel(name)).collect();
            Kind::of(&frames)
        };
        assert_eq!(
            kernel(&["rep_movs_alternative", "fuse_copy_do", "fuse_dev_write"]),
            Kind::Copy
        );
        assert_eq!(
            kernel(&["clear_page_orig", "get_page", "handle_mm_fault"]),
            Kind::Fault
        );
        assert_eq!(
            kernel(&[
                "_raw_spin_unlock_irqrestore",
                "__wake_up_common",
                "fuse_request_end"
            ]),
            Kind::Scheduler
        );
        assert_eq!(
            kernel(&[
                "_raw_spin_lock",
                "fuse_dev_do_read",
                "vfs_read",
                "ksys_read"
            ]),
            Kind::Fuse
        );
        assert_eq!(
            kernel(&["xas_load", "filemap_read", "vfs_read", "__x64_sys_pread64"]),
            Kind::FileSystem
        );
        assert_eq!(kernel(&["entry_SYSCALL_64"]), Kind::Kernel);
    }

    #[test]
    fn the_program_is_judged_by_its_innermost_function() {
        let program = |name: &str| {
            Kind::of(&[
                Frame::user(name, "/usr/bin/oxcrypt"),
                Frame::kernel("schedule"),
            ])
        };
        assert_eq!(
            program("aws_lc_0_47_0_aes_gcm_decrypt_avx512"),
            Kind::Cipher
        );
        assert_eq!(program("__memmove_avx512_unaligned_erms"), Kind::Copy);
        assert_eq!(program("mi_malloc_aligned"), Kind::Allocator);
        assert_eq!(program("oxcrypt_vfs::read::read"), Kind::Glue);
        assert_eq!(program("fuser::session::Session::run"), Kind::Glue);
        assert_eq!(program("[unknown]"), Kind::Glue);
    }

    #[test]
    fn every_kind_is_at_its_own_place() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place, "{}", kind.title());
        }
    }
}
