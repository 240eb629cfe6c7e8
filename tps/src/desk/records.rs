//! What the desk keeps.

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::desk::RefundedTotal;
use protocol::ids::{DeskBatchId, Digest, InstrumentId, MerchantId, RefundOrderId, TransactionNumber};
use protocol::ledger::instrument::Place;
use protocol::money::{Amount, Asset};
use protocol::time::Timestamp;

use crate::store::desk::{DeskKind, DeskRecord};
use crate::store::{Reader, StoreError};

/// The job that takes payments into the index of pairs, as its cursor names it. It has one like every job over the log, so that
/// nothing is archived that is not in the index.
pub const PAIR_INDEX: &str = "pairs";

/// A place in the log, as records hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, BorshSerialize, BorshDeserialize)]
pub struct StoredPlace {
    batch: u64,
    index: u16,
}

impl StoredPlace {
    fn key(self) -> [u8; 10] {
        let mut key = [0; 10];
        key[..8].copy_from_slice(&self.batch.to_be_bytes());
        key[8..].copy_from_slice(&self.index.to_be_bytes());
        key
    }
}

impl From<Place> for StoredPlace {
    fn from(place: Place) -> Self {
        Self { batch: place.batch, index: place.index }
    }
}

impl From<StoredPlace> for Place {
    fn from(place: StoredPlace) -> Self {
        Self { batch: place.batch, index: place.index }
    }
}

fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let mut rest = &mut key[..];
    for part in parts {
        let (head, tail) = rest.split_at_mut(part.len());
        head.copy_from_slice(part);
        rest = tail;
    }
    debug_assert!(rest.is_empty(), "a key has its length");
    key
}

/// A payment, found by the merchant and number it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PairRecord {
    /// Who was paid. In the key alone.
    #[borsh(skip)]
    pub merchant: MerchantId,
    /// The merchant's number. In the key alone.
    #[borsh(skip)]
    pub number: TransactionNumber,
    /// Where the payment stands in the log.
    pub place: StoredPlace,
    /// What paid.
    pub instrument: InstrumentId,
    /// In what.
    pub asset: Asset,
    /// How much.
    pub amount: Amount,
}

impl PairRecord {
    /// All payments of a pair up to the one at `through`, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn of_pair(
        reader: &dyn Reader,
        merchant: MerchantId,
        number: TransactionNumber,
        through: StoredPlace,
    ) -> Result<Vec<Self>, StoreError> {
        let mut records = Self::all(reader, &joined::<32>(&[&merchant.0, &number.0]))?;
        records.retain(|record| record.place <= through);
        records.iter_mut().for_each(|record| (record.merchant, record.number) = (merchant, number));
        Ok(records)
    }
}

impl DeskRecord for PairRecord {
    const KIND: DeskKind = DeskKind::Pair;
    type Key = [u8; 42];

    fn key(&self) -> [u8; 42] {
        joined(&[&self.merchant.0, &self.number.0, &self.place.key()])
    }
}

/// How far a refund order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RefundProgress {
    /// It will be carried out, whatever happens.
    Accepted,
    /// Every payment went back.
    Done,
}

/// A refund order that is to be, or was, carried out. Orders that were refused leave no record and may come again.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RefundOrderRecord {
    /// Whose.
    pub merchant: MerchantId,
    /// The merchant's name for it.
    pub order: RefundOrderId,
    /// Whose payments go back.
    pub number: TransactionNumber,
    /// With the marks of earlier orders this fixes the payments for ever: those up to here that bear none.
    pub through: StoredPlace,
    /// What goes back in all, by asset.
    pub totals: Vec<RefundedTotal>,
    /// How far it has come.
    pub progress: RefundProgress,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

impl RefundOrderRecord {
    /// What the keys of all of them begin with.
    pub const BEGINNING: [u8; 1] = [0];

    /// The key of an order.
    pub fn key_of(merchant: MerchantId, order: RefundOrderId) -> [u8; 33] {
        joined(&[&Self::BEGINNING, &merchant.0, &order.0])
    }
}

impl DeskRecord for RefundOrderRecord {
    const KIND: DeskKind = DeskKind::RefundOrder;
    type Key = [u8; 33];

    fn key(&self) -> [u8; 33] {
        Self::key_of(self.merchant, self.order)
    }
}

/// A refund order that was accepted and is not done: what a start looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OpenRefund {
    /// Whose.
    pub merchant: MerchantId,
    /// Which.
    pub order: RefundOrderId,
}

impl OpenRefund {
    /// What the keys of all of them begin with.
    pub const BEGINNING: [u8; 1] = [1];
}

