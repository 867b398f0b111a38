//! Which inode number stands for which file, for as long as the kernel remembers it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::INodeNo;
use rustix::fs::Stat;

/// Device and inode number of the backing file.
type Key = (u64, u64);

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) fd: OwnedFd,
    key: Key,
}

#[derive(Debug)]
struct Entry {
    node: Arc<Node>,
    lookups: u64,
}

#[derive(Debug, Default)]
struct Tables {
    by_number: HashMap<u64, Entry>,
    by_key: HashMap<Key, u64>,
    last: u64,
}

#[derive(Debug)]
pub(crate) struct Inodes(Mutex<Tables>);

impl Inodes {
    pub(crate) fn new(root: OwnedFd, stat: &Stat) -> Self {
        let key = (stat.st_dev, stat.st_ino);
        let mut tables = Tables {
            last: INodeNo::ROOT.0,
            ..Tables::default()
        };
        tables.by_key.insert(key, INodeNo::ROOT.0);
        let node = Arc::new(Node { fd: root, key });
        tables.by_number.insert(
            INodeNo::ROOT.0,
            Entry {
                node,
                lookups: u64::MAX / 2,
            },
        );
        Self(Mutex::new(tables))
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, number: INodeNo) -> Option<Arc<Node>> {
        self.tables()
            .by_number
            .get(&number.0)
            .map(|e| Arc::clone(&e.node))
    }

    /// The number of the file behind `fd`, with one more lookup to be forgotten later.
    pub(crate) fn remember(&self, fd: OwnedFd, stat: &Stat) -> INodeNo {
        let key = (stat.st_dev, stat.st_ino);
        let mut tables = self.tables();
        if let Some(&number) = tables.by_key.get(&key)
            && let Some(entry) = tables.by_number.get_mut(&number)
        {
            // The open descriptor keeps the backing inode number from being used again.
            entry.lookups += 1;
            return INodeNo(number);
        }
        tables.last += 1;
        let number = tables.last;
        tables.by_key.insert(key, number);
        tables.by_number.insert(
            number,
            Entry {
                node: Arc::new(Node { fd, key }),
                lookups: 1,
            },
        );
        INodeNo(number)
    }

    pub(crate) fn forget(&self, number: INodeNo, lookups: u64) {
        let mut tables = self.tables();
        let Some(entry) = tables.by_number.get_mut(&number.0) else {
            return;
        };
        entry.lookups = entry.lookups.saturating_sub(lookups);
        if entry.lookups == 0
            && let Some(entry) = tables.by_number.remove(&number.0)
        {
            tables.by_key.remove(&entry.node.key);
        }
    }
}
