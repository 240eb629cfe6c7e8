//! Power failures on the simulated disk.

use proptest::prelude::*;

use super::GENESIS;
use super::model::Model;
use super::sample::Draw;
use crate::store::crash::{CrashDisk, CrashPoint};
use crate::store::{Store, StoreError};

/// Commits until the power fails at `point` of commit `at`; returns what was acknowledged and what was attempted last.
fn run(disk: &CrashDisk, store: &mut dyn Store, at: u64, point: CrashPoint) -> (Model, Model) {
    let mut acknowledged = Model::default();
    disk.arm(point, at);
    loop {
        let changes = Draw::new(acknowledged.commits.len() as u64).changes(3);
        let mut attempted = acknowledged.clone();
        attempted.commits.push(changes.clone());
        match store.commit(&changes) {
            Ok(receipt) => assert_eq!(receipt.number(), attempted.commits.len() as u64),
            Err(StoreError::WriteFailed { .. }) => return (acknowledged, attempted),
            Err(other) => panic!("{other}"),
        }
        acknowledged = attempted;
    }
}

// spec: K-62
#[test]
fn a_power_failure_at_any_point_loses_no_acknowledged_commit_and_halves_none() {
    for at in 1..=6 {
        for point in CrashPoint::ALL {
            let (disk, mut store) = CrashDisk::new(GENESIS);
            let (acknowledged, attempted) = run(&disk, &mut store, at, point);
            let recovered = disk.recover();
            let expected = if point == CrashPoint::AfterSyncBeforeReturn { &attempted } else { &acknowledged };
            expected.check(recovered.reader().as_ref());
            assert_eq!(disk.durable_commit(), expected.commits.len() as u64);
        }
    }
}

#[test]
fn a_store_without_sync_is_caught() {
    let (disk, mut store) = CrashDisk::without_sync(GENESIS);
    let (acknowledged, _) = run(&disk, &mut store, 4, CrashPoint::BeforeWrite);
    assert_eq!(acknowledged.commits.len(), 3);
    assert_eq!(
        disk.recover().reader().last_commit().unwrap(),
        0,
        "acknowledged commits are lost: the planted bug shows"
    );
}

#[test]
fn without_a_crash_unsynced_writes_are_still_there() {
    let (disk, mut store) = CrashDisk::without_sync(GENESIS);
    store.commit(&Draw::new(0).changes(2)).unwrap();
    assert_eq!(disk.recover().reader().last_commit().unwrap(), 1, "the process ended, the system did not");
    assert_eq!(disk.durable_commit(), 0);
}

#[test]
fn stores_of_a_dead_process_stay_dead() {
    let (disk, mut store) = CrashDisk::new(GENESIS);
    let reader = store.reader();
    store.commit(&Draw::new(0).changes(2)).unwrap();
    disk.crash();
    assert!(disk.crashed());
    assert!(matches!(reader.snapshot(), Err(StoreError::ReadFailed { .. })));
    let mut recovered = disk.recover();
    assert!(!disk.crashed());
    assert!(matches!(store.commit(&Draw::new(1).changes(2)), Err(StoreError::WriteFailed { .. })));
    assert!(matches!(reader.last_commit(), Err(StoreError::ReadFailed { .. })));
    assert_eq!(recovered.commit(&Draw::new(1).changes(2)).unwrap().number(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Many power failures in a row, at any points.
    // spec: K-62
    #[test]
    fn histories_survive_repeated_power_failures(crashes in prop::collection::vec((0..4u64, 0..3usize), 1..6)) {
        let (disk, mut store) = CrashDisk::new(GENESIS);
        let mut model = Model::default();
        for (more, point) in crashes {
            let point = CrashPoint::ALL[point];
            let last = model.commits.len() as u64 + more + 1;
            disk.arm(point, last);
            for number in model.commits.len() as u64 + 1..=last {
                let changes = Draw::new(number).changes(3);
                let survives = number < last || point == CrashPoint::AfterSyncBeforeReturn;
                prop_assert_eq!(store.commit(&changes).is_ok(), number < last);
                if survives {
                    model.commits.push(changes);
                }
            }
            store = disk.recover();
            model.check(store.reader().as_ref());
        }
    }
}