impl DeskRecord for OpenRefund {
    const KIND: DeskKind = DeskKind::RefundOrder;
    type Key = [u8; 33];

    fn key(&self) -> [u8; 33] {
        joined(&[&Self::BEGINNING, &self.merchant.0, &self.order.0])
    }
}

/// The mark of a payment that went back, in the same commit as the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RefundedRecord {
    /// Which payment.
    pub place: StoredPlace,
    /// Whose order.
    pub merchant: MerchantId,
    /// Which order.
    pub order: RefundOrderId,
}

impl RefundedRecord {
    /// The mark of a payment, if it has one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn of(reader: &dyn Reader, place: StoredPlace) -> Result<Option<Self>, StoreError> {
        Self::read(reader, &place.key())
    }
}

impl DeskRecord for RefundedRecord {
    const KIND: DeskKind = DeskKind::Refunded;
    type Key = [u8; 10];

    fn key(&self) -> [u8; 10] {
        self.place.key()
    }
}

/// A batch that was carried out, as the merchant signed it, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MerchantBatchRecord {
    /// Whose.
    pub merchant: MerchantId,
    /// The merchant's name for it.
    pub id: DeskBatchId,
    /// Digest of the batch.
    pub digest: Digest,
    /// The merchant's signature for everything that was done; empty where nothing was.
    pub batch: Vec<u8>,
    /// The answer: the same batch again gets these bytes.
    pub answer: Vec<u8>,
}

impl MerchantBatchRecord {
    /// The key of a batch.
    pub fn key_of(merchant: MerchantId, id: DeskBatchId) -> [u8; 32] {
        joined(&[&merchant.0, &id.0])
    }
}

impl DeskRecord for MerchantBatchRecord {
    const KIND: DeskKind = DeskKind::MerchantBatch;
    type Key = [u8; 32];

    fn key(&self) -> [u8; 32] {
        Self::key_of(self.merchant, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_in_the_order_of_the_log() {
        let place = |batch, index| StoredPlace { batch, index };
        let ordered = [place(0, 0), place(1, 2), place(1, 0x0100), place(0x0100, 0)];
        assert!(ordered.is_sorted() && ordered.map(StoredPlace::key).is_sorted());
    }

    /// Databases of users hold these bytes.
    #[test]
    fn the_bytes_of_the_records_are_frozen() {
        let place = StoredPlace { batch: 0x0102, index: 3 };
        let (merchant, order, number) =
            (MerchantId([0x11; 16]), RefundOrderId([0x22; 16]), TransactionNumber([0x33; 16]));
        let totals = vec![RefundedTotal { asset: Asset::USD6, units: 5 }];
        let amount = Amount::new(5).unwrap();
        let instrument = InstrumentId([0x44; 16]);
        let pair = PairRecord { merchant, number, place, instrument, asset: Asset::USD6, amount };
        let progress = RefundProgress::Done;
        let accepted_at = Timestamp(7);
        let refund = RefundOrderRecord { merchant, order, number, through: place, totals, progress, accepted_at };
        let id = DeskBatchId([0x55; 16]);
        let batch = MerchantBatchRecord { merchant, id, digest: Digest([0x66; 32]), batch: vec![1], answer: vec![2] };
        let (eleven, twos, threes, fours) = ("11".repeat(16), "22".repeat(16), "33".repeat(16), "44".repeat(16));
        let fives = "55".repeat(16);
        let hex = |bytes: Vec<u8>| hex::encode(bytes);
        let usd = "5553443600000000";
        assert_eq!(hex(borsh::to_vec(&pair).unwrap()), format!("02010000000000000300{fours}{usd}0500000000000000"));
        assert_eq!(hex(pair.key().to_vec()), format!("{eleven}{threes}00000000000001020003"));
        assert_eq!(
            hex(borsh::to_vec(&refund).unwrap()),
            format!(
                "{eleven}{twos}{threes}0201000000000000030001000000{usd}05000000000000000000000000000000010700000000000000"
            )
        );
        let mark = RefundedRecord { place, merchant, order };
        assert_eq!(hex(borsh::to_vec(&mark).unwrap()), format!("02010000000000000300{eleven}{twos}"));
        let open = OpenRefund { merchant, order };
        assert_eq!(hex(open.key().to_vec()), format!("01{eleven}{twos}"));
        let sixes = "66".repeat(32);
        assert_eq!(hex(borsh::to_vec(&batch).unwrap()), format!("{eleven}{fives}{sixes}01000000010100000002"));
    }
}
