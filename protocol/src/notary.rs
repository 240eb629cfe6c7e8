//! Notarisation (K-107): the TPS attests that it saw a digest at a time. A service apart from payments: no message of a payment
//! knows of it.
//!
//! Receipts form a chain: each holds the hash of the one before, so that none can be inserted, left out or dated back later without
//! breaking every receipt after it.

use crate::codec::{Canonical, DecodeError, check_version};
use crate::hash::{Purpose, tagged};
use crate::ids::{Digest, KeyId, RealmId};
use crate::key_set::{KeyRole, KeySetError, PinnedKeySet, key_id};
use crate::limits::{PROTOCOL_VERSION, SUITE};
use crate::signature::{Domain, NotaryRole, Signed, SigningKey};
use crate::time::Timestamp;

/// Bytes of an encoded receipt: always the same.
pub const RECEIPT_BYTES: usize = 170;

/// A place in the chain: what the next receipt follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainEnd {
    /// Number of the last receipt; 0 before the first.
    pub sequence: u64,
    /// Its time.
    pub time: Timestamp,
    /// Its hash; zero before the first.
    pub hash: Digest,
}

/// The notary's signed statement about a digest. Encoding: borsh, fields in this order; the signature covers all before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct NotaryReceipt {
    version: u8,
    suite: u8,
    /// The installation.
    pub realm: RealmId,
    /// Number in the chain, from 1.
    pub sequence: u64,
    /// When the notary saw the digest; never before the time of an earlier receipt.
    pub time: Timestamp,
    /// What was presented. The notary does not know what it is a digest of.
    pub digest: Digest,
    /// Hash of the receipt before; zero in the first.
    pub previous: Digest,
    /// The key that signed.
    pub key: KeyId,
    signature: [u8; 64],
}

/// Why a receipt is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotaryError {
    /// Not well formed.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Of another installation.
    #[error("the receipt is of another TPS: realm {0}")]
    OtherRealm(RealmId),
    /// The signing key is unknown, revoked or was not valid then.
    #[error("the receipt's signer is not trusted: {0}; take a newer key set")]
    Signer(#[from] KeySetError),
    /// The signature does not hold.
    #[error("the receipt is forged or altered: its signature does not hold")]
    BadSignature,
    /// It does not follow the one before.
    #[error("receipt {sequence} does not follow the receipt before it: one is missing or was replaced")]
    BrokenChain {
        /// Its number.
        sequence: u64,
    },
}

impl NotaryReceipt {
    /// Attests `digest` at `time` as the next of the chain. Where the clock is behind the chain, the chain's time is attested.
    ///
    /// # Errors
    /// [`DecodeError`] where the chain has no more numbers.
    pub fn sign(
        realm: RealmId,
        after: &ChainEnd,
        time: Timestamp,
        digest: Digest,
        key: &SigningKey<NotaryRole>,
    ) -> Result<Self, DecodeError> {
        let sequence =
            after.sequence.checked_add(1).ok_or(DecodeError::Field { what: Self::NAME, field: "sequence number" })?;
        let receipt = Self {
            version: PROTOCOL_VERSION,
            suite: SUITE,
            realm,
            sequence,
            time: time.max(after.time),
            digest,
            previous: after.hash,
            key: key_id(KeyRole::Notary, &key.public()),
            signature: [0; 64],
        };
        receipt.signed(key)
    }

    /// What the next receipt follows.
    pub fn chain_end(&self) -> ChainEnd {
        let hash = Digest(tagged(Purpose::NOTARY_RECEIPT, &self.encode()));
        ChainEnd { sequence: self.sequence, time: self.time, hash }
    }

    /// Checks installation, signer and signature, with the key set of either audience. The set may be younger than the receipt.
    ///
    /// # Errors
    /// [`NotaryError`].
    pub fn verify(&self, keys: &PinnedKeySet) -> Result<(), NotaryError> {
        if self.realm != keys.realm() {
            return Err(NotaryError::OtherRealm(self.realm));
        }
        let signer = keys.key(KeyRole::Notary, self.key, self.time)?;
        self.verify_signature(&signer.public).map_err(|_| NotaryError::BadSignature)
    }

    /// Whether this receipt comes directly after `before`. Says nothing about signatures.
    ///
    /// # Errors
    /// [`NotaryError::BrokenChain`].
    pub fn follows(&self, before: &ChainEnd) -> Result<(), NotaryError> {
        let next = before.sequence.checked_add(1) == Some(self.sequence);
        if next && self.previous == before.hash && self.time >= before.time {
            return Ok(());
        }
        Err(NotaryError::BrokenChain { sequence: self.sequence })
    }
}

impl Signed for NotaryReceipt {
    type Signer = NotaryRole;
    const DOMAIN: Domain<NotaryRole> = Domain::NOTARY_RECEIPT;

