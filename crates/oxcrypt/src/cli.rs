//! The command tree.

use clap::{Parser, Subcommand};

use crate::ctx::Ctx;
use crate::failure::Result;
use crate::inner::{cat, change, cipher, copy, du, find, ls, stat, sum, tar, tree};
use crate::life::{backup, check, info, init, migrate, passwd, recover, recovery};
use crate::mount;
use crate::out::OutArgs;
use crate::tools::{doctor, generate, key, settings, speed};
use crate::transfer::{get, put};

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 other; 2 usage; 3 wrong passphrase or key; 4 not a vault, or its \
configuration is missing or broken; 5 permission; 6 mounting or unmounting failed; 7 no such path \
in the vault; 8 interrupted; 9 in use, or mounted already; 10 authentication of data failed; \
11 check found problems; 12 format or kind of vault not supported; 13 no space; 14 read-only; \
15 name too long; 16 timeout.";

/// Builds for benchmarks say so.
const VERSION: &str = if cfg!(feature = "ablation") {
    concat!(env!("CARGO_PKG_VERSION"), "+ablation")
} else {
    env!("CARGO_PKG_VERSION")
};

/// Encrypted vaults that open in Cryptomator: created, mounted, used without mounting, checked and
/// recovered.
#[derive(Parser, Debug)]
#[command(name = "oxcrypt", version = VERSION, about, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) out: OutArgs,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Make a new vault in an empty directory.
    Init(init::Args),
    /// Unlock a vault and mount it.
    #[command(visible_alias = "unlock")]
    Mount(mount::args::Args),
    /// Unmount a vault and forget its keys.
    #[command(visible_alias = "umount")]
    Lock(mount::lock::Args),
    /// Tell what is mounted and how it does.
    #[command(visible_alias = "mounts")]
    Status(mount::status::Args),
    /// Tell what happened in mounted vaults.
    Events(mount::events::Args),
    /// Show the counters of mounted vaults.
    Stats(mount::status::StatsArgs),
    /// Run a command with a vault mounted for it.
    Exec(mount::exec::Args),
    /// List a directory.
    Ls(ls::Args),
    /// Draw a directory and what is below.
    Tree(tree::Args),
    /// Tell everything about files.
    Stat(stat::Args),
    /// Print files.
    Cat(cat::Args),
    /// Find files by name, kind, size and age.
    Find(find::Args),
    /// Sum up sizes.
    Du(du::Args),
    /// Copy files into the vault.
    Put(put::Args),
    /// Copy files out of the vault.
    Get(get::Args),
    /// Copy inside the vault.
    Cp(copy::Args),
    /// Move or rename inside the vault.
    Mv(change::MvArgs),
    /// Remove files and directories.
    Rm(change::RmArgs),
    /// Make directories.
    Mkdir(change::MkdirArgs),
    /// Make a link.
    Ln(change::LnArgs),
    /// Make empty files, or change times.
    Touch(change::TouchArgs),
    /// Stream a directory as a tar archive, or one into the vault.
    Tar(tar::Args),
    /// Print checksums of cleartext.
    Sum(sum::Args),
    /// Tell where files lie in the encrypted vault.
    Locate(cipher::LocateArgs),
    /// Tell what encrypted files are called.
    Decode(cipher::DecodeArgs),
    /// Tell what can be known without the passphrase.
    Info(info::Args),
    /// Check that everything is whole; mend what can be mended.
    Check(check::Args),
    /// Change the passphrase.
    Passwd(passwd::Args),
    /// Show or use the recovery key.
    #[command(subcommand)]
    Recovery(recovery::Command),
    /// Bring back a vault whose configuration or key file is lost.
    Recover(recover::Args),
    /// Convert a vault of an old format.
    Migrate(migrate::Args),
    /// Copy the two files without which a vault is lost.
    BackupConfig(backup::Args),
    /// Keep passphrases in a key ring of this machine, or forget them.
    #[command(subcommand)]
    Key(key::Command),
    /// Give vaults names.
    #[command(subcommand)]
    Vault(settings::VaultCommand),
    /// Read and change settings.
    #[command(subcommand)]
    Config(settings::ConfigCommand),
    /// Measure what the ciphers reach here.
    Speed,
    /// Look what this machine offers and what is missing.
    Doctor(doctor::Args),
    /// Print completions for a shell.
    Completions(generate::CompletionArgs),
    /// Write manual pages.
    Man(generate::ManArgs),
    /// See it work: a throw-away vault, written, read back and mounted.
    Demo,
}

impl Command {
    /// Whether it looks at mounts or ends them, which it can do without any settings.
    pub(crate) fn is_about_mounts(&self) -> bool {
        matches!(
            self,
            Self::Lock(_) | Self::Status(_) | Self::Events(_) | Self::Stats(_)
        )
    }

    pub(crate) fn run(&self, ctx: &Ctx) -> Result<()> {
        match self {
            // These handle signals in their own way, or wait for people.
            Self::Mount(args) => return mount::run::run(ctx, args),
            Self::Passwd(args) => return passwd::run(ctx, args),
            _ => ctx.end_in_order(),
        }
        match self {
            Self::Mount(_) | Self::Passwd(_) => Ok(()),
            Self::Init(args) => init::run(ctx, args),
            Self::Lock(args) => mount::lock::run(ctx, args),
            Self::Status(args) => mount::status::run(ctx, args),
            Self::Events(args) => mount::events::run(ctx, args),
            Self::Stats(args) => mount::status::stats(ctx, args),
            Self::Exec(args) => mount::exec::run(ctx, args),
            Self::Ls(args) => ls::run(ctx, args),
            Self::Tree(args) => tree::run(ctx, args),
            Self::Stat(args) => stat::run(ctx, args),
            Self::Cat(args) => cat::run(ctx, args),
            Self::Find(args) => find::run(ctx, args),
            Self::Du(args) => du::run(ctx, args),
            Self::Put(args) => put::run(ctx, args),
            Self::Get(args) => get::run(ctx, args),
            Self::Cp(args) => copy::run(ctx, args),
            Self::Mv(args) => change::mv(ctx, args),
            Self::Rm(args) => change::rm(ctx, args),
            Self::Mkdir(args) => change::mkdir(ctx, args),
            Self::Ln(args) => change::ln(ctx, args),
            Self::Touch(args) => change::touch(ctx, args),
            Self::Tar(args) => tar::run(ctx, args),
            Self::Sum(args) => sum::run(ctx, args),
            Self::Locate(args) => cipher::locate(ctx, args),
            Self::Decode(args) => cipher::decode(ctx, args),
            Self::Info(args) => info::run(ctx, args),
            Self::Check(args) => check::run(ctx, args),
            Self::Recovery(command) => recovery::run(ctx, command),
            Self::Recover(args) => recover::run(ctx, args),
            Self::Migrate(args) => migrate::run(ctx, args),
            Self::BackupConfig(args) => backup::run(ctx, args),
            Self::Key(command) => key::run(ctx, command),
            Self::Vault(command) => settings::vault(ctx, command),
            Self::Config(command) => settings::config(ctx, command),
            Self::Speed => speed::run(ctx),
            Self::Doctor(args) => doctor::run(ctx, args),
            Self::Completions(args) => generate::completions(ctx, args),
            Self::Man(args) => generate::man(ctx, args),
            Self::Demo => crate::demo::run(),
        }
    }
}
