//! Any store, with chosen calls failing.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::store::{Node, Store};
use crate::types::{
    Capabilities, Cookie, Create, DirEntry, Incarnation, OpenMode, RenameMode, Space, Stat,
    TimeSet, Timestamp,
};

/// Which call of the [`Store`] trait.
#[expect(missing_docs, reason = "each is the trait method of that name")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    OpenDir,
    Stat,
    StatBeneath,
    StatDir,
    StatFile,
    List,
    CreateDir,
    RemoveDir,
    RemoveFile,
    Rename,
    Link,
    Open,
    /// [`Store::open`] with leave to make the file.
    OpenCreate,
    ReadAt,
    WriteAt,
    SetLen,
    Allocate,
    SyncData,
    SyncAll,
    SyncDir,
    /// [`Store::sync_everything`].
    SyncEverything,
    SetTimes,
    SetMode,
    SetOwner,
    Space,
    ReadSmall,
}

impl Call {
    /// Whether the call can change what is stored; syncs count, since what they promise ends there.
    #[must_use]
    pub const fn mutates(self) -> bool {
        match self {
            Self::CreateDir
            | Self::RemoveDir
            | Self::RemoveFile
            | Self::Rename
            | Self::Link
            | Self::OpenCreate
            | Self::WriteAt
            | Self::SetLen
            | Self::Allocate
            | Self::SyncData
            | Self::SyncAll
            | Self::SyncDir
            | Self::SyncEverything
            | Self::SetTimes
            | Self::SetMode
            | Self::SetOwner => true,
            Self::OpenDir
            | Self::Stat
            | Self::StatBeneath
            | Self::StatDir
            | Self::StatFile
            | Self::List
            | Self::Open
            | Self::ReadAt
            | Self::Space
            | Self::ReadSmall => false,
        }
    }
}

/// When a fault strikes; counting starts at 1 with [`Faults::arm`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// The n-th call of any kind.
    Call(u64),
    /// The n-th call that [mutates](Call::mutates).
    Mutation(u64),
    /// The n-th call of one kind.
    Kind(Call, u64),
}

/// What happens then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// This call fails and does nothing; later calls work.
    Error(StoreErrorKind),
    /// This call does nothing and every later one fails: the process died before it.
    Stop,
    /// A write stores only its first bytes, then as [`Fault::Stop`]: the process died inside it.
    /// Another call dies before doing anything.
    TornWrite(usize),
    /// A write stores only its first bytes and fails; later calls work.
    ShortWrite(usize),
    /// From this call on everything that needs room fails with `NoSpace`.
    NoSpace,
}

/// The controls of a [`FaultStore`]; a clone steers the same store.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

/// What happens beside a call, just before it: a neighbour who changes something, a switch to another
/// thread.
type Beside = Arc<dyn Fn(Call) + Send + Sync>;

#[derive(Default)]
struct State {
    beside: Option<Beside>,
    plan: Option<(At, Fault)>,
    log: Vec<Call>,
    mutations: u64,
    struck: Option<Call>,
    stopped: bool,
    full: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("plan", &self.plan)
            .field("struck", &self.struck)
            .finish_non_exhaustive()
    }
}

/// What a single call shall do.
enum Verdict {
    Pass,
    Fail(StoreErrorKind),
    Partial(usize),
}

impl Faults {
    /// Forgets what happened and sets the next fault.
    pub fn arm(&self, at: At, fault: Fault) {
        *self.0.lock() = State {
            plan: Some((at, fault)),
            ..State::default()
        };
    }

    /// Forgets what happened; every call works.
    pub fn disarm(&self) {
        *self.0.lock() = State::default();
    }

    /// As [`Faults::disarm`]; from now on `act` runs before each call.
    pub fn beside(&self, act: impl Fn(Call) + Send + Sync + 'static) {
        *self.0.lock() = State {
            beside: Some(Arc::new(act)),
            ..State::default()
        };
    }

