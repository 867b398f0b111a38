//! How far the kernel reads ahead in a mount.
//!
//! 128 KiB unless root says otherwise, through a file for each mount; the handshake can only ask for
//! less. Further ahead, several chunks are opened at once, by all processors, while the program takes
//! in what came before. The kernel reads so far only where a program reads on and on.

use std::path::Path;

use oxcrypt_store::mountinfo;

/// The kernel's own choice.
const USUAL_KIB: u32 = 128;
/// Longer brought nothing more in measurements, and costs the memory of what may not be read.
const WANTED_KIB: u32 = 512;

/// Lets the kernel read further ahead at this mount point, after the handshake. Only root can, and
/// everybody else has a mount that works as well.
pub(crate) fn widen(point: &Path) {
    // From the table: the mount itself must not be asked by those who serve it.
    let table = std::fs::read(mountinfo::TABLE).unwrap_or_default();
    let Some(mount) = mountinfo::at(&table, point) else {
        return;
    };
    let knob = format!(
        "/sys/class/bdi/{}:{}/read_ahead_kb",
        mount.major, mount.minor
    );
    // Somebody who wanted another figure (a udev rule) was here before.
    let usual = |text: &String| text.trim() == USUAL_KIB.to_string();
    if std::fs::read_to_string(&knob).is_ok_and(|text| usual(&text)) {
        let _ = std::fs::write(&knob, WANTED_KIB.to_string());
    }
}
