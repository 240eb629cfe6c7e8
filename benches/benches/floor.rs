//! The floor of a payment composed, committing to memory and to RocksDB: `cargo bench -p benches --profile release --bench floor`.
//! Figures are for 1024 payments in batches of 256 and one commit: processor time, the database's threads among it.

use std::time::Duration;

use benches::cpu_time::{CpuTime, by_cpu_time};
use benches::fixtures::{TIME, sealed_request};
use benches::floor::{COMMIT_PAYMENTS, Floor};
use benches::installation::{GENESIS, Processor, enrol};
use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use tps::store::Store;
use tps::store::memory::MemoryStore;
use tps::store::rocksdb::RocksStore;

fn floor(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("floor");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(COMMIT_PAYMENTS as u64));
    let requests: Vec<Vec<u8>> = (0..COMMIT_PAYMENTS).map(|number| sealed_request(number).bytes).collect();
    let messages: Vec<&[u8]> = requests.iter().map(|request| &request[..]).collect();
    // Every instrument has one request, so every time needs a new installation.
    let mut bench = |name: &str, make: &dyn Fn() -> Box<dyn Store>| {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || Floor::new(Processor::load(make())),
                |mut floor| (floor.pay(&messages), floor),
                BatchSize::PerIteration,
            );
        });
    };
    bench("memory", &|| {
        let mut store = MemoryStore::new(GENESIS);
        enrol(&mut store, COMMIT_PAYMENTS, TIME);
        Box::new(store)
    });
    let directory = tempfile::tempdir().expect("a directory for databases");
    bench("rocksdb", &|| {
        let place = tempfile::tempdir_in(&directory).expect("a directory for a database").keep();
        let mut store = RocksStore::create(&place.join("store"), GENESIS).expect("a new database");
        enrol(&mut store, COMMIT_PAYMENTS, TIME);
        Box::new(store)
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = by_cpu_time();
    targets = floor
}
criterion_main!(benches);
