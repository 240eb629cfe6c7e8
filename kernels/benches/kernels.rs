//! Every kernel with every backend of this processor. `examples/compare.rs` prints them side by side.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use kernels::{Backend, Name, Points, sha512, sum_of_multiples, x25519};

const COUNT: usize = 256;

fn kernels(criterion: &mut Criterion) {
    let encodings: Vec<[u8; 32]> =
        (1..=COUNT as u64).map(|i| EdwardsPoint::mul_base(&Scalar::from(i)).compress().to_bytes()).collect();
    let scalars: Vec<Scalar> = (17..).take(COUNT).map(|i: u64| Scalar::from(i).invert()).collect();
    let short = vec![u128::MAX / 3; COUNT];
    let message = [0xa5; 300];
    let messages: Vec<_> = encodings.iter().map(|key| [key.as_slice(), &message]).collect();
    let all: Vec<usize> = (0..COUNT).collect();
    for backend in [Name::Ifma, Name::Avx2, Name::Portable].into_iter().filter_map(Backend::forced) {
        let mut group = criterion.benchmark_group("kernels");
        group.throughput(Throughput::Elements(COUNT as u64));
        let id = |what: &str| BenchmarkId::new(what, backend.name());
        let mut shared = vec![[0; 32]; COUNT];
        group.bench_function(id("x25519"), |bencher| {
            bencher.iter(|| x25519(backend, &[0x57; 32], black_box(&encodings), &mut shared));
        });
        group.bench_function(id("sha512"), |bencher| bencher.iter(|| sha512(backend, black_box(&messages))));
        group.bench_function(id("decompress"), |bencher| {
            bencher.iter(|| Points::decompress(backend, black_box(&encodings)));
        });
        let points = Points::decompress(backend, &encodings);
        group.bench_function(id("addends"), |bencher| bencher.iter(|| points.addends(black_box(&all))));
        let addends = points.addends(&all);
        group.bench_function(id("sum"), |bencher| {
            bencher.iter(|| sum_of_multiples(&addends, black_box(&scalars), &addends, &short, 0..COUNT));
        });
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
