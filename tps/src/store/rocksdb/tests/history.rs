use super::super::super::tests::model::Model;
use super::*;

/// Replaces the database by another, but not its mark.
fn replace(subject: &OnRocks, by: &Path) {
    let database = subject.path.join("rocksdb");
    std::fs::remove_dir_all(&database).unwrap();
    copy(by, &database);
}

/// A store after five commits, and copies of its database after three and after five.
fn rolled() -> (OnRocks, tempfile::TempDir) {
    let mut subject = OnRocks::new();
    let copies = tempfile::tempdir().unwrap();
    commit(subject.store(), 1..=3);
    subject.close();
    copy(&subject.path.join("rocksdb"), &copies.path().join("three"));
    subject.open().unwrap();
    commit(subject.store(), 4..=5);
    subject.close();
    copy(&subject.path.join("rocksdb"), &copies.path().join("five"));
    (subject, copies)
}

#[test]
fn an_older_copy_is_refused_until_the_operator_accepts_it() {
    let (mut subject, copies) = rolled();
    replace(&subject, &copies.path().join("three"));
    for _ in 0..2 {
        let error = subject.open().unwrap_err();
        assert!(matches!(error, StoreError::BehindHighWaterMark { recovered: 3, high_water: 5, .. }), "{error}");
        assert!(error.to_string().contains("restore a backup"));
    }
    let accepted = RocksStore::accept_history(&subject.path).unwrap();
    assert_eq!(accepted.reader().last_commit().unwrap(), 3);
    drop(accepted);
    subject.open().unwrap();
    let model = Model { commits: (1..=3).map(changes).collect() };
    model.check(subject.store().reader().as_ref());
}

#[test]
fn another_history_of_the_same_or_a_greater_length_is_refused() {
    let (mut subject, copies) = rolled();
    for more in [2, 3, 9] {
        replace(&subject, &copies.path().join("three"));
        let mark = std::fs::read(subject.path.join("high-water")).unwrap();
        let mut other = RocksStore::accept_history(&subject.path).unwrap();
        for number in 0..more {
            other.commit(&changes(100 + number)).unwrap();
        }
        drop(other);
        std::fs::write(subject.path.join("high-water"), &mark).unwrap();
        assert!(matches!(subject.open(), Err(StoreError::OtherHistory { .. })), "{more} commits more");
    }
    replace(&subject, &copies.path().join("five"));
    subject.open().unwrap();
}

#[test]
fn the_mark_of_another_installation_is_refused() {
    let (mut subject, mut other) = (OnRocks::new(), OnRocks::new());
    subject.close();
    other.close();
    let third = tempfile::tempdir().unwrap();
    let genesis = Genesis { realm: RealmId([1; 16]) };
    drop(RocksStore::create(&third.path().join("store"), genesis).unwrap());
    std::fs::copy(other.path.join("high-water"), subject.path.join("high-water")).unwrap();
    subject.open().unwrap();
    subject.close();
    std::fs::copy(third.path().join("store/high-water"), subject.path.join("high-water")).unwrap();
    assert!(matches!(subject.open(), Err(StoreError::OtherHistory { .. })));
}

#[test]
fn a_lost_mark_is_told_once_there_were_commits() {
    let mut subject = OnRocks::new();
    commit(subject.store(), 1..=1);
    subject.close();
    let mark = subject.path.join("high-water");
    std::fs::write(&mark, b"nonsense").unwrap();
    let error = subject.open().unwrap_err();
    assert!(matches!(error, StoreError::HighWaterMarkLost { .. }), "{error}");
    std::fs::remove_file(&mark).unwrap();
    let error = subject.open().unwrap_err();
    assert!(error.to_string().contains("accept-history"), "{error}");
    drop(RocksStore::accept_history(&subject.path).unwrap());
    subject.open().unwrap();
}

#[test]
fn a_mark_that_trails_belongs_to_the_history() {
    let (mut subject, _copies) = rolled();
    let mark = subject.path.join("high-water");
    subject.open().unwrap();
    subject.close();
    let old = std::fs::read(&mark).unwrap();
    subject.open().unwrap();
    commit(subject.store(), 6..=9);
    subject.close();
    assert_ne!(std::fs::read(&mark).unwrap(), old);
    std::fs::write(&mark, &old).unwrap();
    subject.open().unwrap();
    subject.close();
    assert_eq!(high_water::read(&mark).unwrap().number, 9, "brought up to date");
}

/// The chain is a function of realm and commits, and frozen with the format.
#[test]
fn the_chain_is_frozen_and_the_same_everywhere() {
    let mut subject = OnRocks::new();
    let mut other = OnRocks::new();
    commit(subject.store(), 1..=3);
    commit(other.store(), 1..=2);
    other.restart();
    commit(other.store(), 3..=3);
    subject.close();
    other.close();
    let head = high_water::read(&subject.path.join("high-water")).unwrap();
    assert_eq!(head, high_water::read(&other.path.join("high-water")).unwrap());
    assert_eq!(head.number, 3);
    let genesis = genesis_point(GENESIS.realm);
    assert_eq!((hex::encode(genesis.chain), hex::encode(head.chain)), (GENESIS_CHAIN.to_owned(), CHAIN_3.to_owned()));
}

const GENESIS_CHAIN: &str = "0ba77aedb257a01d3733ff9372c78b1be748a822d406831b3783209d248f9ef2";
const CHAIN_3: &str = "ef78019d21d929bd36ee7e91695f9235e6e50dbfb6ea917d5e58351e81f2e963";

#[test]
fn old_chain_values_are_forgotten() {
    let mut subject = OnRocks::new();
    let mut writer_image = Vec::new();
    let paths = Paths::of(&subject.path);
    subject.close();
    let disk = Disk::open(&paths, &paths.database, Opening::Find, paths.take_lock().unwrap()).unwrap();
    // As after very many commits.
    let start = Point { number: 3 * CHAIN_VALUES_KEPT, chain: [1; 32] };
    let mut writer = CommitWriter::new(&disk, &mut writer_image).unwrap();
    for number in start.number - CHAIN_VALUES_KEPT + 1..start.number {
        writer.put::<Chain>(&number, &[2; 32]);
    }
    let batch = writer.finish(&start, Some(0));
    disk.write(batch).unwrap();
    drop(disk);
    let mut store = RocksStore::accept_history(&subject.path).unwrap();
    for number in 0..10 {
        store.commit(&changes(number)).unwrap();
    }
    let view = View::new(&store.shared.disk).unwrap();
    let mut kept = 0;
    view.for_each::<Chain>(|_, _| kept += 1).unwrap();
    assert_eq!(kept, CHAIN_VALUES_KEPT);
}
