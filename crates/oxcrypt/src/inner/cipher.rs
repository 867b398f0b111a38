//! `locate` and `decode`: from cleartext paths to the encrypted vault and back.

use std::collections::HashMap;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use oxcrypt_core::name::{CleartextName, MAX_NAME_FILE_LEN, NameBuf, NameFile};
use oxcrypt_core::{Cryptor, DIR_ID_FILE_NAME, DirId, MAX_DIR_ID_FILE_LEN, open_dir_id_file};
use oxcrypt_store::{Cookie, Kind, LocalStore, Store};
use oxcrypt_vault::ContentPath;
use serde::Serialize;

use super::node::{Child, LastLink, MAX_DEPTH, find};
use super::path::InnerPath;
use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{At, Failure, Result};
use crate::open::{Fs, Mode, VaultArgs, open};
use crate::out::{Text, printable};

/// Longest `dir.c9r` that can hold an id.
const MAX_DIR_FILE: usize = 1000;

/// Where a node lies in the encrypted vault.
pub(crate) struct Place {
    /// The node itself, relative to the vault; for the top its content directory.
    pub(crate) node: String,
    /// What holds its content: the same, a file in it, or the content directory.
    pub(crate) content: String,
}

fn node_name(cryptor: &Cryptor, dir: &DirId, name: &[u8]) -> Result<String> {
    let name =
        CleartextName::parse(name).map_err(|e| Failure::new(Exit::NotFound, e.to_string()))?;
    let sealed = cryptor.seal_name(&cryptor.dir_names(dir), &name);
    Ok(sealed.node_str().to_owned())
}

/// The id in a node's `dir.c9r`.
fn read_dir_id(store: &LocalStore, content: &ContentPath, node: &[u8]) -> Result<DirId> {
    let dir = content.open(store).at(content)?;
    let path = [node, b"/dir.c9r"].concat();
    let bytes = store.read_small(&dir, &path, MAX_DIR_FILE).at(content)?;
    DirId::parse(&bytes).map_err(|e| Failure::new(Exit::Tampered, e.to_string()).at(content))
}

/// The id of the directory at `path`.
fn dir_id_at(fs: &Fs, path: &InnerPath) -> Result<DirId> {
    let (store, cryptor) = (fs.store(), fs.cryptor());
    path.names().iter().try_fold(DirId::ROOT, |id, name| {
        let node = node_name(cryptor, &id, name)?;
        read_dir_id(store, &ContentPath::of(cryptor, &id), node.as_bytes()).at(path)
    })
}

/// Where the node at `path` lies; it must exist.
pub(crate) fn place_of(fs: &Arc<Fs>, path: &InnerPath) -> Result<Place> {
    let (store, cryptor) = (fs.store(), fs.cryptor());
    let Some(name) = path.name() else {
        let root = ContentPath::of(cryptor, &DirId::ROOT).to_string();
        return Ok(Place {
            node: root.clone(),
            content: root,
        });
    };
    let id = dir_id_at(fs, &path.parent())?;
    let content = ContentPath::of(cryptor, &id);
    let node = node_name(cryptor, &id, name)?;
    let at = content.open(store).at(&content)?;
    let inside = |file: &str| {
        let file = [node.as_bytes(), b"/", file.as_bytes()].concat();
        store.stat_beneath(&at, &file).is_ok()
    };
    let full = format!("{content}/{node}");
    let stat = store.stat(&at, node.as_bytes()).map_err(|e| {
        let mut failure = Failure::from(e).at(path);
        failure.exit = Exit::NotFound;
        failure.hint(
            "a node shown under another name than its own, after a conflict, has no such place",
        )
    })?;
    let held = if stat.kind == Kind::File {
        full.clone()
    } else if inside("dir.c9r") {
        ContentPath::of(cryptor, &read_dir_id(store, &content, node.as_bytes())?).to_string()
    } else if inside("symlink.c9r") {
        format!("{full}/symlink.c9r")
    } else {
        format!("{full}/contents.c9r")
    };
    Ok(Place {
        node: full,
        content: held,
    })
}

