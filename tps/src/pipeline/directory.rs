//! Public keys and device keys of active instruments: what workers read, without waiting for a shard.

use dashmap::DashMap;
use protocol::ids::InstrumentId;
use protocol::signature::EnrolledKey;
use zeroize::Zeroizing;

use crate::store::records::{ActivationState, EnrolmentRecord};

/// What a worker needs to check a request of one instrument.
pub struct DirectoryEntry {
    /// The customer's public key, as it was checked at enrolment.
    pub key: EnrolledKey,
    /// The key of the device tag.
    pub device_key: Zeroizing<[u8; 32]>,
}

/// All active instruments.
#[derive(Default)]
pub struct Directory {
    entries: DashMap<InstrumentId, DirectoryEntry>,
}

impl Directory {
    /// Brings the entry of one instrument up to date: present if it is active, absent otherwise.
    pub fn update(&self, record: &EnrolmentRecord) {
        let key = match &record.activation {
            ActivationState::Active { signing_public, device_key, .. } if !record.revoked => {
                Some((EnrolledKey::from_store(*signing_public), device_key))
            }
            _ => None,
        };
        match key {
            Some((key, device_key)) => {
                self.entries.insert(record.id, DirectoryEntry { key, device_key: Zeroizing::new(*device_key) });
            }
            None => {
                self.entries.remove(&record.id);
            }
        }
    }

    /// The entry of an active instrument.
    pub fn get(&self, id: InstrumentId) -> Option<dashmap::mapref::one::Ref<'_, InstrumentId, DirectoryEntry>> {
        self.entries.get(&id)
    }

    /// Active instruments.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no instrument is active.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
