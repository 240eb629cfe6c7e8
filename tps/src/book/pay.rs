//! A payment in the book: the decision of DESIGN section 6, and what it changes.

use std::sync::Arc;

use protocol::ids::Digest;
use protocol::ledger::decision::{Asked, Authentication, Decision, Facts, decide};
use protocol::ledger::instrument::{Instrument, Place};
use protocol::ledger::posting;
use protocol::proof::Outcome;
use protocol::proof::batch::{PreparedPlace, Released, SignedBatch};
use protocol::request::{CustomerHalf, OpenHalf, ReceivedRequest, SignedBytes};
use protocol::response::{Answer, Reason};
use protocol::session::payment::PaymentSession;
use protocol::time::Timestamp;

use super::Book;
use crate::dense::Slot;
use crate::store::records::{BatchRecord, PaymentRecord};

/// An authenticated or refused request with its prepared proofs, as the sequencer receives it.
pub struct Presented<'a> {
    /// The request as received.
    pub request: &'a ReceivedRequest,
    /// Its opened half.
    pub half: &'a CustomerHalf,
    /// What the customer signed.
    pub signed: &'a SignedBytes,
    /// The session that authenticates the PIN.
    pub session: &'a PaymentSession,
    /// Result of the workers' checks.
    pub authentication: Authentication,
}

/// An instrument whose transaction is to be consumed, and what for.
struct Admitted {
    slot: Slot,
    instrument: Instrument,
    content: Digest,
}

/// What will be told, once everything up to here is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every verdict is fresh, and a box would allocate per payment")]
pub enum Verdict {
    /// An outcome of this batch.
    Fresh(Answer, Released),
    /// The outcome of an earlier transaction (row 7), and whether its modifier parts are in force.
    Stored(Place, bool),
}

impl Book {
    /// Decides one request and changes the book accordingly. `batch` is its batch's number.
    pub fn pay(&mut self, presented: &Presented<'_>, prepared: PreparedPlace, batch: u64, now: Timestamp) -> Verdict {
        let Presented { request, half, signed, session, authentication } = *presented;
        let open = &request.open;
        let content = open.content(half.customer_part).hash();
        let slot = self.instruments.slot(half.instrument);
        let found = slot.map(|slot| {
            let account = self.accounts.at(self.instruments.account(slot));
            (slot, self.instruments.at(slot, &account), account)
        });
        let facts = Facts {
            instrument: found.as_ref().map(|(_, instrument, _)| instrument),
            account: found.as_ref().map(|(_, _, account)| account),
            merchant: self.standing(open.merchant),
            now,
        };
        let asked = Asked {
            authentication,
            request: &request.hash,
            count: half.count,
            content: &content,
            amount: open.amount,
            asset: open.asset,
            valid_until: open.valid_until,
            merchant: open.merchant,
        };
        let decision = decide(&facts, &asked, |pin| half.opens_with(pin, session, signed));
        let Some((slot, mut instrument, _)) = found else {
            return deny(prepared, Answer::bare(Reason::AuthenticationFailed));
        };
        match decision {
            Decision::Refuse(_, reason) => deny(prepared, Answer::bare(reason)),
            Decision::RefuseAndCount => {
                instrument.state.record_failure(&request.hash);
                self.instruments.set_state(slot, &instrument.state);
                deny(prepared, Answer::bare(Reason::AuthenticationFailed))
            }
            Decision::TellCount(count) => deny(prepared, Answer { count, ..Answer::bare(Reason::CountMismatch) }),
            Decision::Repeat => Verdict::Stored(instrument.state.last_place, instrument.state.previous.is_some()),
            Decision::Deny(reason) => {
                self.consume(presented, Admitted { slot, instrument, content }, prepared, batch, now, reason)
            }
            Decision::Pay => {
                self.consume(presented, Admitted { slot, instrument, content }, prepared, batch, now, Reason::Paid)
            }
        }
    }

    /// Rows 9 and 10: the count is consumed, the modifier advances, the outcome is stored; paid, the money moves.
    fn consume(
        &mut self,
        presented: &Presented<'_>,
        admitted: Admitted,
        prepared: PreparedPlace,
        batch: u64,
        now: Timestamp,
        reason: Reason,
    ) -> Verdict {
        let Admitted { slot, mut instrument, content } = admitted;
        let (half, open) = (presented.half, &presented.request.open);
        let processor_part = prepared.processor_part();
        let released = prepared.release(reason.outcome());
        let place = Place { batch, index: released.index };
        instrument.state.consume(content, place, half.customer_part, processor_part);
        if reason == Reason::Paid
            && let Some(limit) = instrument.limits.as_deref().and_then(|limits| limits.per_period)
        {
            instrument.state.spend(&limit, open.amount, now);
        }
        self.instruments.set_state(slot, &instrument.state);
        if reason == Reason::Paid {
            let postings = posting::payment(instrument.account, open.merchant, open.asset, open.amount);
            self.post(&postings).expect("amounts are below 10^15 and balances hold 10^38");
        }
        let balance = self.accounts.at(self.instruments.account(slot)).balance;
        let record = record(presented, open, half, &released, reason, balance, processor_part);
        self.changed.payments.push((place, record));
        Verdict::Fresh(record.answer(true), released)
    }

    /// Notes a signed batch for the next commit, if anything in it was consumed here.
    pub fn keep_batch(&mut self, number: u64, batch: &Arc<SignedBatch>) {
        if self.changed.payments.last().is_some_and(|(place, _)| place.batch == number) {
            let record =
                BatchRecord { header: *batch.header(), signature: *batch.signature(), leaves: batch.leaves().to_vec() };
            self.changed.batches.push((number, record));
        }
    }

    /// Notes that decisions were made at `time`, so that the clock never goes back behind it.
    pub fn keep_time(&mut self, time: Timestamp) {
        self.changed.clock = self.changed.clock.max(time);
    }
}

fn deny(prepared: PreparedPlace, answer: Answer) -> Verdict {
    Verdict::Fresh(answer, prepared.release(Outcome::NotPaid))
}

fn record(
    presented: &Presented<'_>,
    open: &OpenHalf,
    half: &CustomerHalf,
    released: &Released,
    reason: Reason,
    balance: i128,
    processor_part: protocol::pin::ModifierPart,
) -> PaymentRecord {
    PaymentRecord {
        instrument: half.instrument,
        count: half.count,
        reason,
        balance,
        customer_part: half.customer_part,
        processor_part,
        payment: released.statement.payment,
        merchant: open.merchant,
        number: open.number,
        amount: open.amount,
        asset: open.asset,
        quote_digest: open.quote_digest,
        kind: open.kind,
        terms: open.terms,
        opening: released.opening,
        other_commitment: released.other_commitment,
        valid_until: open.valid_until,
        session_key: open.key,
        route: open.route,
        ephemeral: presented.request.ephemeral,
        signature: half.signature,
    }
}
