//! What this process gives up, so that a fault in it is worth less.
//!
//! Before any secret is read: no core file, and no other process of the user may look into its
//! memory. Once a vault is mounted, the threads that serve it can reach the vault, the program's
//! own directories and nothing else of the file system (Landlock), open no TCP connection, start no
//! program and change no mount (a system call filter), and gain no privileges.
//!
//! Confinement belongs to a thread and to those it starts afterwards. The threads that unmount and
//! that run the user's hooks need what is given up; they must be running before.

use std::collections::BTreeMap;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    path_beneath_rules,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// The newest rules this program knows; older kernels enforce those they know.
const RULES: ABI = ABI::V5;

/// Devices the threads open after their start.
const DEVICES: [&str; 2] = ["/dev/fuse", "/dev/null"];

/// No core files, and nobody looks in.
pub(crate) fn close_memory() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Neither can fail for a process and its own limits; nothing depends on them if they do.
    let _ = rustix::process::setrlimit(Resource::Core, none);
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// What is in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Confined {
    /// Only the given places can be reached.
    pub(crate) places: bool,
    /// The system call filter.
    pub(crate) calls: bool,
}

/// Confines this thread, and those it starts from now on, to `places`. A kernel without the means
/// leaves it as it is, which the answer tells.
pub(crate) fn confine(places: &[&Path]) -> Confined {
    // The first needs what the second takes away.
    let places = restrict_places(places).is_ok_and(|status| status != RulesetStatus::NotEnforced);
    let calls = filter_calls().is_ok();
    Confined { places, calls }
}

fn restrict_places(places: &[&Path]) -> Result<RulesetStatus, landlock::RulesetError> {
    let all = AccessFs::from_all(RULES);
    let devices = DEVICES.iter().map(Path::new);
    let status = Ruleset::default()
        .handle_access(all)?
        .handle_access(AccessNet::from_all(RULES))?
        .create()?
        .add_rules(path_beneath_rules(places, all))?
        .add_rules(path_beneath_rules(devices, all))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// Calls a file system server has no use for and an intruder does. Refused one by one, so that
/// what the allocator and the C library may need tomorrow is not in danger, and at a cost too small
/// to be seen: the kernel remembers which calls are always allowed.
const REFUSED: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    // Rings are made before; serving them needs io_uring_enter alone.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_register,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_personality,
];

fn filter_calls() -> Result<(), seccompiler::Error> {
    let rules: BTreeMap<_, _> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(seccompiler::Error::Backend)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)
        .map_err(seccompiler::Error::Backend)?;
    let program: BpfProgram = filter.try_into().map_err(seccompiler::Error::Backend)?;
    seccompiler::apply_filter(&program)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a thread of its own, which takes its confinement along when it ends.
    #[test]
    fn a_confined_thread_reaches_its_places_only() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(&outside, b"x").unwrap();
        let confined = std::thread::spawn({
            let outside = outside.clone();
            move || {
                let confined = confine(&[&inside]);
                std::fs::write(inside.join("file"), b"x").unwrap();
                std::fs::rename(inside.join("file"), inside.join("other")).unwrap();
                if confined.places {
                    assert!(std::fs::read(&outside).is_err());
                    assert!(std::fs::write(dir.path().join("new"), b"x").is_err());
                    assert!(
                        std::net::TcpStream::connect("127.0.0.1:9")
                            .is_err_and(|e| { e.kind() == std::io::ErrorKind::PermissionDenied })
                    );
                }
                if confined.calls {
                    assert!(std::process::Command::new("/bin/true").status().is_err());
                }
                confined
            }
        })
        .join()
        .unwrap();
        assert!(confined.calls, "every supported kernel has filters");
        assert_eq!(std::fs::read(&outside).unwrap(), b"x");
        assert!(std::process::Command::new("/bin/true").status().is_ok());
    }
}
