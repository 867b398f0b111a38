//! Every option of a mount, in one place.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oxcrypt_fuse::{Access, MountOptions, Transport};
use oxcrypt_vfs::{Durability, JournalOptions, VfsOptions};

use crate::failure::{Failure, Result};
use crate::open::VaultArgs;
use crate::target::Target;

/// Arguments of `mount`.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) vault: VaultArgs,
    /// Where to mount it; for @NAME the configuration can say it.
    pub(crate) mountpoint: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) options: Options,
    /// Stay in the foreground.
    #[arg(short, long)]
    pub(crate) foreground: bool,
    /// Write a newline to this file descriptor when the mount answers.
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) notify_fd: Option<u32>,
    /// Set by the command itself.
    #[arg(long, hide = true)]
    pub(crate) daemon_child: bool,
}

/// The options that are handed on to the process that serves the mount.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct Options {
    /// Mount read-only.
    #[arg(long, visible_alias = "read-only")]
    pub(crate) ro: bool,
    /// Mount a vault that is mounted already (for several writers the vault is a synchronised
    /// folder: changes of the same file may meet).
    #[arg(long)]
    pub(crate) shared: bool,
    /// Let other users in (needs user_allow_other in /etc/fuse.conf).
    #[arg(long, conflicts_with = "allow_root")]
    pub(crate) allow_other: bool,
    /// Let root in.
    #[arg(long)]
    pub(crate) allow_root: bool,
    /// Show this owner.
    #[arg(long, value_name = "ID")]
    pub(crate) uid: Option<u32>,
    /// Show this group.
    #[arg(long, value_name = "ID")]
    pub(crate) gid: Option<u32>,
    /// Hide these permission bits (octal).
    #[arg(long, value_parser = parse_octal, value_name = "BITS")]
    pub(crate) umask: Option<u32>,
    /// Lock after this long without a request, if no file is open; as in 15m.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) idle: Option<Duration>,
    /// How long names and attributes may be trusted where changes by others are not announced
    /// (network storage); as in 1s, 10m, 0s.
    #[arg(long, value_parser = parse_cache, value_name = "TIME|off")]
    pub(crate) dir_cache: Option<Duration>,
    /// How requests come from the kernel: "ring" through memory shared with it (io_uring), where
    /// the fuse module's parameter enable_uring is on (see `oxcrypt doctor`); "dev" by reading
    /// /dev/fuse; "auto" by ring where that is possible.
    #[arg(long, value_enum, env = "OXCRYPT_TRANSPORT", value_name = "WAY")]
    pub(crate) transport: Option<Way>,
    /// Threads that read /dev/fuse (default: one per CPU, at least four).
    #[arg(long, env = "OXCRYPT_FUSE_READERS", value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Files and directories that the kernel may remember at most, beyond those in use; each takes
    /// about half a KiB of memory here. Before Linux 6.18 only a lack of memory makes it forget any.
    #[arg(long, value_name = "N")]
    pub(crate) max_nodes: Option<usize>,
    /// Hand every write to the vault at once instead of letting the kernel collect them.
    #[arg(long)]
    pub(crate) no_writeback: bool,
    /// What a write survives before it is synced: "strict" puts every overwrite into the journal
    /// durably before it is done; "normal" lets an interrupted overwrite damage nothing but itself;
    /// "none" keeps no journal, and a crash may destroy the 32 KiB around an overwrite.
    #[arg(long, value_enum, env = "OXCRYPT_DURABILITY", value_name = "LEVEL")]
    pub(crate) durability: Option<Level>,
    /// MiB of overwrites collected in the journal before they are written to their files, 4 to 4096
    /// (default 64); writers wait when the files do not keep up.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(4..=4096))]
    pub(crate) journal_size: Option<u64>,
    /// How long overwrites may be collected in the journal, as in 500ms, 2s (default: 2s).
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) journal_delay: Option<Duration>,
    /// The name shown in the mount table instead of the vault's path.
    #[arg(long, hide = true)]
    pub(crate) volume_name: Option<String>,
    /// Run this when the mount answers; split as a shell does, without a shell. The mount point
    /// and the vault are in OXCRYPT_MOUNTPOINT and OXCRYPT_VAULT.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) on_unlock: Option<String>,
    /// Run this before the vault is locked.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) before_lock: Option<String>,
    /// Mount options as in fstab, separated by commas: ro, noexec, nodev, nosuid, suid, idle=15m,
    /// uid=1000, umask=077, allow_other, …
    #[arg(short, value_name = "OPTION,…", value_delimiter = ',')]
    pub(crate) o: Vec<String>,
    /// Forbid running programs from the vault.
    #[arg(long)]
    pub(crate) noexec: bool,
    /// Write the log to this file; OXCRYPT_LOG says how much, as in info.
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// Lines of text, or of JSON.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Tell in the log where the time of every N-th request went: waiting for a thread (queue), for
    /// locks, in the store (io), in ciphers (crypt), and sending the reply.
    #[arg(long, env = "OXCRYPT_TRACE_RATE", value_name = "N")]
    pub(crate) trace_rate: Option<u64>,
    /// Serve the mount without the sandbox that keeps it to the vault.
    #[arg(long)]
    pub(crate) no_sandbox: bool,
    /// Honour set-user-id programs in the vault.
    #[arg(long, hide = true)]
    pub(crate) suid: bool,
}

