//! Retention: old transactions leave the ledger for the archive, and nothing is lost whenever the power fails.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::*;
use protocol::key_set::{KeyRole, key_id};
use protocol::ledger::instrument::Place;
use protocol::money::Asset;
use protocol::request::{InstrumentKeys, ProcessorKey, seal};
use protocol::response::{Reason, open};
use protocol::session::AgreementSecret;
use protocol::signature::{DeskRole, SigningKey};
use protocol::time::Timestamp;
use tps::archive::{Archiving, Pruning, RetentionJob, SegmentHeader, Signers, WholeLog, archived_up_to, segments};
use tps::audit::audit;
use tps::backup;
use tps::data_directory::DataDirectory;
use tps::desk::records::PAIR_INDEX;
use tps::jobs::Job;
use tps::jobs::cursor::Cursor;
use tps::keys::{KeyRing, KeySecret};
use tps::operator::installation::{InstallOptions, fill};
use tps::pipeline::{Engine, EngineConfig, EngineKeys};
use tps::settlement::close::Closing;
use tps::settlement::fees::FeeSchedule;
use tps::settlement::pages::PageDirectory;
use tps::settlement::{Schedule, Settings};
use tps::store::crash::{CrashDisk, CrashPoint, CrashStore};
use tps::store::desk::DeskRecord;
use tps::store::records::{Changes, PaymentRecord};
use tps::store::rocksdb::RocksStore;
use tps::store::{CommitReceipt, Genesis, Reader, Store, StoreError};

const FOR_EVER: Timestamp = Timestamp(u64::MAX);
/// Small, so that a few payments make several segments.
const BYTES_MAX: u64 = 2_000;

fn desk_key() -> SigningKey<DeskRole> {
    SigningKey::from_seed([0x44; 32])
}

fn signers() -> Signers {
    BTreeMap::from([(key_id(KeyRole::Desk, &desk_key().public()), desk_key().public())])
}

fn start(store: impl Store + 'static, shards: u16) -> Engine {
    let keys = EngineKeys {
        session: vec![tps::pipeline::open::SessionKey::new(SESSION_KEY, session_secret())],
        signer: signer(),
    };
    Engine::start(Box::new(store), keys, EngineConfig { shards, ..EngineConfig::default() }).unwrap()
}

fn pay(engine: &Engine, customer: &mut Customer, units: u64) -> protocol::response::OpenedResponse {
    let content = customer.content(units);
    let request = customer.request(&content);
    let opened = open(&submit(engine, &request.bytes), &request.hash, &request.session).unwrap();
    customer.take(&content, &opened.answer);
    opened
}

/// Ends a settlement cycle now.
fn settle(engine: &Engine, pages: &Path) {
    let settings = Settings {
        schedule: Schedule::new(24, 0).unwrap(),
        fees: BTreeMap::from([(Asset::USD6, FeeSchedule::default())]),
    };
    let (pages, key) = (PageDirectory::new(pages, REALM), desk_key());
    let closing = Closing { engine, settings: &settings, pages: &pages, key: &key };
    // Until the clock has moved on from the last payment, its batch is not before the cut-off.
    let last = engine.now();
    while engine.now() <= last.plus(1) {
        std::hint::spin_loop();
    }
    closing.close(Timestamp(1), engine.now()).unwrap().expect("nothing is under way");
}

fn all(reader: &dyn Reader) -> Vec<(Place, PaymentRecord)> {
    let mut found = Vec::new();
    reader.for_each_payment(&mut |place, record| found.push((place, *record))).unwrap();
    found
}

fn archiving<'a>(engine: &'a Engine, directory: &'a Path) -> Archiving<'a> {
    Archiving { engine, directory, bytes_max: BYTES_MAX }
}

/// Writes and prunes until nothing is left to do.
fn work(engine: &Engine, directory: &Path) -> Result<(), tps::admin::AdminError> {
    let archiving = archiving(engine, directory);
    while archiving.write_next(&desk_key(), FOR_EVER)?.is_some() {}
    prune(&archiving)
}

fn prune(archiving: &Archiving<'_>) -> Result<(), tps::admin::AdminError> {
    let (mut after, mut checked) = (Place::default(), 0);
    while let Pruning::UpTo(place) = archiving.prune_next(after, &mut checked)? {
        after = place;
    }
    Ok(())
}

/// A pipeline with two busy customers and one that paid once, long ago; everything is settled.
fn busy(store: impl Store + 'static, shards: u16, directory: &Path) -> (Engine, Vec<Customer>) {
    let engine = start(store, shards);
    register(&engine);
    let mut group: Vec<Customer> = (0..3).map(|_| customers(&engine, 1_000_000, 1).remove(0)).collect();
    pay(&engine, &mut group[2], 5);
    for units in 1..=12 {
        assert_eq!(pay(&engine, &mut group[(units % 2) as usize], units).answer.reason, Reason::Paid);
    }
    settle(&engine, directory);
    index(&engine);
    (engine, group)
}

