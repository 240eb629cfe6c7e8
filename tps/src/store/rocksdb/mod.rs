//! The store of record: RocksDB, embedded (DESIGN section 8).
//!
//! Four layers: `disk` knows files and settings, `format` bytes, `columns` which bytes are where, and this file
//! the ledger. Every commit is one synced write batch; a hash chain runs over all of them.

mod checkpoint;
mod columns;
mod disk;
mod format;
pub mod log;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::hash::{Purpose, tagged};
use protocol::ids::{AccountId, InstrumentId, RealmId};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Place};
use protocol::time::Timestamp;

use super::desk::DeskEntry;
use super::high_water::{self, HighWaterMark, Point};
use super::records::{
    BatchRecord, Changes, EnrolmentRecord, JournalPlace, JournalRecord, PaymentRecord, Pruned, Registry, StoredOutcome,
};
use super::{CHAIN_VALUES_KEPT, CheckpointView, CommitReceipt, FIRST_BATCH, Genesis, Reader, Store, StoreError};
pub use checkpoint::ReplaceError;
use columns::{
    Accounts, Balances, Batches, Chain, Column, CommitWriter, Desk, Enrolments, Instruments, Journal, Merchants, Meta,
    Payments, References, View,
};
use disk::{Disk, Opening, Paths};
use format::{DeskKey, DeskValue, FORMAT_VERSION, Key, MetaKey, MetaValue, Value, exactly};

/// Appends keys and values of what payments change, as a commit writes them. For counting what the encoding costs.
pub fn append_records(changes: &Changes, out: &mut Vec<u8>) {
    fn append<C: Column>(key: &C::Key, value: &C::Value, out: &mut Vec<u8>) {
        key.write(out);
        value.write(out);
    }
    changes.batches.iter().for_each(|(number, record)| append::<Batches>(number, record, out));
    changes.payments.iter().for_each(|(place, record)| append::<Payments>(place, record, out));
    changes.instruments.iter().for_each(|(id, state)| append::<Instruments>(id, state, out));
    changes.accounts.iter().for_each(|account| append::<Accounts>(&account.id, account, out));
}

/// A database on the disk. One process opens it at a time, and one thread writes.
pub struct RocksStore {
    // Dropped first, so that the mark names the last commit before the database closes.
    mark: HighWaterMark,
    shared: Arc<Shared>,
    head: Point,
    clock: Timestamp,
    /// The last commit's bytes; kept for its capacity.
    image: Vec<u8>,
    /// A write failed: nothing is known of what the disk holds until the process has restarted.
    broken: bool,
}

struct Shared {
    disk: Disk,
    durable_commit: AtomicU64,
}

impl RocksStore {
    /// Makes the store of a new installation in `directory`, which may exist if it holds no store and only its owner may
    /// enter it.
    ///
    /// # Errors
    /// [`StoreError::AlreadyInitialised`], [`StoreError::OpenToOthers`], [`StoreError::InUse`],
    /// [`StoreError::WriteFailed`]. A store whose making was interrupted is made again from the beginning.
    pub fn create(directory: &Path, genesis: Genesis) -> Result<Self, StoreError> {
        let paths = Paths::of(directory);
        paths.make_directory()?;
        paths.check_permissions()?;
        let lock = paths.take_lock()?;
        if paths.database.exists() || paths.high_water.exists() {
            return Err(StoreError::AlreadyInitialised { path: paths.text() });
        }
        let failed = |error: std::io::Error| StoreError::WriteFailed { path: paths.text(), detail: error.to_string() };
        if paths.unfinished.exists() {
            std::fs::remove_dir_all(&paths.unfinished).map_err(failed)?;
        }
        let disk = Disk::open(&paths, &paths.unfinished, Opening::Make, lock)?;
        let point = genesis_point(genesis.realm);
        let mut image = Vec::new();
        let mut writer = CommitWriter::new(&disk, &mut image)?;
        writer.put::<Meta>(&MetaKey::Format, &MetaValue(FORMAT_VERSION.to_le_bytes().to_vec()));
        writer.put::<Meta>(&MetaKey::Realm, &MetaValue(genesis.realm.0.to_vec()));
        writer.put::<Meta>(&MetaKey::Clock, &MetaValue(Timestamp::default().0.to_le_bytes().to_vec()));
        let batch = writer.finish(&point, None);
        disk.write(batch)?;
        drop(disk);
        std::fs::rename(&paths.unfinished, &paths.database).map_err(failed)?;
        disk::sync(&paths.directory).map_err(failed)?;
        Self::open(directory)
    }

