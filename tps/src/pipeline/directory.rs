//! Public keys and device keys of active instruments: what workers read, without waiting for a shard.

use std::sync::{PoisonError, RwLock};

use protocol::ids::InstrumentId;
use protocol::signature::EnrolledKey;
use zeroize::Zeroizing;

use crate::dense::{Dense, Named};
use crate::store::records::{ActivationState, EnrolmentRecord};

/// Parts with a lock each, so that workers hardly ever meet, and a part that grows is small.
const PARTS: usize = 256;

/// What a worker needs to check a request of one instrument.
#[derive(Clone)]
pub struct DirectoryEntry {
    id: InstrumentId,
    /// The customer's public key, as it was checked at enrolment.
    pub key: EnrolledKey,
    /// The key of the device tag.
    pub device_key: Zeroizing<[u8; 32]>,
}

const _: () = assert!(size_of::<DirectoryEntry>() == 80, "docs/performance.md counts on it");

/// Stands in the place of a key that is no longer one; no key is enrolled as this, since it encodes a point of small order.
const NO_KEY: [u8; 32] = [0; 32];

impl Named for DirectoryEntry {
    fn name(&self) -> &[u8; 16] {
        &self.id.0
    }
}

/// All instruments that were ever active.
///
/// A concurrent hash map in general use keeps each record in its table, half of which is free after it has grown: with
/// records of 80 bytes that took a third of the server's memory (`docs/performance.md`).
pub struct Directory {
    parts: Vec<RwLock<Dense<DirectoryEntry>>>,
}

impl Directory {
    /// An empty one, with memory set aside for about so many instruments.
    pub fn for_about(instruments: usize) -> Self {
        let part = || {
            let mut part = Dense::new();
            // Parts differ a little.
            part.reserve(instruments / PARTS * 17 / 16);
            RwLock::new(part)
        };
        Self { parts: (0..PARTS).map(|_| part()).collect() }
    }

    /// Ids begin with the shard, which many share; their last byte is random.
    fn part(&self, id: InstrumentId) -> &RwLock<Dense<DirectoryEntry>> {
        &self.parts[usize::from(id.0[15]) % PARTS]
    }

    /// Brings the entry of one instrument up to date: it is found if the instrument is active.
    pub fn update(&self, record: &EnrolmentRecord) {
        let keys = match &record.activation {
            ActivationState::Active { signing_public, device_key, .. } if !record.revoked => {
                Some((*signing_public, *device_key))
            }
            _ => None,
        };
        let mut part = self.part(record.id).write().unwrap_or_else(PoisonError::into_inner);
        let slot = part.slot(&record.id.0);
        let (key, device_key) = match (keys, slot) {
            (Some(keys), _) => keys,
            (None, Some(_)) => (NO_KEY, [0; 32]),
            (None, None) => return,
        };
        let (key, device_key) = (EnrolledKey::from_store(key), Zeroizing::new(device_key));
        let entry = DirectoryEntry { id: record.id, key, device_key };
        match slot {
            Some(slot) => part[slot] = entry,
            None => drop(part.insert(entry)),
        }
    }

    /// The entry of an active instrument.
    pub fn get(&self, id: InstrumentId) -> Option<DirectoryEntry> {
        let part = self.part(id).read().unwrap_or_else(PoisonError::into_inner);
        part.get(&id.0).filter(|entry| *entry.key.as_bytes() != NO_KEY).cloned()
    }
}
