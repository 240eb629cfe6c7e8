//! The pinned key set: signed by the root, never replaced by one with a lower number.

use protocol::codec::Canonical;
use protocol::key_set::{Audience, KeySetError, PinnedKeySet, SignedKeySet};
use protocol::time::Timestamp;

use super::files::{hold, read_if_there, write_private};
use super::{Home, HomeError};

impl Home {
    /// Pins a newer key set.
    ///
    /// # Errors
    /// [`HomeError::KeySet`] for one that is not signed by the pinned root, too old, or lower than the pinned one.
    pub fn import_key_set(&self, bytes: &[u8], now: Timestamp) -> Result<PinnedKeySet, HomeError> {
        let what = || "the file is not a key set".to_owned();
        let set = SignedKeySet::decode(bytes).map_err(|error| HomeError::Malformed { what: what(), error })?;
        // Between reading the number and writing, another process must not pin a newer one.
        let _held = hold(&self.directory)?;
        let pinned = self.stored_key_set()?.and_then(|set| self.verify_at_issue(&set));
        let number_min = pinned.as_ref().map_or(0, PinnedKeySet::number);
        let realm = pinned.as_ref().map(PinnedKeySet::realm);
        let verified = set.verify(&self.settings.root.0, realm, Audience::Merchant, now, number_min)?;
        write_private(&self.directory.join("key-set"), bytes)?;
        Ok(verified)
    }

    fn stored_key_set(&self) -> Result<Option<SignedKeySet>, HomeError> {
        let path = self.directory.join("key-set");
        let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
        let set = SignedKeySet::decode(&bytes).map_err(|error| HomeError::Malformed {
            what: format!("{}: remove it and import the newest key set", path.display()),
            error,
        })?;
        Ok(Some(set))
    }

    /// The pinned key set, however old it is: it still says which TPS this is, and which number a newer one must have. Nothing else
    /// is to be believed of it.
    ///
    /// # Errors
    /// [`HomeError::NoKeySet`], [`HomeError::KeySet`] where it is not the pinned root's.
    pub fn key_set_of_any_age(&self) -> Result<PinnedKeySet, HomeError> {
        let set = self.stored_key_set()?.ok_or(HomeError::NoKeySet)?;
        self.verify_at_issue(&set).ok_or(HomeError::KeySet(KeySetError::WrongRoot))
    }

    fn verify_at_issue(&self, set: &SignedKeySet) -> Option<PinnedKeySet> {
        set.verify(&self.settings.root.0, None, Audience::Merchant, set.claimed_issue_time(), 0).ok()
    }

    /// The pinned key set.
    ///
    /// # Errors
    /// [`HomeError::NoKeySet`], [`HomeError::KeySetTooOld`], [`HomeError::KeySet`].
    pub fn key_set(&self, now: Timestamp) -> Result<PinnedKeySet, HomeError> {
        let set = self.stored_key_set()?.ok_or(HomeError::NoKeySet)?;
        set.verify(&self.settings.root.0, None, Audience::Merchant, now, 0).map_err(|error| match error {
            KeySetError::TooOld { expired_at } => HomeError::KeySetTooOld(expired_at),
            error => error.into(),
        })
    }
}
