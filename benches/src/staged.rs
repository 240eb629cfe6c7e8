//! A batch taken through the stages of the server one by one, as far as is asked.

use std::sync::Arc;

use protocol::enrolment::SignaturePolicy;
use protocol::proof::batch::BatchSeed;
use protocol::response::ResponseSealer;
use tps::pipeline::clock::Ticket;
use tps::pipeline::open::{Opened, SessionKey, open_batch};
use tps::pipeline::prove::{ProofSigner, ProvedBatch, prove_batch};
use tps::pipeline::reveal::reveal;
use tps::pipeline::sequence::{Committed, Sequenced, sequence_batch};
use tps::pipeline::verify::{SignatureCheck, SignatureRule, Verified, verify_batch};
use tps::pipeline::{AnswerSink, Outbox, ReplyTo, Sealed};
use tps::store::records::Changes;

use crate::fixtures::{TIME, sealed_request};
use crate::installation::{Processor, proof_signer, random, session_key};

/// An answer's way that ends at once.
struct Nowhere;

impl AnswerSink for Nowhere {
    fn put(&self, _request_id: u32, message: &[u8]) -> bool {
        std::hint::black_box(message);
        false
    }

    fn send(&self) {}
}

/// The first requests of so many instruments.
pub struct Staged {
    messages: Vec<Vec<u8>>,
    keys: [SessionKey; 1],
    signer: ProofSigner,
    sink: Arc<dyn AnswerSink>,
}

impl Staged {
    /// With this many requests, at most 1024.
    pub fn new(requests: usize) -> Self {
        let messages = (0..requests).map(|number| sealed_request(number).bytes).collect();
        Self { messages, keys: [session_key()], signer: proof_signer(), sink: Arc::new(Nowhere) }
    }

    /// A processor in which the requests are new.
    pub fn processor(&self) -> Processor {
        Processor::in_memory(self.messages.len(), TIME)
    }

    /// The requests with their open halves read.
    pub fn sealed(&self) -> Vec<Sealed> {
        let parse = |message: &Vec<u8>| Sealed::parse(message, &self.keys, ReplyTo::new(Arc::clone(&self.sink), 0));
        self.messages.iter().map(|message| parse(message).expect("a request")).collect()
    }

    /// The stage open.
    pub fn open(&self, sealed: Vec<Sealed>) -> Vec<Opened> {
        let opened = open_batch(sealed, &self.keys);
        assert_eq!(opened.len(), self.messages.len());
        opened
    }

    /// The stage verify.
    pub fn verify(&self, opened: Vec<Opened>, processor: &Processor) -> Vec<Verified> {
        let rule = SignatureRule { policy: SignaturePolicy::Required, check: SignatureCheck::Live };
        verify_batch(opened, &processor.directory, rule, random()).0
    }

    /// The stage prove.
    pub fn prove(&self, verified: Vec<Verified>) -> ProvedBatch {
        let ticket = Ticket { number: 1, time: TIME };
        prove_batch(verified, ticket, &self.signer, BatchSeed::from_random(random()), 1).remove(0)
    }

    /// The stage sequence, and what it changed.
    pub fn sequence(&self, proved: ProvedBatch, processor: &mut Processor) -> (Vec<Sequenced>, Changes) {
        let sequenced = sequence_batch(&mut processor.book, proved);
        (sequenced, processor.book.take_changes().0)
    }

    /// The stage reveal.
    pub fn reveal(&self, committed: Vec<Committed>, processor: &Processor) {
        let (reader, mut sealer, mut outbox) = (processor.store.reader(), ResponseSealer::default(), Outbox::default());
        for payment in committed {
            reveal(payment, &*reader, &mut sealer, &mut outbox).expect("a store in memory");
        }
    }

    /// All stages before sequence.
    pub fn proved(&self, processor: &Processor) -> ProvedBatch {
        self.prove(self.verify(self.open(self.sealed()), processor))
    }

    /// All stages before reveal, with a commit to memory.
    pub fn committed(&self, processor: &mut Processor) -> Vec<Committed> {
        let proved = self.proved(processor);
        let (sequenced, changes) = self.sequence(proved, processor);
        let receipt = processor.store.commit(&changes).expect("a store in memory");
        sequenced.into_iter().map(|payment| payment.committed(&receipt)).collect()
    }

    /// What all requests change, for one commit.
    pub fn changes(&self) -> Changes {
        let mut processor = self.processor();
        let proved = self.proved(&processor);
        let changes = self.sequence(proved, &mut processor).1;
        assert_eq!(changes.payments.len(), self.messages.len(), "all were consumed");
        changes
    }
}
