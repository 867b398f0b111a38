//! `status`, `mounts`, `stats`: what is mounted and how it does.

use std::ffi::OsString;
use std::time::Duration;

use oxcrypt_fuse::RingSupport;
use serde::Serialize;

use super::live::{Operation, Status};
use super::look::{self, State};
use super::table::{self, Mounted};
use super::{control, lock};
use crate::ctx::Ctx;
use crate::failure::Result;
use crate::out::{Text, human_size};

/// Arguments of `status` and `mounts`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Only this one: where it is mounted, or the vault.
    #[arg(value_name = "MOUNTPOINT|VAULT|@NAME")]
    what: Option<OsString>,
    /// Again every two seconds.
    #[arg(short, long)]
    watch: bool,
}

/// Arguments of `stats`.
#[derive(clap::Args, Debug)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    status: Args,
    /// In the text format of Prometheus.
    #[arg(long)]
    prometheus: bool,
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    mounts: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    mountpoint: Text,
    vault: Text,
    backend: &'static str,
    ro: bool,
    /// `live`, `stale` (its process is gone), `silent` (it does not answer), `unknown` (it tells this
    /// user nothing).
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    /// The socket at which its process answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<Text>,
    #[serde(flatten)]
    status: Option<Status>,
}

fn line(mount: &Mounted, state: State) -> Line {
    let (word, status) = match state {
        State::Live(status) => ("live", Some(*status)),
        State::Stale => ("stale", None),
        State::Silent => ("silent", None),
        State::Unknown => ("unknown", None),
    };
    Line {
        mountpoint: Text::from(mount.point.as_path()),
        vault: Text::from(mount.vault.as_path()),
        backend: "fuse",
        ro: mount.read_only,
        state: word,
        uid: mount.uid,
        control: status
            .is_some()
            .then(|| control::path(mount).ok())
            .flatten()
            .as_deref()
            .map(Text::from),
        status,
    }
}

fn lines(ctx: &Ctx, args: &Args) -> Result<Vec<Line>> {
    let mounts = table::mounts()?;
    let mounts = match &args.what {
        Some(word) => lock::find(ctx, mounts, word)?,
        None => mounts,
    };
    let states = look::states(&mounts);
    Ok(mounts.iter().zip(states).map(|(m, s)| line(m, s)).collect())
}

/// Runs `show` once, or until interrupted.
fn repeatedly(ctx: &Ctx, args: &Args, show: impl Fn(Vec<Line>) -> Result<()>) -> Result<()> {
    loop {
        show(lines(ctx, args)?)?;
        ctx.out.flush()?;
        if !args.watch {
            return Ok(());
        }
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(100));
            if ctx.is_interrupted() {
                return Ok(());
            }
        }
    }
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    repeatedly(ctx, args, |lines| {
        if ctx.out.json {
            return ctx.out.object(&Answer {
                schema: "oxcrypt.mounts/1",
                mounts: lines,
            });
        }
        if lines.is_empty() {
            ctx.out.note("No vault is mounted.");
        }
        lines.iter().try_for_each(|line| ctx.out.line(text(line)))
    })
}

fn shown(text: &Text) -> String {
    crate::out::printable(&text.0)
}

fn text(line: &Line) -> String {
    let mut out = format!("{} on {}", shown(&line.vault), shown(&line.mountpoint));
    if line.ro {
        out.push_str(" (read-only)");
    }
    match &line.status {
        Some(status) => {
            out.push_str(&format!(", pid {}, since {}", status.pid, status.since));
            out.push_str(&format!(", by {}", status.transport));
            out.push_str(&format!(", idle {} s", status.idle_s));
            if let Some(limit) = status.idle_limit_s {
                out.push_str(&format!(" of {limit} s"));
            }
            if status.users > 0 {
                out.push_str(&format!(", in use by {} processes", status.users));
            }
        }
        None if line.state == "stale" => out.push_str(": its process is gone; `oxcrypt lock` it"),
        None if line.state == "silent" => {
            out.push_str(": its process does not answer; `oxcrypt lock --force` ends it");
        }
        None => out.push_str(": its process does not answer this user"),
    }
    out
}

