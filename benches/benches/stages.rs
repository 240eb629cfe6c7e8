//! The stages of the server, as its threads call them: `cargo bench -p benches --profile release --bench stages`.
//! Figures are processor time for a whole batch; criterion also prints the requests per second and core.

use std::time::Duration;

use benches::cpu_time::{CpuTime, by_cpu_time};
use benches::staged::Staged;
use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

/// Requests in a batch: alone, and as many as a worker takes under load.
const BATCHES: [usize; 3] = [1, 64, 256];

fn stages(criterion: &mut Criterion<CpuTime>) {
    for requests in BATCHES {
        let staged = Staged::new(requests);
        let processor = staged.processor();
        let mut bench = |stage: &str, run: &mut dyn FnMut(&mut criterion::Bencher<'_, CpuTime>)| {
            let mut group = criterion.benchmark_group(stage);
            // What a stage takes in is used up by it, and making it anew takes longer than the stage.
            group.sampling_mode(SamplingMode::Flat).sample_size(10);
            group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
            group.throughput(Throughput::Elements(requests as u64));
            group.bench_function(BenchmarkId::from_parameter(requests), |bencher| run(bencher));
            group.finish();
        };
        let size = BatchSize::PerIteration;
        bench("receive", &mut |bencher| bencher.iter(|| staged.sealed()));
        bench("open", &mut |bencher| bencher.iter_batched(|| staged.sealed(), |sealed| staged.open(sealed), size));
        let opened = || staged.open(staged.sealed());
        bench("verify", &mut |bencher| {
            bencher.iter_batched(opened, |opened| staged.verify(opened, &processor), size);
        });
        let verified = || staged.verify(opened(), &processor);
        bench("prove", &mut |bencher| bencher.iter_batched(verified, |verified| staged.prove(verified), size));
        let fresh = || (staged.proved(&processor), staged.processor());
        bench("sequence", &mut |bencher| {
            bencher.iter_batched(
                fresh,
                |(proved, mut processor)| (staged.sequence(proved, &mut processor), processor),
                size,
            );
        });
        let committed = || staged.committed(&mut staged.processor());
        bench("reveal", &mut |bencher| {
            bencher.iter_batched(committed, |committed| staged.reveal(committed, &processor), size);
        });
    }
}

criterion_group! {
    name = benches;
    config = by_cpu_time();
    targets = stages
}
criterion_main!(benches);
