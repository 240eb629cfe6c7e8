//! Stores: where commits become durable (DESIGN section 8).
//!
//! The ledger works on memory and hands over [`records::Changes`]; a store makes them durable in one atomic, synced
//! write, or the process ends: an error while writing means that the outcome is unknown.

pub mod crash;
pub mod desk;
#[cfg(feature = "rocksdb")]
mod high_water;
pub mod holds;
pub mod memory;
pub mod records;
#[cfg(feature = "rocksdb")]
pub mod rocksdb;
mod tables;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use protocol::ids::{AccountId, InstrumentId, RealmId};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Place};
use protocol::time::Timestamp;
use records::{
    BatchRecord, Changes, EnrolmentRecord, JournalPlace, JournalRecord, PaymentRecord, Registry, Snapshot,
    StoredOutcome,
};

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the database open.
    #[error("{path} is in use by another process: stop that server first, or give this one another --data directory")]
    InUse {
        /// The directory.
        path: String,
    },
    /// There is nothing to open.
    #[error("{path} holds no Quittance database: run `tps init` first")]
    NotInitialised {
        /// The directory.
        path: String,
    },
    /// There is a database where a new one should be made.
    #[error("{path} already holds a Quittance database: choose another directory")]
    AlreadyInitialised {
        /// The directory.
        path: String,
    },
    /// Damaged.
    #[error("{path} cannot be read: {detail}; restore a backup, do not continue with this copy")]
    Unreadable {
        /// The directory or file.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// The recovered state is behind the high-water mark: commits that were durable are missing.
    #[error(
        "{path} ends at commit {recovered}, but commit {high_water} was durable before: the disk lost data; restore a backup, do not continue with this copy"
    )]
    BehindHighWaterMark {
        /// The directory.
        path: String,
        /// Last commit found.
        recovered: u64,
        /// Commit in the high-water mark.
        high_water: u64,
    },
    /// The history differs from the one the high-water mark has seen.
    #[error(
        "{path} is not the database that the high-water mark belongs to: restore a backup, do not continue with this copy"
    )]
    OtherHistory {
        /// The directory.
        path: String,
    },
    /// The file with the high-water mark is missing or damaged, so that nobody can tell whether the database is complete.
    #[error(
        "the high-water mark {path} is lost ({detail}): nobody can tell whether the database lost data; restore a backup, or, if you know that this copy is the latest, run `tps accept-history`"
    )]
    HighWaterMarkLost {
        /// The file.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// Others on this machine could read keys and balances.
    #[error("{path} is open to others (mode {mode:o}): run `chmod 700 {path}`")]
    OpenToOthers {
        /// The directory.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Made by another version of this program.
    #[error(
        "{path} has format {found}, this program reads and writes format {expected}: start the version that made it"
    )]
    OtherFormat {
        /// The directory.
        path: String,
        /// Format found.
        found: u16,
        /// Format of this program.
        expected: u16,
    },
    /// The store refused a write because an earlier one had failed.
    #[error("{path} takes no more writes since one failed: the server must restart")]
    Broken {
        /// The directory.
        path: String,
    },
    /// Nothing durable to copy.
    #[error(
        "{path} cannot be made: this ledger lies in memory and is gone when the server ends; back up a TPS made by `tps init`"
    )]
    NoCheckpoint {
        /// Where the copy should have been.
        path: String,
    },
    /// A file of the archive is missing or not the one that the ledger knows.
    #[error(
        "segment {segment} of the archive, {path}, {detail}: put the file back from a backup (`tps archive verify` looks at all of them)"
    )]
    Archive {
        /// Number of the segment.
        segment: u64,
        /// The file.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// A write or sync failed: whether it happened is unknown.
    #[error("writing to {path} failed, whether it happened is unknown: {detail}; the server must restart")]
    WriteFailed {
        /// The directory.
        path: String,
        /// What the system said.
        detail: String,
    },
    /// A read failed.
    #[error("reading from {path} failed: {detail}")]
    ReadFailed {
        /// The directory.
        path: String,
        /// What the system said.
        detail: String,
    },
}