/// The places of the nodes of one directory.
pub(crate) fn places_in(
    fs: &Arc<Fs>,
    dir: &InnerPath,
    entries: &[Child],
) -> Result<Vec<Option<String>>> {
    let id = dir_id_at(fs, dir)?;
    let content = ContentPath::of(fs.cryptor(), &id);
    let place = |child: &Child| {
        let node = node_name(fs.cryptor(), &id, &child.name).ok()?;
        Some(format!("{content}/{node}"))
    };
    Ok(entries.iter().map(place).collect())
}

/// Arguments of `locate`.
#[derive(clap::Args, Debug)]
pub(crate) struct LocateArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// Paths inside the vault.
    #[arg(required = true)]
    paths: Vec<OsString>,
}

#[derive(Serialize)]
struct LocateLine {
    schema: &'static str,
    path: Text,
    cipher_path: String,
    content_path: String,
}

pub(crate) fn locate(ctx: &Ctx, args: &LocateArgs) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Read)?;
    for path in &args.paths {
        let path = InnerPath::parse(path);
        // For the error of a path that does not exist.
        find(&vault.fs, &path, LastLink::Keep)?;
        let place = place_of(&vault.fs, &path)?;
        if ctx.out.json {
            ctx.out.object(&LocateLine {
                schema: "oxcrypt.locate/1",
                path: Text(path.bytes()),
                cipher_path: place.node,
                content_path: place.content,
            })?;
        } else if place.node == place.content {
            ctx.out.line(place.node)?;
        } else {
            ctx.out.line(format!("{}\t{}", place.node, place.content))?;
        }
    }
    ctx.out.flush()
}

/// Arguments of `decode`.
#[derive(clap::Args, Debug)]
pub(crate) struct DecodeArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// Paths of encrypted files or directories: below the vault, or as `d/XX/…`.
    #[arg(required = true)]
    paths: Vec<OsString>,
    /// The whole path inside the vault; needs a look at all its directories.
    #[arg(long)]
    full: bool,
}

#[derive(Serialize)]
struct DecodeLine {
    schema: &'static str,
    cipher_path: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Text>,
}

pub(crate) fn decode(ctx: &Ctx, args: &DecodeArgs) -> Result<()> {
    let vault = open(ctx, &args.vault, Mode::Read)?;
    let index = if args.full {
        Some(index_dirs(ctx, vault.fs.store(), vault.fs.cryptor())?)
    } else {
        None
    };
    for word in &args.paths {
        let decoded = decode_one(
            &vault.fs,
            &vault.target.path,
            Path::new(word),
            index.as_ref(),
        )?;
        if ctx.out.json {
            ctx.out.object(&DecodeLine {
                schema: "oxcrypt.decode/1",
                cipher_path: Text(word.as_bytes().to_vec()),
                name: decoded.name.map(Text),
                path: decoded.path.map(|p| Text(p.bytes())),
            })?;
            continue;
        }
        match (decoded.path, decoded.name) {
            (Some(path), _) => ctx.out.line(path)?,
            (None, Some(name)) => ctx.out.line(printable(&name))?,
            (None, None) => ctx.out.line("/")?,
        }
    }
    ctx.out.flush()
}

struct Decoded {
    /// `None` for a content directory without --full, whose name lies elsewhere.
    name: Option<Vec<u8>>,
    path: Option<InnerPath>,
}

fn decode_one(
    fs: &Fs,
    vault: &Path,
    word: &Path,
    index: Option<&HashMap<DirId, InnerPath>>,
) -> Result<Decoded> {
    let place = word.display();
    let not_one = || {
        Failure::usage("not a path in the encrypted part of this vault")
            .hint("it looks like d/XX/YYYY…/NAME.c9r")
            .at(&place)
    };
    let absolute = crate::target::absolute(word)?;
    let inside = absolute.strip_prefix(vault).unwrap_or(word);
    let parts: Vec<&[u8]> = inside.iter().map(OsStrExt::as_bytes).collect();
    let (outer, inner, node) = match parts.as_slice() {
        [b"d", outer, inner] => (*outer, *inner, None),
        [b"d", outer, inner, node, ..] => (*outer, *inner, Some(*node)),
        _ => return Err(not_one()),
    };
    let (store, cryptor) = (fs.store(), fs.cryptor());
    let path = [outer, b"/", inner].concat();
    let data = store.open_dir(&store.root(), b"d").at("d")?;
    let dir = store.open_dir(&data, &path).at(&place)?;
    let id = dir_id_of(store, cryptor, &dir, outer, inner).at(&place)?;
    let around = match index {
        Some(index) => Some(index.get(&id).cloned().ok_or_else(|| {
            Failure::new(Exit::NotFound, "no directory of the vault leads here")
                .hint("`oxcrypt check` finds lost directories")
                .at(&place)
        })?),
        None => id.is_root().then(InnerPath::default),
    };
    let Some(node) = node else {
        let path = around;
        return Ok(Decoded { name: None, path });
    };
    let name = open_node_name(store, cryptor, &dir, &id, node).at(&place)?;
    let path = around.map(|dir| dir.join(&name));
    Ok(Decoded {
        name: Some(name),
        path,
    })
}

