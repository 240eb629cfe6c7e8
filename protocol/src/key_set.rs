//! The keys of the TPS as merchants and customers pin them: signed by an offline root, numbered, with a maximum age.
//!
//! Merchants get the proof-signing keys and so verify proofs offline. Customers get the session keys and never a proof
//! key: checking proofs is the merchant's business (K-73). Both get the keys that issue merchant certificates and the
//! registry of assets.

mod error;
pub mod refresh;
#[cfg(test)]
mod tests;

pub use error::KeySetError;

use crate::codec::{Canonical, DecodeError, check_version};
use crate::hash::{Purpose, tagged};
use crate::ids::{KeyId, RealmId};
use crate::limits::{ASSET_EXPONENT_MAX, KEY_SET_BYTES_MAX, KEY_SET_KEYS_MAX, PROTOCOL_VERSION, SUITE};
use crate::money::Asset;
use crate::proof::verify::ProofKey;
use crate::request::ProcessorKey;
use crate::session::AgreementPublic;
use crate::signature::{Domain, RootRole, Signature, SigningKey, strict_verify};
use crate::time::Timestamp;

/// What a key of the TPS does. A key has one role.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Hash,
    PartialOrd,
    Ord,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum KeyRole {
    /// Signs proofs and denials (Ed25519).
    Proof = 1,
    /// Signs merchant certificates (Ed25519).
    Certificate = 2,
    /// Agrees sessions with customers (X25519).
    Session = 3,
    /// Signs key sets (Ed25519); never inside one.
    Root = 4,
    /// Signs the TPS's answers and reports at the desk (Ed25519).
    Desk = 5,
    /// Signs the receipts of the notary (Ed25519).
    Notary = 6,
}

/// Who a key set is for; it decides which roles may stand in it.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Hash,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Audience {
    /// Proof, desk, certificate and notary keys.
    Merchant = 1,
    /// Session, certificate and notary keys.
    Customer = 2,
}

impl Audience {
    /// Whether keys of `role` belong into a set for this audience.
    pub const fn may_hold(self, role: KeyRole) -> bool {
        matches!(
            (self, role),
            (_, KeyRole::Certificate | KeyRole::Notary)
                | (Self::Merchant, KeyRole::Proof | KeyRole::Desk)
                | (Self::Customer, KeyRole::Session)
        )
    }
}

/// The id of a public key: the first eight bytes of the tagged hash of its role byte and its 32 bytes.
pub fn key_id(role: KeyRole, public: &[u8; 32]) -> KeyId {
    let mut named = [0; 33];
    named[0] = role as u8;
    named[1..].copy_from_slice(public);
    let mut id = [0; 8];
    id.copy_from_slice(&tagged(Purpose::KEY_ID, &named)[..8]);
    KeyId(id)
}

/// One key with its validity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct KeyEntry {
    /// What it does.
    pub role: KeyRole,
    /// Its id, as [`key_id`] computes it.
    pub id: KeyId,
    /// The public key: Ed25519, or X25519 for [`KeyRole::Session`].
    pub public: [u8; 32],
    /// From when it may be used.
    pub valid_from: Timestamp,
    /// Until when it may be used.
    pub valid_until: Timestamp,
    /// Whether it must not be believed any more, whatever its validity.
    pub revoked: bool,
}

impl KeyEntry {
    /// An entry with the id computed, not revoked.
    pub fn new(role: KeyRole, public: [u8; 32], valid_from: Timestamp, valid_until: Timestamp) -> Self {
        Self { role, id: key_id(role, &public), public, valid_from, valid_until, revoked: false }
    }

    fn covers(&self, at: Timestamp) -> bool {
        !self.revoked && self.valid_from <= at && at <= self.valid_until
    }
}

/// One asset of the registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct AssetEntry {
    /// Its code.
    pub asset: Asset,
    /// Decimal places when it is shown; never changes.
    pub exponent: u8,
}

/// What the root signs. Encoding: borsh, fields in this order.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct KeySet {
    version: u8,
    suite: u8,
    /// The installation.
    pub realm: RealmId,
    /// Who it is for.
    pub audience: Audience,
    /// Grows with every set that the root signs.
    pub number: u64,
    /// When the root signed it.
    pub issued_at: Timestamp,
    /// How long after `issued_at` it may be relied upon, in milliseconds: a revocation is known after that time at most.
    pub age_max_ms: u64,
    /// Home cell that the accounts of the audience are served by; 0 today.
    pub route: u16,
    /// The keys, at most 64.
    pub keys: Vec<KeyEntry>,
    /// The assets, at most 64.
    pub assets: Vec<AssetEntry>,
}

