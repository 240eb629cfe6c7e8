//! A store on a simulated disk that loses what was not synced: for crash tests.
//!
//! The disk has two parts, as a real one has: what was written (in the operating system's memory, visible to every
//! reader) and what was synced (durable). A power loss throws the first away. Faults at named points end a commit there;
//! afterwards the store is dead, as its process would be, and [`CrashDisk::recover`] gives the store as found after
//! the restart. A disk made [`CrashDisk::without_sync`] forgets the sync, a planted bug: a crash test that does not fail
//! on it tests nothing.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::ids::{AccountId, InstrumentId, RealmId};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Place};

use super::memory::{visit_desk, visit_journal, visit_payments};
use super::records::{
    BatchRecord, Changes, EnrolmentRecord, JournalPlace, JournalRecord, PaymentRecord, Registry, StoredOutcome,
};
use super::tables::Tables;
use super::{CommitReceipt, Genesis, Reader, Store, StoreError};

/// Name of this store in errors.
const PATH: &str = "the simulated disk";

/// Where in a commit the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CrashPoint {
    /// Nothing was written.
    BeforeWrite,
    /// Written, not synced: what a reader could see is gone after the restart.
    AfterWriteBeforeSync,
    /// Durable, but the caller never learns it.
    AfterSyncBeforeReturn,
}

impl CrashPoint {
    /// All points, in the order of a commit.
    pub const ALL: [Self; 3] = [Self::BeforeWrite, Self::AfterWriteBeforeSync, Self::AfterSyncBeforeReturn];

    /// The name, for reports and for choosing a point by text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeWrite => "before-write",
            Self::AfterWriteBeforeSync => "after-write-before-sync",
            Self::AfterSyncBeforeReturn => "after-sync-before-return",
        }
    }
}

struct Disk {
    durable: Tables,
    /// What processes read: durable, and what was written since.
    visible: Tables,
    /// Written and not synced, oldest first.
    unsynced: Vec<Changes>,
    with_sync: bool,
    /// Where the power fails, and in which commit.
    armed: Option<(CrashPoint, u64)>,
    /// Stores of an earlier generation belong to processes that ended.
    generation: u64,
    running: bool,
}

impl Disk {
    fn lose_power(&mut self) {
        self.visible = self.durable.clone();
        self.unsynced.clear();
        self.armed = None;
        self.running = false;
    }

    fn sync(&mut self) {
        for changes in self.unsynced.drain(..) {
            self.durable.apply(&changes);
        }
    }

    fn crash_point(&self, point: CrashPoint, commit: u64) -> bool {
        self.armed == Some((point, commit))
    }
}

/// The simulated disk. Clones are the same disk: the test keeps one while the server has the store.
#[derive(Clone)]
pub struct CrashDisk {
    disk: Arc<Mutex<Disk>>,
}

impl CrashDisk {
    /// A disk with an empty ledger on it, and the store of its first process.
    pub fn new(genesis: Genesis) -> (Self, CrashStore) {
        Self::with(genesis, true)
    }

    /// The same with a planted bug: commits return without having synced.
    pub fn without_sync(genesis: Genesis) -> (Self, CrashStore) {
        Self::with(genesis, false)
    }

