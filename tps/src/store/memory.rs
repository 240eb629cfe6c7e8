//! A store in memory: for `tps dev`, for tests and for the simulator. It keeps everything and loses it when it ends.

use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use protocol::ids::{AccountId, InstrumentId, RealmId};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Place};

use super::records::{
    BatchRecord, Changes, EnrolmentRecord, JournalPlace, JournalRecord, PaymentRecord, Registry, StoredOutcome,
};
use super::tables::Tables;
use super::{CommitReceipt, Genesis, Reader, Store, StoreError};

/// Records copied out at a time, so that a long visit never holds up commits.
pub(in crate::store) const VISIT_RECORDS: usize = 256;

/// Name of this store in errors.
const PATH: &str = "the store in memory";

/// A store in memory. Commits never fail.
pub struct MemoryStore {
    tables: Arc<RwLock<Tables>>,
}

impl MemoryStore {
    /// An empty ledger.
    pub fn new(genesis: Genesis) -> Self {
        Self { tables: Arc::new(RwLock::new(Tables::new(genesis))) }
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, changes: &Changes) -> Result<CommitReceipt, StoreError> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.apply(changes);
        Ok(CommitReceipt::attest(tables.commit))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(MemoryReader { tables: Arc::clone(&self.tables) })
    }
}

struct MemoryReader {
    tables: Arc<RwLock<Tables>>,
}

impl MemoryReader {
    fn tables(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader for MemoryReader {
    fn registry(&self) -> Result<Registry, StoreError> {
        Ok(self.tables().registry())
    }

    fn realm(&self) -> Result<RealmId, StoreError> {
        Ok(self.tables().realm)
    }

    fn instruments_about(&self) -> Result<usize, StoreError> {
        Ok(self.tables().instrument_count())
    }

    fn visit_accounts(
        &self,
        from: AccountId,
        visit: &mut dyn FnMut(Account) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let accounts = self.tables().accounts_from(from);
        let _ = accounts.into_iter().try_for_each(visit);
        Ok(())
    }

    fn for_each_enrolment(&self, visit: &mut dyn FnMut(EnrolmentRecord)) -> Result<(), StoreError> {
        let enrolments = self.tables().enrolments();
        enrolments.into_iter().for_each(visit);
        Ok(())
    }

    fn for_each_instrument(&self, visit: &mut dyn FnMut(InstrumentId, InstrumentState)) -> Result<(), StoreError> {
        let instruments = self.tables().instruments();
        instruments.into_iter().for_each(|(id, state)| visit(id, state));
        Ok(())
    }

    fn enrolment(&self, id: InstrumentId) -> Result<Option<EnrolmentRecord>, StoreError> {
        Ok(self.tables().enrolment(id))
    }

    fn inconsistent(&self, detail: &str) -> StoreError {
        StoreError::Unreadable { path: PATH.to_owned(), detail: detail.to_owned() }
    }

    fn outcome(&self, place: Place) -> Result<StoredOutcome, StoreError> {
        self.tables().outcome(place, PATH)
    }

    fn batch(&self, number: u64) -> Result<Option<BatchRecord>, StoreError> {
        Ok(self.tables().batch(number))
    }

    fn visit_payments(
        &self,
        after: Option<Place>,
        visit: &mut dyn FnMut(Place, &PaymentRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        visit_payments(after, |after, most| Ok(self.tables().payments_after(after, most)), visit)
    }

    fn desk(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables().desk(key))
    }

    fn visit_desk(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        visit_desk(after, |after, most| Ok(self.tables().desk_after(prefix, after, most)), visit)
    }

    fn visit_journal(
        &self,
        after: Option<JournalPlace>,
        visit: &mut dyn FnMut(JournalPlace, &JournalRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        visit_journal(after, |after, most| Ok(self.tables().journal_after(after, most)), visit)
    }

    fn reference(&self, account: AccountId) -> Result<String, StoreError> {
        Ok(self.tables().reference(account))
    }

    fn last_commit(&self) -> Result<u64, StoreError> {
        Ok(self.tables().commit)
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

/// Visits payments in pages that `read` copies out, so that `visit` runs without a lock.
pub(in crate::store) fn visit_payments(
    mut after: Option<Place>,
    read: impl Fn(Option<Place>, usize) -> Result<Vec<(Place, PaymentRecord)>, StoreError>,
    visit: &mut dyn FnMut(Place, &PaymentRecord) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    loop {
        let page = read(after, VISIT_RECORDS)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        if page.iter().any(|(place, record)| visit(*place, record).is_break()) {
            return Ok(());
        }
    }
}

/// Visits records of the desks in pages that `read` copies out, so that `visit` runs without a lock.
pub(in crate::store) fn visit_desk(
    after: Option<&[u8]>,
    read: impl Fn(Option<&[u8]>, usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError>,
    visit: super::desk::VisitRecord<'_>,
) -> Result<(), StoreError> {
    let mut after = after.map(<[u8]>::to_vec);
    loop {
        let mut page = read(after.as_deref(), VISIT_RECORDS)?;
        if page.is_empty() || page.iter().any(|(key, value)| visit(key, value).is_break()) {
            return Ok(());
        }
        after = page.pop().map(|(key, _)| key);
    }
}

/// Visits the journal in pages that `read` copies out, so that `visit` runs without a lock.
pub(in crate::store) fn visit_journal(
    after: Option<JournalPlace>,
    read: impl Fn(Option<JournalPlace>, usize) -> Result<Vec<(JournalPlace, JournalRecord)>, StoreError>,
    visit: &mut dyn FnMut(JournalPlace, &JournalRecord) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut after = after;
    loop {
        let page = read(after, VISIT_RECORDS)?;
        if page.is_empty() || page.iter().any(|(place, record)| visit(*place, record).is_break()) {
            return Ok(());
        }
        after = page.last().map(|(place, _)| *place);
    }
}
