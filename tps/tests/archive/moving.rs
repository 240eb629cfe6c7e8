//! What moves, what stays, and that both read as one log.

use std::ops::ControlFlow;

use protocol::ledger::instrument::Place;
use protocol::response::{Reason, open};
use tps::archive::{Pruning, archived_up_to, segments};
use tps::jobs::cursor::Cursor;
use tps::store::crash::CrashDisk;
use tps::store::desk::DeskRecord;
use tps::store::records::Changes;
use tps::store::{Reader, Store};

use crate::common::*;
use crate::{FOR_EVER, all, archiving, busy, desk_key, index, pay, prune, settle, start, whole, work};

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
    index(&engine);
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
    index(&engine);
    assert!(archiving.write_next(&desk_key(), FOR_EVER).unwrap().is_none(), "nothing is settled");
    settle(&engine, directory.path());
    engine.record(vec![Cursor::removal(&"pairs".to_owned())]).unwrap();
    assert!(archiving.write_next(&desk_key(), FOR_EVER).unwrap().is_none(), "nothing could be refunded any more");
    index(&engine);
    let places: Vec<Place> = all(engine.reader().as_ref()).into_iter().map(|(place, _)| place).collect();
    let verified =
        |place, note| engine.record(vec![Cursor::new("deferred verification", place, note).entry()]).unwrap();
    verified(places[1], 0);
    let first = engine.reader().batch(places[0].batch).unwrap().unwrap().header.batch_time;
    assert!(archiving.write_next(&desk_key(), first).unwrap().is_none(), "nothing is older than the first");
    let header = archiving.write_next(&desk_key(), FOR_EVER).unwrap().unwrap();
    assert_eq!(header.last(), places[1], "as far as the slowest job has come");
    assert!(archiving.write_next(&desk_key(), FOR_EVER).unwrap().is_none());
    // The server checks signatures live, and has checked what others left: nobody waits for this cursor.
    verified(places[1], 1);
    pay(&engine, &mut customer, 9);
    index(&engine);
    assert_eq!(
        archiving.write_next(&desk_key(), FOR_EVER).unwrap().unwrap().last(),
        places[3],
        "not what is unsettled"
    );
    engine.drain();
}

/// A job may stop in the middle of a batch; segments do not.
#[test]
fn a_batch_that_somebody_is_in_the_middle_of_stays_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, store) = CrashDisk::new(Server::genesis());
    let (engine, _) = busy(store, 1, directory.path());
    let payments = all(engine.reader().as_ref());
    engine.drain();
    // Batches of this test have one payment: here the sixth gets another.
    let (middle, record) = payments[5];
    let payments = vec![(Place { index: 1, ..middle }, record)];
    disk.recover().commit(&Changes { payments, ..Changes::default() }).unwrap();
    let engine = start(disk.recover(), 1);
    engine.record(vec![Cursor::new("another job", middle, 0).entry()]).unwrap();
    let path = directory.path().join("archive");
    let archiving = archiving(&engine, &path);
    while archiving.write_next(&desk_key(), FOR_EVER).unwrap().is_some() {}
    let archived = archived_up_to(engine.reader().as_ref()).unwrap();
    assert_eq!((archived.batch, archived.index), (middle.batch - 1, 0));
    engine.drain();
}