    fn signature_mut(&mut self) -> &mut [u8; 64] {
        &mut self.signature
    }
}

impl Canonical for NotaryReceipt {
    const NAME: &'static str = "notary receipt";
    const BYTES_MAX: usize = RECEIPT_BYTES;

    fn check(&self) -> Result<(), DecodeError> {
        check_version(Self::NAME, self.version, PROTOCOL_VERSION, self.suite)?;
        let wrong = |field| Err(DecodeError::Field { what: Self::NAME, field });
        if self.sequence == 0 {
            return wrong("sequence number");
        }
        // Exactly the first receipt follows nothing.
        if (self.sequence == 1) != self.previous.is_zero() {
            return wrong("hash of the receipt before");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_set::{AssetEntry, Audience, KeyEntry, KeySet};
    use crate::money::Asset;
    use crate::signature::RootRole;

    const REALM: RealmId = RealmId([1; 16]);
    const NOW: Timestamp = Timestamp(1_000_000);

    fn key() -> SigningKey<NotaryRole> {
        SigningKey::from_seed([2; 32])
    }

    fn pinned(audience: Audience, change: impl Fn(&mut KeyEntry)) -> PinnedKeySet {
        let root = SigningKey::<RootRole>::from_seed([3; 32]);
        let mut set = KeySet::new(REALM, audience, 1, NOW, 1_000_000);
        let mut entry = KeyEntry::new(KeyRole::Notary, key().public(), NOW, NOW.plus(1_000));
        change(&mut entry);
        set.keys.push(entry);
        set.assets.push(AssetEntry { asset: Asset::USD6, exponent: 6 });
        set.sign(&root).unwrap().verify(&root.public(), Some(REALM), audience, NOW, 0).unwrap()
    }

    fn chain(length: u8) -> Vec<NotaryReceipt> {
        let mut end = ChainEnd::default();
        let receipts = (0..length).map(|at| {
            let receipt = NotaryReceipt::sign(REALM, &end, NOW.plus(u64::from(at)), Digest([at; 32]), &key()).unwrap();
            end = receipt.chain_end();
            receipt
        });
        receipts.collect()
    }

    // spec: K-107
    #[test]
    fn receipts_verify_with_the_key_set_of_either_audience_and_altered_ones_do_not() {
        for audience in [Audience::Merchant, Audience::Customer] {
            let keys = pinned(audience, |_| {});
            let receipt = chain(2)[1];
            let bytes = receipt.encode();
            assert_eq!(bytes.len(), RECEIPT_BYTES);
            assert_eq!(NotaryReceipt::decode(&bytes).unwrap().verify(&keys), Ok(()));
            for place in 0..RECEIPT_BYTES {
                let mut altered = bytes.clone();
                altered[place] ^= 1;
                let believed = NotaryReceipt::decode(&altered).is_ok_and(|receipt| receipt.verify(&keys).is_ok());
                assert!(!believed, "byte {place}");
            }
        }
    }

    #[test]
    fn only_a_notary_key_that_was_valid_then_is_believed() {
        let receipt = chain(1)[0];
        let revoked = pinned(Audience::Merchant, |entry| entry.revoked = true);
        assert!(matches!(receipt.verify(&revoked), Err(NotaryError::Signer(KeySetError::Revoked(_)))));
        let later = pinned(Audience::Merchant, |entry| entry.valid_from = NOW.plus(1));
        assert!(matches!(receipt.verify(&later), Err(NotaryError::Signer(KeySetError::OutsideValidity { .. }))));
        let desk = pinned(Audience::Merchant, |entry| {
            *entry = KeyEntry::new(KeyRole::Desk, entry.public, entry.valid_from, entry.valid_until);
        });
        assert!(matches!(receipt.verify(&desk), Err(NotaryError::Signer(KeySetError::UnknownKey(_)))));
    }

    #[test]
    fn the_chain_shows_what_is_missing_replaced_or_dated_back() {
        let receipts = chain(4);
        let mut end = ChainEnd::default();
        for receipt in &receipts {
            assert_eq!(receipt.follows(&end), Ok(()));
            end = receipt.chain_end();
        }
        let broken = |before: &NotaryReceipt, next: &NotaryReceipt| next.follows(&before.chain_end()).is_err();
        assert!(broken(&receipts[0], &receipts[2]) && broken(&receipts[2], &receipts[1]));
        let other = NotaryReceipt::sign(REALM, &receipts[0].chain_end(), NOW, Digest([9; 32]), &key()).unwrap();
        assert!(broken(&other, &receipts[2]));
        assert_eq!(other.time, receipts[0].time.max(NOW));
        let late = ChainEnd { time: NOW.plus(50), ..receipts[0].chain_end() };
        let next = NotaryReceipt::sign(REALM, &late, NOW, Digest([9; 32]), &key()).unwrap();
        assert_eq!(next.time, NOW.plus(50), "times do not go back with the clock");
    }
}