    /// Calls since the last arming.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.0.lock().log.clone()
    }

    /// How many of them mutate.
    #[must_use]
    pub fn mutations(&self) -> u64 {
        self.0.lock().mutations
    }

    /// The call the fault struck, if it has.
    #[must_use]
    pub fn struck(&self) -> Option<Call> {
        self.0.lock().struck
    }

    fn judge(&self, call: Call) -> Verdict {
        let beside = self.0.lock().beside.clone();
        if let Some(act) = beside {
            act(call);
            return Verdict::Pass;
        }
        let mut state = self.0.lock();
        if state.stopped {
            return Verdict::Fail(StoreErrorKind::Io);
        }
        state.log.push(call);
        state.mutations += u64::from(call.mutates());
        if state.struck.is_none() && state.is_due(call) {
            state.struck = Some(call);
            return state.strike(call);
        }
        if state.full && needs_room(call) {
            return Verdict::Fail(StoreErrorKind::NoSpace);
        }
        Verdict::Pass
    }
}

impl State {
    fn is_due(&self, call: Call) -> bool {
        match self.plan {
            None => false,
            Some((At::Call(n), _)) => self.log.len() as u64 == n,
            Some((At::Mutation(n), _)) => call.mutates() && self.mutations == n,
            Some((At::Kind(kind, n), _)) => {
                call == kind && self.log.iter().filter(|&&seen| seen == kind).count() as u64 == n
            }
        }
    }

    fn strike(&mut self, call: Call) -> Verdict {
        match self.plan.map(|(_, fault)| fault) {
            None => Verdict::Pass,
            Some(Fault::Error(kind)) => Verdict::Fail(kind),
            Some(Fault::Stop) => {
                self.stopped = true;
                Verdict::Fail(StoreErrorKind::Io)
            }
            Some(Fault::TornWrite(prefix)) => {
                self.stopped = true;
                if call == Call::WriteAt {
                    Verdict::Partial(prefix)
                } else {
                    Verdict::Fail(StoreErrorKind::Io)
                }
            }
            Some(Fault::ShortWrite(prefix)) if call == Call::WriteAt => Verdict::Partial(prefix),
            Some(Fault::ShortWrite(_)) => Verdict::Fail(StoreErrorKind::Io),
            Some(Fault::NoSpace) => {
                self.full = true;
                if needs_room(call) {
                    Verdict::Fail(StoreErrorKind::NoSpace)
                } else {
                    Verdict::Pass
                }
            }
        }
    }
}

const fn needs_room(call: Call) -> bool {
    matches!(
        call,
        Call::CreateDir | Call::OpenCreate | Call::WriteAt | Call::Allocate | Call::Link
    )
}

/// A store whose calls are counted, recorded, and fail as [`Faults`] says.
#[derive(Debug)]
pub struct FaultStore<S> {
    inner: S,
    faults: Faults,
}

impl<S: Store> FaultStore<S> {
    /// Wraps a store; nothing fails until a fault is armed.
    pub fn new(inner: S) -> (Self, Faults) {
        let faults = Faults::default();
        (
            Self {
                inner,
                faults: faults.clone(),
            },
            faults,
        )
    }

    /// Wraps another store under the same controls: one process that uses both dies for both.
    pub fn sharing(inner: S, faults: &Faults) -> Self {
        Self {
            inner,
            faults: faults.clone(),
        }
    }

    /// The wrapped store.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn run<T>(&self, call: Call, act: impl FnOnce(&S) -> Result<T>) -> Result<T> {
        match self.faults.judge(call) {
            Verdict::Pass => act(&self.inner),
            Verdict::Fail(kind) => Err(kind.into()),
            Verdict::Partial(_) => Err(StoreErrorKind::Io.into()),
        }
    }
}

