//! Reveal: the one opening per request, in a sealed answer. Takes committed payments only.

use protocol::proof::batch::rebuild;
use protocol::response::ResponseSealer;

use super::reply::Outbox;
use super::sequence::{Committed, Sequenced};
use crate::book::pay::Verdict;
use crate::store::{Reader, StoreError};

/// Answers one committed request.
///
/// # Errors
/// [`StoreError`] where a stored outcome cannot be read: the request stays unanswered, and unresolved at the CTS.
pub fn reveal(
    committed: Committed,
    store: &dyn Reader,
    sealer: &mut ResponseSealer,
    outbox: &mut Outbox,
) -> Result<(), StoreError> {
    let Sequenced { verdict, batch, request, session, reply } = committed.0;
    let (answer, proof) = match verdict {
        Verdict::Fresh(answer, released) => (answer, batch.proof(&released)),
        Verdict::Stored(place, modifier_in_force) => {
            let stored = store.outcome(place)?;
            let released = stored.payment.released(place.index, &stored.batch.header);
            let proof = rebuild(&released, &stored.batch.header, &stored.batch.signature, stored.batch.leaves);
            (stored.payment.answer(modifier_in_force), proof)
        }
    };
    reply.answer_with(sealer.seal(answer, &proof, &request, &session), outbox);
    Ok(())
}
