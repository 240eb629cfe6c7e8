//! The index of payments by merchant and number, built beside the payments: they never wait for it, refunds do.

use std::ops::ControlFlow;

use protocol::response::Reason;

use super::records::{PairCursor, PairRecord, StoredPlace};
use crate::book::orders::OrderError;
use crate::pipeline::Engine;
use crate::store::desk::DeskRecord;

/// Transactions looked at per commit while a refund waits.
const CHUNK: usize = 4_096;
/// Transactions looked at per turn while nobody waits.
const IDLE_CHUNK: usize = 2_048;

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
        Ok(cursor(engine)?.last)
    }

    /// A little of the work, for turns in which nothing else is to do.
    ///
    /// # Errors
    /// [`OrderError`].
    pub(super) fn advance_idly(&mut self, engine: &Engine) -> Result<(), OrderError> {
        if self.seen_commit == Some(engine.reader().last_commit()?) || self.advance(engine, IDLE_CHUNK)? {
            return Ok(());
        }
        // Everything known to be complete is in the index; how much more is complete by now?
        self.complete_below = engine.log_complete_up_to().ok_or(OrderError::Stopping)? + 1;
        if !self.advance(engine, IDLE_CHUNK)? {
            self.seen_commit = Some(engine.reader().last_commit()?);
        }
        Ok(())
    }

    /// Takes up to `most` transactions into the index; whether there may be more.
    fn advance(&self, engine: &Engine, most: usize) -> Result<bool, OrderError> {
        let reader = engine.reader();
        let before = cursor(engine)?.last;
        let (mut last, mut looked_at) = (before, 0);
        let mut records = Vec::new();
        let after = (before != StoredPlace::default()).then(|| before.into());
        reader.visit_payments(after, &mut |place, payment| {
            if place.batch >= self.complete_below || looked_at == most {
                return ControlFlow::Break(());
            }
            looked_at += 1;
            last = place.into();
            if payment.reason == Reason::Paid {
                let record = PairRecord {
                    merchant: payment.merchant,
                    number: payment.number,
                    place: last,
                    instrument: payment.instrument,
                    asset: payment.asset,
                    amount: payment.amount,
                };
                records.push(record.entry());
            }
            ControlFlow::Continue(())
        })?;
        if last == before {
            return Ok(false);
        }
        records.push(PairCursor { last }.entry());
        engine.record(records)?;
        Ok(looked_at == most)
    }
}

fn cursor(engine: &Engine) -> Result<PairCursor, OrderError> {
    Ok(PairCursor::read(&**engine.reader(), &PairCursor::KEY)?.unwrap_or_default())
}
