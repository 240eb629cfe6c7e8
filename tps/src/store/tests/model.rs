//! What a store must hold after a history, worked out in the plainest way: by asking all commits from the last one back.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use protocol::ids::AccountId;
use protocol::ledger::instrument::Place;
use protocol::time::Timestamp;

use super::GENESIS;
use crate::store::records::{Changes, JournalRecord, PaymentRecord, Snapshot, StoredOutcome};
use crate::store::{Reader, StoreError};

/// A history of commits.
#[derive(Debug, Default, Clone)]
pub(in crate::store) struct Model {
    /// Oldest first.
    pub(in crate::store) commits: Vec<Changes>,
}

/// For each key the value written last, in the order of keys.
fn latest<'a, Record, Key: Ord + Clone, Value: 'a>(
    commits: &'a [Changes],
    records: impl Fn(&'a Changes) -> &'a Vec<Record>,
    part: impl Fn(&'a Record) -> (Key, Value),
) -> Vec<(Key, Value)>
where
    Record: 'a,
{
    let mut seen = BTreeSet::new();
    let mut found: Vec<(Key, Value)> = Vec::new();
    for record in commits.iter().rev().flat_map(|changes| records(changes).iter().rev()) {
        let (key, value) = part(record);
        if seen.insert(key.clone()) {
            found.push((key, value));
        }
    }
    found.sort_by(|(first, _), (second, _)| first.cmp(second));
    found
}

fn values<Key, Value: Clone>(records: Vec<(Key, &Value)>) -> Vec<Value> {
    records.into_iter().map(|(_, value)| value.clone()).collect()
}

impl Model {
    fn payments(&self) -> Vec<(Place, PaymentRecord)> {
        latest(&self.commits, |changes| &changes.payments, |record| *record)
    }

    fn journal(&self) -> Vec<JournalRecord> {
        self.commits.iter().flat_map(|changes| changes.journal.iter().cloned()).collect()
    }

    fn outcome(&self, place: Place) -> Option<StoredOutcome> {
        let batches = latest(&self.commits, |changes| &changes.batches, |(number, record)| (*number, record));
        let batch = batches.into_iter().find(|(number, _)| *number == place.batch)?.1.clone();
        let payment = self.payments().into_iter().find(|(at, _)| *at == place)?.1;
        Some(StoredOutcome { payment, batch })
    }

    fn snapshot(&self) -> Snapshot {
        let commits = &self.commits;
        let batches = latest(commits, |changes| &changes.batches, |(number, _)| (*number, ()));
        Snapshot {
            realm: Some(GENESIS.realm),
            clock: commits.iter().map(|changes| changes.clock).max().unwrap_or(Timestamp(0)),
            next_batch: batches.last().map_or(1, |(number, ())| number + 1),
            enrolments: values(latest(commits, |changes| &changes.enrolments, |record| (record.id, record))),
            instruments: latest(commits, |changes| &changes.instruments, |record| *record),
            accounts: values(latest(commits, |changes| &changes.accounts, |account| (account.id, account))),
            merchants: values(latest(commits, |changes| &changes.merchants, |record| (record.id, record))),
            balances: latest(commits, |changes| &changes.balances, |record| *record),
            orders: self.journal().into_iter().filter_map(|record| record.order).collect(),
        }
    }

    /// Compares everything that can be read with the model.
    pub(in crate::store) fn check(&self, reader: &dyn Reader) {
        assert_eq!(reader.last_commit().unwrap(), self.commits.len() as u64);
        assert_eq!(reader.snapshot().unwrap(), self.snapshot());

        let mut payments = Vec::new();
        reader.for_each_payment(&mut |place, record| payments.push((place, *record))).unwrap();
        assert_eq!(payments, self.payments());

        let mut journal = Vec::new();
        reader.for_each_journal(&mut |record| journal.push(record.clone())).unwrap();
        assert_eq!(journal, self.journal());

        for batch in 0..8 {
            for index in 0..5 {
                let place = Place { batch, index };
                match (reader.outcome(place), self.outcome(place)) {
                    (Ok(found), Some(expected)) => assert_eq!(found, expected),
                    (Err(StoreError::Unreadable { .. }), None) => {}
                    (found, expected) => panic!("{place:?}: {found:?}, not {expected:?}"),
                }
            }
        }

        let desk = latest(&self.commits, |changes| &changes.desk, |entry| (entry.key.clone(), entry.value.clone()));
        let desk: Vec<(Vec<u8>, Vec<u8>)> = desk.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        for prefix in [&[][..], &[0], &[1], &[1, 127], &[2, 254, 254]] {
            let with_prefix: Vec<_> = desk.iter().filter(|(key, _)| key.starts_with(prefix)).cloned().collect();
            for after in std::iter::once(None).chain(with_prefix.iter().map(|(key, _)| Some(&key[..]))) {
                let mut found = Vec::new();
                let expected: Vec<_> =
                    with_prefix.iter().filter(|(key, _)| after.is_none_or(|after| &key[..] > after)).cloned().collect();
                let most = expected.len().max(1);
                let visited = reader.visit_desk(prefix, after, &mut |key, value| {
                    found.push((key.to_vec(), value.to_vec()));
                    if found.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                visited.unwrap();
                assert_eq!(found, expected, "{prefix:?} after {after:?}");
            }
        }
        for (key, value) in &desk {
            assert_eq!(reader.desk(key).unwrap().as_ref(), Some(value));
        }
        assert_eq!(reader.desk(&[77]).unwrap(), None);

        let payments = self.payments();
        for (position, (after, _)) in payments.iter().enumerate() {
            let mut next = None;
            let visited = reader.visit_payments(Some(*after), &mut |place, _| {
                next = Some(place);
                ControlFlow::Break(())
            });
            visited.unwrap();
            assert_eq!(next, payments.get(position + 1).map(|(place, _)| *place));
            assert_eq!(reader.batch(after.batch).unwrap().is_some(), reader.outcome(*after).is_ok());
        }

        let references = latest(&self.commits, |changes| &changes.references, |(account, text)| (*account, text));
        for (account, text) in references {
            assert_eq!(reader.reference(account).unwrap(), *text);
        }
        assert_eq!(reader.reference(AccountId([0xee; 16])).unwrap(), "");
    }
}
