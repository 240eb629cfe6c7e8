//! Records of the desks: everything durable around payments that no payment reads.
//!
//! A desk (the VRU, refunds, settlement, ...) defines its own records beside its own logic. To a store they are bytes
//! under a key; what they mean is known here only by their kind, so that a new desk changes no store.

use std::ops::ControlFlow;

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Reader, StoreError};

/// Kinds of records, one byte each; a number is never used for another kind. It is the first byte of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DeskKind {
    /// A customer's access to the VRU.
    VruAccess = 1,
    /// Whose access that is: finds it by its instrument.
    VruNumber = 2,
    /// A problem reported by a customer or found by a job.
    Report = 3,
    /// A place in the log up to which a job has come.
    Cursor = 4,
    /// Payments by merchant and transaction number.
    Pair = 5,
    /// A merchant's refund order and what became of it.
    RefundOrder = 6,
    /// A payment that was refunded.
    Refunded = 7,
    /// A settlement cycle.
    SettlementCycle = 8,
    /// What a merchant was settled in a cycle.
    Settlement = 9,
    /// A batch that a merchant handed in, with its answer.
    MerchantBatch = 10,
    /// A signed instruction of the funding agency that was applied.
    FundingInstruction = 11,
    /// Money on its way out to a merchant.
    Payout = 12,
    /// A segment of the archive.
    ArchiveSegment = 13,
    /// A statement of the notary.
    Notarisation = 14,
}

/// Called with the key and the bytes of a record; breaks when it has seen enough.
pub type VisitRecord<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// One kind of record.
pub trait DeskRecord: BorshSerialize + BorshDeserialize {
    /// Which kind.
    const KIND: DeskKind;
    /// What it is found by. Its canonical bytes must have the order that visits shall have: arrays and big-endian numbers.
    type Key: AsRef<[u8]>;

    /// The key of this record.
    fn key(&self) -> Self::Key;

    /// The record in the place of an earlier one of the same key.
    fn entry(&self) -> DeskEntry {
        let value = borsh::to_vec(self).expect("writing into memory does not fail");
        DeskEntry { key: key_bytes(Self::KIND, self.key().as_ref()), value: Some(value) }
    }

    /// The removal of the record of `key`.
    fn removal(key: &Self::Key) -> DeskEntry {
        DeskEntry { key: key_bytes(Self::KIND, key.as_ref()), value: None }
    }

    /// The record of `key`.
    ///
    /// # Errors
    /// [`StoreError`], also where the bytes are no record of this kind.
    fn read(reader: &dyn Reader, key: &Self::Key) -> Result<Option<Self>, StoreError> {
        let key = key_bytes(Self::KIND, key.as_ref());
        reader.desk(&key)?.map(|value| decode(reader, &key, &value)).transpose()
    }

    /// Visits all records whose keys begin with `beginning`, in the order of keys, those after `after` only, until `visit` breaks.
    ///
    /// # Errors
    /// [`StoreError`].
    fn visit(
        reader: &dyn Reader,
        beginning: &[u8],
        after: Option<&Self::Key>,
        visit: &mut dyn FnMut(Self) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let prefix = key_bytes(Self::KIND, beginning);
        let after = after.map(|key| key_bytes(Self::KIND, key.as_ref()));
        let mut outcome = Ok(());
        reader.visit_desk(&prefix, after.as_deref(), &mut |key, value| match decode(reader, key, value) {
            Ok(record) => visit(record),
            Err(error) => {
                outcome = Err(error);
                ControlFlow::Break(())
            }
        })?;
        outcome
    }

    /// All records whose keys begin with `beginning`, in the order of keys.
    ///
    /// # Errors
    /// [`StoreError`].
    fn all(reader: &dyn Reader, beginning: &[u8]) -> Result<Vec<Self>, StoreError> {
        let mut records = Vec::new();
        Self::visit(reader, beginning, None, &mut |record| {
            records.push(record);
            ControlFlow::Continue(())
        })?;
        Ok(records)
    }
}

fn key_bytes(kind: DeskKind, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(kind as u8);
    bytes.extend_from_slice(key);
    bytes
}

/// One encoding per value: what was read is written again and compared.
fn decode<R: BorshSerialize + BorshDeserialize>(
    reader: &dyn Reader,
    key: &[u8],
    value: &[u8],
) -> Result<R, StoreError> {
    let wrong = || reader.inconsistent(&format!("the desk's record {} cannot be read", hex::encode(key)));
    let record = R::try_from_slice(value).map_err(|_| wrong())?;
    if borsh::to_vec(&record).is_ok_and(|again| again == value) { Ok(record) } else { Err(wrong()) }
}

/// A record as a commit writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskEntry {
    /// Kind and key, at most 255 bytes.
    pub(in crate::store) key: Vec<u8>,
    /// The record's bytes; `None` removes it.
    pub(in crate::store) value: Option<Vec<u8>>,
}
