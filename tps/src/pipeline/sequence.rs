//! Sequence: one writer per account shard decides batch after batch over memory.

use std::sync::Arc;

use protocol::ids::Digest;
use protocol::proof::batch::SignedBatch;
use protocol::session::payment::PaymentSession;

use super::prove::ProvedBatch;
use super::reply::ReplyTo;
use crate::book::Book;
use crate::book::pay::{Presented, Verdict};
use crate::store::CommitReceipt;

/// A decided request whose effects are in memory only. Nobody may be told yet.
pub struct Sequenced {
    pub(super) verdict: Verdict,
    pub(super) batch: Arc<SignedBatch>,
    pub(super) request: Digest,
    pub(super) session: PaymentSession,
    pub(super) reply: ReplyTo,
}

/// A decided request whose effects, and those of everything sequenced before it, are durable.
pub struct Committed(pub(super) Sequenced);

impl Sequenced {
    /// Turns into [`Committed`] by the evidence of the commit that contained it.
    pub fn committed(self, _evidence: &CommitReceipt) -> Committed {
        Committed(self)
    }
}

impl Committed {
    /// What will be told.
    pub fn verdict(&self) -> &Verdict {
        &self.0.verdict
    }
}

/// Decides all requests of a batch, in order.
pub fn sequence_batch(book: &mut Book, batch: ProvedBatch) -> Vec<Sequenced> {
    let ProvedBatch { ticket, signed, payments } = batch;
    book.keep_time(ticket.time);
    let mut sequenced = Vec::with_capacity(payments.len());
    for proved in payments {
        let authentication = proved.verified.authentication;
        let opened = proved.verified.opened;
        let presented = Presented {
            request: &opened.request,
            half: &opened.half,
            signed: &opened.signed,
            session: &opened.session,
            authentication,
        };
        let verdict = book.pay(&presented, proved.prepared, ticket.number, ticket.time);
        sequenced.push(Sequenced {
            verdict,
            batch: Arc::clone(&signed),
            request: opened.request.hash,
            session: opened.session,
            reply: opened.reply,
        });
    }
    book.keep_batch(ticket.number, &signed);
    sequenced
}
