//! What is measured: a name, and how to make, mount and unmount it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// One column of the comparison.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Shown in every table; unique within a run.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Added to the environment of the target's programs: variants of one program (`ablate`).
    pub(crate) env: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory of the backing file system: what the disk itself can do.
    Plain,
    /// A FUSE file system without encryption: what FUSE itself costs.
    Passthrough,
    Oxcrypt,
    Gocryptfs,
    Securefs,
    Cryfs,
    Encfs,
    Rclone,
    Cryptomator,
    /// Any other program, by three shell command lines.
    Commands(Triple),
    /// Something already mounted, or any directory; it is never unmounted by us.
    Existing(PathBuf),
    /// A copy of an existing vault, mounted with our product.
    VaultCopy(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Triple {
    pub(crate) init: String,
    pub(crate) mount: String,
    pub(crate) unmount: String,
}

/// The built-in targets by name, in the order of the tables.
pub(crate) const BUILT_IN: [(&str, Kind); 9] = [
    ("plain", Kind::Plain),
    ("passthrough", Kind::Passthrough),
    ("oxcrypt", Kind::Oxcrypt),
    ("gocryptfs", Kind::Gocryptfs),
    ("securefs", Kind::Securefs),
    ("cryptomator", Kind::Cryptomator),
    ("encfs", Kind::Encfs),
    ("cryfs", Kind::Cryfs),
    ("rclone", Kind::Rclone),
];

impl Target {
    pub(crate) fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            env: BTreeMap::new(),
        }
    }

    /// Reads one element of `--target`:
    /// `gocryptfs`, `self`, `path:NAME=DIR`, `cmd:NAME=INIT;MOUNT;UNMOUNT`,
    /// each followed by nothing or `[KEY=VALUE,…]` for the environment.
    pub(crate) fn parse(spec: &str) -> Result<Self, Error> {
        if let Some(rest) = spec.strip_prefix("path:") {
            return Self::parse_path(spec, rest);
        }
        if let Some(rest) = spec.strip_prefix("cmd:") {
            return Self::parse_commands(spec, rest);
        }
        let (base, env) = match spec.split_once('[') {
            Some((base, rest)) => (base, parse_env(spec, rest)?),
            None => (spec, BTreeMap::new()),
        };
        let base = if base == "self" { "oxcrypt" } else { base };
        let Some((_, kind)) = BUILT_IN.iter().find(|(name, _)| *name == base) else {
            let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            return Err(Error::BadRequest(format!(
                "unknown target '{spec}'; known: self, {}, path:NAME=DIR, cmd:NAME=INIT;MOUNT;UNMOUNT",
                known.join(", ")
            )));
        };
        let name = if env.is_empty() {
            base.to_owned()
        } else {
            spec.replacen("self", "oxcrypt", 1)
        };
        Ok(Self {
            name,
            kind: kind.clone(),
            env,
        })
    }

    fn parse_path(spec: &str, rest: &str) -> Result<Self, Error> {
        let Some((name, dir)) = rest
            .split_once('=')
            .filter(|(n, d)| !n.is_empty() && !d.is_empty())
        else {
            return Err(Error::BadRequest(format!(
                "'{spec}': expected path:NAME=DIR"
            )));
        };
        let dir = Path::new(dir);
        let mut entries = std::fs::read_dir(dir)
            .map_err(|e| Error::BadRequest(format!("{}: {e}", dir.display())))?;
        if entries.next().is_some() {
            return Err(Error::BadRequest(format!(
                "{}: not empty; oxbench only works in empty directories",
                dir.display()
            )));
        }
        let dir = dir
            .canonicalize()
            .map_err(Error::io(dir.display().to_string()))?;
        Ok(Self::new(name, Kind::Existing(dir)))
    }

    fn parse_commands(spec: &str, rest: &str) -> Result<Self, Error> {
        let wrong = || Error::BadRequest(format!("'{spec}': expected cmd:NAME=INIT;MOUNT;UNMOUNT"));
        let (name, commands) = rest.split_once('=').ok_or_else(wrong)?;
        let parts: Vec<&str> = commands.split(';').map(str::trim).collect();
        let [init, mount, unmount] = parts[..] else {
            return Err(wrong());
        };
        if name.is_empty() || mount.is_empty() {
            return Err(wrong());
        }
        let triple = Triple {
            init: init.into(),
            mount: mount.into(),
            unmount: unmount.into(),
        };
        Ok(Self::new(name, Kind::Commands(triple)))
    }

    pub(crate) const fn is_oxcrypt(&self) -> bool {
        matches!(self.kind, Kind::Oxcrypt | Kind::VaultCopy(_))
    }

    /// Whether cold cases can unmount and mount again.
    pub(crate) const fn remounts(&self) -> bool {
        !matches!(self.kind, Kind::Plain | Kind::Existing(_))
    }
}

fn parse_env(spec: &str, rest: &str) -> Result<BTreeMap<String, String>, Error> {
    let wrong = || Error::BadRequest(format!("'{spec}': expected NAME[KEY=VALUE,…]"));
    let inner = rest.strip_suffix(']').ok_or_else(wrong)?;
    inner
        .split(',')
        .map(|pair| {
            let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs() {
        assert_eq!(Target::parse("self").unwrap().kind, Kind::Oxcrypt);
        assert_eq!(Target::parse("gocryptfs").unwrap().name, "gocryptfs");
        let variant = Target::parse("self[OXCRYPT_FUSE_READERS=4,X=1]").unwrap();
        assert_eq!(variant.name, "oxcrypt[OXCRYPT_FUSE_READERS=4,X=1]");
        assert_eq!(variant.env["OXCRYPT_FUSE_READERS"], "4");
        let triple = Target::parse("cmd:mine=;serve {store} {mount};").unwrap();
        assert_eq!(
            triple.kind,
            Kind::Commands(Triple {
                init: String::new(),
                mount: "serve {store} {mount}".into(),
                unmount: String::new()
            })
        );
    }

    #[test]
    fn wrong_specs_are_bad_requests() {
        let full = tempfile::tempdir().unwrap();
        std::fs::write(full.path().join("x"), "").unwrap();
        let full = format!("path:full={}", full.path().display());
        for spec in [
            "nonesuch",
            "self[",
            "self[A]",
            "path:x",
            "path:=/",
            "cmd:x",
            "cmd:x=a;b",
            &full,
            "path:x=/nonesuch",
        ] {
            assert!(
                matches!(Target::parse(spec), Err(Error::BadRequest(_))),
                "{spec}"
            );
        }
    }
}