fn unwrap_node<S: Store>(node: Node<'_, FaultStore<S>>) -> Node<'_, S> {
    match node {
        Node::File(file) => Node::File(file),
        Node::Dir(dir) => Node::Dir(dir),
        Node::Name(dir, name) => Node::Name(dir, name),
    }
}

impl<S: Store> Store for FaultStore<S> {
    type Dir = S::Dir;
    type File = S::File;

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn now(&self) -> Timestamp {
        self.inner.now()
    }
    fn incarnation(&self) -> Result<Incarnation> {
        self.inner.incarnation()
    }
    fn root(&self) -> S::Dir {
        self.inner.root()
    }
    fn open_dir(&self, at: &S::Dir, name: &[u8]) -> Result<S::Dir> {
        self.run(Call::OpenDir, |s| s.open_dir(at, name))
    }
    fn stat(&self, at: &S::Dir, name: &[u8]) -> Result<Stat> {
        self.run(Call::Stat, |s| s.stat(at, name))
    }
    fn stat_beneath(&self, at: &S::Dir, name: &[u8]) -> Result<Stat> {
        self.run(Call::StatBeneath, |s| s.stat_beneath(at, name))
    }
    fn stat_dir(&self, dir: &S::Dir) -> Result<Stat> {
        self.run(Call::StatDir, |s| s.stat_dir(dir))
    }
    fn stat_file(&self, file: &S::File) -> Result<Stat> {
        self.run(Call::StatFile, |s| s.stat_file(file))
    }
    fn list(
        &self,
        at: &S::Dir,
        from: Cookie,
        buf_hint: usize,
        visit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        self.run(Call::List, |s| s.list(at, from, buf_hint, visit))
    }
    fn create_dir(&self, at: &S::Dir, name: &[u8], mode: u32) -> Result<()> {
        self.run(Call::CreateDir, |s| s.create_dir(at, name, mode))
    }
    fn remove_dir(&self, at: &S::Dir, name: &[u8]) -> Result<()> {
        self.run(Call::RemoveDir, |s| s.remove_dir(at, name))
    }
    fn remove_file(&self, at: &S::Dir, name: &[u8]) -> Result<()> {
        self.run(Call::RemoveFile, |s| s.remove_file(at, name))
    }
    fn rename(
        &self,
        from_at: &S::Dir,
        from: &[u8],
        to_at: &S::Dir,
        to: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        self.run(Call::Rename, |s| s.rename(from_at, from, to_at, to, mode))
    }
    fn link(&self, from_at: &S::Dir, from: &[u8], to_at: &S::Dir, to: &[u8]) -> Result<()> {
        self.run(Call::Link, |s| s.link(from_at, from, to_at, to))
    }
    fn open(&self, at: &S::Dir, name: &[u8], mode: OpenMode) -> Result<S::File> {
        let call = if mode.create == Create::No {
            Call::Open
        } else {
            Call::OpenCreate
        };
        self.run(call, |s| s.open(at, name, mode))
    }
    fn read_at(&self, file: &S::File, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.run(Call::ReadAt, |s| s.read_at(file, buf, offset))
    }
    fn write_at(&self, file: &S::File, data: &[u8], offset: u64) -> Result<()> {
        match self.faults.judge(Call::WriteAt) {
            Verdict::Pass => self.inner.write_at(file, data, offset),
            Verdict::Fail(kind) => Err(kind.into()),
            Verdict::Partial(prefix) => {
                self.inner
                    .write_at(file, &data[..prefix.min(data.len())], offset)?;
                Err(StoreError::new(StoreErrorKind::Io))
            }
        }
    }
    fn set_len(&self, file: &S::File, len: u64) -> Result<()> {
        self.run(Call::SetLen, |s| s.set_len(file, len))
    }
    fn allocate(&self, file: &S::File, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        self.run(Call::Allocate, |s| s.allocate(file, offset, len, keep_size))
    }
    fn sync_data(&self, file: &S::File) -> Result<()> {
        self.run(Call::SyncData, |s| s.sync_data(file))
    }
    fn sync_all(&self, file: &S::File) -> Result<()> {
        self.run(Call::SyncAll, |s| s.sync_all(file))
    }
    fn sync_dir(&self, dir: &S::Dir) -> Result<()> {
        self.run(Call::SyncDir, |s| s.sync_dir(dir))
    }
    fn sync_everything(&self) -> Result<()> {
        self.run(Call::SyncEverything, |s| s.sync_everything())
    }
    fn set_times(
        &self,
        node: Node<'_, Self>,
        atime: Option<TimeSet>,
        mtime: Option<TimeSet>,
    ) -> Result<()> {
        self.run(Call::SetTimes, |s| {
            s.set_times(unwrap_node(node), atime, mtime)
        })
    }
    fn set_mode(&self, node: Node<'_, Self>, mode: u32) -> Result<()> {
        self.run(Call::SetMode, |s| s.set_mode(unwrap_node(node), mode))
    }
    fn set_owner(&self, node: Node<'_, Self>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.run(Call::SetOwner, |s| s.set_owner(unwrap_node(node), uid, gid))
    }
    fn space(&self) -> Result<Space> {
        self.run(Call::Space, |s| s.space())
    }
    fn read_small(&self, at: &S::Dir, name: &[u8], max_len: usize) -> Result<Vec<u8>> {
        self.run(Call::ReadSmall, |s| s.read_small(at, name, max_len))
    }
}