/// How the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// The words for [`Durability`].
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Strict,
    Normal,
    None,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Normal => "normal",
            Self::None => "none",
        }
    }
}

/// The words for [`Transport`].
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Auto,
    Ring,
    Dev,
}

impl From<Way> for Transport {
    fn from(way: Way) -> Self {
        match way {
            Way::Auto => Self::Auto,
            Way::Ring => Self::Ring,
            Way::Dev => Self::Dev,
        }
    }
}

fn parse_octal(text: &str) -> std::result::Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|bits| *bits <= 0o7777)
        .ok_or_else(|| "not an octal number".to_owned())
}

fn parse_cache(text: &str) -> std::result::Result<Duration, String> {
    if text == "off" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|e| e.to_string())
}

/// Words of fstab that are for others than the mount itself.
const FOR_OTHERS: [&str; 9] = [
    "auto", "noauto", "nofail", "_netdev", "user", "users", "owner", "defaults", "nouser",
];

impl Options {
    /// Takes in what `-o` says. Unknown words come back: a mount helper passes them to the kernel
    /// or refuses them.
    pub(crate) fn take_o(&mut self) -> Result<Vec<String>> {
        let mut rest = Vec::new();
        for word in std::mem::take(&mut self.o) {
            if !self.take_word(&word)? {
                rest.push(word);
            }
        }
        Ok(rest)
    }

