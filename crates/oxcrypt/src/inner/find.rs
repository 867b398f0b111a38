//! `find`: nodes by name, kind, size and age.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use globset::{GlobBuilder, GlobMatcher};
use oxcrypt_vfs::NodeKind;
use serde::Serialize;

use super::ls::AttrLine;
use super::node::{Met, kind_name, walk};
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::failure::{Failure, Failures, Result};
use crate::open::{Mode, VaultArgs, open};
use crate::out::Text;

/// Arguments of `find`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Where to begin.
    #[arg(default_value = "/")]
    path: OsString,
    /// Names that match this pattern (`*`, `?`, `[…]`, `{a,b}`).
    #[arg(long, value_name = "GLOB")]
    name: Option<String>,
    /// As --name, without regard to case.
    #[arg(long, value_name = "GLOB", conflicts_with = "name")]
    iname: Option<String>,
    /// Only files (f), directories (d) or links (l).
    #[arg(long = "type", value_name = "f|d|l", value_parser = ["f", "d", "l"])]
    kind: Option<String>,
    /// Files of more (+) or fewer (-) bytes than this, or exactly so many; with K, M, G.
    #[arg(long, value_name = "[+-]SIZE", allow_hyphen_values = true, value_parser = parse_size)]
    size: Option<SizeTest>,
    /// Changed within this time, as in 2h or 30days.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    newer: Option<Duration>,
    /// Go down this many levels at most.
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
    /// End each path with a zero byte instead of a newline.
    #[arg(short = '0', long)]
    print0: bool,
}

#[derive(Clone, Copy, Debug)]
enum SizeTest {
    More(u64),
    Less(u64),
    Exactly(u64),
}

fn parse_size(text: &str) -> std::result::Result<SizeTest, String> {
    let (make, number): (fn(u64) -> SizeTest, &str) = match text.as_bytes().first() {
        Some(b'+') => (SizeTest::More, &text[1..]),
        Some(b'-') => (SizeTest::Less, &text[1..]),
        _ => (SizeTest::Exactly, text),
    };
    let digits = number.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match &number[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("use a number with at most one of K, M, G, T".into()),
    };
    let value: u64 = digits.parse().map_err(|_| "not a number".to_owned())?;
    value
        .checked_mul(1 << shift)
        .map(make)
        .ok_or_else(|| "too large".to_owned())
}

#[derive(Serialize)]
struct Line {
    schema: &'static str,
    path: Text,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    attr: Option<AttrLine>,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let glob = args.name.as_ref().map(|g| matcher(g, false));
    let glob = glob
        .or_else(|| args.iname.as_ref().map(|g| matcher(g, true)))
        .transpose()?;
    let since = args.newer.map(|d| SystemTime::now() - d);
    let vault = open(ctx, &args.vault, Mode::Read)?;
    let mut failures = Failures::default();
    let mut visit = |met: Met<'_>| {
        ctx.go_on()?;
        if args.wants(&met, glob.as_ref(), since) {
            print(ctx, args, &met)?;
        }
        Ok(match args.max_depth {
            Some(max) if met.depth >= max => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
    };
    walk(
        &vault.fs,
        &InnerPath::parse(&args.path),
        &mut visit,
        &mut |e| {
            failures.tell(&ctx.out, &e);
        },
    )?;
    ctx.out.flush()?;
    failures.end()
}

fn matcher(glob: &str, any_case: bool) -> Result<GlobMatcher> {
    GlobBuilder::new(glob)
        .case_insensitive(any_case)
        .build()
        .map(|g| g.compile_matcher())
        .map_err(|e| Failure::usage(e.to_string()))
}

impl Args {
    fn wants(&self, met: &Met<'_>, glob: Option<&GlobMatcher>, since: Option<SystemTime>) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let kind = match met.kind {
            NodeKind::File => "f",
            NodeKind::Directory => "d",
            NodeKind::Symlink => "l",
        };
        let name = std::ffi::OsStr::from_bytes(met.path.name().unwrap_or(b"/"));
        let size = met.attr.map_or(0, |a| a.size);
        let mtime = met.attr.map_or(UNIX_EPOCH, |a| {
            UNIX_EPOCH + Duration::from_secs(a.mtime.secs.max(0).unsigned_abs())
        });
        self.kind.as_deref().is_none_or(|k| k == kind)
            && glob.is_none_or(|g| g.is_match(name))
            && since.is_none_or(|t| mtime >= t)
            && self.size.is_none_or(|test| {
                met.kind == NodeKind::File
                    && match test {
                        SizeTest::More(n) => size > n,
                        SizeTest::Less(n) => size < n,
                        SizeTest::Exactly(n) => size == n,
                    }
            })
    }
}

fn print(ctx: &Ctx, args: &Args, met: &Met<'_>) -> Result<()> {
    if ctx.out.json {
        return ctx.out.object(&Line {
            schema: "oxcrypt.find/1",
            path: Text(met.path.bytes()),
            kind: kind_name(met.kind),
            attr: met.attr.as_ref().map(AttrLine::from),
        });
    }
    if args.print0 {
        let mut bytes = met.path.bytes();
        bytes.push(0);
        return ctx.out.bytes(&bytes);
    }
    ctx.out.line(met.path)
}