pub(crate) fn stats(ctx: &Ctx, args: &StatsArgs) -> Result<()> {
    repeatedly(ctx, &args.status, |lines| {
        if args.prometheus {
            return ctx.out.bytes(prometheus(&lines).as_bytes());
        }
        if ctx.out.json {
            return ctx.out.object(&Answer {
                schema: "oxcrypt.stats/1",
                mounts: lines,
            });
        }
        for line in &lines {
            let Some(s) = &line.status else {
                ctx.out.note(text(line));
                continue;
            };
            ctx.out.line(format!(
                "{}\n  transport   {}{}\n  requests    {}\n  read        {}\n  written     {}\n  nodes       {}\n  open        \
                 {}\n  memory      {}\n  processor   {:.2} s\n  events      {}",
                shown(&line.mountpoint),
                s.transport,
                hint(s),
                s.requests,
                human_size(s.rx),
                human_size(s.tx),
                s.nodes,
                s.open_files,
                human_size(s.rss),
                s.cpu_s,
                s.events
            ))?;
            ctx.out.line(operations(&s.operations))?;
        }
        Ok(())
    })
}

/// How long each kind of request took.
fn operations(all: &[Operation]) -> String {
    let mut out = format!(
        "  {:<10}{:>12}{:>10}{:>10}{:>10}",
        "request", "count", "p50", "p95", "p99"
    );
    let time = |micros: f64| match micros {
        m if m < 1000.0 => format!("{m:.1} µs"),
        m if m < 1_000_000.0 => format!("{:.1} ms", m / 1000.0),
        m => format!("{:.1} s", m / 1_000_000.0),
    };
    for o in all {
        let [p50, p95, p99] = [o.p50_us, o.p95_us, o.p99_us].map(time);
        let (name, count) = (&o.name, o.count);
        out.push_str(&format!(
            "\n  {name:<10}{count:>12}{p50:>10}{p95:>10}{p99:>10}"
        ));
    }
    out
}

/// How to have the other transport, where this machine has it.
fn hint(status: &Status) -> &'static str {
    if status.transport == "dev" && RingSupport::find() == RingSupport::Off {
        " (for ring: `oxcrypt doctor --enable-ring`)"
    } else {
        ""
    }
}

type Value = fn(&Status) -> f64;

const METRICS: [(&str, &str, &str, Value); 9] = [
    ("requests_total", "counter", "Requests of programs.", |s| {
        s.requests as f64
    }),
    (
        "read_bytes_total",
        "counter",
        "Cleartext handed out.",
        |s| s.rx as f64,
    ),
    (
        "written_bytes_total",
        "counter",
        "Cleartext taken in.",
        |s| s.tx as f64,
    ),
    ("nodes", "gauge", "Nodes the kernel knows.", |s| {
        s.nodes as f64
    }),
    (
        "open_handles",
        "gauge",
        "Ciphertext files and directories held open.",
        |s| s.open_files as f64,
    ),
    ("users", "gauge", "Processes that use the mount.", |s| {
        s.users as f64
    }),
    ("idle_seconds", "gauge", "Time without a request.", |s| {
        s.idle_s as f64
    }),
    ("resident_bytes", "gauge", "Memory of the process.", |s| {
        s.rss as f64
    }),
    (
        "cpu_seconds_total",
        "counter",
        "Processor time of the process.",
        |s| s.cpu_s,
    ),
];

fn prometheus(lines: &[Line]) -> String {
    let mut out = String::new();
    for (name, kind, help, value) in METRICS {
        out.push_str(&format!(
            "# HELP oxcrypt_{name} {help}\n# TYPE oxcrypt_{name} {kind}\n"
        ));
        for line in lines {
            let Some(status) = &line.status else { continue };
            let point = label(line);
            out.push_str(&format!(
                "oxcrypt_{name}{{mountpoint=\"{point}\"}} {}\n",
                value(status)
            ));
        }
    }
    out.push_str(
        "# HELP oxcrypt_operation_seconds Time from a request to its reply.\n\
         # TYPE oxcrypt_operation_seconds summary\n",
    );
    for line in lines {
        let Some(status) = &line.status else { continue };
        let point = label(line);
        for o in &status.operations {
            let labels = format!("mountpoint=\"{point}\",operation=\"{}\"", o.name);
            for (quantile, micros) in [("0.5", o.p50_us), ("0.95", o.p95_us), ("0.99", o.p99_us)] {
                out.push_str(&format!(
                    "oxcrypt_operation_seconds{{{labels},quantile=\"{quantile}\"}} {}\n",
                    micros / 1e6
                ));
            }
            out.push_str(&format!(
                "oxcrypt_operation_seconds_count{{{labels}}} {}\n",
                o.count
            ));
        }
    }
    out
}

/// The mount point as the text format wants it.
fn label(line: &Line) -> String {
    shown(&line.mountpoint)
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
}
