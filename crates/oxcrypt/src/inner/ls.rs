//! `ls`: what is in a directory.

use std::ffi::OsString;
use std::sync::Arc;

use oxcrypt_vfs::{Attr, NodeKind};
use serde::Serialize;

use super::cipher;
use super::node::{Child, Held, LastLink, children_with_attr, find, kind_name, mode_text};
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::failure::{At, Failure, Result};
use crate::open::{Fs, Mode, VaultArgs, open};
use crate::out::{Text, human_size, printable, rfc3339};

/// Arguments of `ls`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Paths inside the vault; its top if there is none.
    paths: Vec<OsString>,
    /// Kind, permissions, size, time.
    #[arg(short, long)]
    long: bool,
    /// Names that begin with a dot as well.
    #[arg(short, long)]
    all: bool,
    /// Go into directories.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Sizes with units.
    #[arg(short = 'H', long)]
    human: bool,
    /// One name a line; always so.
    #[arg(short = '1', hide = true)]
    one: bool,
    /// Tell where each node lies in the encrypted vault.
    #[arg(long)]
    with_cipher: bool,
}

#[derive(Serialize)]
struct Listing<'a> {
    schema: &'static str,
    vault: Text,
    path: Text,
    entries: Vec<Line<'a>>,
}

/// One entry in JSON.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    name: Text,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    attr: Option<AttrLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher_path: Option<&'a str>,
}

/// Attributes in JSON.
#[derive(Serialize)]
pub(crate) struct AttrLine {
    size: u64,
    mode: String,
    nlink: u32,
    uid: u32,
    gid: u32,
    mtime: String,
    ctime: String,
    cipher_blocks: u64,
}

impl From<&Attr> for AttrLine {
    fn from(attr: &Attr) -> Self {
        Self {
            size: attr.size,
            mode: format!("{:04o}", attr.mode & 0o7777),
            nlink: attr.nlink,
            uid: attr.uid,
            gid: attr.gid,
            mtime: rfc3339(attr.mtime.secs, attr.mtime.nanos),
            ctime: rfc3339(attr.ctime.secs, attr.ctime.nanos),
            cipher_blocks: attr.blocks,
        }
    }
}

struct Lister<'a> {
    ctx: &'a Ctx,
    args: &'a Args,
    fs: Arc<Fs>,
    vault: Text,
    failure: Option<Failure>,
    several: bool,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Read)?;
    let paths = InnerPath::parse_or_top(&args.paths);
    let mut lister = Lister {
        ctx,
        args,
        fs: Arc::clone(&vault.fs),
        vault: Text::from(vault.target.path.as_path()),
        failure: None,
        several: paths.len() > 1 || args.recursive,
    };
    for path in paths {
        if let Err(e) = lister.top(&path) {
            lister.failed(e);
        }
    }
    ctx.out.flush()?;
    lister.failure.map_or(Ok(()), Err)
}

impl Lister<'_> {
    /// Tells all failures but the last at once; that one ends the command.
    fn failed(&mut self, failure: Failure) {
        if let Some(before) = self.failure.replace(failure) {
            self.ctx.out.failure(&before);
        }
    }

    fn top(&mut self, path: &InnerPath) -> Result<()> {
        let node = find(&self.fs, path, LastLink::Keep)?;
        if node.is_dir() {
            return self.dir(&node, path, 0);
        }
        let child = Child {
            name: path.name().unwrap_or_default().to_vec(),
            kind: node.attr.kind,
            attr: Some(node.attr),
        };
        self.print(&path.parent(), &[child])
    }

    fn dir(&mut self, dir: &Held, path: &InnerPath, depth: usize) -> Result<()> {
        self.ctx.go_on()?;
        let mut entries = children_with_attr(&self.fs, dir.id, path)?;
        if !self.args.all {
            entries.retain(|child| !child.name.starts_with(b"."));
        }
        if self.several && !self.ctx.out.json {
            self.ctx.out.line(format!("{path}:"))?;
        }
        self.print(path, &entries)?;
        if !self.args.recursive || depth >= super::node::MAX_DEPTH {
            return Ok(());
        }
        for child in entries.iter().filter(|c| c.kind == NodeKind::Directory) {
            let below = path.join(&child.name);
            if !self.ctx.out.json {
                self.ctx.out.line("")?;
            }
            let found = self.fs.lookup(dir.id, &child.name).at(&below);
            let listed = match found {
                Ok(entry) => self.dir(&Held::new(&self.fs, entry), &below, depth + 1),
                Err(e) => Err(e),
            };
            match listed {
                Err(e) if e.exit == crate::exit::Exit::Interrupted => return Err(e),
                Err(e) => self.failed(e),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn print(&self, path: &InnerPath, entries: &[Child]) -> Result<()> {
        let places: Vec<Option<String>> = if self.args.with_cipher {
            cipher::places_in(&self.fs, path, entries)?
        } else {
            vec![None; entries.len()]
        };
        if !self.ctx.out.json {
            for (child, place) in entries.iter().zip(&places) {
                self.ctx
                    .out
                    .line(self.text(path, child, place.as_deref()))?;
            }
            return Ok(());
        }
        let entries = entries
            .iter()
            .zip(&places)
            .map(|(child, place)| Line {
                name: Text(child.name.clone()),
                kind: kind_name(child.kind),
                attr: child.attr.as_ref().map(AttrLine::from),
                target: self.link_target(path, child).map(Text),
                cipher_path: place.as_deref(),
            })
            .collect();
        self.ctx.out.object(&Listing {
            schema: "oxcrypt.ls/1",
            vault: self.vault.clone(),
            path: Text(path.bytes()),
            entries,
        })
    }

    fn link_target(&self, path: &InnerPath, child: &Child) -> Option<Vec<u8>> {
        if child.kind != NodeKind::Symlink {
            return None;
        }
        let node = find(&self.fs, &path.join(&child.name), LastLink::Keep).ok()?;
        self.fs.readlink(node.id).ok()
    }

    fn text(&self, path: &InnerPath, child: &Child, place: Option<&str>) -> String {
        let mut line = String::new();
        if self.args.long {
            line = long_text(child, self.args.human);
            line.push(' ');
        }
        line.push_str(&printable(&child.name));
        if self.args.long
            && let Some(target) = self.link_target(path, child)
        {
            line.push_str(" -> ");
            line.push_str(&printable(&target));
        }
        if let Some(place) = place {
            line.push('\t');
            line.push_str(place);
        }
        line
    }
}

fn long_text(child: &Child, human: bool) -> String {
    let Some(attr) = &child.attr else {
        // A damaged node has a name and nothing else.
        return format!(
            "{:10} {:>3} {:>5} {:>5} {:>12} {:19}",
            "?", "?", "?", "?", "?", "damaged"
        );
    };
    let size = if human {
        human_size(attr.size)
    } else {
        attr.size.to_string()
    };
    let time = rfc3339(attr.mtime.secs, 0)
        .replace('T', " ")
        .replace('Z', "");
    format!(
        "{} {:>3} {:>5} {:>5} {size:>12} {time}",
        mode_text(attr.kind, attr.mode),
        attr.nlink,
        attr.uid,
        attr.gid
    )
}