    /// Opens the store in `directory`, recovers what was durable and compares it with the high-water mark.
    ///
    /// # Errors
    /// [`StoreError`]; whatever it says, the files are as they were.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let (paths, disk, recovered) = recover(directory)?;
        check_history(&paths, &disk, &recovered.head)?;
        Self::start(&paths, disk, &recovered)
    }

    /// Opens the store without asking its high-water mark, and makes a new mark of what was found. For the operator who
    /// restores an older backup or lost the mark, and answers for the payments that are missing then.
    ///
    /// # Errors
    /// As [`Self::open`], but for the mark.
    pub fn accept_history(directory: &Path) -> Result<Self, StoreError> {
        let (paths, disk, recovered) = recover(directory)?;
        Self::start(&paths, disk, &recovered)
    }

    /// Reads every record and checks it; returns how many there are. Takes as long as reading the whole database takes.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] for the first record that is damaged, [`StoreError::ReadFailed`].
    pub fn verify(&self) -> Result<u64, StoreError> {
        let view = View::new(&self.shared.disk)?;
        Ok(view.count::<Meta>()?
            + view.count::<Accounts>()?
            + view.count::<References>()?
            + view.count::<Enrolments>()?
            + view.count::<Instruments>()?
            + view.count::<Merchants>()?
            + view.count::<Balances>()?
            + view.count::<Batches>()?
            + view.count::<Payments>()?
            + view.count::<Journal>()?
            + view.count::<Chain>()?
            + view.count::<Desk>()?)
    }

    fn start(paths: &Paths, disk: Disk, recovered: &Recovered) -> Result<Self, StoreError> {
        let mark = HighWaterMark::start(&paths.high_water, recovered.head)?;
        let shared = Arc::new(Shared { disk, durable_commit: AtomicU64::new(recovered.head.number) });
        Ok(Self { mark, shared, head: recovered.head, clock: recovered.clock, image: Vec::new(), broken: false })
    }

    fn write(&mut self, changes: &Changes) -> Result<Point, StoreError> {
        let mut writer = CommitWriter::new(&self.shared.disk, &mut self.image)?;
        if changes.clock > self.clock {
            writer.put::<Meta>(&MetaKey::Clock, &MetaValue(changes.clock.0.to_le_bytes().to_vec()));
        }
        changes.batches.iter().for_each(|(number, record)| writer.put::<Batches>(number, record));
        changes.payments.iter().for_each(|(place, record)| writer.put::<Payments>(place, record));
        changes.instruments.iter().for_each(|(id, state)| writer.put::<Instruments>(id, state));
        changes.enrolments.iter().for_each(|record| writer.put::<Enrolments>(&record.id, record));
        changes.accounts.iter().for_each(|account| writer.put::<Accounts>(&account.id, account));
        changes.references.iter().for_each(|(account, reference)| writer.put::<References>(account, reference));
        changes.merchants.iter().for_each(|record| writer.put::<Merchants>(&record.id, record));
        changes.balances.iter().for_each(|(key, balance)| writer.put::<Balances>(key, balance));
        for (index, record) in (0..).zip(&changes.journal) {
            writer.put::<Journal>(&JournalPlace { commit: self.head.number + 1, index }, record);
        }
        for DeskEntry { key, value } in &changes.desk {
            let key = DeskKey(key.clone());
            match value {
                Some(value) => writer.put::<Desk>(&key, &DeskValue(value.clone())),
                None => writer.remove::<Desk>(&key),
            }
        }
        for pruned in &changes.pruned {
            match pruned {
                Pruned::Payment(place) => writer.remove::<Payments>(place),
                Pruned::Batch(number) => writer.remove::<Batches>(number),
            }
        }
        let point = writer.point_after(&self.head);
        let batch = writer.finish(&point, point.number.checked_sub(CHAIN_VALUES_KEPT));
        self.shared.disk.write(batch)?;
        Ok(point)
    }
}

