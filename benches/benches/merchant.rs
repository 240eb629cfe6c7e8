//! The merchant verifies a proof offline: the only one ever, the first of its batch, and with the root of its batch already
//! checked: `cargo bench -p benches --profile release --bench merchant`. Processor time of one core.

use std::hint::black_box;

use benches::cpu_time::{CpuTime, by_cpu_time};
use benches::fixtures::{prepared_batch, proof, proof_key, verifier};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use protocol::proof::Outcome;
use protocol::signature::{PreparedKey, ProofRole};

fn merchant(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("merchant");
    group.throughput(Throughput::Elements(1));
    let lone = proof(256);
    // What `mts verify` does: the key is pinned for one proof.
    group.bench_function("verify_lone", |bencher| {
        bencher.iter(|| verifier(0).verify(black_box(&lone)).expect("genuine"))
    });
    let public = proof_key().public();
    group.bench_function("prepare_key", |bencher| {
        bencher.iter(|| PreparedKey::<ProofRole>::new(black_box(&public)).expect("a key"));
    });
    for size in [1, 256, 1024] {
        let bytes = proof(size);
        println!("bytes: proof of a batch of {size} {}", bytes.len());
        group.bench_with_input(BenchmarkId::new("verify_first", size), &bytes, |bencher, bytes| {
            // A verifier that remembers nothing meets every proof for the first time; it prepares its key while warming up.
            let mut forgetful = verifier(0);
            bencher.iter(|| forgetful.verify(black_box(bytes)).expect("genuine"));
        });
    }
    for size in [256, 1024] {
        let (batch, places) = prepared_batch(size);
        let proofs = places.into_iter().map(|place| batch.proof(&place.release(Outcome::Paid)).encode());
        let proofs: Vec<Vec<u8>> = proofs.collect();
        group.throughput(Throughput::Elements(size as u64));
        group.bench_with_input(BenchmarkId::new("verify_root_cached", size), &proofs, |bencher, proofs| {
            let mut warm = verifier(8);
            warm.verify(&proofs[0]).expect("genuine");
            bencher.iter(|| proofs.iter().all(|proof| warm.verify(black_box(proof)).is_ok()));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = by_cpu_time();
    targets = merchant
}
criterion_main!(benches);
