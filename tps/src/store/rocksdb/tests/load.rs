use std::time::Instant;

use super::*;

// spec: K-132
#[test]
fn a_commit_costs_the_same_whatever_was_committed_before() {
    let mut subject = OnRocks::new();
    subject.close();
    let mut store = RocksStore::open(&subject.path).unwrap();
    let mut draw = Draw::new(1);
    let mut costs = Vec::new();
    for number in 1..=200 {
        let before = (statistic(&store, "rocksdb.number.keys.written"), statistic(&store, "rocksdb.wal.synced"));
        store.commit(&draw.batch_of_payments(number, 4)).unwrap();
        let written = statistic(&store, "rocksdb.number.keys.written") - before.0;
        costs.push((written, statistic(&store, "rocksdb.wal.synced") - before.1));
        assert_eq!(statistic(&store, "rocksdb.number.keys.read"), 4, "four reads at the start, none since");
    }
    // Clock, batch, head, chain; payment, instrument, account of four payments; eight merchant balances. One sync.
    assert_eq!(costs, vec![(4 + 3 * 4 + 8, 1); 200]);
}

/// `cargo test --release -p tps --lib store::rocksdb::tests::load::commits_per_second -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn commits_per_second() {
    println!("payments per commit | commits/s | payments/s | CPU us per payment | bytes per payment on disk");
    for size in [1u16, 16, 64, 256, 1024] {
        let subject = OnRocks::new();
        let path = subject.path.clone();
        drop(subject);
        let mut store = RocksStore::create(&path, GENESIS).unwrap();
        let mut draw = Draw::new(u64::from(size));
        let prepared: Vec<Changes> = (1..=32).map(|number| draw.batch_of_payments(number, size)).collect();
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let mut number = 0;
        while start.elapsed().as_secs_f64() < 5.0 {
            number += 1;
            let mut changes = prepared[(number % 32) as usize].clone();
            renumber(&mut changes, number);
            store.commit(&changes).unwrap();
        }
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let payments = number * u64::from(size);
        drop(store);
        println!(
            "{size} | {:.0} | {:.0} | {:.1} | {}",
            number as f64 / seconds,
            payments as f64 / seconds,
            cpu * 1e6 / payments as f64,
            disk_bytes(&path.join("rocksdb")) / payments,
        );
        std::fs::remove_dir_all(&path).unwrap();
    }
}

/// Makes a prepared batch another batch with other accounts.
fn renumber(changes: &mut Changes, number: u64) {
    changes.clock = Timestamp(number);
    changes.batches[0].0 = number;
    changes.payments.iter_mut().for_each(|(place, _)| place.batch = number);
    // A hundred thousand instruments or so come again and again.
    let turn = (number / 32 % 100) as u8;
    changes.instruments.iter_mut().for_each(|(id, _)| id.0[15] = turn);
    changes.accounts.iter_mut().for_each(|account| account.id.0[15] = turn);
}

/// Processor time of this process so far, user and system, in seconds.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn disk_bytes(directory: &Path) -> u64 {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}
