//! Refunds on their way to the TPS, and the batches that carry them.

use protocol::desk::{EntryRefusal, RefundedTotal};
use protocol::ids::{DeskBatchId, RefundOrderId, TransactionNumber};
use protocol::purchase::RefundStatus;
use protocol::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};

use super::{OrderTransaction, Store, StoreError, from_time, time};

/// How far a refund has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum RefundProgress {
    /// It goes with the next batch, or went with one that is not answered.
    Waiting = 0,
    /// The TPS gave the money back.
    PutThrough = 1,
    /// The TPS never will.
    NotPutThrough = 2,
}

/// A refund that the merchant granted.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Refund {
    /// Its name at the TPS, stored before it is sent: applied once.
    pub order: RefundOrderId,
    /// Every payment of this number goes back.
    pub number: TransactionNumber,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// How far it has come.
    pub progress: RefundProgress,
    /// Why the TPS did not put it through when it was asked last.
    pub refusal: Option<EntryRefusal>,
    /// What went back: asset and units.
    pub totals: Vec<(String, String)>,
    /// When the TPS was heard of last.
    pub answered_at: Option<Timestamp>,
}

/// A batch that was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredBatch {
    /// Its name.
    pub id: DeskBatchId,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
}

/// What the TPS said of one refund.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefundOutcome {
    /// Which.
    pub order: RefundOrderId,
    /// What went back, or why nothing did.
    pub result: Result<Vec<RefundedTotal>, EntryRefusal>,
}

const COLUMNS: &str = "order_id, number, granted_at, progress, refusal, totals, answered_at";

fn refund(row: &Row<'_>) -> Result<Refund, StoreError> {
    let number = TransactionNumber(row.get(1)?);
    let damaged = |field| StoreError::Damaged { number, field };
    let progress = match row.get::<_, u8>(3)? {
        0 => RefundProgress::Waiting,
        1 => RefundProgress::PutThrough,
        2 => RefundProgress::NotPutThrough,
        _ => return Err(damaged("progress of a refund")),
    };
    let refusal: Option<u8> = row.get(4)?;
    let refusal = refusal.map(|code| EntryRefusal::from_number(code).ok_or(damaged("refusal"))).transpose()?;
    let totals: Vec<RefundedTotal> =
        borsh::from_slice(&row.get::<_, Vec<u8>>(5)?).map_err(|_| damaged("totals of a refund"))?;
    Ok(Refund {
        order: RefundOrderId(row.get(0)?),
        number,
        granted_at: from_time(row.get(2)?),
        progress,
        refusal,
        totals: totals.iter().map(|total| (total.asset.to_string(), total.units.to_string())).collect(),
        answered_at: row.get::<_, Option<i64>>(6)?.map(from_time),
    })
}

/// Refunds, oldest first.
const OLDEST: &str = "granted_at, order_id";
/// Refunds, those first that the TPS was never asked for, or not for the longest time: many that wait keep none waiting.
const LONGEST_NOT_ASKED: &str = "answered_at IS NOT NULL, answered_at, granted_at, order_id";

fn selected(
    connection: &Connection,
    condition: &str,
    number: Option<[u8; 16]>,
    order: &str,
) -> Result<Vec<Refund>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM refunds WHERE {condition} ORDER BY {order}");
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map([number], |row| Ok(refund(row)))?;
    rows.map(|row| row?).collect()
}

impl OrderTransaction<'_> {
    /// The latest refund of the order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn latest_refund(&self) -> Result<Option<Refund>, StoreError> {
        Ok(selected(self.connection(), "number = ?1", Some(self.order.quote.number.0), OLDEST)?.pop())
    }

    /// Whether a payment beyond the first was recorded at or after `since`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn surplus_since(&self, since: Timestamp) -> Result<bool, StoreError> {
        let query = "SELECT EXISTS (SELECT 1 FROM surplus WHERE number = ?1 AND recorded_at >= ?2)";
        let mut statement = self.connection().prepare_cached(query)?;
        Ok(statement.query_row((self.order.quote.number.0, time(since)), |row| row.get(0))?)
    }

    /// Puts a refund of the order on its way.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn insert_refund(&self, order: RefundOrderId, now: Timestamp) -> Result<(), StoreError> {
        insert(self.connection(), order, self.order.quote.number, now)
    }
}

fn insert(
    connection: &Connection,
    order: RefundOrderId,
    number: TransactionNumber,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = "INSERT INTO refunds (order_id, number, granted_at, progress, totals) VALUES (?1, ?2, ?3, 0, ?4)";
    let totals = borsh::to_vec(&Vec::<RefundedTotal>::new()).unwrap_or_default();
    connection.prepare_cached(query)?.execute((order.0, number.0, time(now), totals))?;
    Ok(())
}