impl KeySet {
    /// A set of the current version.
    pub fn new(realm: RealmId, audience: Audience, number: u64, issued_at: Timestamp, age_max_ms: u64) -> Self {
        Self {
            version: PROTOCOL_VERSION,
            suite: SUITE,
            realm,
            audience,
            number,
            issued_at,
            age_max_ms,
            route: 0,
            keys: Vec::new(),
            assets: Vec::new(),
        }
    }

    /// The signed set. Only the offline root does this.
    ///
    /// # Errors
    /// [`DecodeError`] where the set is not well formed, for example a proof key in a set for customers.
    pub fn sign(self, root: &SigningKey<RootRole>) -> Result<SignedKeySet, DecodeError> {
        self.check()?;
        let signature = root.sign(Domain::<RootRole>::KEY_SET, &Canonical::encode(&self)).0;
        Ok(SignedKeySet { set: self, signature })
    }
}

impl Canonical for KeySet {
    const NAME: &'static str = "key set";
    const BYTES_MAX: usize = KEY_SET_BYTES_MAX - 64;

    fn check(&self) -> Result<(), DecodeError> {
        let field = |field| Err(DecodeError::Field { what: Self::NAME, field });
        check_version(Self::NAME, self.version, PROTOCOL_VERSION, self.suite)?;
        if self.keys.len() > KEY_SET_KEYS_MAX {
            return field("number of keys");
        }
        if self.assets.is_empty() || self.assets.len() > KEY_SET_KEYS_MAX {
            return field("number of assets");
        }
        for (index, key) in self.keys.iter().enumerate() {
            if !self.audience.may_hold(key.role) {
                return field("key role: not for this audience");
            }
            if key.id != key_id(key.role, &key.public) {
                return field("key id");
            }
            if key.valid_until <= key.valid_from {
                return field("key validity");
            }
            if self.keys[..index].iter().any(|earlier| earlier.id == key.id || earlier.public == key.public) {
                return field("key: it stands there twice");
            }
        }
        for (index, entry) in self.assets.iter().enumerate() {
            if !entry.asset.is_valid() || entry.exponent > ASSET_EXPONENT_MAX {
                return field("asset");
            }
            if self.assets[..index].iter().any(|earlier| earlier.asset == entry.asset) {
                return field("asset: it stands there twice");
            }
        }
        Ok(())
    }
}

/// A key set with the root's signature over its canonical bytes; not yet verified.
#[derive(Clone, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct SignedKeySet {
    set: KeySet,
    signature: [u8; 64],
}

impl Canonical for SignedKeySet {
    const NAME: &'static str = "key set";
    const BYTES_MAX: usize = KEY_SET_BYTES_MAX;

    fn check(&self) -> Result<(), DecodeError> {
        self.set.check()
    }
}

/// How far ahead of this machine's clock a set may be dated: clocks differ.
const CLOCK_TOLERANCE_MS: u64 = 5 * crate::time::MINUTE_MS;

impl SignedKeySet {
    /// Checks signature, realm (where one is pinned), audience, number and age.
    ///
    /// # Errors
    /// [`KeySetError`], in that order.
    pub fn verify(
        &self,
        root: &[u8; 32],
        realm: Option<RealmId>,
        audience: Audience,
        now: Timestamp,
        number_min: u64,
    ) -> Result<PinnedKeySet, KeySetError> {
        let message = Canonical::encode(&self.set);
        strict_verify(root, Domain::<RootRole>::KEY_SET, &[&message], &Signature(self.signature))
            .map_err(|_| KeySetError::WrongRoot)?;
        if let Some(expected) = realm.filter(|expected| *expected != self.set.realm) {
            return Err(KeySetError::WrongRealm { expected, actual: self.set.realm });
        }
        if self.set.audience != audience {
            return Err(KeySetError::WrongAudience { expected: audience, actual: self.set.audience });
        }
        if self.set.number < number_min {
            return Err(KeySetError::LowerNumber { minimum: number_min, actual: self.set.number });
        }
        let pinned = PinnedKeySet(self.set.clone());
        pinned.check_age(now)?;
        Ok(pinned)
    }

