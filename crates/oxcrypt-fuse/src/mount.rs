//! Making the mount: by the system call, or by fusermount3 for those who may not call it.

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use crate::device::Device;
use crate::options::{Access, MountOptions};

const DEVICE: &str = "/dev/fuse";
/// Shown in the mount table as `fuse.oxcrypt`.
const SUBTYPE: &str = "subtype=oxcrypt";

/// A mount point in use. Dropped while the connection still lives, it is detached.
#[derive(Debug)]
pub(crate) struct Mounted {
    point: PathBuf,
    device: Arc<Device>,
}

impl Mounted {
    /// Mounts at `point`.
    pub(crate) fn new(point: &Path, options: &MountOptions) -> io::Result<Self> {
        let point = point.canonicalize()?;
        let device = match by_call(&point, options) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => by_helper(&point, options)?,
            result => result?,
        };
        Ok(Self {
            point,
            device: Arc::new(Device::new(device)),
        })
    }

    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Where, without links on the way.
    pub(crate) fn point(&self) -> &Path {
        &self.point
    }

    /// Unmounts.
    ///
    /// # Errors
    /// While programs use the mount.
    pub(crate) fn unmount(&self, flags: UnmountFlags) -> io::Result<()> {
        // A second time it might hit what others have mounted there since.
        if self.device.has_ended() {
            return Ok(());
        }
        match rustix::mount::unmount(&self.point, flags | UnmountFlags::NOFOLLOW) {
            Err(Errno::PERM) => {
                let mut command = Command::new(helper());
                command.args(["-u", "-q"]);
                if flags.contains(UnmountFlags::DETACH) {
                    command.arg("-z");
                }
                let done = command
                    .arg("--")
                    .arg(&self.point)
                    .stdin(Stdio::null())
                    .output()?;
                if done.status.success() {
                    Ok(())
                } else {
                    Err(Errno::BUSY.into())
                }
            }
            result => Ok(result?),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(e) = self.unmount(UnmountFlags::DETACH) {
            tracing::warn!(error = %e, "the mount is left");
        }
    }
}

fn by_call(point: &Path, options: &MountOptions) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let mode = point.metadata()?.permissions().mode();
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let device = rustix::fs::open(DEVICE, flags, Mode::empty())?;
    let mut words = vec![
        format!("fd={}", device.as_raw_fd()),
        format!("rootmode={mode:o}"),
        format!("user_id={}", rustix::process::getuid().as_raw()),
        format!("group_id={}", rustix::process::getgid().as_raw()),
    ];
    words.extend(for_the_kernel(options));
    let data = CString::new(words.join(","))?;
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::NOSUID, !options.suid);
    flags.set(MountFlags::NODEV, !options.dev);
    flags.set(MountFlags::NOEXEC, options.noexec);
    flags.set(MountFlags::RDONLY, options.read_only);
    rustix::mount::mount(
        options.fsname.as_str(),
        point,
        "fuse",
        flags,
        data.as_c_str(),
    )?;
    Ok(device)
}

/// Options that go to the kernel either way.
fn for_the_kernel(options: &MountOptions) -> Vec<String> {
    let mut words = vec![SUBTYPE.to_owned()];
    if options.kernel_compares_modes() {
        words.push("default_permissions".to_owned());
    }
    // The kernel knows no "root only": that is checked request by request.
    if options.access != Access::Owner {
        words.push("allow_other".to_owned());
    }
    words.extend(options.extra.iter().cloned());
    words
}

fn helper() -> OsString {
    std::env::var_os("FUSERMOUNT_PATH").unwrap_or_else(|| "fusermount3".into())
}

/// fusermount3 mounts and sends the open device through a socket, here its standard input.
fn by_helper(point: &Path, options: &MountOptions) -> io::Result<OwnedFd> {
    let fsname = options.fsname.replace('\\', "\\\\").replace(',', "\\,");
    let mut words = vec![format!("fsname={fsname}")];
    words.extend(for_the_kernel(options));
    let flag = |on, yes: &str, no: &str| if on { yes.to_owned() } else { no.to_owned() };
    words.push(flag(options.read_only, "ro", "rw"));
    words.push(flag(options.suid, "suid", "nosuid"));
    words.push(flag(options.dev, "dev", "nodev"));
    if options.noexec {
        words.push("noexec".to_owned());
    }
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let child = Command::new(helper())
        .arg("-o")
        .arg(words.join(","))
        .arg("--")
        .arg(OsStr::from_bytes(point.as_os_str().as_bytes()))
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let received = receive(&ours);
    let output = child.wait_with_output()?;
    match received? {
        Some(device) if output.status.success() => Ok(device),
        _ => {
            let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(io::Error::other(text))
        }
    }
}

/// The descriptor that comes through the socket; none when the helper ends without sending one.
fn receive(socket: &std::os::unix::net::UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    loop {
        let mut parts = [IoSliceMut::new(&mut byte)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(socket, &mut parts, &mut ancillary, flags) {
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
            Ok(_) => break,
        }
    }
    let received = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok(received)
}
