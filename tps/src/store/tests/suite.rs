//! What every store must do.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Subject;
use super::model::Model;
use super::sample::Draw;
use crate::store::records::{Changes, Pruned};
use protocol::ids::{Digest, InstrumentId};
use protocol::ledger::instrument::{InstrumentState, Place};
use protocol::money::Asset;
use protocol::time::Timestamp;

/// A new store holds nothing but its realm.
fn begins_empty(mut subject: impl Subject) {
    Model::default().check(subject.store().reader().as_ref());
    subject.restart();
    assert_eq!(subject.store().reader().snapshot().unwrap().next_batch, 1, "batch 0 names no transaction");
}

/// Everything of a commit can be read at once and after a restart.
fn keeps_all_records(mut subject: impl Subject, survives: bool) {
    let mut draw = Draw::new(1);
    let mut model = Model::default();
    let early_reader = subject.store().reader();
    for number in 1..=12u64 {
        let changes = draw.changes(6);
        let receipt = subject.store().commit(&changes).unwrap();
        assert_eq!(receipt.number(), number);
        model.commits.push(changes);
        model.check(early_reader.as_ref());
    }
    drop(early_reader);
    if survives {
        subject.restart();
        model.check(subject.store().reader().as_ref());
        let changes = draw.changes(6);
        assert_eq!(subject.store().commit(&changes).unwrap().number(), 13);
        model.commits.push(changes);
        subject.restart();
        model.check(subject.store().reader().as_ref());
    }
}

/// The largest batch, and more payments than any page of a visit.
fn keeps_large_batches(mut subject: impl Subject) {
    let mut draw = Draw::new(2);
    for number in 1..=3 {
        subject.store().commit(&draw.batch_of_payments(number, 1024)).unwrap();
    }
    subject.restart();
    let reader = subject.store().reader();
    let mut places = Vec::new();
    reader.for_each_payment(&mut |place, _| places.push(place)).unwrap();
    let expected: Vec<Place> = (1..=3).flat_map(|batch| (0..1024).map(move |index| Place { batch, index })).collect();
    assert_eq!(places, expected);
    let outcome = reader.outcome(Place { batch: 3, index: 1023 }).unwrap();
    assert_eq!(outcome.batch.leaves.len(), 1024);
}

/// The clock never goes back, whatever is committed later.
fn never_turns_the_clock_back(mut subject: impl Subject) {
    let at = |time| Changes { clock: Timestamp(time), ..Changes::default() };
    for time in [7, 0, 9, 8] {
        subject.store().commit(&at(time)).unwrap();
    }
    subject.restart();
    assert_eq!(subject.store().reader().snapshot().unwrap().clock, Timestamp(9));
}

/// Of several states of one instrument in a commit the last counts; an empty commit counts, too.
fn takes_the_last_state(mut subject: impl Subject) {
    let id = InstrumentId([1; 16]);
    let state = |count| InstrumentState { last_count: count, last_content: Digest([3; 32]), ..InstrumentState::new() };
    let mut changes = Changes { instruments: vec![(id, state(1))], ..Changes::default() };
    changes.append(Changes { instruments: vec![(id, state(2))], ..Changes::default() });
    subject.store().commit(&changes).unwrap();
    assert_eq!(subject.store().commit(&Changes::default()).unwrap().number(), 2);
    assert_eq!(subject.store().reader().snapshot().unwrap().instruments, [(id, state(2))]);
}

/// Negative and huge balances survive.
fn keeps_extreme_balances(mut subject: impl Subject) {
    let mut key = Draw::new(3).balance_key();
    key.asset = Asset::USD6;
    for balance in [i128::MIN, -1, 0, i128::MAX] {
        subject.store().commit(&Changes { balances: vec![(key, balance)], ..Changes::default() }).unwrap();
        subject.restart();
        assert_eq!(subject.store().reader().snapshot().unwrap().balances, [(key, balance)]);
    }
}

