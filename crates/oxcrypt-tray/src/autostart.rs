//! Start at login: one desktop entry, the packages' or the user's own.

use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "org.oxcrypt.Tray.desktop";

fn user_dir() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(config.join("autostart"))
}

fn system_file() -> Option<PathBuf> {
    let dirs = std::env::var_os("XDG_CONFIG_DIRS").filter(|d| !d.is_empty());
    let dirs = dirs.unwrap_or_else(|| "/etc/xdg".into());
    std::env::split_paths(&dirs)
        .map(|dir| dir.join("autostart").join(FILE))
        .find(|file| file.is_file())
}

/// Whether the desktop starts it: the user's entry decides, then the system's.
pub(crate) fn is_on() -> bool {
    let user = user_dir()
        .map(|dir| dir.join(FILE))
        .filter(|file| file.exists());
    user.or_else(system_file)
        .is_some_and(|file| !is_hidden(&file))
}

fn is_hidden(file: &Path) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().any(|line| line.trim() == "Hidden=true")
}

/// Switches it on or off for this user.
pub(crate) fn set(on: bool) -> io::Result<()> {
    let dir = user_dir().ok_or_else(|| io::Error::other("HOME is not set"))?;
    let file = dir.join(FILE);
    if on == is_on() {
        return Ok(());
    }
    match (on, system_file()) {
        (true, Some(system)) if !is_hidden(&system) => remove(&file),
        (false, None) => remove(&file),
        _ => {
            std::fs::create_dir_all(&dir)?;
            let fresh = dir.join(format!(".{FILE}.{}", std::process::id()));
            std::fs::write(&fresh, entry(on))?;
            std::fs::rename(&fresh, &file)
        }
    }
}

fn remove(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn entry(on: bool) -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "oxcrypt-tray".into());
    let program = quoted(&program.to_string_lossy());
    let hidden = if on { "" } else { "Hidden=true\n" };
    format!(
        "[Desktop Entry]\nType=Application\nName=oxcrypt\nComment=Unlock and lock encrypted vaults\n\
         Exec={program} --login\nIcon=org.oxcrypt.Tray\n{hidden}"
    )
}

/// As the specification of desktop entries wants arguments: quoted, and that once more escaped as
/// every string value.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '`' | '$' => {
                out.push_str("\\\\");
                out.push(c);
            }
            '\\' => out.push_str("\\\\\\\\"),
            '%' => out.push_str("%%"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        assert_eq!(quoted("/usr/bin/x"), "\"/usr/bin/x\"");
        assert_eq!(quoted("/a b/$c%"), "\"/a b/\\\\$c%%\"");
        assert!(entry(false).contains("\nHidden=true\n"));
        assert!(!entry(true).contains("Hidden"));
    }
}