/// The id of a content directory, from the copy in it.
fn dir_id_of(
    store: &LocalStore,
    cryptor: &Cryptor,
    dir: &<LocalStore as Store>::Dir,
    outer: &[u8],
    inner: &[u8],
) -> Result<DirId> {
    let root = ContentPath::of(cryptor, &DirId::ROOT);
    if root.outer() == outer && root.inner() == inner {
        return Ok(DirId::ROOT);
    }
    let sealed = store
        .read_small(dir, DIR_ID_FILE_NAME.as_bytes(), MAX_DIR_ID_FILE_LEN)
        .map_err(|e| {
            Failure::from(e)
                .at("dirid.c9r")
                .hint("without this file the names here can only be read from above; try --full")
        })?;
    open_dir_id_file(cryptor, &sealed)
        .map_err(|e| Failure::new(Exit::Tampered, e.to_string()).at("dirid.c9r"))
}

fn open_node_name(
    store: &LocalStore,
    cryptor: &Cryptor,
    dir: &<LocalStore as Store>::Dir,
    id: &DirId,
    node: &[u8],
) -> Result<Vec<u8>> {
    let tampered = |e: String| Failure::new(Exit::Tampered, e);
    let mut buffer = NameBuf::new();
    let names = cryptor.dir_names(id);
    let full = if node.ends_with(b".c9s") {
        let file = [node, b"/name.c9s"].concat();
        let bytes = store
            .read_small(dir, &file, MAX_NAME_FILE_LEN)
            .at("name.c9s")?;
        let parsed = NameFile::parse(&bytes).map_err(|e| tampered(e.to_string()))?;
        parsed.full().to_vec()
    } else {
        node.to_vec()
    };
    let name = cryptor
        .open_name(&names, &full, &mut buffer)
        .map_err(|e| tampered(e.to_string()))?;
    Ok(name.as_bytes().to_vec())
}

/// All directories that can be reached, by id.
fn index_dirs(
    ctx: &Ctx,
    store: &LocalStore,
    cryptor: &Cryptor,
) -> Result<HashMap<DirId, InnerPath>> {
    let mut index = HashMap::from([(DirId::ROOT, InnerPath::default())]);
    let mut todo = vec![(DirId::ROOT, InnerPath::default())];
    while let Some((id, path)) = todo.pop() {
        ctx.go_on()?;
        if path.names().len() > MAX_DEPTH {
            continue;
        }
        let content = ContentPath::of(cryptor, &id);
        // What cannot be read leads nowhere; `check` is the place to complain.
        let Ok(dir) = content.open(store) else {
            continue;
        };
        let mut nodes = Vec::new();
        store
            .list(&dir, Cookie::START, 64 << 10, &mut |entry| {
                if entry.name.ends_with(b".c9r") || entry.name.ends_with(b".c9s") {
                    nodes.push(entry.name.to_vec());
                }
                ControlFlow::Continue(())
            })
            .at(&content)?;
        for node in nodes {
            let Ok(below) = read_dir_id(store, &content, &node) else {
                continue;
            };
            let Ok(name) = open_node_name(store, cryptor, &dir, &id, &node) else {
                continue;
            };
            if index.contains_key(&below) {
                continue;
            }
            let path = path.join(&name);
            index.insert(below.clone(), path.clone());
            todo.push((below, path));
        }
    }
    Ok(index)
}
