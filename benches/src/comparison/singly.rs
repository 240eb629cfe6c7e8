//! The ways without batches of ours: one agreement, one verification and two signatures for every payment.
//!
//! The two signatures are those over the proof and over the denial, both made before the decision, as the idea of task
//! decoupling asks. The ledger takes payments in prepared batches, so batches of one are prepared for it off the clock:
//! their hashes and secrets cost these ways nothing. Their signature is made again on the clock, and compared.

use std::sync::Arc;

use protocol::codec::Fixed;
use protocol::ids::Digest;
use protocol::ledger::decision::Authentication;
use protocol::proof::Outcome;
use protocol::proof::batch::{PreparedPlace, SignedBatch, prepare};
use protocol::request::ReceivedRequest;
use protocol::response::ResponseSealer;
use protocol::session::AgreementPublic;
use protocol::session::payment::PaymentSession;
use protocol::signature::Domain;
use tps::book::pay::{Presented, Verdict};

use super::libraries::Library;
use crate::fixtures::{PROOF_KEY, REALM, processor};
use crate::floor::claim_of;
use crate::installation::{Balances, Processor};

/// A batch of one, for the ledger.
pub(super) struct Prepared {
    batch: Arc<SignedBatch>,
    place: PreparedPlace,
    number: u64,
}

/// Decided, not yet durable.
struct Pending {
    verdict: Verdict,
    batch: Arc<SignedBatch>,
    request: Digest,
    session: PaymentSession,
}

/// A way with one library and so many payments per commit.
pub(super) struct Singly<L> {
    processor: Processor,
    public: AgreementPublic,
    library: L,
    commit_payments: usize,
    sealer: ResponseSealer,
}

impl<L: Library> Singly<L> {
    pub(super) fn new(processor_state: Processor, library: L, commit_payments: usize) -> Self {
        let (public, sealer) = (processor().public, ResponseSealer::default());
        Self { processor: processor_state, public, library, commit_payments, sealer }
    }

    pub(super) fn library(&self) -> &L {
        &self.library
    }

    pub(super) fn balances(&self) -> Balances {
        Balances::of(&self.processor.book)
    }

    /// What the ledger needs for `messages`; not part of what is measured.
    pub(super) fn prepare(&mut self, messages: &[&[u8]]) -> Vec<Prepared> {
        let processor = &mut self.processor;
        let prepare_one = |message: &&[u8]| {
            let claim = claim_of(&ReceivedRequest::parse(message).expect("a request").open);
            let (number, seed) = processor.draw_batch();
            let (batch, mut places) = prepare(&[claim], REALM, processor.clock, seed, &processor.proof_key, PROOF_KEY);
            Prepared { batch: Arc::new(batch), place: places.remove(0), number }
        };
        messages.iter().map(prepare_one).collect()
    }

    /// Takes requests and gives sealed answers in their order.
    pub(super) fn pay(&mut self, messages: &[&[u8]], prepared: Vec<Prepared>) -> Vec<Vec<u8>> {
        let mut answers = Vec::with_capacity(messages.len());
        let mut pending = Vec::with_capacity(self.commit_payments);
        for (position, (message, prepared)) in messages.iter().zip(prepared).enumerate() {
            pending.push(self.decide(message, prepared));
            if pending.len() < self.commit_payments && position + 1 < messages.len() {
                continue;
            }
            let (changes, _) = self.processor.book.take_changes();
            self.processor.store.commit(&changes).expect("the disk takes a commit");
            for Pending { verdict, batch, request, session } in pending.drain(..) {
                let Verdict::Fresh(answer, released) = verdict else { panic!("every request is new") };
                answers.push(self.sealer.seal(answer, &batch.proof(&released), &request, &session).to_vec());
            }
        }
        answers
    }

    fn decide(&mut self, message: &[u8], prepared: Prepared) -> Pending {
        let Prepared { batch, place, number } = prepared;
        let (processor, library) = (&mut self.processor, &self.library);
        let request = ReceivedRequest::parse(message).expect("a request");
        let shared = library.agree(request.ephemeral.0);
        let session = PaymentSession::from_shared(&shared, &request.ephemeral, &self.public);
        let half = request.open(&session).expect("sealed for this key");
        let signed = request.signed_bytes(&half);
        let entry = processor.directory.get(half.instrument).expect("enrolled");
        assert!(half.device_tag_holds(&entry.device_key, &signed));
        let key = *entry.key.as_bytes();
        drop(entry);
        let to_verify = [Domain::REQUEST_FOR_PAYMENT.prefix(), &signed].concat();
        let holds = library.verify(&key, &to_verify, &half.signature);

        let proof = [Domain::BATCH_ROOT.prefix(), &batch.header().encode()].concat();
        assert_eq!(&library.sign(&proof), batch.signature(), "Ed25519 is deterministic");
        let denial = [Domain::BATCH_ROOT.prefix(), &place.statement().encode(), &[Outcome::NotPaid as u8]].concat();
        std::hint::black_box(library.sign(&denial));

        let authentication = if holds { Authentication::Held } else { Authentication::Failed };
        let presented =
            Presented { request: &request, half: &half, signed: &signed, session: &session, authentication };
        let verdict = processor.book.pay(&presented, place, number, processor.clock);
        processor.book.keep_batch(number, &batch);
        Pending { verdict, batch, request: request.hash, session }
    }
}
