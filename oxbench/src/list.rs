//! `list` and `peers`: what can be measured, and beside whom.

use crate::cli::PeersArgs;
use crate::error::{Error, exit};
use crate::mount::Programs;
use crate::mount::programs::how_to_get;
use crate::mount::target::BUILT_IN;
use crate::suites::{Applies, CASES};

pub(crate) fn suites() -> Result<u8, Error> {
    let mut text = String::new();
    for case in &CASES {
        let name = format!("{}/{}", case.suite, case.name);
        let only = match case.applies {
            Applies::Everywhere => "",
            Applies::Mounts => " (mounts only)",
            Applies::Oxcrypt => " (oxcrypt only)",
        };
        text.push_str(&format!("{name:<30} {}{only}\n", case.about));
    }
    text.push_str("\nsets: quick, standard, full\n");
    crate::print(&text)?;
    Ok(exit::OK)
}

pub(crate) fn peers(args: &PeersArgs) -> Result<u8, Error> {
    let programs = Programs::discover(args.oxcrypt.clone())?;
    if args.json {
        let peers: Vec<_> = BUILT_IN
            .iter()
            .map(|(name, kind)| {
                serde_json::json!({
                    "name": name,
                    "installed": programs.is_installed(kind),
                    "version": programs.version(kind),
                    "how_to_get": how_to_get(kind),
                })
            })
            .collect();
        let json = serde_json::json!({ "schema": "oxbench.peers/1", "peers": peers });
        crate::print(&format!("{json:#}\n"))?;
        return Ok(exit::OK);
    }
    let mut text = String::new();
    for (name, kind) in &BUILT_IN {
        let state = if programs.is_installed(kind) {
            programs.version(kind)
        } else {
            format!("not installed: {}", how_to_get(kind))
        };
        text.push_str(&format!("{name:<12} {state}\n"));
    }
    crate::print(&text)?;
    Ok(exit::OK)
}