/// The index for refunds is ahead of all jobs.
fn index(engine: &Engine) {
    engine.record(vec![Cursor::new(PAIR_INDEX, Place { batch: u64::MAX, index: u16::MAX }, 0).entry()]).unwrap();
}

fn whole(engine: &Engine, directory: &Path) -> Result<WholeLog, StoreError> {
    WholeLog::open(engine, directory, &signers())
}

// spec: K-61
#[test]
fn old_transactions_move_and_archive_and_ledger_read_as_one_log() {
    for shards in [1, 3] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("archive");
        let (disk, store) = CrashDisk::new(Server::genesis());
        let (engine, mut group) = busy(store, shards, directory.path());
        let before = all(engine.reader().as_ref());
        let batches: Vec<_> =
            before.iter().map(|(place, _)| engine.reader().batch(place.batch).unwrap().unwrap()).collect();
        work(&engine, &path).unwrap();

        let headers = segments(engine.reader().as_ref()).unwrap();
        assert!(headers.len() > 2, "several segments");
        assert_eq!(headers.iter().map(|header| header.payments).sum::<u64>(), 13);
        assert!(headers.iter().all(|header| (1..=4).contains(&header.payments)), "each of about so many bytes");
        assert_eq!(archived_up_to(engine.reader().as_ref()).unwrap(), before.last().unwrap().0);
        // What may still be asked for stays: one outcome of each instrument.
        let left = all(engine.reader().as_ref());
        assert_eq!(left.len(), 3, "{shards} shards");
        assert!(group.iter().all(|customer| left.iter().any(|(_, record)| record.instrument == customer.instrument)));
        let counters = &engine.counters().archive;
        assert_eq!((counters.payments.get(), counters.pruned.get()), (13, 20), "ten transactions and their batches");

        let log = whole(&engine, &path).unwrap();
        assert_eq!(all(&log), before);
        for ((place, record), batch) in before.iter().zip(&batches) {
            let outcome = log.outcome(*place).unwrap();
            assert_eq!((outcome.payment, &outcome.batch), (*record, batch));
            assert_eq!(log.batch(place.batch).unwrap().as_ref(), Some(batch));
            let mut next = None;
            let visited = log.visit_payments(Some(*place), &mut |place, _| {
                next = Some(place);
                ControlFlow::Break(())
            });
            visited.unwrap();
            let expected = before.iter().map(|(place, _)| *place).find(|other| other > place);
            assert_eq!(next, expected);
        }
        log.segments().iter().for_each(|header| log.check(header).unwrap());
        // Journal: what was done before the last archived batch, each entry once.
        let copied: u64 = headers.iter().map(|header| header.journal).sum();
        let mut entries = 0;
        engine
            .reader()
            .for_each_journal(&mut |record| entries += u64::from(record.time <= headers.last().unwrap().until))
            .unwrap();
        assert_eq!(copied, entries);

        // Nothing moves while somebody reads the whole log.
        assert_eq!(archiving(&engine, &path).prune_next(Place::default(), &mut 0).unwrap(), Pruning::Held);
        drop(log);
        // A replaced outcome is no last one any more.
        pay(&engine, &mut group[2], 7);
        prune(&archiving(&engine, &path)).unwrap();
        assert_eq!(all(engine.reader().as_ref()).len(), 3);
        engine.drain();

        let engine = start(disk.recover(), shards);
        assert_eq!(all(&whole(&engine, &path).unwrap()).len(), 14);
        assert_eq!(pay(&engine, &mut group[0], 3).answer.reason, Reason::Paid, "count and modifier go on");
        assert_eq!(total(&engine), 0);
        engine.drain();
    }
}

// spec: K-61
#[test]
fn a_last_outcome_is_answered_again_however_old_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, store) = CrashDisk::new(Server::genesis());
    let (engine, group) = busy(store, 1, directory.path());
    drop(group);
    let mut customer = customers(&engine, 1_000, 1).remove(0);
    let content = customer.content(10);
    let request = customer.request(&content);
    let first = open(&submit(&engine, &request.bytes), &request.hash, &request.session).unwrap();
    pay(&engine, &mut customers(&engine, 1_000, 1).remove(0), 1);
    settle(&engine, directory.path());
    work(&engine, &directory.path().join("archive")).unwrap();
    engine.drain();
    let engine = start(disk.recover(), 1);
    let request = customer.request(&content);
    let again = open(&submit(&engine, &request.bytes), &request.hash, &request.session).unwrap();
    assert_eq!(again, first);
    customer.take(&content, &again.answer);
    assert_eq!(pay(&engine, &mut customer, 1).answer.reason, Reason::Paid);
    engine.drain();
}

