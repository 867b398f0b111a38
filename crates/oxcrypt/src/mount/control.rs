//! Asking the process of a mount: a socket in the runtime directory, for its user and root only.
//! One line of JSON each way; `events` answers with many.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::live::{Live, Record, Status};
use super::socket::SocketFile;
use super::table::Mounted;
use super::{lock, runtime};
use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};

/// Longest request and answer; an answer holds numbers and two paths.
const MAX_LINE: u64 = 64 * 1024;
/// Connections served at the same time.
const MAX_CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);

/// What can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Ask {
    Status,
    Events {
        since: u64,
        follow: bool,
    },
    /// Runs the hook and unmounts.
    Lock {
        how: How,
    },
}

/// How to unmount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// Only if nobody uses it.
    Gently,
    /// Out of sight at once; ends with its last user.
    Lazily,
    /// Out of sight at once, and the process ends.
    Forcibly,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
enum Answer {
    Status(Status),
    Done,
    Failed { exit: u8, message: String },
}

/// The socket of a mount.
pub(super) fn path(mount: &Mounted) -> Result<PathBuf> {
    Ok(runtime::dir()?.join(format!("mount-{}-{}.sock", mount.major, mount.minor)))
}

/// The listening socket of a mount; its file goes with it.
pub(super) struct Server {
    #[allow(dead_code, reason = "held for what its end does")]
    file: SocketFile,
    open: Arc<AtomicUsize>,
}

impl Server {
    /// Ends it when those who asked have their answers, in bounded time.
    pub(super) fn end(self) {
        let start = Instant::now();
        while self.open.load(Ordering::Acquire) > 0 && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Listens for the mount of this process.
pub(super) fn listen(live: &Arc<Live>, mount: &Mounted) -> Result<Server> {
    let (file, listener) = SocketFile::bind(path(mount)?)?;
    let live = Arc::clone(live);
    let open = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&open);
    std::thread::Builder::new()
        .name("oxcrypt-control".into())
        .stack_size(256 * 1024)
        .spawn(move || serve(&live, &listener, &counter))
        .what("the control thread")?;
    Ok(Server { file, open })
}

fn serve(live: &Arc<Live>, listener: &UnixListener, open: &Arc<AtomicUsize>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if !is_welcome(&stream) || open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            continue;
        }
        let (live, open) = (Arc::clone(live), Arc::clone(open));
        open.fetch_add(1, Ordering::AcqRel);
        let counted = Arc::clone(&open);
        let started = std::thread::Builder::new()
            .stack_size(256 * 1024)
            .spawn(move || {
                // A peer that went away has nothing to be told.
                let _ = answer(&live, &stream);
                open.fetch_sub(1, Ordering::AcqRel);
            });
        if started.is_err() {
            counted.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Only this user and root.
fn is_welcome(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream)
        .is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}

fn answer(live: &Arc<Live>, stream: &UnixStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut line)?;
    match serde_json::from_str(&line) {
        Ok(Ask::Status) => send(stream, &Answer::Status(live.status())),
        Ok(Ask::Events { since, follow }) => events(live, stream, since, follow),
        Ok(Ask::Lock { how }) => {
            let answer = match lock::from_inside(live, how) {
                Ok(()) => Answer::Done,
                Err(e) => Answer::Failed {
                    exit: e.code(),
                    message: e.message,
                },
            };
            send(stream, &answer)?;
            if how == How::Forcibly && live.is_ending() {
                lock::end_process(live);
            }
            Ok(())
        }
        Err(_) => send(
            stream,
            &Answer::Failed {
                exit: Exit::Usage.code(),
                message: "not understood".into(),
            },
        ),
    }
}

fn events(live: &Live, stream: &UnixStream, mut since: u64, follow: bool) -> std::io::Result<()> {
    if !follow {
        return live
            .events
            .since(since)
            .iter()
            .try_for_each(|record| send(stream, record));
    }
    while let Some(records) = live.events.wait(since, Duration::from_secs(30)) {
        if records.is_empty() && is_gone(stream) {
            return Ok(());
        }
        for record in records {
            since = record.seq + 1;
            send(stream, &record)?;
        }
    }
    Ok(())
}

/// Whether the peer has hung up. Nothing is written to it while nothing happens, so nothing else
/// would tell, and its place would stay taken.
fn is_gone(stream: &UnixStream) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut looked = [PollFd::new(stream, PollFlags::empty())];
    let now = rustix::event::Timespec::default();
    poll(&mut looked, Some(&now)).is_ok() && looked[0].revents().contains(PollFlags::HUP)
}

