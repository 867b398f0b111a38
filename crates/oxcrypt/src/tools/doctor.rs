//! `doctor`: what this machine offers to a mounted vault, and what is missing.

use std::path::Path;

use oxcrypt_fuse::RingSupport;
use serde::Serialize;

use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::mount::{runtime, table};
use crate::out::human_size;

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    /// Something optional is missing.
    Note,
    /// Mounting does not work like this.
    Bad,
}

#[derive(Serialize)]
struct Finding {
    name: &'static str,
    state: State,
    text: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    schema: &'static str,
    findings: &'a [Finding],
}

/// Arguments of `doctor`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Let the kernel serve mounts through io_uring: shows what would be changed, and asks.
    #[arg(long)]
    enable_ring: bool,
    /// Do not ask.
    #[arg(long, requires = "enable_ring")]
    yes: bool,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    if args.enable_ring {
        return super::ring::enable(ctx, args.yes);
    }
    let findings = [
        dev_fuse(),
        fusermount(),
        rings(),
        allow_other(),
        runtime_dir(),
        stale(),
        memory_lock(),
        secret_service(),
        cpu(),
        space(),
        clock(),
    ];
    if ctx.out.json {
        ctx.out.object(&Answer {
            schema: "oxcrypt.doctor/1",
            findings: &findings,
        })?;
    } else {
        for finding in &findings {
            let mark = match finding.state {
                State::Good => "ok  ",
                State::Note => "note",
                State::Bad => "BAD ",
            };
            ctx.out
                .line(format!("{mark} {:16} {}", finding.name, finding.text))?;
        }
        ctx.out.flush()?;
    }
    if findings.iter().any(|f| f.state == State::Bad) {
        return Err(Failure::told(Exit::Other));
    }
    Ok(())
}

fn finding(name: &'static str, state: State, text: impl Into<String>) -> Finding {
    let text = text.into();
    Finding { name, state, text }
}

fn dev_fuse() -> Finding {
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse");
    match opened {
        Ok(_) => finding("/dev/fuse", State::Good, "can be opened"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => finding(
            "/dev/fuse",
            State::Bad,
            "is missing: `modprobe fuse`, or in a container `--device /dev/fuse --cap-add \
             SYS_ADMIN`; everything but mounting works",
        ),
        Err(e) => finding("/dev/fuse", State::Bad, format!("cannot be opened: {e}")),
    }
}

fn in_path(program: &str) -> Option<std::path::PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

fn fusermount() -> Finding {
    let root = rustix::process::geteuid().is_root();
    match in_path("fusermount3") {
        Some(path) => finding("fusermount3", State::Good, path.display().to_string()),
        None if root => finding(
            "fusermount3",
            State::Note,
            "is missing; root does not need it",
        ),
        None => finding(
            "fusermount3",
            State::Bad,
            "is missing: install the package fuse3; without it only root can mount",
        ),
    }
}

fn rings() -> Finding {
    match RingSupport::find() {
        RingSupport::On => finding("transport", State::Good, "ring: mounts use io_uring"),
        RingSupport::Off => finding(
            "transport",
            State::Good,
            "dev; for ring (io_uring): `oxcrypt doctor --enable-ring` as root",
        ),
        RingSupport::None => finding(
            "transport",
            State::Good,
            "dev; ring needs Linux 6.14 or later",
        ),
    }
}

fn allow_other() -> Finding {
    let text = std::fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    let on = text.lines().any(|line| line.trim() == "user_allow_other");
    if on || rustix::process::geteuid().is_root() {
        return finding("allow_other", State::Good, "--allow-other is possible");
    }
    finding(
        "allow_other",
        State::Note,
        "--allow-other needs the line user_allow_other in /etc/fuse.conf",
    )
}

fn runtime_dir() -> Finding {
    match runtime::dir() {
        Ok(dir) => finding("runtime", State::Good, dir.display().to_string()),
        Err(e) => finding("runtime", State::Bad, e.message),
    }
}

fn stale() -> Finding {
    let mounts = table::mounts().unwrap_or_default();
    let dead: Vec<_> = mounts.iter().filter(|m| m.is_stale()).collect();
    match dead.first() {
        None => finding(
            "mounts",
            State::Good,
            format!("{} vaults mounted", mounts.len()),
        ),
        Some(mount) => finding(
            "mounts",
            State::Note,
            format!(
                "the process of {} is gone; `oxcrypt lock` takes it away",
                mount.point.display()
            ),
        ),
    }
}

fn memory_lock() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    match limit {
        Some(bytes) if bytes < 1 << 20 => finding(
            "locked memory",
            State::Note,
            format!(
                "only {} may be locked (ulimit -l); keys may reach swap",
                human_size(bytes)
            ),
        ),
        Some(bytes) => finding("locked memory", State::Good, human_size(bytes)),
        None => finding("locked memory", State::Good, "unlimited"),
    }
}

fn secret_service() -> Finding {
    let session = std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some();
    match (in_path("secret-tool"), session) {
        (Some(_), true) => finding(
            "key ring",
            State::Good,
            "secret-tool and a session bus are there",
        ),
        (Some(_), false) => finding(
            "key ring",
            State::Note,
            "no session bus; --keyring cannot work",
        ),
        (None, _) => finding(
            "key ring",
            State::Note,
            "secret-tool is missing (package libsecret-tools); only needed for --keyring",
        ),
    }
}

fn cpu() -> Finding {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info
        .lines()
        .find(|line| line.starts_with("flags") || line.starts_with("Features"))
        .unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|f| f == flag);
    let names: Vec<&str> = [
        "aes",
        "pclmulqdq",
        "pmull",
        "vaes",
        "vpclmulqdq",
        "avx512f",
        "sha_ni",
        "sha2",
    ]
    .into_iter()
    .filter(|flag| has(flag))
    .collect();
    if has("aes") {
        finding("processor", State::Good, names.join(" "))
    } else if flags.is_empty() {
        finding(
            "processor",
            State::Note,
            "unknown: /proc/cpuinfo cannot be read",
        )
    } else {
        finding(
            "processor",
            State::Note,
            "no AES instructions: encryption will be slow",
        )
    }
}

fn space() -> Finding {
    let Ok(stat) = rustix::fs::statvfs(Path::new(".")) else {
        return finding("space here", State::Note, "unknown");
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let state = if free < 1 << 30 {
        State::Note
    } else {
        State::Good
    };
    finding("space here", state, format!("{} free", human_size(free)))
}

fn clock() -> Finding {
    // Earlier than this program was written: file times would be nonsense.
    let year = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .year();
    if year < 2025 {
        return finding("clock", State::Note, format!("it says {year}"));
    }
    finding("clock", State::Good, jiff::Timestamp::now().to_string())
}