impl StoreError {
    /// A place that was committed is there; where it is not, the store lost it.
    pub(crate) fn missing_outcome(path: &str, place: Place) -> Self {
        let detail = format!("the outcome at batch {}, index {} is missing", place.batch, place.index);
        Self::Unreadable { path: path.to_owned(), detail }
    }
}

/// Number of an installation's first batch. Batch 0 does not exist, so that [`Place::default`] names no transaction.
pub const FIRST_BATCH: u64 = 1;

/// How many values of the hash chain over commits a store keeps, so that it can tell whether an older high-water mark
/// belongs to its history.
#[cfg(feature = "rocksdb")]
pub(in crate::store) const CHAIN_VALUES_KEPT: u64 = 65_536;

/// Where a copy of a store stands in its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointView {
    /// The installation.
    pub realm: RealmId,
    /// Number of its last commit.
    pub commit: u64,
    /// Value of the hash chain after that commit.
    pub chain: [u8; 32],
}

/// Evidence that everything sequenced up to a commit is durable. Only stores make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitReceipt {
    number: u64,
}

impl CommitReceipt {
    /// Attests that commit `number` is durable. Called by stores, after their sync returned.
    pub(in crate::store) fn attest(number: u64) -> Self {
        Self { number }
    }

    /// Number of the commit, counted from 1.
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// Writes. There is one writer.
pub trait Store: Send {
    /// Makes `changes` durable, all or nothing, before it returns.
    ///
    /// # Errors
    /// [`StoreError::WriteFailed`]: the outcome is unknown and the caller must end the process.
    fn commit(&mut self, changes: &Changes) -> Result<CommitReceipt, StoreError>;

    /// Reads, from any thread.
    fn reader(&self) -> Arc<dyn Reader>;
}

/// Reads what was committed.
pub trait Reader: Send + Sync {
    /// What the server reads at start, but for accounts and instruments.
    ///
    /// # Errors
    /// [`StoreError`].
    fn registry(&self) -> Result<Registry, StoreError>;

    /// The installation.
    ///
    /// # Errors
    /// [`StoreError`].
    fn realm(&self) -> Result<RealmId, StoreError>;

    /// The time of the last commit.
    ///
    /// # Errors
    /// [`StoreError`].
    fn clock(&self) -> Result<Timestamp, StoreError> {
        Ok(self.registry()?.clock)
    }

    /// About how many instruments there are, so that memory can be set aside for them.
    ///
    /// # Errors
    /// [`StoreError`].
    fn instruments_about(&self) -> Result<usize, StoreError>;

    /// Calls `visit` for every account, in the order of ids.
    ///
    /// # Errors
    /// [`StoreError`].
    fn for_each_account(&self, visit: &mut dyn FnMut(Account)) -> Result<(), StoreError> {
        self.visit_accounts(AccountId::ZERO, &mut |account| {
            visit(account);
            ControlFlow::Continue(())
        })
    }

    /// Calls `visit` for accounts from the one with id `from` on, in the order of ids, until it breaks.
    ///
    /// # Errors
    /// [`StoreError`].
    fn visit_accounts(
        &self,
        from: AccountId,
        visit: &mut dyn FnMut(Account) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Calls `visit` for every instrument as enrolled, in the order of ids.
    ///
    /// # Errors
    /// [`StoreError`].
    fn for_each_enrolment(&self, visit: &mut dyn FnMut(EnrolmentRecord)) -> Result<(), StoreError>;

    /// Calls `visit` for the state of every instrument that has one, in the order of ids.
    ///
    /// # Errors
    /// [`StoreError`].
    fn for_each_instrument(&self, visit: &mut dyn FnMut(InstrumentId, InstrumentState)) -> Result<(), StoreError>;

    /// An instrument as enrolled.
    ///
    /// # Errors
    /// [`StoreError`].
    fn enrolment(&self, id: InstrumentId) -> Result<Option<EnrolmentRecord>, StoreError>;

    /// Everything but the history, read into memory.
    ///
    /// # Errors
    /// [`StoreError`].
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let Registry { realm, clock, next_batch, merchants, balances, orders } = self.registry()?;
        let mut snapshot = Snapshot { realm, clock, next_batch, merchants, balances, orders, ..Snapshot::default() };
        self.for_each_enrolment(&mut |record| snapshot.enrolments.push(record))?;
        self.for_each_instrument(&mut |id, state| snapshot.instruments.push((id, state)))?;
        self.for_each_account(&mut |account| snapshot.accounts.push(account))?;
        Ok(snapshot)
    }

