//! The pieces of work.

use std::hint::black_box;
use std::sync::Arc;

use benches::fixtures::{
    OpenedRequest, PROOF_KEY, REALM, TIME, batch_seed, claims, opened_request, paid_answer, prepared_batch, proof_key,
    sealed_request, verifier,
};
use benches::installation::Processor;
use protocol::ledger::decision::Authentication;
use protocol::proof::Outcome;
use protocol::proof::batch::{PreparedPlace, SignedBatch, prepare};
use protocol::request::ReceivedRequest;
use protocol::response::ResponseSealer;
use protocol::signature::{Domain, verify};
use tps::book::pay::Presented;
use tps::store::records::Changes;
use tps::store::rocksdb::append_records;

use crate::Workload;

/// All of them.
pub(crate) const ALL: [fn() -> Workload; 7] = [
    verify_one_signature,
    prepare_both_outcomes,
    release_and_seal,
    parse_and_open,
    verify_proof_of_known_root,
    decide_and_book,
    encode_records,
];

/// Requests that most workloads work on, once to warm up and once to be counted.
const REQUESTS: usize = 64;

/// A customer's signature, alone and with portable code or what of the processor callgrind knows.
fn verify_one_signature() -> Workload {
    const SIGNATURES: usize = 8;
    let requests: Vec<OpenedRequest> = (0..SIGNATURES).map(opened_request).collect();
    let work = move || {
        for OpenedRequest { key, signed, signature, .. } in &requests {
            verify(key, Domain::REQUEST_FOR_PAYMENT, black_box(signed), signature).expect("valid");
        }
    };
    Workload { name: "verify-one-signature", repetitions: SIGNATURES, work: Box::new(work) }
}

/// Both outcomes of every request of a batch, its tree and its one signature.
fn prepare_both_outcomes() -> Workload {
    let (claims, key) = (claims(REQUESTS), proof_key());
    let work = move || {
        black_box(prepare(black_box(&claims), REALM, TIME, batch_seed(), &key, PROOF_KEY));
    };
    Workload { name: "prepare-both-outcomes", repetitions: REQUESTS, work: Box::new(work) }
}

/// The one opening of a request and its sealed answer, of a batch of the largest size.
fn release_and_seal() -> Workload {
    let (batch, mut places) = prepared_batch(1024);
    let (request, mut sealer) = (sealed_request(0), ResponseSealer::default());
    let work = move || {
        for place in places.drain(..REQUESTS) {
            let proof = batch.proof(&place.release(Outcome::Paid));
            black_box(sealer.seal(paid_answer(), &proof, &request.hash, &request.session));
        }
    };
    Workload { name: "release-and-seal", repetitions: REQUESTS, work: Box::new(work) }
}

/// Reading a request and opening its sealed half; the session's key was agreed on before.
fn parse_and_open() -> Workload {
    let requests: Vec<_> = (0..REQUESTS).map(|number| (sealed_request(number).bytes, opened_request(number))).collect();
    let work = move || {
        for (bytes, opened) in &requests {
            let request = ReceivedRequest::parse(black_box(bytes)).expect("a request");
            let half = request.open(&opened.session).expect("opens");
            black_box(request.signed_bytes(&half));
        }
    };
    Workload { name: "parse-and-open", repetitions: REQUESTS, work: Box::new(work) }
}

/// A merchant verifies proofs of a batch of the largest size whose signature it has checked before.
fn verify_proof_of_known_root() -> Workload {
    let (batch, places) = prepared_batch(1024);
    let release = |place: PreparedPlace| batch.proof(&place.release(Outcome::Paid)).encode();
    let proofs: Vec<Vec<u8>> = places.into_iter().take(REQUESTS).map(release).collect();
    let mut verifier = verifier(8);
    let work = move || {
        for proof in &proofs {
            black_box(verifier.verify(black_box(proof)).expect("genuine"));
        }
    };
    Workload { name: "verify-proof-of-known-root", repetitions: REQUESTS, work: Box::new(work) }
}

/// Requests of distinct instruments with their prepared proofs.
fn presentable(first: usize) -> (Vec<OpenedRequest>, Arc<SignedBatch>, Vec<PreparedPlace>) {
    let requests = (first..first + REQUESTS).map(opened_request).collect();
    let (batch, places) = prepared_batch(REQUESTS);
    (requests, Arc::new(batch), places)
}

/// Pays with these requests and takes what changed.
fn pay(
    processor: &mut Processor,
    number: u64,
    (requests, batch, places): (Vec<OpenedRequest>, Arc<SignedBatch>, Vec<PreparedPlace>),
) -> Changes {
    for (opened, place) in requests.iter().zip(places) {
        let OpenedRequest { request, half, signed, session, .. } = opened;
        let presented = Presented { request, half, signed, session, authentication: Authentication::Held };
        black_box(processor.book.pay(&presented, place, number, TIME));
    }
    processor.book.keep_batch(number, &batch);
    processor.book.take_changes().0
}

/// The decision, the PIN among it, and what it changes in memory.
fn decide_and_book() -> Workload {
    let mut processor = Processor::in_memory(2 * REQUESTS, TIME);
    let mut batches = vec![(2, presentable(REQUESTS)), (1, presentable(0))];
    let work = move || {
        let (number, presented) = batches.pop().expect("one to warm up and one to count");
        let changes = pay(&mut processor, number, presented);
        assert_eq!(changes.payments.len(), REQUESTS);
    };
    Workload { name: "decide-and-book", repetitions: REQUESTS, work: Box::new(work) }
}

/// The bytes of a payment, of its instrument and of its account, as they are stored.
fn encode_records() -> Workload {
    let mut processor = Processor::in_memory(REQUESTS, TIME);
    let changes = pay(&mut processor, 1, presentable(0));
    let mut bytes = Vec::new();
    let work = move || {
        bytes.clear();
        append_records(black_box(&changes), &mut bytes);
        black_box(&bytes);
    };
    Workload { name: "encode-records", repetitions: REQUESTS, work: Box::new(work) }
}
