//! Things worth telling a person: damage found, conflicts resolved. Cleartext names never appear;
//! a ciphertext path leads to the node.

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum EventKind {
    /// A name, header or chunk failed its authentication.
    DecryptionFailed,
    /// A sync client's conflict copy was given a proper name.
    ConflictResolved,
    /// It could not be.
    ConflictResolutionFailed,
    /// A node without a type file, or with an impossible one.
    BrokenFileNode,
    /// A `dir.c9r` that is empty, too long or leads nowhere.
    BrokenDirFile,
    /// A foreign file keeps a directory from being removed.
    ForeignFile,
    /// A file changed on disk while this mount held unwritten changes to it.
    ForeignChange,
}

/// One event. `path` is a ciphertext path (or its readable part) relative to the vault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Where, in ciphertext.
    pub path: String,
}

/// Receives events; must not block.
pub trait EventSink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

/// Sends events to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogEvents;

impl EventSink for LogEvents {
    fn emit(&self, event: Event) {
        tracing::warn!(kind = ?event.kind, path = %event.path, "vault event");
    }
}
