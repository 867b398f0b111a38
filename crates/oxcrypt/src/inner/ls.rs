//! `ls`: what is in a directory.

use std::ffi::OsString;
use std::sync::Arc;

use oxcrypt_vfs::{Attr, NodeKind};
use serde::Serialize;

use super::cipher;
use super::node::{
    Child, Held, LastLink, Way, children_with_attr, find, kind_name, mode_text, trouble_of,
};
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{At, Failure, Failures, Result};
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
    failures: Failures,
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
        failures: Failures::default(),
        several: paths.len() > 1 || args.recursive,
    };
    for path in paths {
        if let Err(e) = lister.top(&path) {
            lister.go_on_after(e)?;
        }
    }
    ctx.out.flush()?;
    lister.failures.end()
}

impl Lister<'_> {
    /// Tells a failure of one node or directory; only an interruption is the end.
    fn go_on_after(&mut self, failure: Failure) -> Result<()> {
        if failure.exit == Exit::Interrupted {
            return Err(failure);
        }
        self.failures.tell(&self.ctx.out, &failure);
        Ok(())
    }

    fn top(&mut self, path: &InnerPath) -> Result<()> {
        let node = find(&self.fs, path, LastLink::Keep)?;
        if node.is_dir() {
            return self.dir(&node, path, 0, &mut Way::default());
        }
        let child = Child {
            name: path.name().unwrap_or_default().to_vec(),
            kind: node.attr.kind,
            attr: Some(node.attr),
        };
        self.print(&path.parent(), &[child])
    }

    fn dir(&mut self, dir: &Held, path: &InnerPath, depth: usize, way: &mut Way) -> Result<()> {
        self.ctx.go_on()?;
        way.enter(dir, path, depth)?;
        let mut entries = children_with_attr(&self.fs, dir.id, path)?;
        if !self.args.all {
            entries.retain(|child| !child.name.starts_with(b"."));
        }
        if self.several && !self.ctx.out.json {
            if depth > 0 {
                self.ctx.out.line("")?;
            }
            self.ctx.out.line(format!("{path}:"))?;
        }
        self.print(path, &entries)?;
        for child in &entries {
            let below = path.join(&child.name);
            if let Some(trouble) = trouble_of(&self.fs, dir, child, &below) {
                self.go_on_after(trouble)?;
            } else if self.args.recursive && child.kind == NodeKind::Directory {
                let found = self.fs.lookup(dir.id, &child.name).at(&below);
                let listed = found.and_then(|entry| {
                    self.dir(&Held::new(&self.fs, entry), &below, depth + 1, way)
                });
                if let Err(e) = listed {
                    self.go_on_after(e)?;
                }
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
