//! Deferred verification (K-55, K-56): signatures that were not checked before money moved are checked here, many in one
//! equation, from what the log holds. A bad one holds the instrument and is reported; the payment stands, and so does its proof.
//!
//! A cursor says up to where the log was checked. While a server checks live, what it adds to the log needs no second check:
//! the cursor then says so, and is set behind it when checks are deferred again.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use protocol::ids::InstrumentId;
use protocol::ledger::instrument::Place;
use protocol::signature::{Domain, EnrolledKey, Item, verify_batch};

use super::cursor::Cursor;
use super::{Job, Pause};
use crate::admin::AdminError;
use crate::book::orders::{Order, OrderError};
use crate::pipeline::Engine;
use crate::pipeline::verify::SignatureCheck;
use crate::reports::Report;
use crate::store::Reader;
use crate::store::desk::DeskRecord;
use crate::store::holds::Holder;
use crate::store::records::{ActivationState, PaymentRecord};

const NAME: &str = "deferred verification";
/// Transactions per step. Equations hold 256 at most; a step is a few of them, and one write.
const PAYMENTS_PER_STEP_MAX: usize = 1_024;
/// How long the job waits at the end of the log.
const AT_THE_END: Duration = Duration::from_secs(1);

/// In the cursor's note: what comes after it in the log was checked live.
const CHECKED_LIVE: u8 = 1;
const TO_BE_CHECKED: u8 = 0;

/// Whether `cursor` is this job's and says that nothing after it is left to check.
pub fn is_finished(cursor: &Cursor) -> bool {
    cursor.job == NAME && cursor.note == CHECKED_LIVE
}

/// The job.
pub struct DeferredVerification {
    verified: Place,
    /// Where the job ends: for a server that checks live, at what others left. `None`: never.
    end: Option<Place>,
    /// The end was reached, and that is durable.
    finished: bool,
}

impl DeferredVerification {
    /// Makes ready for a server that checks signatures as `check` says. Must be called before the first payment is taken; it is
    /// durable then which part of the log is left to check.
    ///
    /// # Errors
    /// [`AdminError`] where the store does not answer.
    pub fn start(engine: &Engine, check: SignatureCheck) -> Result<Option<Self>, AdminError> {
        let cursor = Cursor::read(engine.reader().as_ref(), &NAME.to_owned())?;
        let end = engine.log_end_at_start();
        let left = cursor.filter(|cursor| cursor.note == TO_BE_CHECKED);
        match (check, left) {
            (SignatureCheck::Live, None) => Ok(None),
            (SignatureCheck::Live, Some(cursor)) => {
                Ok(Some(Self { verified: cursor.place(), end: Some(end), finished: false }))
            }
            (SignatureCheck::Deferred, Some(cursor)) => {
                Ok(Some(Self { verified: cursor.place(), end: None, finished: false }))
            }
            (SignatureCheck::Deferred, None) => {
                engine.record(vec![Cursor::new(NAME, end, TO_BE_CHECKED).entry()])?;
                Ok(Some(Self { verified: end, end: None, finished: false }))
            }
        }
    }

    /// The next transactions to check.
    fn next(&self, reader: &dyn Reader, complete: u64) -> Result<Vec<(Place, PaymentRecord)>, AdminError> {
        let mut found = Vec::new();
        reader.visit_payments(Some(self.verified), &mut |place, record| {
            if place.batch > complete || self.end.is_some_and(|end| place > end) {
                return ControlFlow::Break(());
            }
            found.push((place, *record));
            if found.len() == PAYMENTS_PER_STEP_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(found)
    }
}

impl Job for DeferredVerification {
    fn name(&self) -> &'static str {
        NAME
    }

    fn step(&mut self, engine: &Engine) -> Result<Pause, AdminError> {
        let Some(complete) = engine.log_complete_up_to() else { return Ok(Pause::For(AT_THE_END)) };
        let reader = engine.reader().as_ref();
        let payments = self.next(reader, complete)?;
        let Some((last, _)) = payments.last() else {
            if let Some(end) = self.end.filter(|_| !self.finished) {
                engine.record(vec![Cursor::new(NAME, end, CHECKED_LIVE).entry()])?;
                self.finished = true;
            }
            return Ok(Pause::For(AT_THE_END));
        };
        for (place, record) in offenders(reader, &payments)? {
            hold(engine, place, &record)?;
        }
        engine.record(vec![Cursor::new(NAME, *last, TO_BE_CHECKED).entry()])?;
        self.verified = *last;
        Ok(Pause::None)
    }
}

/// The transactions whose signatures do not hold. Those without a signature were made under a policy that permits that.
fn offenders(
    reader: &dyn Reader,
    payments: &[(Place, PaymentRecord)],
) -> Result<Vec<(Place, PaymentRecord)>, AdminError> {
    let mut keys: HashMap<InstrumentId, EnrolledKey> = HashMap::new();
    let mut signed = Vec::new();
    for payment @ (_, record) in payments {
        let Some(signature) = record.signature() else { continue };
        let key = match keys.get(&record.instrument) {
            Some(key) => *key,
            None => {
                let key = enrolled_key(reader, record.instrument)?;
                keys.insert(record.instrument, key);
                key
            }
        };
        signed.push((payment, key, signature, record.signed_bytes()));
    }
    let items: Vec<Item<'_>> =
        signed.iter().map(|(_, key, signature, message)| Item { key, message, signature }).collect();
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| crate::keys::KeyError::NoRandomness)?;
    let report = verify_batch(Domain::REQUEST_FOR_PAYMENT, &items, seed);
    let bad = signed.iter().zip(report.verdicts).filter(|(_, verdict)| verdict.is_err());
    Ok(bad.map(|((payment, ..), _)| **payment).collect())
}

/// The key that an instrument was enrolled with, revoked or not.
fn enrolled_key(reader: &dyn Reader, id: InstrumentId) -> Result<EnrolledKey, AdminError> {
    match reader.enrolment(id)?.map(|record| record.activation) {
        Some(ActivationState::Active { signing_public, .. }) => Ok(EnrolledKey::from_store(signing_public)),
        _ => Err(reader.inconsistent(&format!("instrument {id} paid, but was never active")).into()),
    }
}

/// Holds the instrument and reports it to the operator. Doing it again changes nothing.
fn hold(engine: &Engine, place: Place, record: &PaymentRecord) -> Result<(), AdminError> {
    let (id, Place { batch, index }) = (record.instrument, place);
    tracing::error!(instrument = %id, count = record.count, batch, index, "a customer's signature does not hold");
    let text = format!(
        "the signature of transaction {} (batch {batch}, place {index}) does not hold; the payment stands, and the instrument is held",
        record.count
    );
    let report = Report::finding(engine.reader().as_ref(), id, text, engine.now())?;
    let records: Vec<_> = report.iter().map(DeskRecord::entry).collect();
    let order = Order::HoldInstrument { id, held: true, by: Holder::Job };
    match engine.order_with(id.shard_key(), order, records.clone()) {
        Ok(_) => Ok(()),
        // It pays nothing any more in any case.
        Err(OrderError::Revoked(_)) => Ok(engine.record(records)?),
        Err(error) => Err(error.into()),
    }
}
