//! Crashes at every commit, and segments that are missing or altered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use protocol::key_set::{KeyRole, key_id};
use protocol::response::Reason;
use protocol::signature::{DeskRole, SigningKey};
use tps::archive::{ArchiveSegment, SegmentHeader, WholeLog, segments};
use tps::store::crash::{CrashDisk, CrashPoint, CrashStore};
use tps::store::desk::DeskRecord;
use tps::store::records::Changes;
use tps::store::{CommitReceipt, Reader, Store, StoreError};

use crate::common::*;
use crate::{FOR_EVER, all, archiving, busy, desk_key, pay, prune, start, whole, work};

/// A store whose process stands still for ever once the power has failed.
struct Failing {
    inner: CrashStore,
    disk: CrashDisk,
    armed: Arc<Mutex<Option<(CrashPoint, u64)>>>,
    failed: mpsc::Sender<bool>,
}

impl Store for Failing {
    fn commit(&mut self, changes: &Changes) -> Result<CommitReceipt, StoreError> {
        let number = self.disk.durable_commit() + 1;
        match *self.armed.lock().unwrap() {
            Some((point, at)) if at == number => self.disk.arm(point, number),
            _ => return self.inner.commit(changes),
        }
        assert!(self.inner.commit(changes).is_err(), "the power fails");
        self.failed.send(true).unwrap();
        loop {
            std::thread::park();
        }
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.inner.reader()
    }
}

#[test]
fn a_crash_at_any_commit_loses_nothing_and_is_repeated_without_harm() {
    let mut commit = 1;
    // As many commits as archiving takes.
    while CrashPoint::ALL.map(|point| crash_at(point, commit)).into_iter().all(|failed| failed) {
        commit += 1;
    }
    assert!(commit > 6, "segments were recorded and pruned: {commit} commits");
}

/// Archives with a crash in commit `commit`, and goes on after it; `false` where there is no such commit.
fn crash_at(point: CrashPoint, commit: u64) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("archive");
    let (disk, inner) = CrashDisk::new(Server::genesis());
    let armed = Arc::new(Mutex::new(None));
    let (failed, ended) = mpsc::channel();
    let store = Failing { inner, disk: disk.clone(), armed: Arc::clone(&armed), failed: failed.clone() };
    let (engine, mut group) = busy(store, 1, directory.path());
    let before = all(engine.reader().as_ref());
    *armed.lock().unwrap() = Some((point, disk.durable_commit() + commit));
    let archive = path.clone();
    std::thread::spawn(move || {
        work(&engine, &archive).unwrap();
        engine.drain();
        failed.send(false).unwrap();
    });
    let failed = ended.recv_timeout(Duration::from_secs(60)).unwrap();

    let engine = start(disk.recover(), 1);
    // Whatever has left the ledger is in the archive.
    assert_eq!(all(&whole(&engine, &path).unwrap()), before, "{point:?} of commit {commit}");
    work(&engine, &path).unwrap();
    let log = whole(&engine, &path).unwrap();
    assert_eq!(all(&log), before, "{point:?} of commit {commit}");
    log.segments().iter().for_each(|header| log.check(header).unwrap());
    drop(log);
    assert_eq!(all(engine.reader().as_ref()).len(), 3, "{point:?} of commit {commit}");
    assert_eq!(pay(&engine, &mut group[1], 1).answer.reason, Reason::Paid);
    engine.drain();
    failed
}

/// A backup took the place of the ledger: the archive has a segment that this ledger has never known.
#[test]
fn a_segment_of_a_lost_history_is_kept_beside_the_one_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("archive");
    let (_, store) = CrashDisk::new(Server::genesis());
    let (engine, _) = busy(store, 1, directory.path());
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("00000002.segment"), "what was lost").unwrap();
    work(&engine, &path).unwrap();
    assert_eq!(all(&whole(&engine, &path).unwrap()).len(), 13);
    let files = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap());
    let beside: Vec<_> = files.filter(|file| file.file_name().to_string_lossy().contains("superseded")).collect();
    assert_eq!(beside.len(), 1);
    assert!(beside[0].file_name().to_string_lossy().starts_with("00000002.segment."));
    assert_eq!(std::fs::read_to_string(beside[0].path()).unwrap(), "what was lost");
    engine.drain();
}

