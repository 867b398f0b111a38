//! `backup-config`: the two small files without which a vault is lost, copied elsewhere.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use oxcrypt_core::backup_name;
use oxcrypt_store::Store;
use oxcrypt_vault::{CONFIG_FILE, MASTERKEY_FILE};
use serde::Serialize;

use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{At, Failure, Host, Result};
use crate::out::Text;
use crate::target::Target;

/// Arguments of `backup-config`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Directory of the vault, or @NAME of one in the configuration.
    #[arg(value_name = "VAULT")]
    vault: OsString,
    /// Directory for the copies; made if it is missing.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    vault: Text,
    files: Vec<Text>,
}

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let target = Target::find(&args.vault, &ctx.config)?;
    let store = target.store()?;
    // A broken file is no backup.
    if let Some(refusal) = oxcrypt_vault::detect(&*store)?.refusal() {
        return Err(Failure::from(refusal).at(target.label()));
    }
    std::fs::create_dir_all(&args.dir).host(&args.dir)?;
    let mut files = Vec::new();
    for name in [CONFIG_FILE, MASTERKEY_FILE] {
        let content = store
            .read_small(&store.root(), name.as_bytes(), 64 << 10)
            .at(name)?;
        let path = args.dir.join(backup_name(name, &content));
        match std::fs::read(&path) {
            Ok(old) if old == content => {}
            Ok(_) => {
                return Err(
                    Failure::new(Exit::Other, "another file has this name").at(path.display())
                );
            }
            Err(_) => {
                let mut file = std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)
                    .host(&path)?;
                file.write_all(&content).host(&path)?;
                file.sync_all().host(&path)?;
            }
        }
        files.push(path);
    }
    if ctx.out.json {
        return ctx.out.object(&Answer {
            schema: "oxcrypt.backup-config/1",
            vault: Text::from(target.path.as_path()),
            files: files.iter().map(|f| Text::from(f.as_path())).collect(),
        });
    }
    for file in files {
        ctx.out.line(file.display())?;
    }
    ctx.out.flush()
}
