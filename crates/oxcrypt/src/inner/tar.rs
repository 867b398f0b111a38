//! `tar`: a directory of the vault as an archive, and back. Streams both ways.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use oxcrypt_vfs::{Attr, NodeKind, SetAttr, TimeChange, Timestamp};
use tar::{Archive, Builder, EntryType, Header};
use zeroize::Zeroizing;

use super::change::make_dirs;
use super::node::{Held, LastLink, Met, find, walk};
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{At, Failure, Failures, Host, Result};
use crate::open::{Fs, Mode, VaultArgs, caller, open};

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Verb {
    /// Write an archive to standard output.
    #[value(name = "c")]
    Create,
    /// Read an archive from standard input into the vault.
    #[value(name = "x")]
    Extract,
}

/// Arguments of `tar`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// c writes an archive to standard output, x reads one from standard input.
    #[arg(value_name = "c|x")]
    verb: Verb,
    #[command(flatten)]
    vault: VaultArgs,
    /// Directory inside the vault.
    #[arg(default_value = "/")]
    path: OsString,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let path = InnerPath::parse(&args.path);
    match args.verb {
        Verb::Create => {
            let vault = open(ctx, &args.vault, Mode::Read)?;
            create(ctx, &vault.fs, &path)
        }
        Verb::Extract => {
            if args.vault.source.takes_stdin() {
                return Err(Failure::usage(
                    "standard input cannot be both archive and passphrase",
                ));
            }
            let vault = open(ctx, &args.vault, Mode::Write)?;
            extract(ctx, &vault.fs, &path)
        }
    }
}

/// Reads a file of the vault in order.
struct Reader<'a> {
    ctx: &'a Ctx,
    fs: &'a Fs,
    node: &'a Held,
    at: u64,
    failure: Option<Failure>,
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self
            .ctx
            .go_on()
            .and_then(|()| Ok(self.fs.read(self.node.id, self.at, out)?));
        match read {
            Ok(len) => {
                self.at += len as u64;
                Ok(len)
            }
            Err(e) => {
                self.failure = Some(e);
                Err(std::io::Error::other("reading from the vault failed"))
            }
        }
    }
}

fn create(ctx: &Ctx, fs: &Arc<Fs>, top: &InnerPath) -> Result<()> {
    let out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let mut archive = Builder::new(out);
    let skip = top.bytes().len();
    let mut failures = Failures::default();
    let mut visit = |met: Met<'_>| {
        ctx.go_on()?;
        if met.attr.is_none() {
            return Ok(ControlFlow::Break(()));
        }
        let bytes = met.path.bytes();
        let name = bytes.get(skip..).unwrap_or_default();
        let name = name.strip_prefix(b"/").unwrap_or(name);
        if !name.is_empty() || met.kind != NodeKind::Directory {
            let name = if name.is_empty() {
                met.path.name().unwrap_or_default()
            } else {
                name
            };
            append(ctx, fs, &mut archive, met.path, OsStr::from_bytes(name))?;
        }
        Ok(ControlFlow::Continue(()))
    };
    walk(fs, top, &mut visit, &mut |e| {
        failures.tell(&ctx.out, &e);
    })?;
    let mut out = archive.into_inner().what("standard output")?;
    out.flush().what("standard output")?;
    failures.end()
}

fn append<W: Write>(
    ctx: &Ctx,
    fs: &Arc<Fs>,
    archive: &mut Builder<W>,
    path: &InnerPath,
    name: &OsStr,
) -> Result<()> {
    let node = find(fs, path, LastLink::Keep)?;
    let mut header = header(&node.attr);
    match node.attr.kind {
        NodeKind::Directory => {
            header.set_entry_type(EntryType::Directory);
            archive
                .append_data(&mut header, name, std::io::empty())
                .what("standard output")
        }
        NodeKind::Symlink => {
            header.set_entry_type(EntryType::Symlink);
            let target = fs.readlink(node.id).at(path)?;
            let target = OsStr::from_bytes(&target);
            archive
                .append_link(&mut header, name, target)
                .what("standard output")
        }
        NodeKind::File => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(node.attr.size);
            let mut reader = Reader {
                ctx,
                fs,
                node: &node,
                at: 0,
                failure: None,
            };
            // An archive cannot take back a header: a file that fails ends it.
            let appended = archive.append_data(&mut header, name, &mut reader);
            match (appended, reader.failure) {
                (_, Some(failure)) => Err(failure.at(path)),
                (appended, None) => appended.what("standard output"),
            }
        }
    }
}

