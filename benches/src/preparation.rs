//! When proofs are made ready, and what that does to the response time at the customer (K-130).
//!
//! Seed 003, section 4, prepares both versions of the proof from the open half alone, beside the regeneration of the
//! session key. Here are that way, ours, and the one that prepares nothing; all else is the same, and in memory.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use protocol::codec::Fixed;
use protocol::ledger::decision::Authentication;
use protocol::proof::Claim;
use protocol::proof::batch::{BatchSeed, PreparedPlace, SignedBatch, prepare};
use protocol::request::{CustomerHalf, ReceivedRequest, SignedBytes};
use protocol::response::ResponseSealer;
use protocol::session::payment::PaymentSession;
use protocol::session::{AgreementPublic, AgreementSecret};
use protocol::signature::{Domain, Item, verify_batch};
use tps::book::pay::{Presented, Verdict};

use crate::fixtures::{PROOF_KEY, REALM, TIME, processor, processor_secret, proof_key, sealed_request};
use crate::floor::claim_of;
use crate::installation::{Processor, random};

/// When proofs are made ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing is prepared: a signature for every payment, once it is decided.
    AfterTheDecision,
    /// Before the decision, by the thread that has opened and verified the batch: the server's way.
    BeforeTheDecision,
    /// On another thread, while the session keys are regenerated: the paper's way.
    BesideTheAgreement,
}

impl Way {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::AfterTheDecision, Self::BeforeTheDecision, Self::BesideTheAgreement];
}

/// A batch with its tree and its one signature, and what is not yet decided.
type Prepared = (SignedBatch, Vec<PreparedPlace>);

fn prepared(claims: &[Claim]) -> Prepared {
    prepare(claims, REALM, TIME, BatchSeed::from_random(random()), &proof_key(), PROOF_KEY)
}

/// A thread that prepares what it is handed. Kept, so that nobody waits for a thread to start.
struct Beside {
    claims: Option<Sender<Vec<Claim>>>,
    prepared: Receiver<Prepared>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    fn start() -> Self {
        let ((claims, to_prepare), (out, prepared_in)) = (channel::<Vec<Claim>>(), channel());
        let work = move || {
            while let Ok(claims) = to_prepare.recv() {
                if out.send(prepared(&claims)).is_err() {
                    return;
                }
            }
        };
        Self { claims: Some(claims), prepared: prepared_in, thread: Some(std::thread::spawn(work)) }
    }

    fn begin(&self, claims: Vec<Claim>) {
        self.claims.as_ref().expect("open until dropped").send(claims).expect("the thread runs");
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.claims = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A processor that answers the same first requests of its customers again and again, always from the start.
pub struct Responder {
    messages: Vec<Vec<u8>>,
    secret: AgreementSecret,
    public: AgreementPublic,
    beside: Beside,
}

impl Responder {
    /// With batches of so many requests.
    pub fn new(requests: usize) -> Self {
        let messages = (0..requests).map(|number| sealed_request(number).bytes).collect();
        Self { messages, secret: processor_secret(), public: processor().public, beside: Beside::start() }
    }

    /// The sealed answers to the batch, and the time from the first byte read to the last answer sealed.
    ///
    /// # Panics
    /// If a request is not paid: the inputs are our own.
    pub fn respond(&self, way: Way) -> (Vec<Vec<u8>>, Duration) {
        let mut state = Processor::in_memory(self.messages.len(), TIME);
        // The ledger takes prepared places only; what no way but this one needs is made off the clock.
        let alone: Vec<Prepared> = match way {
            Way::AfterTheDecision => self.requests().iter().map(|one| prepared(&[claim_of(&one.open)])).collect(),
            _ => Vec::new(),
        };
        let begun = Instant::now();
        let requests = self.requests();
        let claims = || requests.iter().map(|request| claim_of(&request.open)).collect::<Vec<_>>();
        if way == Way::BesideTheAgreement {
            self.beside.begin(claims());
        }
        let opened = self.opened(&requests);
        let authentications = verified(&opened, &state);
        let prepared: Vec<(Arc<SignedBatch>, PreparedPlace)> = match way {
            Way::AfterTheDecision => {
                alone.into_iter().map(|(batch, mut places)| (Arc::new(batch), places.remove(0))).collect()
            }
            Way::BeforeTheDecision => shared(prepared(&claims())),
            Way::BesideTheAgreement => shared(self.beside.prepared.recv().expect("the thread runs")),
        };
        let mut decided = Vec::with_capacity(requests.len());
        let all = requests.iter().zip(&opened).zip(authentications).zip(prepared);
        for (((request, (session, half, signed)), authentication), (batch, place)) in all {
            let presented = Presented { request, half, signed, session, authentication };
            let verdict = state.book.pay(&presented, place, 1, TIME);
            if way == Way::AfterTheDecision {
                let statement = batch.header().encode();
                assert_eq!(
                    state.proof_key.sign(Domain::BATCH_ROOT, &statement).0,
                    *batch.signature(),
                    "Ed25519 is deterministic"
                );
            }
            decided.push((verdict, batch));
        }
        let (changes, _) = state.book.take_changes();
        state.store.commit(&changes).expect("a store in memory");
        let mut sealer = ResponseSealer::default();
        let answers = decided.iter().zip(&requests).zip(&opened).map(|(((verdict, batch), request), (session, ..))| {
            let Verdict::Fresh(answer, released) = verdict else { panic!("every request is new") };
            sealer.seal(*answer, &batch.proof(released), &request.hash, session).to_vec()
        });
        let answers = answers.collect();
        (answers, begun.elapsed())
    }

    fn requests(&self) -> Vec<ReceivedRequest> {
        self.messages.iter().map(|message| ReceivedRequest::parse(message).expect("a request")).collect()
    }

    fn opened(&self, requests: &[ReceivedRequest]) -> Vec<(PaymentSession, CustomerHalf, SignedBytes)> {
        let ephemerals: Vec<AgreementPublic> = requests.iter().map(|request| request.ephemeral).collect();
        let sessions = PaymentSession::for_processor_batch(&self.secret, &self.public, &ephemerals);
        let opened = requests.iter().zip(sessions).map(|(request, session)| {
            let session = session.expect("a usable key");
            let half = request.open(&session).expect("sealed for this key");
            let signed = request.signed_bytes(&half);
            (session, half, signed)
        });
        opened.collect()
    }
}

fn shared((batch, places): Prepared) -> Vec<(Arc<SignedBatch>, PreparedPlace)> {
    let batch = Arc::new(batch);
    places.into_iter().map(|place| (Arc::clone(&batch), place)).collect()
}

fn verified(opened: &[(PaymentSession, CustomerHalf, SignedBytes)], state: &Processor) -> Vec<Authentication> {
    let found = opened.iter().map(|(_, half, signed)| {
        let entry = state.directory.get(half.instrument).expect("enrolled");
        assert!(half.device_tag_holds(&entry.device_key, signed));
        (entry.key, half.signature().expect("signed"))
    });
    let found: Vec<_> = found.collect();
    let items = found.iter().zip(opened).map(|((key, signature), (_, _, message))| Item { key, message, signature });
    let report = verify_batch(Domain::REQUEST_FOR_PAYMENT, &items.collect::<Vec<_>>(), random());
    let judged = |verdict: &Result<(), _>| if verdict.is_ok() { Authentication::Held } else { Authentication::Failed };
    report.verdicts.iter().map(judged).collect()
}