    /// When the set claims to have been signed, before verification: to verify a pinned set that is too old by now.
    pub fn claimed_issue_time(&self) -> Timestamp {
        self.set.issued_at
    }

    /// The keys that the set claims, before verification: for the TPS, which wrote the set itself.
    pub fn claimed_keys(&self) -> &[KeyEntry] {
        &self.set.keys
    }

    /// The realm that the set claims, before verification: for messages to people only.
    pub fn claimed_realm(&self) -> RealmId {
        self.set.realm
    }
}

/// A key set that the root vouches for. Only [`SignedKeySet::verify`] makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PinnedKeySet(KeySet);

impl PinnedKeySet {
    /// Whether the set may still be relied upon; ask again whenever it is used after a while.
    ///
    /// # Errors
    /// [`KeySetError::TooOld`], [`KeySetError::FromTheFuture`].
    pub fn check_age(&self, now: Timestamp) -> Result<(), KeySetError> {
        if self.0.issued_at > now.plus(CLOCK_TOLERANCE_MS) {
            return Err(KeySetError::FromTheFuture { issued_at: self.0.issued_at });
        }
        let expired_at = self.expires_at();
        if now > expired_at { Err(KeySetError::TooOld { expired_at }) } else { Ok(()) }
    }

    /// Whether it is time to fetch a newer set: this one has passed half of its maximum age.
    pub fn is_ageing(&self, now: Timestamp) -> bool {
        now.since(self.0.issued_at) > self.0.age_max_ms / 2
    }

    /// The last moment at which the set may be relied upon.
    pub fn expires_at(&self) -> Timestamp {
        self.0.issued_at.plus(self.0.age_max_ms)
    }

    /// The installation.
    pub fn realm(&self) -> RealmId {
        self.0.realm
    }

    /// When the root signed the set.
    pub fn issued_at(&self) -> Timestamp {
        self.0.issued_at
    }

    /// The number of the set.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// All entries.
    pub fn keys(&self) -> &[KeyEntry] {
        &self.0.keys
    }

    /// The assets.
    pub fn assets(&self) -> &[AssetEntry] {
        &self.0.assets
    }

    /// Decimal places of `asset`, or `None` where the registry does not know it.
    pub fn asset_exponent(&self, asset: Asset) -> Option<u8> {
        self.0.assets.iter().find(|entry| entry.asset == asset).map(|entry| entry.exponent)
    }

    /// The key `id` of `role` as valid at `at`.
    ///
    /// # Errors
    /// [`KeySetError::UnknownKey`], [`KeySetError::Revoked`], [`KeySetError::OutsideValidity`].
    pub fn key(&self, role: KeyRole, id: KeyId, at: Timestamp) -> Result<&KeyEntry, KeySetError> {
        let entry = self.0.keys.iter().find(|entry| entry.role == role && entry.id == id);
        let entry = entry.ok_or(KeySetError::UnknownKey(id))?;
        if entry.revoked {
            return Err(KeySetError::Revoked(id));
        }
        if entry.covers(at) { Ok(entry) } else { Err(KeySetError::OutsideValidity { key: id, at }) }
    }

    /// The proof-signing keys that are not revoked, for [`crate::proof::verify::Verifier`].
    pub fn proof_keys(&self) -> impl Iterator<Item = ProofKey> + '_ {
        let keys = self.0.keys.iter().filter(|entry| entry.role == KeyRole::Proof && !entry.revoked);
        keys.map(|entry| ProofKey {
            id: entry.id,
            public: entry.public,
            valid_from: entry.valid_from,
            valid_until: entry.valid_until,
        })
    }

    /// The TPS's session key to use at `now`: of those valid the one that became valid last.
    ///
    /// # Errors
    /// [`KeySetError::NoSessionKey`], or what [`Self::check_age`] says.
    pub fn session_key(&self, now: Timestamp) -> Result<ProcessorKey, KeySetError> {
        self.check_age(now)?;
        let valid = self.0.keys.iter().filter(|entry| entry.role == KeyRole::Session && entry.covers(now));
        let newest = valid.max_by_key(|entry| (entry.valid_from, entry.id)).ok_or(KeySetError::NoSessionKey(now))?;
        Ok(ProcessorKey { id: newest.id, public: AgreementPublic(newest.public), route: self.0.route })
    }
}
