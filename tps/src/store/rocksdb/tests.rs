//! Tests of the database: making and opening it, damage, other histories, ends without warning.

mod checkpoint;
mod child;
mod damage;
mod history;
mod load;
mod opening;

use std::path::Path;

use super::super::StoreError;
use super::super::records::Changes;
use super::super::tests::sample::Draw;
use super::super::tests::{GENESIS, OnRocks, Subject};
use super::*;

/// Commit `number` of every test history.
fn changes(number: u64) -> Changes {
    Draw::new(number).changes(3)
}

/// Commits the given numbers.
fn commit(store: &mut dyn Store, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(store.commit(&changes(number)).unwrap().number(), number);
    }
}

/// Copies a directory of files.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A statistic of RocksDB since the database was opened, by its name.
fn statistic(store: &RocksStore, name: &str) -> u64 {
    let text = store.shared.disk.db.property_value("rocksdb.options-statistics").unwrap().unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} COUNT"))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