#[test]
fn a_segment_that_is_missing_or_altered_is_named_and_its_transactions_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("archive");
    let (_, store) = CrashDisk::new(Server::genesis());
    let (engine, _) = busy(store, 1, directory.path());
    let archiving = archiving(&engine, &path);
    while archiving.write_next(&desk_key(), FOR_EVER).unwrap().is_some() {}
    let before = all(engine.reader().as_ref());
    let file = path.join("00000002.segment");
    let bytes = std::fs::read(&file).unwrap();
    let named = |what: &str| {
        let log = whole(&engine, &path).unwrap();
        let error = log.for_each_payment(&mut |_, _| ()).unwrap_err();
        assert!(matches!(error, StoreError::Archive { segment: 2, .. }), "{what}: {error}");
        let text = error.to_string();
        assert!(text.contains("00000002.segment") && text.contains("backup"), "{what}: {text}");
        let sound = log.segments().iter().filter(|header| log.check(header).is_ok()).count();
        assert_eq!(sound, log.segments().len() - 1, "{what}");
        drop(log);
        assert!(prune(&archiving).is_err(), "{what}");
        let left = all(engine.reader().as_ref());
        let second = segments(engine.reader().as_ref()).unwrap()[1].clone();
        let kept: Vec<_> = before.iter().filter(|(place, _)| *place > second.after()).copied().collect();
        assert!(left.ends_with(&kept), "{what}: nothing left the ledger that the archive does not have");
    };
    std::fs::remove_file(&file).unwrap();
    named("missing");
    for position in [0, 60, 300, bytes.len() / 2, bytes.len() - 1] {
        let mut altered = bytes.clone();
        altered[position] ^= 1;
        std::fs::write(&file, altered).unwrap();
        named(&format!("byte {position}"));
    }
    for length in [0, 100, SegmentHeader::BYTES, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..length]).unwrap();
        named(&format!("{length} bytes"));
    }
    std::fs::write(&file, [&bytes[..], b"more"].concat()).unwrap();
    named("longer");
    std::fs::write(&file, &bytes).unwrap();
    prune(&archiving).unwrap();
    assert_eq!(all(&whole(&engine, &path).unwrap()), before);

    let other = SigningKey::<DeskRole>::from_seed([0x45; 32]).public();
    let others = BTreeMap::from([(key_id(KeyRole::Desk, &other), other)]);
    let error = WholeLog::open(&engine, &path, &others).err().unwrap();
    assert!(matches!(error, StoreError::Archive { segment: 1, .. }), "{error}");
    engine.drain();
}

/// What the ledger knows of segments is a chain: none of another TPS fits into it.
#[test]
fn a_segment_of_another_history_is_not_read_as_ones_own() {
    let directory = tempfile::tempdir().unwrap();
    let headers = ["one", "other"].map(|name| {
        let path = directory.path().join(name);
        let (_, store) = CrashDisk::new(Server::genesis());
        let (engine, _) = busy(store, 1, &directory.path().join(format!("pages of {name}")));
        work(&engine, &path).unwrap();
        (segments(engine.reader().as_ref()).unwrap(), engine)
    });
    let [(own, engine), (other, others)] = headers;
    assert_eq!(
        (own[1].after(), own[1].number),
        (other[1].after(), other[1].number),
        "but for the chain they would fit"
    );
    engine.record(vec![ArchiveSegment::new(&other[1]).entry()]).unwrap();
    let error = segments(engine.reader().as_ref()).unwrap_err();
    assert!(error.to_string().contains("do not fit"), "{error}");
    engine.drain();
    others.drain();
}
