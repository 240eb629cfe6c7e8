//! The floor: the bare work of a payment composed in a loop, without queues, threads, budgets or a network.
//!
//! What is here is what has to be done for every payment however it is organised, in batches of a size at which batching
//! has paid off. What the server needs beyond it is organisation.

use std::sync::Arc;

use protocol::ids::Digest;
use protocol::ledger::decision::Authentication;
use protocol::proof::Claim;
use protocol::proof::batch::{SignedBatch, prepare};
use protocol::request::{OpenHalf, ReceivedRequest};
use protocol::response::ResponseSealer;
use protocol::session::payment::PaymentSession;
use protocol::session::{AgreementPublic, AgreementSecret};
use protocol::signature::{Domain, Item, verify_batch};
use tps::book::pay::{Presented, Verdict};

use crate::fixtures::{PROOF_KEY, REALM, processor, processor_secret};
use crate::installation::{Processor, random};

/// Requests in one batch of the floor.
pub const BATCH_REQUESTS: usize = 256;
/// Payments in one commit of the floor.
pub const COMMIT_PAYMENTS: usize = 1024;

/// Decided, not yet durable.
struct Pending {
    verdict: Verdict,
    batch: Arc<SignedBatch>,
    request: Digest,
    session: PaymentSession,
}

/// The floor over a processor's state.
pub struct Floor {
    processor: Processor,
    secret: AgreementSecret,
    public: AgreementPublic,
    sealer: ResponseSealer,
}

/// What a proof is to state about a request.
pub fn claim_of(open: &OpenHalf) -> Claim {
    let OpenHalf { kind, terms, merchant, number, amount, asset, quote_digest, .. } = *open;
    Claim { kind, terms, merchant, number, amount, asset, quote_digest }
}

impl Floor {
    /// The floor over `processor`.
    pub fn new(state: Processor) -> Self {
        let (secret, public) = (processor_secret(), processor().public);
        Self { processor: state, secret, public, sealer: ResponseSealer::default() }
    }

    /// The processor's state.
    pub fn processor(&self) -> &Processor {
        &self.processor
    }

    /// Takes requests and gives sealed answers in their order.
    pub fn pay(&mut self, messages: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut answers = Vec::with_capacity(messages.len());
        for commit in messages.chunks(COMMIT_PAYMENTS) {
            let mut pending = Vec::with_capacity(commit.len());
            for batch in commit.chunks(BATCH_REQUESTS) {
                self.decide(batch, &mut pending);
            }
            let (changes, _) = self.processor.book.take_changes();
            self.processor.store.commit(&changes).expect("the disk takes a commit");
            for Pending { verdict, batch, request, session } in pending {
                let Verdict::Fresh(answer, released) = verdict else { panic!("every request is new") };
                let proof = batch.proof(&released);
                answers.push(self.sealer.seal(answer, &proof, &request, &session).to_vec());
            }
        }
        answers
    }

    fn decide(&mut self, messages: &[&[u8]], pending: &mut Vec<Pending>) {
        let processor = &mut self.processor;
        let parsed = messages.iter().map(|message| ReceivedRequest::parse(message).expect("a request"));
        let requests: Vec<ReceivedRequest> = parsed.collect();
        let ephemerals: Vec<AgreementPublic> = requests.iter().map(|request| request.ephemeral).collect();
        let sessions: Result<Vec<_>, _> =
            PaymentSession::for_processor_batch(&self.secret, &self.public, &ephemerals).into_iter().collect();
        let sessions = sessions.expect("usable keys");
        let opened = requests.iter().zip(&sessions).map(|(request, session)| {
            let half = request.open(session).expect("sealed for this key");
            let signed = request.signed_bytes(&half);
            let entry = processor.directory.get(half.instrument).expect("enrolled");
            assert!(half.device_tag_holds(&entry.device_key, &signed));
            let signature = half.signature().expect("signed");
            (half, signed, entry.key, signature)
        });
        let opened: Vec<_> = opened.collect();
        let items: Vec<Item<'_>> =
            opened.iter().map(|(_, message, key, signature)| Item { key, message, signature }).collect();
        let report = verify_batch(Domain::REQUEST_FOR_PAYMENT, &items, random());

        let claims: Vec<Claim> = requests.iter().map(|request| claim_of(&request.open)).collect();
        let (number, seed) = processor.draw_batch();
        let (batch, places) = prepare(&claims, REALM, processor.clock, seed, &processor.proof_key, PROOF_KEY);
        let batch = Arc::new(batch);
        let rest = opened.iter().zip(&report.verdicts).zip(places);
        for ((request, session), (((half, signed, ..), verdict), place)) in requests.iter().zip(sessions).zip(rest) {
            let authentication = if verdict.is_ok() { Authentication::Held } else { Authentication::Failed };
            let presented = Presented { request, half, signed, session: &session, authentication };
            let verdict = processor.book.pay(&presented, place, number, processor.clock);
            pending.push(Pending { verdict, batch: Arc::clone(&batch), request: request.hash, session });
        }
        processor.book.keep_batch(number, &batch);
    }
}