fn send(mut stream: &UnixStream, value: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Connects to the socket of a mount. A process that takes nobody has a full queue in the end; that
/// must not keep anybody waiting for ever.
fn reach(mount: &Mounted, patience: Duration) -> Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
    let path = path(mount)?;
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .what("the control socket")?;
    let patience = patience.max(Duration::from_millis(1));
    for side in [sockopt::Timeout::Send, sockopt::Timeout::Recv] {
        sockopt::set_socket_timeout(&socket, side, Some(patience)).what("the control socket")?;
    }
    let address = SocketAddrUnix::new(&path).host(&path)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) => {}
        Err(rustix::io::Errno::AGAIN) => return Err(silent()),
        Err(e) => return Err(e).host(&path),
    }
    let stream = UnixStream::from(socket);
    if !is_welcome(&stream) {
        return Err(Failure::new(Exit::Permission, "another user listens there").at(path.display()));
    }
    // A mount that ended before this has left its number, and with it the path, to another one.
    if !mount.is_there()? {
        return Err(gone());
    }
    Ok(stream)
}

fn silent() -> Failure {
    Failure::new(Exit::Timeout, "the mount's process does not answer")
}

fn gone() -> Failure {
    Failure::new(Exit::Mount, "the mount's process ended before it answered")
}

fn connect(mount: &Mounted, ask: Ask, patience: Duration) -> Result<UnixStream> {
    let stream = reach(mount, patience)?;
    send(&stream, &ask).map_err(|_| gone())?;
    Ok(stream)
}

fn ask(mount: &Mounted, what: Ask, patience: Duration) -> Result<Answer> {
    let stream = connect(mount, what, patience)?;
    let mut line = String::new();
    let len = BufReader::new(stream.take(MAX_LINE))
        .read_line(&mut line)
        .map_err(|e| {
            let late = matches!(
                e.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            );
            if late { silent() } else { gone() }
        })?;
    if len == 0 {
        return Err(gone());
    }
    serde_json::from_str(&line)
        .map_err(|_| Failure::new(Exit::Other, "the mount's process gave no answer"))
}

/// What the process of a mount says about itself.
pub(crate) fn status(mount: &Mounted, patience: Duration) -> Result<Status> {
    match ask(mount, Ask::Status, patience)? {
        Answer::Status(status) => Ok(status),
        _ => Err(Failure::new(
            Exit::Other,
            "the mount's process gave another answer",
        )),
    }
}

/// Whether somebody listens for this mount, answering or not.
pub(crate) fn is_listening(mount: &Mounted, patience: Duration) -> bool {
    match reach(mount, patience) {
        Ok(_) => true,
        Err(e) => e.exit == Exit::Timeout,
    }
}

/// Asks the process of a mount to end it.
pub(crate) fn lock_from_outside(mount: &Mounted, how: How, patience: Duration) -> Result<()> {
    match ask(mount, Ask::Lock { how }, patience)? {
        Answer::Done => Ok(()),
        Answer::Failed { exit, message } => {
            let exit = if exit == Exit::Busy.code() {
                Exit::Busy
            } else {
                Exit::Mount
            };
            Err(Failure::new(exit, message))
        }
        Answer::Status(_) => Err(Failure::new(
            Exit::Other,
            "the mount's process gave another answer",
        )),
    }
}

/// The process that listens for this mount, if there is one: the kernel knows it, also when it does
/// not answer.
pub(crate) fn process(mount: &Mounted) -> Option<Pid> {
    let stream = reach(mount, PATIENCE).ok()?;
    Some(rustix::net::sockopt::socket_peercred(&stream).ok()?.pid)
}

/// Calls `visit` with each event.
pub(crate) fn follow(
    mount: &Mounted,
    follow: bool,
    visit: &mut dyn FnMut(&Record) -> Result<()>,
) -> Result<()> {
    let stream = connect(mount, Ask::Events { since: 0, follow }, PATIENCE)?;
    if follow {
        stream.set_read_timeout(None).what("the control socket")?;
    }
    for line in BufReader::new(stream).lines() {
        let line = line.what("the control socket")?;
        if let Ok(record) = serde_json::from_str(&line) {
            visit(&record)?;
        }
    }
    Ok(())
}
