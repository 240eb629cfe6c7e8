//! When keys and key sets end, without the keys.

use protocol::key_set::KeyRole;
use protocol::time::Timestamp;

use crate::data_directory::DataDirectory;
use crate::keys::{KeyError, KeyRing, issued};

/// The roles whose keys a TPS holds, and uses every day.
pub(super) const ROLES: [KeyRole; 5] =
    [KeyRole::Session, KeyRole::Proof, KeyRole::Certificate, KeyRole::Desk, KeyRole::Notary];

/// The time of one key that has its secret and is not revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyTime {
    role: KeyRole,
    from: Timestamp,
    until: Timestamp,
}

/// When keys and key sets end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyTimes {
    keys: Vec<KeyTime>,
    /// Number of the key sets in force.
    pub set_number: u64,
    /// Until when they may be relied upon.
    pub sets_expire_at: Timestamp,
}

impl KeyTimes {
    /// Reads them from the key files. Where it cannot be told when the key sets were signed, they end now: payments need
    /// no key set, but the operator should hear of it.
    ///
    /// # Errors
    /// [`KeyError`] where the keys themselves cannot be read.
    pub fn load(data: &DataDirectory) -> Result<Self, KeyError> {
        let ring = KeyRing::load(data)?;
        let issued =
            issued(data).inspect_err(|error| tracing::warn!(%error, "the record of the key sets cannot be read"));
        let (set_number, sets_expire_at) =
            issued.map_or_else(|_| (0, Timestamp(0)), |issued| (issued.number, issued.expires_at_ms));
        let keys = ring.keys().iter().filter(|key| key.seed.is_some() && !key.revoked);
        let keys = keys.map(|key| KeyTime { role: key.role, from: key.valid_from, until: key.valid_until });
        Ok(Self { keys: keys.collect(), set_number, sets_expire_at })
    }

    /// Whether a key of `role` may be used at `now`.
    pub fn usable(&self, role: KeyRole, now: Timestamp) -> bool {
        self.keys.iter().any(|key| key.role == role && key.from <= now && now <= key.until)
    }

    /// When the last key of `role` ends; `None` where there is none.
    pub fn last_end(&self, role: KeyRole) -> Option<Timestamp> {
        self.keys.iter().filter(|key| key.role == role).map(|key| key.until).max()
    }

    #[cfg(test)]
    pub(super) fn of(keys: &[(KeyRole, u64, u64)]) -> Self {
        let keys = keys.iter().map(|(role, from, until)| KeyTime {
            role: *role,
            from: Timestamp(*from),
            until: Timestamp(*until),
        });
        Self { keys: keys.collect(), ..Self::default() }
    }
}