impl Store for RocksStore {
    fn commit(&mut self, changes: &Changes) -> Result<CommitReceipt, StoreError> {
        if self.broken {
            return Err(StoreError::Broken { path: self.shared.disk.path() });
        }
        // Until everything has gone well.
        self.broken = true;
        self.head = self.write(changes)?;
        self.clock = self.clock.max(changes.clock);
        self.mark.publish(self.head)?;
        self.shared.durable_commit.store(self.head.number, Ordering::Release);
        self.broken = false;
        Ok(CommitReceipt::attest(self.head.number))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(RocksReader { shared: Arc::clone(&self.shared) })
    }
}

/// What [`RocksStore::open`] finds.
struct Recovered {
    head: Point,
    clock: Timestamp,
}

fn genesis_point(realm: RealmId) -> Point {
    let mut start = FORMAT_VERSION.to_le_bytes().to_vec();
    start.extend_from_slice(&realm.0);
    Point { number: 0, chain: tagged(Purpose::COMMIT_CHAIN, &start) }
}

fn recover(directory: &Path) -> Result<(Paths, Disk, Recovered), StoreError> {
    let paths = Paths::of(directory);
    if !paths.database.exists() {
        return Err(StoreError::NotInitialised { path: paths.text() });
    }
    paths.check_permissions()?;
    let lock = paths.take_lock()?;
    let disk = Disk::open(&paths, &paths.database, Opening::Find, lock)?;
    let view = View::new(&disk)?;
    let found = u16::from_le_bytes(meta(&disk, &view, MetaKey::Format)?);
    if found != FORMAT_VERSION {
        return Err(StoreError::OtherFormat { path: paths.text(), found, expected: FORMAT_VERSION });
    }
    let head = read_head(&disk, &view)?;
    let clock = Timestamp(u64::from_le_bytes(meta(&disk, &view, MetaKey::Clock)?));
    drop(view);
    Ok((paths, disk, Recovered { head, clock }))
}

/// The last commit.
fn read_head(disk: &Disk, view: &View<'_>) -> Result<Point, StoreError> {
    let head: [u8; 40] = meta(disk, view, MetaKey::Head)?;
    let (number, chain) = head.split_at(8);
    let wrong = |error: protocol::codec::DecodeError| disk.unreadable(&error.to_string());
    Ok(Point {
        number: u64::from_le_bytes(exactly("commit number", number).map_err(wrong)?),
        chain: exactly("chain value", chain).map_err(wrong)?,
    })
}

/// A record about the database itself, `N` bytes long.
fn meta<const N: usize>(disk: &Disk, view: &View<'_>, key: MetaKey) -> Result<[u8; N], StoreError> {
    let Some(MetaValue(bytes)) = view.get::<Meta>(&key)? else {
        return Err(disk.unreadable(&format!("its {key:?} record is missing")));
    };
    exactly("meta record", &bytes).map_err(|error| disk.unreadable(&format!("{key:?}: {error}")))
}

/// Compares what was recovered with the high-water mark.
fn check_history(paths: &Paths, disk: &Disk, head: &Point) -> Result<(), StoreError> {
    let mark = match high_water::read(&paths.high_water) {
        Ok(mark) => mark,
        // The making was interrupted after the database was there: nothing can be lost.
        Err(StoreError::HighWaterMarkLost { .. }) if head.number == 0 => return Ok(()),
        Err(error) => return Err(error),
    };
    if head.number < mark.number {
        return Err(StoreError::BehindHighWaterMark {
            path: paths.text(),
            recovered: head.number,
            high_water: mark.number,
        });
    }
    if View::new(disk)?.get::<Chain>(&mark.number)? != Some(mark.chain) {
        return Err(StoreError::OtherHistory { path: paths.text() });
    }
    Ok(())
}

/// Least bytes of an enrolment in a file: key, number of the write, and a record without label and limits.
const ENROLMENT_BYTES_LEAST: usize = 16 + 8 + 150;

struct RocksReader {
    shared: Arc<Shared>,
}

impl RocksReader {
    fn view(&self) -> Result<View<'_>, StoreError> {
        View::new(&self.shared.disk)
    }
}

