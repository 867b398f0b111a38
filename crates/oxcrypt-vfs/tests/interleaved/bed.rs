//! A vault in memory whose every call lets the scheduler switch, and the search through the orders.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use oxcrypt_core::{CipherCombo, Cryptor, DirId, MasterKey};
use oxcrypt_store::{FaultStore, Faults, MemStore, Store};
use oxcrypt_vault::check::{CheckOptions, Event, Severity, check};
use oxcrypt_vfs::{
    Caller, Entry, JournalOptions, LogEvents, NodeId, NodeKind, VaultFs, VfsOptions,
};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::{Config, MaxSteps, Runner};

pub(crate) const CHUNK: usize = 32 * 1024;
pub(crate) const ROOT: NodeId = NodeId::ROOT;
pub(crate) const CALLER: Caller = Caller { uid: 0, gid: 0 };

pub(crate) type Fs = VaultFs<FaultStore<MemStore>>;

/// Runs `scenario` in `orders` orders of its steps, and as many where most threads hurry past one
/// that is kept waiting, which finds rare races sooner.
pub(crate) fn explore(orders: usize, scenario: fn()) {
    let times = std::env::var("OXCRYPT_INTERLEAVINGS").map(|n| n.parse().expect("a number"));
    let seed = match std::env::var("OXCRYPT_SEED") {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) if times.is_ok() => UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
        Err(_) => 1,
    };
    let orders = orders * times.unwrap_or(1);
    let mut config = Config::new();
    config.stack_size = 512 * 1024;
    config.max_steps = MaxSteps::FailAfter(200_000);
    eprintln!("seed {seed}");
    Runner::new(RandomScheduler::new_from_seed(seed, orders), config.clone()).run(scenario);
    Runner::new(PctScheduler::new_from_seed(seed, 3, orders), config).run(scenario);
}

/// The disks of a vault and of its journal.
pub(crate) struct Bed {
    pub(crate) vault: MemStore,
    pub(crate) state: MemStore,
}

fn cryptor() -> Cryptor {
    let key = MasterKey::from_raw(&[7; MasterKey::LEN]);
    Cryptor::new(&key, CipherCombo::SivGcm, 220)
}

impl Bed {
    pub(crate) fn new() -> Self {
        let vault = MemStore::new();
        let hash = cryptor().dir_hash(&DirId::ROOT);
        let path = format!("d/{}/{}", hash.prefix(), hash.rest());
        let mut at = vault.root();
        for part in path.split('/') {
            vault.create_dir(&at, part.as_bytes(), 0o700).unwrap();
            at = vault.open_dir(&at, part.as_bytes()).unwrap();
        }
        vault.sync_everything().unwrap();
        Self {
            vault,
            state: MemStore::new(),
        }
    }

    /// The file system on these disks. No call is a step of its own before [`Bed::interleave`].
    pub(crate) fn open(&self) -> (Fs, Faults) {
        let (vault, faults) = FaultStore::new(self.vault.clone());
        let state = Arc::new(FaultStore::sharing(self.state.clone(), &faults));
        // Few handles, so that they are closed behind everybody's back.
        let options = VfsOptions {
            max_open_files: 2,
            max_open_dirs: 2,
            header_delay: Duration::from_millis(5),
            ..VfsOptions::default()
        };
        let fs = VaultFs::new(
            Arc::new(vault),
            Arc::new(cryptor()),
            options,
            Box::new(LogEvents),
        );
        let journal = JournalOptions {
            // Three chunks fill it.
            capacity: 110 * 1024,
            delay: Duration::from_millis(20),
        };
        let (fs, _) = fs.unwrap().with_journal(&state, &[], journal).unwrap();
        (fs, faults)
    }

    /// The disks after the power went, as the scheduler likes.
    pub(crate) fn after_power_cut(&self) -> Self {
        use shuttle::rand::Rng;
        let mut coin = || shuttle::rand::thread_rng().r#gen();
        Self {
            vault: self.vault.after_power_cut(&mut coin),
            state: self.state.after_power_cut(&mut coin),
        }
    }

    /// What the check finds wrong, remarks aside.
    pub(crate) fn assert_sound(&self) {
        let options = CheckOptions {
            jobs: 1,
            ..CheckOptions::default()
        };
        let mut findings = Vec::new();
        check(&self.vault, &cryptor(), &options, &mut |event| {
            if let Event::Finding(finding) = event
                && finding.severity() >= Severity::Warning
            {
                findings.push(format!("{finding:?}"));
            }
            ControlFlow::Continue(())
        });
        assert_eq!(findings, Vec::<String>::new());
    }
}

/// From here on the scheduler may switch before each call of a store.
pub(crate) fn interleave(faults: &Faults) {
    let switch = AtomicBool::new(false);
    faults.beside(move |_| {
        switch.load(Ordering::SeqCst);
    });
}

/// Makes a synced file of `content`; the lookup is given back.
pub(crate) fn make(fs: &Fs, dir: NodeId, name: &str, content: &[u8]) {
    let made = fs.create(CALLER, dir, name.as_bytes(), 0o600).unwrap();
    fs.write(made.node, 0, content).unwrap();
    fs.fsync(made.node, false).unwrap();
    fs.forget(made.node, 1);
}

pub(crate) fn make_dir(fs: &Fs, name: &str) -> NodeId {
    fs.mkdir(CALLER, ROOT, name.as_bytes(), 0o700).unwrap().node
}

pub(crate) fn read(fs: &Fs, node: NodeId) -> oxcrypt_vfs::Result<Vec<u8>> {
    let mut content = vec![0; 4 * CHUNK];
    let got = fs.read(node, 0, &mut content)?;
    content.truncate(got);
    Ok(content)
}

/// Contents of all files by path, directories with none.
pub(crate) fn tree(fs: &Fs) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut seen = BTreeMap::new();
    visit(fs, ROOT, "", &mut seen);
    seen
}

fn visit(fs: &Fs, dir: NodeId, at: &str, seen: &mut BTreeMap<String, Option<Vec<u8>>>) {
    let mut names = Vec::new();
    fs.list(dir, 0, 4096, &mut |item| {
        if !matches!(item.name, b"." | b"..") {
            names.push(item.name.to_vec());
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    for name in names {
        let Entry { node, attr } = fs.lookup(dir, &name).unwrap();
        let path = format!("{at}{}", String::from_utf8_lossy(&name));
        match attr.kind {
            NodeKind::Directory => {
                seen.insert(path.clone(), None);
                visit(fs, node, &format!("{path}/"), seen);
            }
            NodeKind::Symlink => {
                seen.insert(path, Some(fs.readlink(node).unwrap()));
            }
            NodeKind::File => {
                seen.insert(path, Some(read(fs, node).unwrap()));
            }
        }
        fs.forget(node, 1);
    }
}
