//! What a writer leaves in its journal while it works, to tell afterwards how it ended.
//!
//! The notes of extensions become durable a moment after the extensions themselves began. Whether
//! some of them were lost cannot be seen in the log, but it can be known: nothing is lost when a
//! process dies, only when the host's file system does.

use oxcrypt_store::{Incarnation, OpenMode, Store, StoreErrorKind, Timestamp};

use super::log::open_or_make;
use crate::error::Result;

pub(super) const FILE: &[u8] = b"session";
const MAGIC: &[u8; 8] = b"OXSESS1\n";
const LEN: usize = 8 + 8 + 4 + 2 * Incarnation::LEN;

/// A session that did not end in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Everything that was extended before is durable.
    pub(crate) since: Timestamp,
    /// The vault's and the journal's.
    incarnations: [Incarnation; 2],
}

impl Session {
    /// One that starts now.
    pub(crate) fn now<S: Store>(vault: &S, place: &S) -> Result<Self> {
        Ok(Self {
            since: vault.now(),
            incarnations: [vault.incarnation()?, place.incarnation()?],
        })
    }

    /// The session whose end is missing in `place`.
    pub(crate) fn left_in<S: Store>(place: &S) -> Result<Option<Self>> {
        match place.read_small(&place.root(), FILE, LEN) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(e) if e.kind == StoreErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether the notes that it left may lack some.
    pub(crate) fn lost_something<S: Store>(&self, vault: &S, place: &S) -> Result<bool> {
        Ok(self.incarnations != [vault.incarnation()?, place.incarnation()?])
    }

    /// Durably says that the session is going on.
    pub(crate) fn write<S: Store>(&self, place: &S) -> Result<()> {
        let file = open_or_make(place, &place.root(), FILE)?;
        // So short that a disk has all of it or none.
        place.write_at(&file, &self.encode(), 0)?;
        Ok(place.sync_data(&file)?)
    }

    /// Says that the session is over. Not made durable: at worst a look is taken that finds nothing.
    pub(crate) fn end<S: Store>(place: &S) -> Result<()> {
        match place.open(&place.root(), FILE, OpenMode::READ_WRITE) {
            Ok(file) => Ok(place.set_len(&file, 0)?),
            Err(e) if e.kind == StoreErrorKind::NotFound => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn encode(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..8].copy_from_slice(MAGIC);
        out[8..16].copy_from_slice(&self.since.secs.to_le_bytes());
        out[16..20].copy_from_slice(&self.since.nanos.to_le_bytes());
        let [vault, place] = &self.incarnations;
        out[20..20 + Incarnation::LEN].copy_from_slice(&vault.0);
        out[20 + Incarnation::LEN..].copy_from_slice(&place.0);
        out
    }

    /// `None` for what no session writes: it died before it changed anything.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (secs, rest) = rest.split_first_chunk()?;
        let (nanos, rest) = rest.split_first_chunk()?;
        let (vault, place) = rest.split_first_chunk()?;
        let session = Self {
            since: Timestamp {
                secs: i64::from_le_bytes(*secs),
                nanos: u32::from_le_bytes(*nanos),
            },
            incarnations: [Incarnation(*vault), Incarnation(place.try_into().ok()?)],
        };
        (magic == MAGIC).then_some(session)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use oxcrypt_store::MemStore;

    use super::*;

    #[test]
    fn what_was_written_is_found_until_the_end() {
        let (vault, place) = (MemStore::new(), MemStore::new());
        assert_eq!(Session::left_in(&place).unwrap(), None);
        let session = Session::now(&vault, &place).unwrap();
        session.write(&place).unwrap();
        place.sync_dir(&place.root()).unwrap();
        assert_eq!(Session::left_in(&place).unwrap(), Some(session));
        assert!(!session.lost_something(&vault, &place).unwrap());
        let vault = vault.after_power_cut(&mut || false);
        let place = place.after_power_cut(&mut || false);
        assert_eq!(Session::left_in(&place).unwrap(), Some(session));
        assert!(session.lost_something(&vault, &place).unwrap());
        Session::end(&place).unwrap();
        assert_eq!(Session::left_in(&place).unwrap(), None);
    }
}
