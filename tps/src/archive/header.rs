//! What a segment says of itself, signed with the TPS's desk key.

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::hash::{Purpose, tagged};
use protocol::ids::{Digest, KeyId, RealmId};
use protocol::key_set::{KeyRole, key_id};
use protocol::ledger::instrument::Place;
use protocol::signature::{DeskRole, Domain, Signature, SigningKey, strict_verify};
use protocol::time::Timestamp;

/// First bytes of a segment; the last one is the version.
const MAGIC: [u8; 8] = *b"QUITARC1";

/// Header of a segment. Encoding: borsh, fields in this order, always [`Self::BYTES`] long.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SegmentHeader {
    magic: [u8; 8],
    /// The installation.
    pub realm: RealmId,
    /// Number of the segment, from 1.
    pub number: u64,
    /// [`Self::digest`] of the segment before; zero in the first.
    pub previous: Digest,
    after_batch: u64,
    after_index: u16,
    last_batch: u64,
    last_index: u16,
    /// Time of the first batch.
    pub from: Timestamp,
    /// Time of the last batch.
    pub until: Timestamp,
    /// Signed batches in it.
    pub batches: u64,
    /// Transactions in it.
    pub payments: u64,
    /// Number of its first journal entry, counted from 0 over the whole journal.
    pub journal_from: u64,
    /// Journal entries in it.
    pub journal: u64,
    /// Bytes of its records before compression.
    pub record_bytes: u64,
    /// Bytes after the header.
    pub body_bytes: u64,
    /// Digest of the bytes after the header.
    pub body: Digest,
    /// Signs this.
    pub key: KeyId,
    signature: [u8; 64],
}

impl SegmentHeader {
    /// Bytes of a header: the body begins there.
    pub const BYTES: usize = 8 + 16 + 8 + 32 + 10 + 10 + 8 + 8 + 6 * 8 + 32 + 8 + 64;

    /// Header of a segment after `after`, to be filled in while it is written.
    pub(super) fn new(realm: RealmId, number: u64, previous: Digest, after: Place, journal_from: u64) -> Self {
        Self {
            magic: MAGIC,
            realm,
            number,
            previous,
            after_batch: after.batch,
            after_index: after.index,
            last_batch: after.batch,
            last_index: after.index,
            from: Timestamp::default(),
            until: Timestamp::default(),
            batches: 0,
            payments: 0,
            journal_from,
            journal: 0,
            record_bytes: 0,
            body_bytes: 0,
            body: Digest([0; 32]),
            key: KeyId([0; 8]),
            signature: [0; 64],
        }
    }

    /// The last place of the segment before.
    pub fn after(&self) -> Place {
        Place { batch: self.after_batch, index: self.after_index }
    }

    /// Its own last place.
    pub fn last(&self) -> Place {
        Place { batch: self.last_batch, index: self.last_index }
    }

    pub(super) fn set_last(&mut self, last: Place) {
        (self.last_batch, self.last_index) = (last.batch, last.index);
    }

    /// The number of the first journal entry after the segment.
    pub fn journal_until(&self) -> u64 {
        self.journal_from + self.journal
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing into memory does not fail")
    }

    /// Reads a header; `None` where the bytes are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Self::try_from_slice(bytes).ok().filter(|header| header.magic == MAGIC && header.number > 0)
    }

    /// What the next segment holds of this one.
    pub fn digest(&self) -> Digest {
        Digest(tagged(Purpose::ARCHIVE_SEGMENT, &self.encode()))
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = self.encode();
        bytes.truncate(Self::BYTES - 64);
        bytes
    }

    pub(super) fn sign(mut self, key: &SigningKey<DeskRole>) -> Self {
        self.key = key_id(KeyRole::Desk, &key.public());
        self.signature = key.sign(Domain::ARCHIVE_SEGMENT, &self.signed_bytes()).0;
        self
    }

    /// Whether the key `public` signed this.
    pub fn is_signed_by(&self, public: &[u8; 32]) -> bool {
        let signature = Signature(self.signature);
        strict_verify(public, Domain::ARCHIVE_SEGMENT, &[&self.signed_bytes()], &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_one_encoding_and_its_signature_covers_all_of_it() {
        let key = SigningKey::<DeskRole>::from_seed([7; 32]);
        let mut header = SegmentHeader::new(RealmId([1; 16]), 3, Digest([2; 32]), Place { batch: 9, index: 4 }, 5);
        header.set_last(Place { batch: 12, index: 1 });
        let header = header.sign(&key);
        let bytes = header.encode();
        assert_eq!(bytes.len(), SegmentHeader::BYTES);
        assert_eq!(SegmentHeader::decode(&bytes).as_ref(), Some(&header));
        assert!(header.is_signed_by(&key.public()));
        for position in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[position] ^= 1;
            let valid = SegmentHeader::decode(&altered).is_some_and(|header| header.is_signed_by(&key.public()));
            // The key's id is only a hint at who signed, and covered, too.
            assert!(!valid, "byte {position}");
        }
        assert!(SegmentHeader::decode(&bytes[1..]).is_none());
    }
}
