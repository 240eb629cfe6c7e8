//! Copies beside a store that goes on, and what they may replace.

use super::super::super::tests::model::Model;
use super::*;

/// A store after five commits with a checkpoint made after three, both closed.
fn checkpointed() -> (OnRocks, tempfile::TempDir) {
    let mut subject = OnRocks::new();
    let copies = tempfile::tempdir().unwrap();
    commit(subject.store(), 1..=3);
    let reader = subject.store().reader();
    let view = reader.checkpoint(&copies.path().join("three")).unwrap();
    assert_eq!((view.realm, view.commit), (GENESIS.realm, 3));
    let again = reader.checkpoint(&copies.path().join("three"));
    assert!(matches!(again, Err(StoreError::AlreadyInitialised { .. })));
    commit(subject.store(), 4..=5);
    drop(reader);
    subject.close();
    (subject, copies)
}

fn holds(path: &Path, commits: u64) {
    let store = RocksStore::open(path).unwrap();
    store.verify().unwrap();
    let model = Model { commits: (1..=commits).map(changes).collect() };
    model.check(store.reader().as_ref());
}

#[test]
fn a_checkpoint_is_a_store_of_its_own() {
    let (mut subject, copies) = checkpointed();
    let three = copies.path().join("three");
    let looked = RocksStore::look(&three).unwrap();
    assert_eq!((looked.realm, looked.commit), (GENESIS.realm, 3));
    holds(&three, 3);
    let mut copy = RocksStore::open(&three).unwrap();
    commit(&mut copy, 4..=6);
    drop(copy);
    assert_eq!(RocksStore::look(&three).unwrap().commit, 6);
    // The files are shared, the histories are not.
    subject.open().unwrap();
    subject.close();
    holds(&subject.path, 5);
}

#[test]
fn a_store_is_replaced_only_by_one_that_lacks_nothing() {
    let (subject, copies) = checkpointed();
    let (three, aside) = (copies.path().join("three"), copies.path().join("aside"));
    let refused = RocksStore::replace(&subject.path, &three, &aside, false);
    assert!(matches!(refused, Err(ReplaceError::Behind { commit: 3, high_water: 5 })), "{refused:?}");
    // The mark alone may trail: the database says how far it had come.
    let mark = std::fs::read(subject.path.join("high-water")).unwrap();
    let point = high_water::read(&three.join("high-water")).unwrap();
    high_water::create(&subject.path.join("high-water"), point).unwrap();
    let refused = RocksStore::replace(&subject.path, &three, &aside, false);
    assert!(matches!(refused, Err(ReplaceError::Behind { commit: 3, high_water: 5 })), "{refused:?}");
    std::fs::write(subject.path.join("high-water"), mark).unwrap();

    // As long, and another history.
    let mut other = RocksStore::open(&three).unwrap();
    for number in [14, 15, 16] {
        other.commit(&changes(number)).unwrap();
    }
    drop(other);
    let refused = RocksStore::replace(&subject.path, &three, &aside, false);
    assert!(matches!(refused, Err(ReplaceError::OtherHistory { commit: 6, high_water: 5 })), "{refused:?}");

    let open = RocksStore::open(&subject.path).unwrap();
    let refused = RocksStore::replace(&subject.path, &three, &aside, true);
    assert!(matches!(refused, Err(ReplaceError::Store(StoreError::InUse { .. }))), "{refused:?}");
    drop(open);
    assert!(!aside.exists());
    holds(&subject.path, 5);
    RocksStore::replace(&subject.path, &three, &aside, true).unwrap();
    assert_eq!(RocksStore::look(&subject.path).unwrap().commit, 6);
    holds(&aside, 5);
    // And back: one that lacks nothing of its own past.
    RocksStore::replace(&subject.path, &aside, &three, true).unwrap();
    holds(&subject.path, 5);
}

#[test]
fn a_store_too_far_ahead_is_told_apart_from_one_of_another_history() {
    let (subject, copies) = checkpointed();
    let (three, aside) = (copies.path().join("three"), copies.path().join("aside"));
    let paths = Paths::of(&three);
    // As after very many commits: one less, and the chain's value after commit 5 would still have to be there.
    for (number, expected) in [(4 + CHAIN_VALUES_KEPT, false), (5 + CHAIN_VALUES_KEPT, true)] {
        let disk = Disk::open(&paths, &paths.database, Opening::Find, paths.take_lock().unwrap()).unwrap();
        let mut image = Vec::new();
        let writer = CommitWriter::new(&disk, &mut image).unwrap();
        let batch = writer.finish(&Point { number, chain: [1; 32] }, None);
        disk.write(batch).unwrap();
        drop(disk);
        let refused = RocksStore::replace(&subject.path, &three, &aside, false);
        assert_eq!(matches!(refused, Err(ReplaceError::TooFar { high_water: 5, .. })), expected, "{refused:?}");
        assert!(expected || matches!(refused, Err(ReplaceError::OtherHistory { .. })), "{refused:?}");
    }
    holds(&subject.path, 5);
}

#[test]
fn a_store_in_memory_makes_no_checkpoint() {
    let memory = super::super::super::memory::MemoryStore::new(GENESIS);
    let directory = tempfile::tempdir().unwrap();
    let refused = memory.reader().checkpoint(&directory.path().join("copy"));
    assert!(matches!(refused, Err(StoreError::NoCheckpoint { .. })));
}