impl Reader for RocksReader {
    fn registry(&self) -> Result<Registry, StoreError> {
        let (disk, view) = (&self.shared.disk, self.view()?);
        let mut registry = Registry {
            realm: Some(RealmId(meta(disk, &view, MetaKey::Realm)?)),
            clock: self.clock()?,
            next_batch: view.last_key::<Batches>()?.map_or(FIRST_BATCH, |last| last.saturating_add(1)),
            ..Registry::default()
        };
        view.for_each::<Merchants>(|_, record| registry.merchants.push(record))?;
        view.for_each::<Balances>(|key, balance| registry.balances.push((key, balance)))?;
        view.for_each::<Journal>(|_, record| registry.orders.extend(record.order))?;
        Ok(registry)
    }

    fn realm(&self) -> Result<RealmId, StoreError> {
        Ok(RealmId(meta(&self.shared.disk, &self.view()?, MetaKey::Realm)?))
    }

    fn clock(&self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp(u64::from_le_bytes(meta(&self.shared.disk, &self.view()?, MetaKey::Clock)?)))
    }

    fn instruments_about(&self) -> Result<usize, StoreError> {
        // The database's own estimate would have to open every file. Recovery has written out what was in the log.
        Ok(self.view()?.file_bytes::<Enrolments>()? / ENROLMENT_BYTES_LEAST)
    }

    fn visit_accounts(
        &self,
        from: AccountId,
        visit: &mut dyn FnMut(Account) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.view()?.visit_from::<Accounts>(Some(&from), |_, account| visit(account))
    }

    fn for_each_enrolment(&self, visit: &mut dyn FnMut(EnrolmentRecord)) -> Result<(), StoreError> {
        self.view()?.for_each::<Enrolments>(|_, record| visit(record))
    }

    fn for_each_instrument(&self, visit: &mut dyn FnMut(InstrumentId, InstrumentState)) -> Result<(), StoreError> {
        self.view()?.for_each::<Instruments>(visit)
    }

    fn enrolment(&self, id: InstrumentId) -> Result<Option<EnrolmentRecord>, StoreError> {
        self.view()?.get::<Enrolments>(&id)
    }

    fn inconsistent(&self, detail: &str) -> StoreError {
        self.shared.disk.unreadable(detail)
    }

    fn outcome(&self, place: Place) -> Result<StoredOutcome, StoreError> {
        let view = self.view()?;
        match (view.get::<Payments>(&place)?, view.get::<Batches>(&place.batch)?) {
            (Some(payment), Some(batch)) => Ok(StoredOutcome { payment, batch }),
            _ => Err(StoreError::missing_outcome(&self.shared.disk.path(), place)),
        }
    }

    fn batch(&self, number: u64) -> Result<Option<BatchRecord>, StoreError> {
        self.view()?.get::<Batches>(&number)
    }

    fn visit_payments(
        &self,
        after: Option<Place>,
        visit: &mut dyn FnMut(Place, &PaymentRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.view()?.visit_from::<Payments>(after.as_ref(), |place, record| {
            if Some(place) == after { ControlFlow::Continue(()) } else { visit(place, &record) }
        })
    }

    fn desk(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.view()?.get::<Desk>(&DeskKey(key.to_vec()))?.map(|value| value.0))
    }

    fn visit_desk(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let start = DeskKey(after.filter(|after| *after >= prefix).unwrap_or(prefix).to_vec());
        self.view()?.visit_from::<Desk>(Some(&start), |key, value| {
            if !key.0.starts_with(prefix) {
                ControlFlow::Break(())
            } else if after == Some(&key.0[..]) {
                ControlFlow::Continue(())
            } else {
                visit(&key.0, &value.0)
            }
        })
    }

    fn visit_journal(
        &self,
        after: Option<JournalPlace>,
        visit: &mut dyn FnMut(JournalPlace, &JournalRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.view()?.visit_from::<Journal>(after.as_ref(), |place, record| {
            if Some(place) == after { ControlFlow::Continue(()) } else { visit(place, &record) }
        })
    }

    fn reference(&self, account: AccountId) -> Result<String, StoreError> {
        Ok(self.view()?.get::<References>(&account)?.unwrap_or_default())
    }

    fn last_commit(&self) -> Result<u64, StoreError> {
        Ok(self.shared.durable_commit.load(Ordering::Acquire))
    }

    fn checkpoint(&self, directory: &Path) -> Result<CheckpointView, StoreError> {
        checkpoint::make(&self.shared.disk, directory)
    }

    fn free_bytes(&self) -> Option<u64> {
        self.shared.disk.free_bytes()
    }
}

#[cfg(test)]
mod tests;
