//! What each stage of a payment costs, on one core: `cargo bench -p benches --profile release`.
//!
//! Names are `<who>/<what>`. Where a bench works on a batch its figure is for the whole batch, and criterion also prints
//! the elements per second.

use std::hint::black_box;

use benches::fixtures::{
    BATCH_SIZES, OpenedRequest, PROOF_KEY, REALM, TIME, batch_seed, bytes32, claims, content, instrument_keys,
    modified_pin, opened_request, paid_answer, prepared_batch, processor, processor_secret, proof, proof_key,
    sealed_request, verifier,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use protocol::proof::Outcome;
use protocol::proof::batch::prepare;
use protocol::request::{ReceivedRequest, seal};
use protocol::response;
use protocol::session::AgreementSecret;
use protocol::session::payment::PaymentSession;
use protocol::signature::{Domain, Item, verify, verify_batch};

/// The CTS makes a request, key agreement and signature included, and reads the answer.
fn customer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("customer");
    let (content, keys, pin, processor) = (content(0), instrument_keys(0), modified_pin(), processor());
    group.bench_function("seal_request", |bencher| {
        bencher.iter_batched(
            || AgreementSecret::from_random(bytes32(5, 0)),
            |ephemeral| seal(&content, 7, &keys, pin, &processor, ephemeral).expect("a usable key"),
            BatchSize::SmallInput,
        );
    });
    let sealed = sealed_request(0);
    let answer = response::seal(paid_answer(), &proof(1024), &sealed.hash, &sealed.session);
    println!("bytes: request {}, response to a batch of 1024 {}", sealed.bytes.len(), answer.len());
    group.bench_function("open_response", |bencher| {
        bencher.iter(|| response::open(black_box(&answer), &sealed.hash, &sealed.session).expect("authentic"));
    });
    group.finish();
}

/// The TPS reads a request: session, opening, device tag, PIN.
fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("processor");
    let bytes = sealed_request(0).bytes;
    let OpenedRequest { request, session, half, signed, .. } = opened_request(0);
    let (secret, public, device) = (processor_secret(), processor().public, bytes32(3, 0));
    group.bench_function("parse_request", |bencher| {
        bencher.iter(|| ReceivedRequest::parse(black_box(&bytes)).expect("a request"));
    });
    group.bench_function("session_x25519", |bencher| {
        bencher
            .iter(|| PaymentSession::for_processor(&secret, &public, black_box(&request.ephemeral)).expect("usable"));
    });
    group.bench_function("open_request", |bencher| {
        bencher.iter(|| request.open(black_box(&session)).expect("opens"));
    });
    group.bench_function("device_tag", |bencher| {
        bencher.iter(|| assert!(half.device_tag_holds(black_box(&device), &signed)));
    });
    group.bench_function("pin_authenticator", |bencher| {
        bencher.iter(|| assert!(half.opens_with(black_box(modified_pin()), &session, &signed)));
    });
    group.finish();
}

/// The TPS checks customers' signatures.
fn signatures(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signature");
    let requests: Vec<OpenedRequest> = (0..1024).map(opened_request).collect();
    let items: Vec<Item<'_>> = requests
        .iter()
        .map(|request| Item { key: request.key.enrolled(), message: &request.signed, signature: &request.signature })
        .collect();
    group.throughput(Throughput::Elements(1));
    group.bench_function("single", |bencher| {
        let one = items[0];
        bencher.iter(|| {
            verify(one.key, Domain::REQUEST_FOR_PAYMENT, black_box(one.message), one.signature).expect("valid")
        });
    });
    for size in BATCH_SIZES {
        group.throughput(Throughput::Elements(size as u64));
        group.bench_with_input(BenchmarkId::new("batch", size), &items[..size], |bencher, items| {
            bencher.iter(|| {
                assert!(verify_batch(Domain::REQUEST_FOR_PAYMENT, black_box(items), bytes32(8, 0)).all_valid());
            });
        });
    }
    group.finish();
}

/// The TPS prepares both outcomes of a batch and signs it; then reveals and seals.
fn proofs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proof");
    let key = proof_key();
    for size in [1].into_iter().chain(BATCH_SIZES) {
        let claims = claims(size);
        group.throughput(Throughput::Elements(size as u64));
        group.bench_with_input(BenchmarkId::new("prepare", size), &claims, |bencher, claims| {
            bencher.iter(|| prepare(black_box(claims), REALM, TIME, batch_seed(), &key, PROOF_KEY));
        });
    }
    let sealed = sealed_request(0);
    for size in [1, 1024] {
        let (batch, _) = prepared_batch(size);
        group.throughput(Throughput::Elements(1));
        group.bench_with_input(BenchmarkId::new("release_assemble_seal", size), &size, |bencher, size| {
            let mut places = Vec::new();
            bencher.iter_batched(
                || {
                    if places.is_empty() {
                        places = prepared_batch(*size).1;
                    }
                    places.pop().expect("just filled")
                },
                |place| {
                    let proof = batch.proof(&place.release(Outcome::Paid)).encode();
                    response::seal(paid_answer(), &proof, &sealed.hash, &sealed.session)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// The merchant verifies a proof offline: with the signature, and with the root of its batch already checked.
fn merchant(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merchant");
    for size in [1, 1024] {
        let bytes = proof(size);
        println!("bytes: proof of a batch of {size} {}", bytes.len());
        group.bench_with_input(BenchmarkId::new("verify_first", size), &bytes, |bencher, bytes| {
            // A verifier that remembers nothing meets every proof for the first time.
            let mut forgetful = verifier(0);
            bencher.iter(|| forgetful.verify(black_box(bytes)).expect("genuine"));
        });
        group.bench_with_input(BenchmarkId::new("verify_root_cached", size), &bytes, |bencher, bytes| {
            let mut warm = verifier(8);
            warm.verify(bytes).expect("genuine");
            bencher.iter(|| warm.verify(black_box(bytes)).expect("genuine"));
        });
    }
    group.finish();
}

criterion_group!(stages, customer, open, signatures, proofs, merchant);
criterion_main!(stages);