#[test]
fn nothing_is_archived_that_somebody_is_not_done_with() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("archive");
    let (_, store) = CrashDisk::new(Server::genesis());
    let engine = start(store, 1);
    register(&engine);
    let mut customer = customers(&engine, 1_000_000, 1).remove(0);
    (1..=4).for_each(|units| drop(pay(&engine, &mut customer, units)));
    let archiving = archiving(&engine, &path);
    assert!(archiving.write_next(&desk_key(), FOR_EVER).unwrap().is_none(), "nothing is settled");
    settle(&engine, directory.path());
    let places: Vec<Place> = all(engine.reader().as_ref()).into_iter().map(|(place, _)| place).collect();
    assert!(archiving.write_next(&desk_key(), FOR_EVER).unwrap().is_none(), "the index for refunds has not begun");
    engine.record(vec![Cursor::new(PAIR_INDEX, places[1], 0).entry()]).unwrap();
    assert!(archiving.write_next(&desk_key(), Timestamp(1)).unwrap().is_none(), "nothing is so old");
    let header = archiving.write_next(&desk_key(), FOR_EVER).unwrap().unwrap();
    assert_eq!(header.last(), places[1], "as far as the slowest job has come");
    assert!(archiving.write_next(&desk_key(), FOR_EVER).unwrap().is_none());
    engine.record(vec![Cursor::new(PAIR_INDEX, places[3], 0).entry()]).unwrap();
    pay(&engine, &mut customer, 9);
    assert_eq!(
        archiving.write_next(&desk_key(), FOR_EVER).unwrap().unwrap().last(),
        places[3],
        "not what is unsettled"
    );
    engine.drain();
}

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

/// A TPS's directory and a pipeline over it, so that the audit finds its keys.
#[test]
fn the_audit_replays_the_archive_first_and_verifies_archived_proofs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    std::fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
    let realm = fill(&path, &InstallOptions::default(), tps::pipeline::clock::wall_clock()).unwrap();
    let data = DataDirectory::open(&path).unwrap();
    let ring = KeyRing::load(&data).unwrap();
    let engine = Engine::start(
        Box::new(RocksStore::create(&data.ledger(), Genesis { realm: realm.realm }).unwrap()),
        ring.engine_keys(realm.realm, tps::pipeline::clock::wall_clock()).unwrap(),
        EngineConfig::default(),
    )
    .unwrap();
    register(&engine);
    let mut customer = customers(&engine, 1_000_000, 1).remove(0);
    let key = &engine.session_keys()[0];
    let processor = ProcessorKey { id: key.id(), public: key.public(), route: 0 };
    for units in [5, 2_000_000, 7, 9] {
        let content = customer.content(units);
        let keys = InstrumentKeys {
            instrument: customer.instrument,
            signing: Some(SigningKey::from_seed(customer.seed)),
            device: zeroize::Zeroizing::new(customer.device),
        };
        let ephemeral = AgreementSecret::from_random(random());
        let request = seal(&content, customer.count, &keys, customer.modified_pin(), &processor, ephemeral).unwrap();
        let opened = open(&submit(&engine, &request.bytes), &request.hash, &request.session).unwrap();
        customer.take(&content, &opened.answer);
    }
    settle(&engine, directory.path());
    index(&engine);
    let before = audit(&engine, &data, &realm, true).unwrap();
    assert_eq!((before.payments, before.proofs, before.differences_found), (4, 4, 0), "{before:?}");

    let desk = ring.desk_key(engine.now()).unwrap();
    let archive = data.archive();
    let archiving = archiving(&engine, &archive);
    while archiving.write_next(&desk, FOR_EVER).unwrap().is_some() {}
    // The job prunes what is recorded, also where nothing is to be archived any more.
    let mut job = RetentionJob::new(data.clone(), 0);
    for _ in 0..20 {
        job.step(&engine).unwrap();
    }
    assert_eq!(all(engine.reader().as_ref()).len(), 1);
    assert_eq!(audit(&engine, &data, &realm, true).unwrap(), before, "the same, wherever the log lies");

    // A backup holds the archive, so that it can be audited and restored alone.
    let checkpoint = engine.reader().checkpoint(&data.checkpoint()).unwrap();
    let key_file = directory.path().join("backup.key");
    tps::data_directory::write_private(&key_file, KeySecret::new_key_file(Timestamp(1)).0.as_bytes()).unwrap();
    let (secret, file) = (KeySecret::from_key_file(&key_file).unwrap(), directory.path().join("one.backup"));
    backup::create(&data, &checkpoint, &file, secret.encryptor(), engine.now()).unwrap();
    let elsewhere = directory.path().join("elsewhere");
    let restored = backup::restore(&file, &secret, &elsewhere, false, engine.now()).unwrap();
    assert_eq!((restored.findings.audit.payments, restored.findings.audit.differences_found), (4, 0));

    std::fs::remove_file(archive.join("00000001.segment")).unwrap();
    let error = audit(&engine, &data, &realm, false).unwrap_err();
    assert!(error.message.contains("segment 1 of the archive") && error.message.contains("backup"), "{error}");
    engine.drain();
    // Over the ledger that is there, what is missing of the archive comes back.
    let restored = backup::restore(&file, &secret, &path, false, Timestamp(2)).unwrap();
    assert!(restored.former_ledger.is_some() && archive.join("00000001.segment").exists());
}
