use std::path::PathBuf;

use super::super::super::tests::model::Model;
use super::super::columns::NAMES;
use super::*;

/// The files of the database with a given ending, newest last.
fn files(store: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(store.join("rocksdb")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == ending)).collect();
    files.sort();
    files
}

/// The last write-ahead log, with its content up to the zeros of its preallocation.
fn log(store: &Path) -> (PathBuf, Vec<u8>) {
    let path = files(store, "log").pop().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

fn model(commits: u64) -> Model {
    Model { commits: (1..=commits).map(changes).collect() }
}

/// A store after five commits, and its state on the disk after the fourth.
fn five_commits() -> (OnRocks, tempfile::TempDir, usize) {
    let mut subject = OnRocks::new();
    commit(subject.store(), 1..=4);
    subject.close();
    let before = tempfile::tempdir().unwrap();
    copy(&subject.path.join("rocksdb"), &before.path().join("rocksdb"));
    std::fs::copy(subject.path.join("high-water"), before.path().join("high-water")).unwrap();
    let (_, bytes) = log(before.path());
    // Go on in the same log: no reopening, which would begin a new one.
    let mut again = OnRocks::new();
    commit(again.store(), 1..=5);
    again.close();
    (again, before, bytes.len())
}

#[test]
fn a_torn_last_record_is_dropped_and_nothing_else() {
    let (mut subject, before, length) = five_commits();
    let (path, bytes) = log(&subject.path);
    assert!(bytes.len() > length + 20);
    for left in [bytes.len() - 1, bytes.len() - 20, length + 8, length + 1, length] {
        std::fs::write(&path, &bytes[..left]).unwrap();
        let torn = tempfile::tempdir().unwrap();
        let target = torn.path().join("store");
        copy(&subject.path.join("rocksdb"), &target.join("rocksdb"));
        // The power failed while the fifth commit was written: the mark knows of four.
        std::fs::copy(before.path().join("high-water"), target.join("high-water")).unwrap();
        std::fs::set_permissions(&target, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let mut store = RocksStore::open(&target).unwrap();
        model(4).check(store.reader().as_ref());
        commit(&mut store, 5..=6);
        model(6).check(store.reader().as_ref());
    }
    // The same where the fifth was durable: the mark tells.
    let error = subject.open().unwrap_err();
    assert!(matches!(error, StoreError::BehindHighWaterMark { recovered: 4, high_water: 5, .. }), "{error}");
}

#[test]
fn a_damaged_earlier_record_is_refused() {
    let (mut subject, _before, length) = five_commits();
    let (path, bytes) = log(&subject.path);
    for place in [length / 4, length / 2, length - 100] {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        let error = subject.open().unwrap_err();
        assert!(matches!(error, StoreError::Unreadable { .. } | StoreError::BehindHighWaterMark { .. }), "{error}");
    }
}

#[test]
fn a_missing_log_is_refused() {
    let (mut subject, _before, _) = five_commits();
    for path in files(&subject.path, "log") {
        std::fs::remove_file(path).unwrap();
    }
    subject.open().unwrap_err();
}

#[test]
fn damaged_tables_are_noticed() {
    let mut subject = OnRocks::new();
    commit(subject.store(), 1..=5);
    // Recovery writes the log out as tables.
    subject.restart();
    subject.close();
    let sound = tempfile::tempdir().unwrap();
    copy(&subject.path.join("rocksdb"), sound.path());
    let tables: Vec<_> = files(&subject.path, "sst").iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert!(tables.len() >= NAMES.len(), "every column family has a table: {tables:?}");
    for name in tables {
        let bytes = std::fs::read(sound.path().join(&name)).unwrap();
        // A table begins with data; what follows are indexes and descriptions, some of them never read.
        for (place, is_data) in
            [(10, true), (bytes.len() / 2, false), (bytes.len() - 60, false), (bytes.len() - 5, false)]
        {
            let database = subject.path.join("rocksdb");
            std::fs::remove_dir_all(&database).unwrap();
            copy(sound.path(), &database);
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            std::fs::write(database.join(&name), &damaged).unwrap();
            let seen = RocksStore::open(&subject.path).and_then(|store| {
                store.verify()?;
                model(5).check(store.reader().as_ref());
                Ok(())
            });
            assert!(seen.is_err() || !is_data, "{name:?} altered at {place} is read as if nothing were");
            if let Err(error) = seen {
                assert!(matches!(error, StoreError::Unreadable { .. }), "{error}");
            }
        }
    }
}

#[test]
fn records_of_another_kind_are_refused() {
    let mut subject = OnRocks::new();
    commit(subject.store(), 1..=3);
    let reader = subject.store().reader();
    subject.close();
    drop(reader);
    let paths = Paths::of(&subject.path);
    let disk = Disk::open(&paths, &paths.database, Opening::Find, paths.take_lock().unwrap()).unwrap();
    let handle = disk.db.cf_handle("accounts").unwrap();
    let mut batch = ::rocksdb::WriteBatch::default();
    batch.put_cf(handle, [7; 16], [0; 5]);
    disk.write(batch).unwrap();
    drop(disk);
    subject.open().unwrap();
    let error = subject.store().reader().snapshot().unwrap_err();
    assert!(matches!(&error, StoreError::Unreadable { detail, .. } if detail.contains("accounts")), "{error}");
}
