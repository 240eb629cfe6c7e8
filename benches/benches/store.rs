//! One synced commit of the records of so many payments to RocksDB: `cargo bench -p benches --profile release --bench store`.
//! Wall time, most of it the disk's; `BENCH_DIRECTORY` names the disk.

use std::hint::black_box;

use benches::fixtures::TIME;
use benches::installation::{GENESIS, enrol};
use benches::staged::Staged;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tps::store::Store;
use tps::store::rocksdb::{RocksStore, append_records};

fn store(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    group.sample_size(10);
    let on = std::env::var_os("BENCH_DIRECTORY").unwrap_or_else(|| std::env::temp_dir().into());
    let directory = tempfile::tempdir_in(on).expect("a directory for a database");
    let mut store = RocksStore::create(&directory.path().join("store"), GENESIS).expect("a new database");
    enrol(&mut store, 1, TIME);
    for payments in [1, 16, 64, 256, 1024] {
        let changes = Staged::new(payments).changes();
        let mut bytes = Vec::new();
        append_records(&changes, &mut bytes);
        println!("bytes: records of {payments} payments {}", bytes.len());
        group.throughput(Throughput::Elements(payments as u64));
        group.bench_function(BenchmarkId::new("commit", payments), |bencher| {
            bencher.iter(|| store.commit(black_box(&changes)).expect("the disk takes a commit"));
        });
    }
    group.finish();
}

criterion_group!(benches, store);
criterion_main!(benches);
