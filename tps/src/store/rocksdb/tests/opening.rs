use std::os::unix::fs::PermissionsExt;

use super::*;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn only_the_owner_enters_a_new_store() {
    let subject = OnRocks::new();
    assert_eq!(mode(&subject.path), 0o700);
    assert_eq!(mode(&subject.path.join("high-water")), 0o600);
}

#[test]
fn a_directory_open_to_others_is_refused() {
    let mut subject = OnRocks::new();
    subject.close();
    for open in [0o701, 0o710, 0o740, 0o755, 0o777] {
        std::fs::set_permissions(&subject.path, PermissionsExt::from_mode(open)).unwrap();
        let error = subject.open().unwrap_err();
        assert!(matches!(error, StoreError::OpenToOthers { mode, .. } if mode == open), "{error}");
        assert!(error.to_string().contains("chmod 700"));
    }
    std::fs::set_permissions(&subject.path, PermissionsExt::from_mode(0o700)).unwrap();
    subject.open().unwrap();

    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o750)).unwrap();
    let made = RocksStore::create(directory.path(), GENESIS);
    assert!(matches!(made.err(), Some(StoreError::OpenToOthers { .. })));
}

#[test]
fn an_open_store_is_in_use() {
    let mut subject = OnRocks::new();
    let again = RocksStore::open(&subject.path);
    assert!(matches!(again.err(), Some(StoreError::InUse { .. })));
    assert!(matches!(RocksStore::accept_history(&subject.path).err(), Some(StoreError::InUse { .. })));
    // A reader keeps the database open.
    let reader = subject.store().reader();
    subject.close();
    assert!(matches!(subject.open(), Err(StoreError::InUse { .. })));
    drop(reader);
    subject.open().unwrap();
}

#[test]
fn stores_are_made_once_and_opened_where_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep").join("store");
    assert!(matches!(RocksStore::open(&path).err(), Some(StoreError::NotInitialised { .. })));
    drop(RocksStore::create(&path, GENESIS).unwrap());
    assert!(matches!(RocksStore::create(&path, GENESIS).err(), Some(StoreError::AlreadyInitialised { .. })));
    drop(RocksStore::open(&path).unwrap());
    // Also where only the mark is left of a store.
    std::fs::remove_dir_all(path.join("rocksdb")).unwrap();
    assert!(matches!(RocksStore::create(&path, GENESIS).err(), Some(StoreError::AlreadyInitialised { .. })));
    assert!(matches!(RocksStore::open(&path).err(), Some(StoreError::NotInitialised { .. })));
}

#[test]
fn an_interrupted_making_begins_again() {
    let mut subject = OnRocks::new();
    subject.close();
    let path = subject.path.clone();
    // Interrupted while the database was made.
    std::fs::rename(path.join("rocksdb"), path.join("rocksdb.new")).unwrap();
    std::fs::remove_file(path.join("high-water")).unwrap();
    assert!(matches!(subject.open(), Err(StoreError::NotInitialised { .. })));
    drop(RocksStore::create(&path, GENESIS).unwrap());
    // Interrupted before the mark was made: there is no commit that could be lost.
    std::fs::remove_file(path.join("high-water")).unwrap();
    subject.open().unwrap();
    assert!(path.join("high-water").exists());
}

#[test]
fn another_format_is_refused() {
    let mut subject = OnRocks::new();
    subject.close();
    let paths = Paths::of(&subject.path);
    let disk = Disk::open(&paths, &paths.database, Opening::Find, paths.take_lock().unwrap()).unwrap();
    let mut image = Vec::new();
    let mut writer = CommitWriter::new(&disk, &mut image).unwrap();
    writer.put::<Meta>(&MetaKey::Format, &MetaValue(vec![1, 0]));
    let batch = writer.finish(&genesis_point(GENESIS.realm), None);
    disk.write(batch).unwrap();
    drop(disk);
    assert!(matches!(subject.open(), Err(StoreError::OtherFormat { found: 1, expected: 2, .. })));
}

#[test]
fn the_settings_are_in_force() {
    let subject = OnRocks::new();
    let options = std::fs::read_dir(subject.path.join("rocksdb")).unwrap().map(|entry| entry.unwrap().path());
    let newest =
        options.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("OPTIONS")).max().unwrap();
    let text = std::fs::read_to_string(newest).unwrap();
    for setting in [
        "wal_recovery_mode=kTolerateCorruptedTailRecords",
        "paranoid_checks=true",
        "unordered_write=false",
        "enable_pipelined_write=false",
        "two_write_queues=false",
        "manual_wal_flush=false",
        "recycle_log_file_num=0",
        "max_bgerror_resume_count=0",
        "track_and_verify_wals_in_manifest=true",
        "max_background_jobs=2",
        "memtable_protection_bytes_per_key=8",
        "checksum=kXXH3",
        "compression=kLZ4Compression",
        "write_buffer_size=67108864",
        "use_fsync=false",
        "flush_verify_memtable_count=true",
        "compaction_verify_record_count=true",
    ] {
        assert!(text.contains(setting), "{setting} is not in force:\n{text}");
    }
}

#[test]
fn free_space_is_told() {
    let mut subject = OnRocks::new();
    assert!(subject.store().reader().free_bytes().unwrap() > 0);
}
