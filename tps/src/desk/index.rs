//! The index of payments by merchant and number, built beside the payments: they never wait for it, refunds do.

use std::ops::ControlFlow;

use protocol::ledger::instrument::Place;
use protocol::response::Reason;
use protocol::time::{MINUTE_MS, Timestamp};

use super::records::{PAIR_INDEX, PairRecord, StoredPlace};
use crate::book::orders::OrderError;
use crate::jobs::cursor::Cursor;
use crate::pipeline::Engine;
use crate::store::desk::DeskRecord;
use crate::store::{Reader, StoreError};

/// Transactions looked at per commit while a refund waits.
const CHUNK: usize = 4_096;
/// The same while nobody waits: payments that come meanwhile are not to wait for a large commit.
const IDLE_CHUNK: usize = 512;
/// Commits per turn while nobody waits.
const IDLE_COMMITS: usize = 4;
/// A payment waits so long for a quiet moment; then it comes into the index all the same: a refund must not have all of a busy year to
/// catch up with, and retention waits for the index.
const LATE_MS: u64 = 60 * MINUTE_MS;

/// The place up to which the log is in the index; the default before the first.
///
/// # Errors
/// [`StoreError`].
pub fn indexed_up_to(reader: &dyn Reader) -> Result<Place, StoreError> {
    Ok(Cursor::read(reader, &PAIR_INDEX.to_owned())?.map_or_else(Place::default, |cursor| cursor.place()))
}

/// Builds the index. One thread has it.
#[derive(Debug, Default)]
pub(super) struct PairIndex {
    /// Number up to which (exclusive) every batch is known to be committed.
    complete_below: u64,
    /// The last commit at which nothing was left to do.
    seen_commit: Option<u64>,
}

impl PairIndex {
    /// Brings the index to the end of the log as it is now; the place that it then has reached.
    ///
    /// # Errors
    /// [`OrderError`].
    pub(super) fn catch_up(&mut self, engine: &Engine) -> Result<StoredPlace, OrderError> {
        self.complete_below = engine.log_end().ok_or(OrderError::Stopping)?;
        while self.advance(engine, CHUNK)? {}
        Ok(indexed_up_to(&**engine.reader())?.into())
    }

    /// Whether payments have waited for a quiet moment too long at `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn is_late(engine: &Engine, now: Timestamp) -> Result<bool, StoreError> {
        let reader = &**engine.reader();
        let mut next = None;
        reader.visit_payments(Some(indexed_up_to(reader)?), &mut |place, _| {
            next = Some(place.batch);
            ControlFlow::Break(())
        })?;
        let batch = next.map(|number| reader.batch(number)).transpose()?.flatten();
        Ok(batch.is_some_and(|batch| now.since(batch.header.batch_time) > LATE_MS))
    }

    /// A little of the work, for turns in which nothing else is to do.
    ///
    /// # Errors
    /// [`OrderError`].
    pub(super) fn advance_idly(&mut self, engine: &Engine) -> Result<(), OrderError> {
        if self.seen_commit == Some(engine.reader().last_commit()?) || self.advance_one_turn(engine)? {
            return Ok(());
        }
        // Everything known to be complete is in the index; how much more is complete by now?
        self.complete_below = engine.log_complete_up_to().ok_or(OrderError::Stopping)? + 1;
        if !self.advance_one_turn(engine)? {
            self.seen_commit = Some(engine.reader().last_commit()?);
        }
        Ok(())
    }

    /// As much as one turn takes; whether there may be more.
    fn advance_one_turn(&self, engine: &Engine) -> Result<bool, OrderError> {
        for _ in 0..IDLE_COMMITS {
            if !self.advance(engine, IDLE_CHUNK)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes up to `most` transactions into the index; whether there may be more.
    fn advance(&self, engine: &Engine, most: usize) -> Result<bool, OrderError> {
        let reader = engine.reader();
        let before = indexed_up_to(&**reader)?;
        let (mut last, mut looked_at) = (before, 0);
        let mut records = Vec::new();
        reader.visit_payments(Some(before), &mut |place, payment| {
            if place.batch >= self.complete_below || looked_at == most {
                return ControlFlow::Break(());
            }
            looked_at += 1;
            last = place;
            if payment.reason == Reason::Paid {
                let record = PairRecord {
                    merchant: payment.merchant,
                    number: payment.number,
                    place: place.into(),
                    instrument: payment.instrument,
                    asset: payment.asset,
                    amount: payment.amount,
                };
                records.push(record);
            }
            ControlFlow::Continue(())
        })?;
        if last == before {
            return Ok(false);
        }
        // Neighbours in the table are inserted one after the other: that spares the committer most of the way to them.
        records.sort_unstable_by_key(PairRecord::key);
        let cursor = Cursor::new(PAIR_INDEX, last, 0).entry();
        engine.record(records.iter().map(PairRecord::entry).chain([cursor]).collect())?;
        Ok(looked_at == most)
    }
}