    fn with(genesis: Genesis, with_sync: bool) -> (Self, CrashStore) {
        let tables = Tables::new(genesis);
        let disk = Disk {
            durable: tables.clone(),
            visible: tables,
            unsynced: Vec::new(),
            with_sync,
            armed: None,
            generation: 0,
            running: true,
        };
        let disk = Self { disk: Arc::new(Mutex::new(disk)) };
        let store = CrashStore { disk: disk.clone(), generation: 0 };
        (disk, store)
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the power fail at `point` of commit `commit` (counted from 1, over all processes). Replaces an earlier order.
    pub fn arm(&self, point: CrashPoint, commit: u64) {
        self.lock().armed = Some((point, commit));
    }

    /// The power fails now: everything written and not synced is lost, every store of this disk is dead.
    pub fn crash(&self) {
        self.lock().lose_power();
    }

    /// Starts again after a crash: the store as found on the disk. Earlier stores stay dead.
    pub fn recover(&self) -> CrashStore {
        let mut disk = self.lock();
        if disk.running {
            // A start without a crash: the process ended and the operating system kept its writes.
            disk.armed = None;
        }
        disk.generation += 1;
        disk.running = true;
        CrashStore { disk: self.clone(), generation: disk.generation }
    }

    /// Whether the power failed and nobody called [`Self::recover`] since.
    pub fn crashed(&self) -> bool {
        !self.lock().running
    }

    /// Number of the last durable commit.
    pub fn durable_commit(&self) -> u64 {
        self.lock().durable.commit
    }
}

/// A store on a [`CrashDisk`].
pub struct CrashStore {
    disk: CrashDisk,
    generation: u64,
}

impl CrashStore {
    fn power_failed(detail: &str) -> StoreError {
        StoreError::WriteFailed { path: PATH.to_owned(), detail: format!("the power failed {detail}") }
    }
}

impl Store for CrashStore {
    fn commit(&mut self, changes: &Changes) -> Result<CommitReceipt, StoreError> {
        let mut guard = self.disk.lock();
        let disk = &mut *guard;
        if !disk.running || disk.generation != self.generation {
            return Err(Self::power_failed("earlier"));
        }
        let number = disk.visible.commit + 1;
        if disk.crash_point(CrashPoint::BeforeWrite, number) {
            disk.lose_power();
            return Err(Self::power_failed(CrashPoint::BeforeWrite.name()));
        }
        disk.visible.apply(changes);
        disk.unsynced.push(changes.clone());
        if disk.crash_point(CrashPoint::AfterWriteBeforeSync, number) {
            disk.lose_power();
            return Err(Self::power_failed(CrashPoint::AfterWriteBeforeSync.name()));
        }
        if disk.with_sync {
            disk.sync();
        }
        if disk.crash_point(CrashPoint::AfterSyncBeforeReturn, number) {
            disk.lose_power();
            return Err(Self::power_failed(CrashPoint::AfterSyncBeforeReturn.name()));
        }
        Ok(CommitReceipt::attest(number))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(CrashReader { disk: self.disk.clone(), generation: self.generation })
    }
}

struct CrashReader {
    disk: CrashDisk,
    generation: u64,
}

impl CrashReader {
    fn read<Value>(&self, read: impl FnOnce(&Tables) -> Value) -> Result<Value, StoreError> {
        let disk = self.disk.lock();
        if !disk.running || disk.generation != self.generation {
            return Err(StoreError::ReadFailed { path: PATH.to_owned(), detail: "the power failed".to_owned() });
        }
        Ok(read(&disk.visible))
    }
}

impl Reader for CrashReader {
    fn registry(&self) -> Result<Registry, StoreError> {
        self.read(Tables::registry)
    }

    fn realm(&self) -> Result<RealmId, StoreError> {
        self.read(|tables| tables.realm)
    }

    fn instruments_about(&self) -> Result<usize, StoreError> {
        self.read(Tables::instrument_count)
    }

    fn visit_accounts(
        &self,
        from: AccountId,
        visit: &mut dyn FnMut(Account) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let _ = self.read(|tables| tables.accounts_from(from))?.into_iter().try_for_each(visit);
        Ok(())
    }

    fn for_each_enrolment(&self, visit: &mut dyn FnMut(EnrolmentRecord)) -> Result<(), StoreError> {
        self.read(Tables::enrolments)?.into_iter().for_each(visit);
        Ok(())
    }

    fn for_each_instrument(&self, visit: &mut dyn FnMut(InstrumentId, InstrumentState)) -> Result<(), StoreError> {
        self.read(Tables::instruments)?.into_iter().for_each(|(id, state)| visit(id, state));
        Ok(())
    }

    fn enrolment(&self, id: InstrumentId) -> Result<Option<EnrolmentRecord>, StoreError> {
        self.read(|tables| tables.enrolment(id))
    }

    fn inconsistent(&self, detail: &str) -> StoreError {
        StoreError::Unreadable { path: PATH.to_owned(), detail: detail.to_owned() }
    }

    fn outcome(&self, place: Place) -> Result<StoredOutcome, StoreError> {
        self.read(|tables| tables.outcome(place, PATH))?
    }

    fn batch(&self, number: u64) -> Result<Option<BatchRecord>, StoreError> {
        self.read(|tables| tables.batch(number))
    }

    fn visit_payments(
        &self,
        after: Option<Place>,
        visit: &mut dyn FnMut(Place, &PaymentRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        visit_payments(after, |after, most| self.read(|tables| tables.payments_after(after, most)), visit)
    }

    fn desk(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|tables| tables.desk(key))
    }

    fn visit_desk(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        visit_desk(after, |after, most| self.read(|tables| tables.desk_after(prefix, after, most)), visit)
    }

    fn visit_journal(
        &self,
        after: Option<JournalPlace>,
        visit: &mut dyn FnMut(JournalPlace, &JournalRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        visit_journal(after, |after, most| self.read(|tables| tables.journal_after(after, most)), visit)
    }

    fn reference(&self, account: AccountId) -> Result<String, StoreError> {
        self.read(|tables| tables.reference(account))
    }

    fn last_commit(&self) -> Result<u64, StoreError> {
        self.read(|tables| tables.commit)
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}
