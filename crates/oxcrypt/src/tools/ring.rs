//! `doctor --enable-ring`: lets the kernel serve mounts through rings, if root agrees.

use std::io::{IsTerminal, Write};
use std::path::Path;

use oxcrypt_fuse::{RING_SWITCH, RingSupport};

use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};

/// Read by modprobe when the module is loaded after the next start of the machine.
const KEPT: &str = "/etc/modprobe.d/oxcrypt-fuse.conf";
/// There is one for modules that were loaded, and none for those built into the kernel.
const LOADED: &str = "/sys/module/fuse/initstate";

pub(crate) fn enable(ctx: &Ctx, yes: bool) -> Result<()> {
    if RingSupport::find() == RingSupport::None {
        return Err(Failure::new(
            Exit::Other,
            "this kernel cannot serve mounts through rings, or its fuse module is not loaded",
        )
        .hint("Linux 6.14 or later with FUSE over io_uring is needed; `modprobe fuse` loads it"));
    }
    let by_file = Path::new(LOADED).exists();
    let what = if by_file {
        format!("  write Y to {RING_SWITCH}\n  write \"options fuse enable_uring=1\" to {KEPT}")
    } else {
        format!("  write Y to {RING_SWITCH}")
    };
    let kept = if by_file {
        ""
    } else {
        "To keep it, add fuse.enable_uring=1 to the kernel's command line.\n"
    };
    ctx.out.note(format!(
        "From now on FUSE mounts whose programs ask for it are served through io_uring:\n{what}\n\
         {kept}Undo it by writing N to the first{}.",
        if by_file {
            " and removing the second"
        } else {
            ""
        }
    ));
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(Exit::Other, "only root can do that")
            .hint("run `sudo oxcrypt doctor --enable-ring`"));
    }
    if !yes && !agreed()? {
        return Err(Failure::new(Exit::Other, "nothing was changed"));
    }
    std::fs::write(RING_SWITCH, "Y").host(Path::new(RING_SWITCH))?;
    if by_file {
        std::fs::write(KEPT, "options fuse enable_uring=1\n").host(Path::new(KEPT))?;
    }
    ctx.out.note("Done. Mounts that exist stay as they are.");
    Ok(())
}

fn agreed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask for consent")
            .hint("add --yes if you mean it"));
    }
    eprint!("Do it? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