/// What is pruned is gone, also after a restart, and nothing else is; the numbers of batches go on.
fn prunes_what_it_is_told(mut subject: impl Subject) {
    let mut draw = Draw::new(5);
    let commits = [draw.batch_of_payments(1, 5), draw.batch_of_payments(2, 5), draw.batch_of_payments(3, 5)];
    for changes in &commits {
        subject.store().commit(changes).unwrap();
    }
    let place = |batch, index| Place { batch, index };
    let mut pruned: Vec<Pruned> = (0..5).map(|index| Pruned::Payment(place(1, index))).collect();
    pruned.extend([Pruned::Batch(1), Pruned::Payment(place(2, 0)), Pruned::Payment(place(2, 3))]);
    // Nothing is there; that does no harm.
    pruned.push(Pruned::Payment(place(7, 7)));
    let mut changes = Changes { pruned, ..Changes::default() };
    assert!(!changes.is_empty(), "it is committed");
    changes.append(draw.batch_of_payments(4, 1));
    let before = subject.store().reader().snapshot().unwrap();
    subject.store().commit(&changes).unwrap();
    for _ in 0..2 {
        let reader = subject.store().reader();
        let mut left = Vec::new();
        reader.for_each_payment(&mut |place, _| left.push(place)).unwrap();
        let second = [1, 2, 4].map(|index| place(2, index));
        let third = (0..5).map(|index| place(3, index));
        assert_eq!(left, second.into_iter().chain(third).chain([place(4, 0)]).collect::<Vec<_>>());
        assert_eq!([1, 2, 3, 4].map(|number| reader.batch(number).unwrap().is_some()), [false, true, true, true]);
        assert!(reader.outcome(place(1, 0)).is_err() && reader.outcome(place(2, 0)).is_err());
        assert_eq!(reader.outcome(place(2, 1)).unwrap().payment, commits[1].payments[1].1);
        let after = reader.snapshot().unwrap();
        assert_eq!((after.next_batch, after.instruments.len()), (5, before.instruments.len() + 1));
        drop(reader);
        subject.restart();
    }
}

/// Readers on other threads see whole commits only.
fn shows_whole_commits(mut subject: impl Subject) {
    let reader = subject.store().reader();
    let done = AtomicBool::new(false);
    let mut draw = Draw::new(4);
    let distinct: BTreeSet<_> = (0..40).map(|_| draw.balance_key()).collect();
    assert!(distinct.len() > 10);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let balances = reader.snapshot().unwrap().balances;
                assert!(balances.windows(2).all(|pair| pair[0].1 == pair[1].1), "half a commit: {balances:?}");
            }
        });
        for number in 0..200 {
            let balances = distinct.iter().map(|key| (*key, i128::from(number) - 100)).collect();
            let mut changes = draw.changes(0);
            changes.balances = balances;
            subject.store().commit(&changes).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        watching.join().unwrap();
    });
}

macro_rules! suite {
    ($name:ident, $subject:expr, $survives:literal) => {
        mod $name {
            #[test]
            fn begins_empty() {
                super::begins_empty($subject);
            }

            // spec: K-56
            #[test]
            fn keeps_all_records() {
                super::keeps_all_records($subject, $survives);
            }

            #[test]
            fn keeps_large_batches() {
                super::keeps_large_batches($subject);
            }

            #[test]
            fn never_turns_the_clock_back() {
                super::never_turns_the_clock_back($subject);
            }

            #[test]
            fn takes_the_last_state() {
                super::takes_the_last_state($subject);
            }

            #[test]
            fn keeps_extreme_balances() {
                super::keeps_extreme_balances($subject);
            }

            #[test]
            fn prunes_what_it_is_told() {
                super::prunes_what_it_is_told($subject);
            }

            #[test]
            fn shows_whole_commits() {
                super::shows_whole_commits($subject);
            }
        }
    };
}

suite!(memory, crate::store::memory::MemoryStore::new(crate::store::tests::GENESIS), false);
suite!(crash_disk, crate::store::tests::OnCrashDisk::new(), true);
#[cfg(feature = "rocksdb")]
suite!(rocksdb, crate::store::tests::OnRocks::new(), true);