    /// An error that says what is wrong with what was read.
    fn inconsistent(&self, detail: &str) -> StoreError;

    /// The outcome of the transaction at `place`.
    ///
    /// # Errors
    /// [`StoreError`]; a place that was committed is there, so absence is [`StoreError::Unreadable`].
    fn outcome(&self, place: Place) -> Result<StoredOutcome, StoreError>;

    /// A signed batch; `None` where nothing of it was consumed.
    ///
    /// # Errors
    /// [`StoreError`].
    fn batch(&self, number: u64) -> Result<Option<BatchRecord>, StoreError>;

    /// Calls `visit` for consumed transactions after the one at `after`, oldest first, until it breaks.
    ///
    /// # Errors
    /// [`StoreError`].
    fn visit_payments(
        &self,
        after: Option<Place>,
        visit: &mut dyn FnMut(Place, &PaymentRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Calls `visit` for every consumed transaction, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn for_each_payment(&self, visit: &mut dyn FnMut(Place, &PaymentRecord)) -> Result<(), StoreError> {
        self.visit_payments(None, &mut |place, record| {
            visit(place, record);
            ControlFlow::Continue(())
        })
    }

    /// The bytes of a desk's record; [`desk::DeskRecord::read`] knows what they mean.
    ///
    /// # Errors
    /// [`StoreError`].
    fn desk(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Calls `visit` with keys and bytes of the desks' records whose keys begin with `prefix` and come after `after`, in the order
    /// of keys, until it breaks.
    ///
    /// # Errors
    /// [`StoreError`].
    fn visit_desk(&self, prefix: &[u8], after: Option<&[u8]>, visit: desk::VisitRecord<'_>) -> Result<(), StoreError>;

    /// Calls `visit` for what the operator and the desks did after the record at `after`, oldest first, until it breaks.
    ///
    /// # Errors
    /// [`StoreError`].
    fn visit_journal(
        &self,
        after: Option<JournalPlace>,
        visit: &mut dyn FnMut(JournalPlace, &JournalRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Calls `visit` for everything the operator and the desks did, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn for_each_journal(&self, visit: &mut dyn FnMut(&JournalRecord)) -> Result<(), StoreError> {
        self.visit_journal(None, &mut |_, record| {
            visit(record);
            ControlFlow::Continue(())
        })
    }

    /// What the funding agency calls an account; empty if it was never said.
    ///
    /// # Errors
    /// [`StoreError`].
    fn reference(&self, account: AccountId) -> Result<String, StoreError>;

    /// Number of the last commit.
    ///
    /// # Errors
    /// [`StoreError`].
    fn last_commit(&self) -> Result<u64, StoreError>;

    /// Makes a copy of the store as it is after some commit, as a new store in `directory`, which must not exist and lies on
    /// the same file system. Commits go on meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NoCheckpoint`] where the store lies in memory; [`StoreError`].
    fn checkpoint(&self, directory: &Path) -> Result<CheckpointView, StoreError> {
        Err(StoreError::NoCheckpoint { path: directory.display().to_string() })
    }

    /// Free space where the store lies, in bytes; `None` where it lies in memory.
    fn free_bytes(&self) -> Option<u64>;
}

/// What a new store is told about itself.
#[derive(Debug, Clone, Copy)]
pub struct Genesis {
    /// The installation.
    pub realm: RealmId,
}
