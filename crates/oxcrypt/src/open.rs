//! From a vault's name and a secret to its file system: the one place where that happens.

use std::sync::Arc;

use oxcrypt_core::{Cryptor, MasterKey};
use oxcrypt_store::LocalStore;
use oxcrypt_vault::{
    Backups, CONFIG_FILE, OpenKey, Unlocked, VaultError, open_key, open_with_key, unlock,
    unlock_with_key,
};
use oxcrypt_vfs::{
    Caller, Durability, EventSink, JournalOptions, LogEvents, Replayed, VaultFs, VfsOptions, claim,
};

use crate::config;
use crate::ctx::Ctx;
use crate::descriptors;
use crate::exit::Exit;
use crate::failure::{At, Failure, Host, Result};
use crate::secret::{Secret, Source};
use crate::target::Target;

pub(crate) type Fs = VaultFs<LocalStore>;

/// The vault, and how to unlock it.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct VaultArgs {
    /// Directory of the vault, or @NAME of one in the configuration.
    #[arg(value_name = "VAULT")]
    pub(crate) vault: std::ffi::OsString,
    #[command(flatten)]
    pub(crate) source: Source,
}

/// Whether a command changes the vault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Read,
    Write,
}

/// A vault open for direct access. Writes what is pending when dropped.
#[derive(Clone)]
pub(crate) struct Vault {
    pub(crate) target: Target,
    pub(crate) fs: Arc<Fs>,
}

impl Drop for Vault {
    fn drop(&mut self) {
        if Arc::strong_count(&self.fs) == 1 {
            self.fs.stop();
        }
    }
}

/// Unlocks a vault for direct access.
pub(crate) fn open(ctx: &Ctx, args: &VaultArgs, mode: Mode) -> Result<Vault> {
    let target = Target::find(&args.vault, &ctx.config)?;
    let unlocked = unlock_target(ctx, &target, &args.source, mode)?;
    let options = VfsOptions {
        read_only: mode == Mode::Read,
        ..VfsOptions::default()
    };
    let journal = JournalOptions::default();
    let fs = file_system(
        ctx,
        &target,
        unlocked,
        options,
        journal,
        Box::new(LogEvents),
    )?;
    Ok(Vault { target, fs })
}

/// Unlocks, without the file system.
pub(crate) fn unlock_target(
    ctx: &Ctx,
    target: &Target,
    source: &Source,
    mode: Mode,
) -> Result<Unlocked<LocalStore>> {
    let store = target.store()?;
    // What cannot succeed is said before anybody types a passphrase.
    refuse_early(&store)?;
    let backups = match mode {
        Mode::Read => Backups::Skip,
        Mode::Write => Backups::Keep,
    };
    let unlocked = source.unlock(ctx, target, |secret| match secret {
        Secret::Passphrase(text) => unlock(Arc::clone(&store), &text, backups),
        Secret::Key(key) => unlock_with_key(Arc::clone(&store), key, backups),
    })?;
    for warning in &unlocked.warnings {
        ctx.out.warn(warning);
    }
    Ok(unlocked)
}

/// Opens the key only; the vault's directories may be damaged.
pub(crate) fn open_target_key(ctx: &Ctx, target: &Target, source: &Source) -> Result<OpenKey> {
    let store = target.store()?;
    refuse_early(&store)?;
    source.unlock(ctx, target, |secret| match secret {
        Secret::Passphrase(text) => open_key(&*store, &text),
        Secret::Key(key) => open_with_key(&*store, key),
    })
}

/// The ciphers of an opened key.
pub(crate) fn cryptor_of(open: &OpenKey) -> Cryptor {
    Cryptor::new(&open.key, open.config.combo(), open.config.threshold())
}

