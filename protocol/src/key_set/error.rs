//! Why key sets and keys in them are not relied upon.

use super::Audience;
use crate::ids::{KeyId, RealmId};
use crate::time::Timestamp;

/// Why a key set is not relied upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not signed by the pinned root.
    #[error("the key set is not signed by the pinned root key: it was altered, or belongs to another TPS")]
    WrongRoot,
    /// Made for the other side.
    #[error(
        "the key set is for a {actual:?}, here a set for a {expected:?} is needed: ask the TPS's operator for that one"
    )]
    WrongAudience {
        /// Who it should be for.
        expected: Audience,
        /// Who it is for.
        actual: Audience,
    },
    /// Another installation.
    #[error("the key set belongs to realm {actual}, expected {expected}")]
    WrongRealm {
        /// The realm pinned.
        expected: RealmId,
        /// The realm of the set.
        actual: RealmId,
    },
    /// An older set is offered in place of a newer one.
    #[error("the key set has number {actual}, but number {minimum} is already pinned: fetch the newest key set")]
    LowerNumber {
        /// The lowest number accepted.
        minimum: u64,
        /// The number of the set.
        actual: u64,
    },
    /// Older than its maximum age.
    #[error("the key set expired at {expired_at}: fetch a new key set from the TPS's operator")]
    TooOld {
        /// Issue time and maximum age.
        expired_at: Timestamp,
    },
    /// Signed in the future.
    #[error("the key set is dated {issued_at}, which lies ahead: check this machine's clock")]
    FromTheFuture {
        /// Issue time.
        issued_at: Timestamp,
    },
    /// No such key.
    #[error("key {0} is not in the pinned key set: fetch the newest key set")]
    UnknownKey(KeyId),
    /// The root no longer vouches for it.
    #[error("key {0} was revoked")]
    Revoked(KeyId),
    /// The key must not be used at that time.
    #[error("key {key} was not valid at {at}")]
    OutsideValidity {
        /// The key.
        key: KeyId,
        /// The time asked about.
        at: Timestamp,
    },
    /// No session key is valid now.
    #[error("no session key of the TPS is valid at {0}: fetch the newest key set")]
    NoSessionKey(Timestamp),
}
