//! `stat`: everything known about a node.

use std::ffi::OsString;

use oxcrypt_vfs::NodeKind;
use serde::Serialize;

use super::cipher;
use super::ls::AttrLine;
use super::node::{LastLink, find, kind_name, mode_text};
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::failure::{At, Result};
use crate::open::{Mode, VaultArgs, open};
use crate::out::{Text, printable, rfc3339};

/// Arguments of `stat`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Paths inside the vault.
    #[arg(required = true)]
    paths: Vec<OsString>,
}

#[derive(Serialize)]
struct Line {
    schema: &'static str,
    path: Text,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    attr: AttrLine,
    inode: u64,
    cipher_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Text>,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Read)?;
    for path in &args.paths {
        let path = InnerPath::parse(path);
        let node = find(&vault.fs, &path, LastLink::Keep)?;
        let attr = &node.attr;
        let target = match attr.kind {
            NodeKind::Symlink => Some(vault.fs.readlink(node.id).at(&path)?),
            _ => None,
        };
        let place = cipher::place_of(&vault.fs, &path)?.node;
        if ctx.out.json {
            ctx.out.object(&Line {
                schema: "oxcrypt.stat/1",
                path: Text(path.bytes()),
                kind: kind_name(attr.kind),
                attr: attr.into(),
                inode: attr.ino,
                cipher_path: place,
                target: target.map(Text),
            })?;
            continue;
        }
        let link = target.map(|t| format!(" -> {}", printable(&t)));
        let time = |t: oxcrypt_vfs::Timestamp| rfc3339(t.secs, t.nanos);
        ctx.out.line(format!(
            "{path}{}\n  type      {}\n  size      {}\n  mode      {:04o} {}\n  owner     {}:{}\n  \
             links     {}\n  inode     {}\n  accessed  {}\n  modified  {}\n  changed   {}\n  \
             created   {}\n  encrypted {place}",
            link.unwrap_or_default(),
            kind_name(attr.kind),
            attr.size,
            attr.mode & 0o7777,
            mode_text(attr.kind, attr.mode),
            attr.uid,
            attr.gid,
            attr.nlink,
            attr.ino,
            time(attr.atime),
            time(attr.mtime),
            time(attr.ctime),
            time(attr.btime),
        ))?;
    }
    ctx.out.flush()
}
