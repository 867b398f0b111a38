//! How far the kernel reads ahead in a mount.
//!
//! 128 KiB unless root says otherwise, through a file for each mount; the handshake can only ask for
//! less. Further ahead, several chunks are opened at once, by all processors, while the program takes
//! in what came before. The kernel reads so far only where a program reads on and on.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// The kernel's own choice.
const USUAL_KIB: u32 = 128;
/// Longer brought nothing more in measurements, and costs the memory of what may not be read.
const WANTED_KIB: u32 = 512;

/// Lets the kernel read further ahead at this mount point, after the handshake. Only root can, and
/// everybody else has a mount that works as well.
pub(crate) fn widen(point: &Path) {
    let Some(device) = device_of(point) else {
        return;
    };
    let knob = format!("/sys/class/bdi/{device}/read_ahead_kb");
    // Somebody who wanted another figure (a udev rule) was here before.
    let usual = |text: &String| text.trim() == USUAL_KIB.to_string();
    if std::fs::read_to_string(&knob).is_ok_and(|text| usual(&text)) {
        let _ = std::fs::write(&knob, WANTED_KIB.to_string());
    }
}

/// The device number of what is mounted there, as the kernel writes it. From the table: the mount
/// itself must not be asked by those who serve it.
fn device_of(point: &Path) -> Option<String> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    device_in(&table, point)
}

fn device_in(table: &[u8], point: &Path) -> Option<String> {
    let lines = table.split(|b| *b == b'\n');
    // The last one lies on top.
    let line = lines.rev().find(|line| {
        let place = line.split(|b| *b == b' ').nth(4);
        place.is_some_and(|place| Path::new(&unescaped(place)) == point)
    })?;
    let device = line.split(|b| *b == b' ').nth(2)?;
    String::from_utf8(device.to_vec()).ok()
}

/// Blanks and backslashes are written as three octal digits.
fn unescaped(field: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, others)) = rest.split_first() {
        let digits = others.get(..3).and_then(|d| std::str::from_utf8(d).ok());
        let code = digits.and_then(|d| u8::from_str_radix(d, 8).ok());
        match code.filter(|_| first == b'\\') {
            Some(code) => {
                plain.push(code);
                rest = &others[3..];
            }
            None => {
                plain.push(first);
                rest = others;
            }
        }
    }
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_on_top_is_found_whatever_its_name() {
        let table = b"22 1 254:0 / / rw - ext4 /dev/vda rw\n\
            40 22 0:41 / /mnt/a\\040b\\134c rw - fuse.oxcrypt v rw\n\
            41 40 0:42 / /mnt/a\\040b\\134c rw - fuse.oxcrypt v rw\n\
            42 22 0:43 / /mnt/a rw - tmpfs t rw\n";
        let of = |point| device_in(table, Path::new(point));
        assert_eq!(of("/mnt/a b\\c").as_deref(), Some("0:42"));
        assert_eq!(of("/mnt/a").as_deref(), Some("0:43"));
        assert_eq!(of("/mnt"), None);
    }
}
