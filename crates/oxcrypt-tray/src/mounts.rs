//! What is mounted: told by `oxcrypt status`, asked whenever the kernel's table of mounts changes.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::fault::Fault;
use crate::runner::{Runner, Text};

/// How a mount does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Live,
    /// Its process is gone.
    Stale,
    /// Its process is there but does not answer.
    Silent,
    /// It does not answer this user; or the command knows of states that are not known here.
    #[serde(other)]
    Unknown,
}

/// A mounted vault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    pub(crate) vault: PathBuf,
    pub(crate) read_only: bool,
    pub(crate) state: State,
    /// The socket of its process.
    pub(crate) control: Option<PathBuf>,
    pub(crate) figures: Figures,
}

/// Live figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Figures {
    pub(crate) pid: u32,
    pub(crate) idle_s: u64,
    /// Programs that use it.
    pub(crate) users: u64,
    /// Bytes read and written.
    pub(crate) rx: u64,
    pub(crate) tx: u64,
    /// Events so far.
    pub(crate) events: u64,
    pub(crate) foreign_changes: u64,
}

#[derive(Deserialize)]
struct Answer {
    mounts: Vec<AnswerOfMount>,
}

#[derive(Deserialize)]
struct AnswerOfMount {
    mountpoint: Text,
    vault: Text,
    ro: bool,
    state: State,
    uid: Option<u32>,
    control: Option<Text>,
    #[serde(flatten)]
    figures: Figures,
}

/// The mounts of this user.
pub(crate) async fn list(runner: &Runner) -> Result<Vec<Mount>, Fault> {
    let answer: Answer = runner.ask(&["status"]).await?;
    let own = rustix::process::geteuid().as_raw();
    let mount = |m: AnswerOfMount| Mount {
        point: m.mountpoint.into(),
        vault: m.vault.into(),
        read_only: m.ro,
        state: m.state,
        control: m.control.map(PathBuf::from),
        figures: m.figures,
    };
    let ours = |m: &AnswerOfMount| m.uid.is_none_or(|uid| uid == own);
    Ok(answer.mounts.into_iter().filter(ours).map(mount).collect())
}

const TABLE: &str = "/proc/self/mountinfo";

/// Tells when vaults come and go in the kernel's table. It sleeps until the kernel says that the
/// table has changed.
pub(crate) struct Table {
    file: AsyncFd<std::fs::File>,
    seen: Vec<Vec<u8>>,
}

impl Table {
    pub(crate) fn open() -> std::io::Result<Self> {
        let file = std::fs::File::open(TABLE)?;
        let interest = Interest::PRIORITY.add(Interest::ERROR);
        #[expect(
            deprecated,
            reason = "safe for a file, which keeps its descriptor; the new name is unsafe to call"
        )]
        let file = AsyncFd::with_interest(file, interest)?;
        Ok(Self {
            file,
            seen: Self::vaults()?,
        })
    }

    /// The lines of vaults; any other file system is of no interest.
    fn vaults() -> std::io::Result<Vec<Vec<u8>>> {
        let text = std::fs::read(TABLE)?;
        let is_vault = |line: &&[u8]| contains(line, b" - fuse.oxcrypt ");
        let lines = text.split(|b| *b == b'\n').filter(is_vault);
        Ok(lines.map(<[u8]>::to_vec).collect())
    }

    /// Waits until vaults are mounted or unmounted.
    pub(crate) async fn changed(&mut self) -> std::io::Result<()> {
        loop {
            let mut ready = self
                .file
                .ready(Interest::PRIORITY.add(Interest::ERROR))
                .await?;
            ready.clear_ready();
            drop(ready);
            // Changes come in bursts when programs set up name spaces.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = Self::vaults()?;
            if now != self.seen {
                self.seen = now;
                return Ok(());
            }
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let text = r#"{"schema":"oxcrypt.mounts/1","mounts":[
            {"mountpoint":"/m","vault":"/v","backend":"fuse","ro":true,"state":"live","uid":0,
             "control":"/run/oxcrypt/mount-0-52.sock","pid":42,"since":"…","idle_s":3,"users":1,
             "open_files":1,"nodes":1,"requests":1,"rx":5,"tx":6,"rss":7,"cpu_s":0.5,"events":1},
            {"mountpoint":"/n","vault":"/w","backend":"fuse","ro":false,"state":"stale"},
            {"mountpoint":"/o","vault":"/x","backend":"fuse","ro":false,"state":"silent"},
            {"mountpoint":"/p","vault":"/y","backend":"fuse","ro":false,"state":"of tomorrow"}]}"#;
        let answer: Answer = serde_json::from_str(text).expect("the form of the answer");
        assert_eq!(answer.mounts[0].figures.pid, 42);
        assert_eq!(answer.mounts[0].figures.rx, 5);
        let states: Vec<_> = answer.mounts[1..].iter().map(|m| m.state).collect();
        assert_eq!(states, [State::Stale, State::Silent, State::Unknown]);
    }

    #[tokio::test]
    async fn the_table_is_quiet_while_no_vault_changes() {
        let mut table = Table::open().expect("the table of mounts");
        let waited = tokio::time::timeout(Duration::from_millis(300), table.changed()).await;
        assert!(waited.is_err());
    }
}