    fn take_word(&mut self, word: &str) -> Result<bool> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || {
            value
                .parse::<u32>()
                .map_err(|_| Failure::usage(format!("-o {word}: not a number")))
        };
        let refuse = |e: String| Failure::usage(format!("-o {word}: {e}"));
        match name {
            "ro" => self.ro = true,
            "rw" => self.ro = false,
            "nodev" | "nosuid" | "exec" | "async" | "" => {}
            "noexec" => self.noexec = true,
            "suid" => self.suid = true,
            "allow_other" => self.allow_other = true,
            "allow_root" => self.allow_root = true,
            "shared" => self.shared = true,
            "uid" => self.uid = Some(number()?),
            "gid" => self.gid = Some(number()?),
            "umask" => self.umask = Some(parse_octal(value).map_err(refuse)?),
            "idle" => {
                let idle = humantime::parse_duration(value).map_err(|e| refuse(e.to_string()))?;
                self.idle = Some(idle);
            }
            "durability" => {
                let level = clap::ValueEnum::from_str(value, false).map_err(refuse)?;
                self.durability = Some(level);
            }
            "dir_cache" => self.dir_cache = Some(parse_cache(value).map_err(refuse)?),
            "threads" => self.threads = Some(number()? as usize),
            "transport" => {
                let way = clap::ValueEnum::from_str(value, false).map_err(refuse)?;
                self.transport = Some(way);
            }
            "no_writeback" => self.no_writeback = true,
            "fsname" | "volname" => self.volume_name = Some(value.to_owned()),
            _ if FOR_OTHERS.contains(&name)
                || name.starts_with("x-")
                || name == "comment"
                || name == "X-mount.mkdir" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Fills what was not said with what the configuration says.
    pub(crate) fn configured(
        &mut self,
        target: &Target,
        defaults: &crate::config::Defaults,
    ) -> Result<()> {
        let entry = &target.entry;
        self.ro |= entry.ro;
        if self.idle.is_none()
            && let Some(text) = entry.idle.as_ref().or(defaults.idle.as_ref())
        {
            let idle = humantime::parse_duration(text).map_err(|e| {
                Failure::usage(format!("the configuration says idle = \"{text}\": {e}"))
            })?;
            self.idle = Some(idle);
        }
        if self.dir_cache.is_none()
            && let Some(text) = &defaults.dir_cache
        {
            let time = parse_cache(text).map_err(|e| {
                Failure::usage(format!(
                    "the configuration says dir_cache = \"{text}\": {e}"
                ))
            })?;
            self.dir_cache = Some(time);
        }
        if self.transport.is_none()
            && let Some(word) = &defaults.transport
        {
            let way = clap::ValueEnum::from_str(word, false).map_err(|e| {
                Failure::usage(format!(
                    "the configuration says transport = \"{word}\": {e}"
                ))
            })?;
            self.transport = Some(way);
        }
        let line = |words: &Option<Vec<String>>| {
            let words = words.as_ref()?;
            shlex::try_join(words.iter().map(String::as_str)).ok()
        };
        if self.on_unlock.is_none() {
            self.on_unlock = line(&entry.on_unlock);
        }
        if self.before_lock.is_none() {
            self.before_lock = line(&entry.before_lock);
        }
        Ok(())
    }

    /// The same as words, for the process that serves the mount. Nothing secret is among them.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let flags = [
            (self.ro, "--ro"),
            (self.shared, "--shared"),
            (self.allow_other, "--allow-other"),
            (self.allow_root, "--allow-root"),
            (self.no_writeback, "--no-writeback"),
            (self.noexec, "--noexec"),
            (self.suid, "--suid"),
            (self.log_format == LogFormat::Json, "--log-format=json"),
            (self.no_sandbox, "--no-sandbox"),
        ];
        words.extend(
            flags
                .iter()
                .filter(|(on, _)| *on)
                .map(|(_, word)| word.into()),
        );
        let time = |t: Duration| format!("{}ms", t.as_millis());
        let values = [
            ("uid", self.uid.map(|v| v.to_string())),
            ("gid", self.gid.map(|v| v.to_string())),
            ("umask", self.umask.map(|v| format!("{v:o}"))),
            ("idle", self.idle.map(time)),
            ("dir-cache", self.dir_cache.map(time)),
            ("threads", self.threads.map(|v| v.to_string())),
            ("journal-size", self.journal_size.map(|v| v.to_string())),
            ("journal-delay", self.journal_delay.map(time)),
            ("max-nodes", self.max_nodes.map(|v| v.to_string())),
            ("trace-rate", self.trace_rate.map(|v| v.to_string())),
            ("durability", self.durability.map(|v| v.word().to_owned())),
            (
                "transport",
                self.transport.map(|v| Transport::from(v).word().to_owned()),
            ),
            ("volume-name", self.volume_name.clone()),
            ("on-unlock", self.on_unlock.clone()),
            ("before-lock", self.before_lock.clone()),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                words.push(format!("--{name}={value}").into());
            }
        }
        if let Some(file) = &self.log_file {
            words.push("--log-file".into());
            words.push(
                std::path::absolute(file)
                    .unwrap_or_else(|_| file.clone())
                    .into(),
            );
        }
        words
    }

    /// For the file system.
    pub(crate) fn vfs(&self) -> VfsOptions {
        let usual = VfsOptions::default();
        let options = VfsOptions {
            read_only: self.ro,
            max_nodes: self.max_nodes.unwrap_or(usual.max_nodes),
            durability: match self.durability {
                Some(Level::Strict) => Durability::Strict,
                Some(Level::Normal) | None => Durability::Normal,
                Some(Level::None) => Durability::None,
            },
            own_by_caller: self.allow_other && rustix::process::geteuid().is_root(),
            ..usual
        };
        #[cfg(feature = "ablation")]
        let options = super::ablation::vfs(options);
        options
    }

    /// For its journal.
    pub(crate) fn journal(&self) -> JournalOptions {
        let usual = JournalOptions::default();
        JournalOptions {
            capacity: self.journal_size.map_or(usual.capacity, |mib| mib << 20),
            delay: self.journal_delay.unwrap_or(usual.delay),
        }
    }

    /// For the transport.
    pub(crate) fn transport(&self, vault: &Path) -> MountOptions {
        let usual = MountOptions::default();
        let options = MountOptions {
            read_only: self.ro,
            access: match (self.allow_other, self.allow_root) {
                (true, _) => Access::Everybody,
                (_, true) => Access::Root,
                _ => Access::Owner,
            },
            uid: self.uid,
            gid: self.gid,
            umask: self.umask.unwrap_or(0),
            suid: self.suid,
            noexec: self.noexec,
            fsname: self
                .volume_name
                .clone()
                .unwrap_or_else(|| vault.display().to_string()),
            transport: self.transport.map_or(Transport::Auto, Transport::from),
            threads: self.threads.unwrap_or(0),
            trace_rate: self.trace_rate.unwrap_or(0),
            unwatched_ttl: self.dir_cache.unwrap_or(usual.unwatched_ttl),
            writeback: !self.no_writeback,
            ..usual
        };
        #[cfg(feature = "ablation")]
        let options = super::ablation::transport(options);
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_fstab() {
        let mut options = Options {
            o: "nofail,x-systemd.automount,ro,uid=7,umask=077,idle=15m,allow_other,weird"
                .split(',')
                .map(str::to_owned)
                .collect(),
            ..Options::default()
        };
        assert_eq!(options.take_o().unwrap(), ["weird"]);
        assert!(options.ro && options.allow_other);
        assert_eq!((options.uid, options.umask), (Some(7), Some(0o77)));
        assert_eq!(options.idle, Some(Duration::from_secs(900)));
    }

    #[test]
    fn wrong_values_are_refused() {
        for word in ["uid=x", "umask=999", "idle=soon"] {
            let mut options = Options {
                o: vec![word.to_owned()],
                ..Options::default()
            };
            assert!(options.take_o().is_err(), "{word}");
        }
    }
}
