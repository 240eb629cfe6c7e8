//! The records of a ledger in memory: what [`super::memory`] and [`super::crash`] keep.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use protocol::ids::{AccountId, Digest, InstrumentId, MerchantId, RealmId};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Place};
use protocol::time::Timestamp;

use super::desk::DeskEntry;
use super::records::{
    BalanceKey, BatchRecord, Changes, EnrolmentRecord, JournalPlace, JournalRecord, MerchantRecord, PaymentRecord,
    Pruned, Registry, StoredOutcome,
};
use super::{FIRST_BATCH, Genesis, StoreError};

/// Everything that was committed. Applying changes costs time in proportion to the changes, not to what is held.
#[derive(Clone)]
pub(in crate::store) struct Tables {
    pub(in crate::store) realm: RealmId,
    /// Number of the last commit applied; 0 before the first.
    pub(in crate::store) commit: u64,
    clock: Timestamp,
    batches: BTreeMap<u64, BatchRecord>,
    payments: BTreeMap<Place, PaymentRecord>,
    instruments: HashMap<InstrumentId, InstrumentState>,
    enrolments: HashMap<InstrumentId, EnrolmentRecord>,
    accounts: HashMap<AccountId, Account>,
    references: HashMap<AccountId, String>,
    merchants: HashMap<MerchantId, MerchantRecord>,
    balances: HashMap<BalanceKey, i128>,
    journal: Vec<(JournalPlace, JournalRecord)>,
    desk: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Tables {
    /// The empty ledger of an installation.
    pub(in crate::store) fn new(genesis: Genesis) -> Self {
        Self {
            realm: genesis.realm,
            commit: 0,
            clock: Timestamp::default(),
            batches: BTreeMap::new(),
            payments: BTreeMap::new(),
            instruments: HashMap::new(),
            enrolments: HashMap::new(),
            accounts: HashMap::new(),
            references: HashMap::new(),
            merchants: HashMap::new(),
            balances: HashMap::new(),
            journal: Vec::new(),
            desk: BTreeMap::new(),
        }
    }

    /// Applies one commit; of several records with one key the last counts.
    pub(in crate::store) fn apply(&mut self, changes: &Changes) {
        self.commit += 1;
        self.clock = self.clock.max(changes.clock);
        self.batches.extend(changes.batches.iter().map(|(number, record)| (*number, record.clone())));
        self.payments.extend(changes.payments.iter().copied());
        self.instruments.extend(changes.instruments.iter().copied());
        self.enrolments.extend(changes.enrolments.iter().map(|record| (record.id, record.clone())));
        self.accounts.extend(changes.accounts.iter().map(|account| (account.id, *account)));
        self.references.extend(changes.references.iter().cloned());
        self.merchants.extend(changes.merchants.iter().map(|record| (record.id, record.clone())));
        self.balances.extend(changes.balances.iter().copied());
        let places = (0..).map(|index| JournalPlace { commit: self.commit, index });
        self.journal.extend(places.zip(changes.journal.iter().cloned()));
        for DeskEntry { key, value } in &changes.desk {
            match value {
                Some(value) => drop(self.desk.insert(key.clone(), value.clone())),
                None => drop(self.desk.remove(key)),
            }
        }
        for pruned in &changes.pruned {
            match pruned {
                Pruned::Payment(place) => drop(self.payments.remove(place)),
                Pruned::Batch(number) => drop(self.batches.remove(number)),
            }
        }
    }

    /// What there are few of, each kind in the order of its keys.
    pub(in crate::store) fn registry(&self) -> Registry {
        let mut registry = Registry {
            realm: Some(self.realm),
            clock: self.clock,
            next_batch: self.batches.last_key_value().map_or(FIRST_BATCH, |(last, _)| last.saturating_add(1)),
            merchants: self.merchants.values().cloned().collect(),
            balances: self.balances.iter().map(|(key, balance)| (*key, *balance)).collect(),
            orders: self.journal.iter().filter_map(|(_, record)| record.order).collect::<Vec<Digest>>(),
        };
        registry.merchants.sort_unstable_by_key(|record| record.id);
        registry.balances.sort_unstable_by_key(|(key, _)| *key);
        registry
    }

    /// Number of instruments.
    pub(in crate::store) fn instrument_count(&self) -> usize {
        self.enrolments.len()
    }

    /// All instruments as enrolled, by id.
    pub(in crate::store) fn enrolments(&self) -> Vec<EnrolmentRecord> {
        let mut records: Vec<_> = self.enrolments.values().cloned().collect();
        records.sort_unstable_by_key(|record| record.id);
        records
    }

    /// One instrument as enrolled.
    pub(in crate::store) fn enrolment(&self, id: InstrumentId) -> Option<EnrolmentRecord> {
        self.enrolments.get(&id).cloned()
    }

    /// States of all instruments, by id.
    pub(in crate::store) fn instruments(&self) -> Vec<(InstrumentId, InstrumentState)> {
        let mut states: Vec<_> = self.instruments.iter().map(|(id, state)| (*id, *state)).collect();
        states.sort_unstable_by_key(|(id, _)| *id);
        states
    }

    /// Accounts from the id `from` on, in the order of ids.
    pub(in crate::store) fn accounts_from(&self, from: AccountId) -> Vec<Account> {
        let mut accounts: Vec<_> = self.accounts.values().filter(|account| account.id >= from).copied().collect();
        accounts.sort_unstable_by_key(|account| account.id);
        accounts
    }

    /// The outcome of the transaction at `place`; `path` names the store in the error.
    pub(in crate::store) fn outcome(&self, place: Place, path: &str) -> Result<StoredOutcome, StoreError> {
        match (self.payments.get(&place), self.batches.get(&place.batch)) {
            (Some(payment), Some(batch)) => Ok(StoredOutcome { payment: *payment, batch: batch.clone() }),
            _ => Err(StoreError::missing_outcome(path, place)),
        }
    }

    /// Up to `most` payments after `after`, in the order of their places.
    pub(in crate::store) fn payments_after(&self, after: Option<Place>, most: usize) -> Vec<(Place, PaymentRecord)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.payments.range((start, Bound::Unbounded)).take(most).map(|(place, record)| (*place, *record)).collect()
    }

    /// A signed batch.
    pub(in crate::store) fn batch(&self, number: u64) -> Option<BatchRecord> {
        self.batches.get(&number).cloned()
    }

    /// The bytes of a desk's record.
    pub(in crate::store) fn desk(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.desk.get(key).cloned()
    }

    /// Up to `most` records of the desks whose keys begin with `prefix`, those after `after` only.
    pub(in crate::store) fn desk_after(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        most: usize,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let found =
            self.desk.range::<[u8], _>((start, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        found.take(most).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Up to `most` journal records after the one at `after`.
    pub(in crate::store) fn journal_after(
        &self,
        after: Option<JournalPlace>,
        most: usize,
    ) -> Vec<(JournalPlace, JournalRecord)> {
        let start = self.journal.partition_point(|(place, _)| after.is_some_and(|after| *place <= after));
        self.journal.iter().skip(start).take(most).cloned().collect()
    }

    /// What the funding agency calls an account.
    pub(in crate::store) fn reference(&self, account: AccountId) -> String {
        self.references.get(&account).cloned().unwrap_or_default()
    }
}