impl Store {
    /// Refunds, oldest first: all, or those of one number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn refunds(&self, number: Option<TransactionNumber>) -> Result<Vec<Refund>, StoreError> {
        selected(&self.orders(), "?1 IS NULL OR number = ?1", number.map(|number| number.0), OLDEST)
    }

    /// Puts a refund of a number that is no order here on its way; `false` where one waits already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn insert_refund(
        &self,
        order: RefundOrderId,
        number: TransactionNumber,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut connection = self.orders();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let waits = selected(&transaction, "number = ?1 AND progress = 0", Some(number.0), OLDEST)?;
        if !waits.is_empty() {
            return Ok(false);
        }
        insert(&transaction, order, number, now)?;
        transaction.commit()?;
        Ok(true)
    }

    /// The batch that waits for its answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_batch(&self) -> Result<Option<StoredBatch>, StoreError> {
        batch(&self.orders(), "answer IS NULL")
    }

    /// The batch that was made last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn latest_batch(&self) -> Result<Option<StoredBatch>, StoreError> {
        batch(&self.orders(), "TRUE ORDER BY made_at DESC LIMIT 1")
    }

    /// The batch that waits for its answer, or, where none does, the one that `make` makes of the refunds that wait; durable
    /// before anybody sees it. Whether it is a new one, too. Of several processes one makes it.
    ///
    /// # Errors
    /// [`StoreError`], and what `make` returns.
    pub fn batch_to_send<E: From<StoreError>>(
        &self,
        now: Timestamp,
        make: impl FnOnce(&[Refund]) -> Result<StoredBatch, E>,
    ) -> Result<(StoredBatch, bool), E> {
        let mut connection = self.orders();
        let sql = |error: rusqlite::Error| E::from(StoreError::from(error));
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
        if let Some(open) = batch(&transaction, "answer IS NULL")? {
            return Ok((open, false));
        }
        let made = make(&selected(&transaction, "progress = 0 AND ?1 IS NULL", None, LONGEST_NOT_ASKED)?)?;
        let query = "INSERT INTO desk_batches (id, made_at, batch) VALUES (?1, ?2, ?3)";
        transaction.execute(query, (made.id.0, time(now), &made.bytes)).map_err(sql)?;
        transaction.commit().map_err(sql)?;
        Ok((made, true))
    }

    /// Keeps the answer to a batch and what it says of refunds, in one synced transaction; doing it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn answered(
        &self,
        id: DeskBatchId,
        answer: &[u8],
        outcomes: &[RefundOutcome],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut connection = self.orders();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let query = "UPDATE desk_batches SET answer = ?2 WHERE id = ?1 AND answer IS NULL";
        if transaction.execute(query, (id.0, answer))? == 0 {
            return Ok(());
        }
        for RefundOutcome { order, result } in outcomes {
            let (progress, refusal) = match result {
                Ok(_) => (RefundProgress::PutThrough, None),
                Err(refusal) if refusal.is_transient() => (RefundProgress::Waiting, Some(*refusal)),
                Err(refusal) => (RefundProgress::NotPutThrough, Some(*refusal)),
            };
            let totals = borsh::to_vec(result.as_ref().map_or(&Vec::new(), |totals| totals)).unwrap_or_default();
            let query = "UPDATE refunds SET progress = ?2, refusal = ?3, totals = ?4, answered_at = ?5 \
                         WHERE order_id = ?1 AND progress = 0 RETURNING number";
            let refusal_code = refusal.map(|refusal| refusal as u8);
            let number: Option<[u8; 16]> = transaction
                .query_row(query, (order.0, progress as u8, refusal_code, totals, time(now)), |row| row.get(0))
                .optional()?;
            let status = match (progress, refusal) {
                // Everything was given back before: the customer has its money.
                (RefundProgress::PutThrough, _) | (_, Some(EntryRefusal::NothingLeft)) => RefundStatus::PutThrough,
                (RefundProgress::Waiting, _) => RefundStatus::Accepted,
                (RefundProgress::NotPutThrough, _) => RefundStatus::NotPutThrough,
            };
            let query = "UPDATE orders SET refund_status = ?2 WHERE number = ?1";
            transaction.execute(query, (number, status as u8))?;
        }
        Ok(transaction.commit()?)
    }

    /// Forgets the batch that waits for its answer: its refunds go with the next one, under the same names.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn discard_open_batch(&self) -> Result<bool, StoreError> {
        Ok(self.orders().execute("DELETE FROM desk_batches WHERE answer IS NULL", [])? > 0)
    }
}

fn batch(connection: &Connection, condition: &str) -> Result<Option<StoredBatch>, StoreError> {
    let query = format!("SELECT id, batch FROM desk_batches WHERE {condition}");
    let mut statement = connection.prepare_cached(&query)?;
    let found = statement.query_row([], |row| Ok(StoredBatch { id: DeskBatchId(row.get(0)?), bytes: row.get(1)? }));
    Ok(found.optional()?)
}