/// The file system of an unlocked vault.
pub(crate) fn file_system(
    ctx: &Ctx,
    target: &Target,
    unlocked: Unlocked<LocalStore>,
    options: VfsOptions,
    journal: JournalOptions,
    events: Box<dyn EventSink>,
) -> Result<Arc<Fs>> {
    let writes = !options.read_only && options.durability != Durability::None;
    let Unlocked { store, cryptor, .. } = unlocked;
    let options = options.within(descriptors::allow_many());
    if !writes {
        finish_interrupted(ctx, target, &store, &cryptor)?;
    }
    let fs = VaultFs::new(store, cryptor, options, events).at("the vault's root directory")?;
    if !writes {
        return Ok(Arc::new(fs));
    }
    let state = config::journal_dir().ok_or_else(|| {
        Failure::new(Exit::Other, "there is no place for the journal")
            .hint("set XDG_STATE_HOME or HOME")
    })?;
    let claimed = claim(&state, &target.path, writes).host(&state)?;
    let (fs, replayed) = fs
        .journaled(claimed, journal)
        .at("the journal of interrupted writes")?;
    tell_replayed(ctx, &replayed);
    Ok(Arc::new(fs))
}

/// Finishes what writers that are gone left in their journals: without that, parts of files may be
/// older than what was synced. Nothing happens where nothing was left.
pub(crate) fn finish_interrupted(
    ctx: &Ctx,
    target: &Target,
    store: &Arc<LocalStore>,
    cryptor: &Arc<Cryptor>,
) -> Result<()> {
    // Without such a place nobody can have left anything.
    let Some(state) = config::journal_dir() else {
        return Ok(());
    };
    let claimed = claim(&state, &target.path, false).host(&state)?;
    let options = VfsOptions {
        durability: Durability::None,
        ..VfsOptions::default()
    };
    let (store, cryptor) = (Arc::clone(store), Arc::clone(cryptor));
    let fs = VaultFs::new(store, cryptor, options, Box::new(LogEvents))
        .at("the vault's root directory")?;
    let (_, replayed) = fs
        .journaled(claimed, JournalOptions::default())
        .map_err(|e| {
            Failure::from(e)
                .at("writes that were interrupted cannot be finished")
                .hint("unlock the vault once where it can be written")
        })?;
    tell_replayed(ctx, &replayed);
    Ok(())
}

/// A file system without a journal, for a vault that nobody will miss.
pub(crate) fn throw_away(
    unlocked: Unlocked<LocalStore>,
    events: Box<dyn EventSink>,
) -> Result<Arc<Fs>> {
    let options = VfsOptions::default().within(descriptors::allow_many());
    let fs = VaultFs::new(unlocked.store, unlocked.cryptor, options, events)
        .at("the vault's root directory")?;
    Ok(Arc::new(fs))
}

/// Says what was left by a process that was killed, or by a power cut.
fn tell_replayed(ctx: &Ctx, replayed: &Replayed) {
    let finished = replayed.files + replayed.mended;
    if finished > 0 {
        ctx.out.note(format!(
            "The last writer did not end cleanly; interrupted writes to {finished} files were finished."
        ));
    }
    if replayed.missing.is_empty() {
        return;
    }
    // Mostly files that were removed, or were new and never synced; but a vault that was restored
    // from an older copy shows here as well.
    ctx.out.note(format!(
        "{} interrupted writes were to files that are not in the vault any more.",
        replayed.missing.len()
    ));
    if ctx.out.verbose > 0 {
        for path in &replayed.missing {
            ctx.out.note(format!("  {path}"));
        }
    }
}

/// Unlocks with a raw key that a parent process has verified.
pub(crate) fn unlock_verified(
    store: Arc<LocalStore>,
    key: MasterKey,
    backups: Backups,
) -> std::result::Result<Unlocked<LocalStore>, VaultError> {
    unlock_with_key(store, key, backups)
}

/// Fails for what a passphrase cannot help, except a missing or broken key file: a recovery key
/// may be at hand.
fn refuse_early(store: &LocalStore) -> Result<()> {
    let refusal = oxcrypt_vault::detect(store)?.refusal();
    match refusal {
        None
        | Some(
            VaultError::MasterKeyMissing { .. }
            | VaultError::MasterKey { .. }
            | VaultError::DataMissing,
        ) => Ok(()),
        Some(VaultError::WrongKind { path, .. }) if path != CONFIG_FILE => Ok(()),
        Some(error) => Err(error.into()),
    }
}

/// This process as the owner of what it makes.
pub(crate) fn caller() -> Caller {
    Caller {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    }
}
