//! The customer makes a request, key agreement and signature included, and reads the answer:
//! `cargo bench -p benches --profile release --bench customer`. Processor time of one core.

use std::hint::black_box;

use benches::cpu_time::{CpuTime, by_cpu_time};
use benches::fixtures::{
    bytes32, content, instrument_keys, modified_pin, paid_answer, processor, proof, sealed_request,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use protocol::request::seal;
use protocol::response;
use protocol::session::AgreementSecret;

fn customer(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("customer");
    let (content, keys, pin, processor) = (content(0), instrument_keys(0), modified_pin(), processor());
    group.bench_function("seal_request", |bencher| {
        bencher.iter_batched(
            || AgreementSecret::from_random(bytes32(5, 0)),
            |ephemeral| seal(&content, 1, &keys, pin, &processor, ephemeral).expect("a usable key"),
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

criterion_group! {
    name = benches;
    config = by_cpu_time();
    targets = customer
}
criterion_main!(benches);
