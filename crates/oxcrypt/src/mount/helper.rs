//! `mount.oxcrypt`: called by mount(8) for fstab lines, by this name or as `mount.fuse.oxcrypt`.
//!
//! Its words become those of `oxcrypt mount`, and its exit codes those of mount(8).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::exit::Exit;
use crate::failure::Failure;

/// Whether the program was called by such a name.
pub(crate) fn is_meant(arguments: &[OsString]) -> bool {
    let name = arguments
        .first()
        .map(std::path::Path::new)
        .and_then(std::path::Path::file_name);
    name.is_some_and(|name| name == "mount.oxcrypt" || name == "mount.fuse.oxcrypt")
}

/// What the caller wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Run this.
    Mount(Vec<OsString>),
    /// Only tell (`-f`): nothing is to be done.
    Nothing,
}

/// `mount.oxcrypt SRC DIR [-sfnvNrw] [-o OPTIONS]` as words of `oxcrypt`.
pub(crate) fn words(arguments: &[OsString]) -> Result<Wanted, Failure> {
    let usage = |text: String| {
        Failure::usage(text).hint("usage: mount.oxcrypt VAULT DIR [-sfnvNrw] [-o OPTION,…]")
    };
    let mut places: Vec<OsString> = Vec::new();
    let mut out: Vec<OsString> = vec!["oxcrypt".into(), "mount".into()];
    let mut fake = false;
    let mut rest = arguments.iter().skip(1);
    while let Some(word) = rest.next() {
        match word.as_bytes() {
            b"-o" => {
                let list = rest
                    .next()
                    .ok_or_else(|| usage("-o needs options".into()))?;
                options(list, &mut out)?;
            }
            // The type and the namespace: known already, or not ours to change.
            b"-t" | b"-N" => _ = rest.next(),
            [b'-', letters @ ..] if !letters.is_empty() => {
                for letter in letters {
                    match letter {
                        b's' | b'n' | b'w' => {}
                        b'f' => fake = true,
                        b'v' => out.push("-v".into()),
                        b'r' => out.push("--ro".into()),
                        _ => return Err(usage(format!("{} is not known", word.to_string_lossy()))),
                    }
                }
            }
            _ => places.push(word.clone()),
        }
    }
    let [source, dir] = places.as_slice() else {
        return Err(usage("a vault and a directory are needed".into()));
    };
    if fake {
        return Ok(Wanted::Nothing);
    }
    out.extend(["--".into(), source.clone(), dir.clone()]);
    Ok(Wanted::Mount(out))
}

/// Options about the passphrase become words of their own; the rest is passed on as `-o`.
fn options(list: &OsStr, out: &mut Vec<OsString>) -> Result<(), Failure> {
    /// Flags of every file system that change nothing here.
    const WITHOUT_EFFECT: [&str; 10] = [
        "relatime",
        "norelatime",
        "noatime",
        "nodiratime",
        "strictatime",
        "lazytime",
        "silent",
        "dirsync",
        "sync",
        "nolazytime",
    ];
    let text = list
        .to_str()
        .ok_or_else(|| Failure::usage("the options are not UTF-8"))?;
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "passfile" | "password-file" => out.extend(["--password-file".into(), value.into()]),
            "password-command" => out.extend(["--password-command".into(), value.into()]),
            "keyring" => out.push("--keyring".into()),
            "keyutils" => out.push("--keyutils".into()),
            "password" | "pass" => {
                return Err(
                    Failure::usage("a passphrase in options is seen by every user")
                        .hint("use passfile=FILE"),
                );
            }
            _ if WITHOUT_EFFECT.contains(&name) => {}
            _ => out.extend(["-o".into(), word.into()]),
        }
    }
    Ok(())
}

/// The exit code for mount(8).
pub(crate) fn code(failure: &Failure) -> u8 {
    match failure.exit {
        Exit::Usage => 1,
        Exit::Interrupted => 8,
        _ => 32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Result<Wanted, Failure> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        assert!(is_meant(&words));
        super::words(&words)
    }

    #[test]
    fn lines_of_mount() {
        let wanted = call("/sbin/mount.oxcrypt /v /m -sn -o rw,nofail,passfile=/p,noatime,idle=5m");
        let expect = "oxcrypt mount -o rw -o nofail --password-file /p -o idle=5m -- /v /m";
        let expect = expect.split(' ').map(OsString::from).collect();
        assert_eq!(wanted.unwrap(), Wanted::Mount(expect));
        assert_eq!(
            call("mount.fuse.oxcrypt /v /m -f").unwrap(),
            Wanted::Nothing
        );
    }

    #[test]
    fn what_is_refused() {
        for line in [
            "mount.oxcrypt /v",
            "mount.oxcrypt /v /m -x",
            "mount.oxcrypt /v /m -o password=secret",
        ] {
            assert_eq!(code(&call(line).unwrap_err()), 1, "{line}");
        }
    }
}