fn header(attr: &Attr) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(attr.mode & 0o7777);
    header.set_uid(attr.uid.into());
    header.set_gid(attr.gid.into());
    header.set_mtime(attr.mtime.secs.max(0).unsigned_abs());
    header.set_size(0);
    header
}

fn extract(ctx: &Ctx, fs: &Arc<Fs>, top: &InnerPath) -> Result<()> {
    drop(make_dirs(fs, top)?);
    let mut archive = Archive::new(std::io::stdin().lock());
    let mut dirs = Vec::new();
    let mut skipped = 0u64;
    for entry in archive.entries().what("the archive")? {
        ctx.go_on()?;
        let mut entry = entry.what("the archive")?;
        let inside = InnerPath::parse(OsStr::from_bytes(&entry.path_bytes()));
        let path = inside
            .names()
            .iter()
            .fold(top.clone(), |p, name| p.join(name));
        if inside.is_root() {
            continue;
        }
        let times = Timestamp {
            secs: entry.header().mtime().unwrap_or(0) as i64,
            nanos: 0,
        };
        let mode = entry.header().mode().unwrap_or(0o644) & 0o7777;
        match entry.header().entry_type() {
            EntryType::Directory => {
                drop(make_dirs(fs, &path)?);
                dirs.push((path, mode, times));
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let (parent, name) = free_name(fs, &path)?;
                drop(Held::new(
                    fs,
                    fs.symlink(caller(), parent.id, name, &target).at(&path)?,
                ));
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let inside = InnerPath::parse(OsStr::from_bytes(&target));
                let from = inside
                    .names()
                    .iter()
                    .fold(top.clone(), |p, name| p.join(name));
                let node = find(fs, &from, LastLink::Keep)?;
                let (parent, name) = free_name(fs, &path)?;
                drop(Held::new(fs, fs.link(node.id, parent.id, name).at(&path)?));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let (parent, name) = free_name(fs, &path)?;
                let created = fs
                    .create(caller(), parent.id, name, mode | 0o600)
                    .at(&path)?;
                let node = Held::new(fs, created);
                pour(ctx, fs, &node, &mut entry, &path)?;
                set(fs, &node, mode, times, &path)?;
            }
            _ => {
                ctx.out
                    .warn(format!("{path}: the vault cannot hold this kind of entry"));
                skipped += 1;
            }
        }
    }
    // Filling a directory changes its time, so these come last.
    for (path, mode, times) in dirs.iter().rev() {
        set(fs, &find(fs, path, LastLink::Keep)?, *mode, *times, path)?;
    }
    if skipped > 0 {
        return Err(Failure::told(Exit::Other));
    }
    Ok(())
}

/// The directory for `path`, made if it is missing, with nothing at the name.
fn free_name<'p>(fs: &Arc<Fs>, path: &'p InnerPath) -> Result<(Held, &'p [u8])> {
    let parent = make_dirs(fs, &path.parent())?;
    let name = path.name().unwrap_or_default();
    match fs.unlink(parent.id, name) {
        Ok(()) => {}
        Err(e) if e.kind == oxcrypt_vfs::ErrorKind::NotFound => {}
        Err(e) => return Err(Failure::from(e).at(path)),
    }
    Ok((parent, name))
}

fn pour(ctx: &Ctx, fs: &Fs, node: &Held, from: &mut impl Read, path: &InnerPath) -> Result<()> {
    let mut buffer = Zeroizing::new(vec![0; 1 << 20]);
    let mut at = 0;
    loop {
        ctx.go_on()?;
        let mut len = 0;
        while len < buffer.len() {
            match from.read(&mut buffer[len..]).what("the archive")? {
                0 => break,
                more => len += more,
            }
        }
        if len == 0 {
            return Ok(());
        }
        fs.write(node.id, at, &buffer[..len]).at(path)?;
        at += len as u64;
    }
}

fn set(fs: &Fs, node: &Held, mode: u32, time: Timestamp, path: &InnerPath) -> Result<()> {
    let change = SetAttr {
        mode: Some(mode),
        mtime: Some(TimeChange::At(time)),
        ..SetAttr::default()
    };
    fs.setattr(node.id, change).at(path)?;
    Ok(())
}
