//! The command line.

use std::ffi::OsString;

pub(crate) const HELP: &str = "\
Unlock, see and lock vaults from the desktop

Usage: oxcrypt-tray [--hidden] [--login]
       oxcrypt-tray --quit [--keep]

  --hidden   show no icon until it is started again without this
  --login    unlock the vaults that have at_login = true
  --quit     lock all vaults and end the one that runs
  --keep     with --quit: leave the vaults unlocked
  --version  print the version
  --help     print this

Only one runs in a session. Its settings are in the section [tray] of the configuration of
oxcrypt; see the guide of the desktop.";

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    Run,
    Quit,
    Help,
    Version,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Args {
    pub(crate) wish: Wish,
    pub(crate) hidden: bool,
    pub(crate) login: bool,
    pub(crate) keep: bool,
}

impl Args {
    pub(crate) fn read(words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut args = Self {
            wish: Wish::Run,
            hidden: false,
            login: false,
            keep: false,
        };
        for word in words {
            match word.to_str() {
                Some("--hidden") => args.hidden = true,
                Some("--login") => args.login = true,
                Some("--keep") => args.keep = true,
                Some("--quit") => args.wish = Wish::Quit,
                Some("--help" | "-h") => args.wish = Wish::Help,
                Some("--version" | "-V") => args.wish = Wish::Version,
                _ => return Err(format!("{} is not known; see --help", word.display())),
            }
        }
        if args.keep && args.wish == Wish::Run {
            return Err("--keep belongs to --quit".to_owned());
        }
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, String> {
        Args::read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn words() {
        assert_eq!(read("").map(|a| a.wish), Ok(Wish::Run));
        assert!(read("--hidden --login").is_ok_and(|a| a.hidden && a.login));
        assert!(read("--quit --keep").is_ok_and(|a| a.wish == Wish::Quit && a.keep));
        assert!(read("--keep").is_err() && read("--what").is_err() && read("now").is_err());
    }
}
