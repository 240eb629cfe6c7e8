//! Archive and ledger, read as one log.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::ids::{AccountId, InstrumentId, RealmId};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Place};

use super::segment::Segment;
use super::{SegmentHeader, Signers, archived_up_to, segments};
use crate::admin::AdminError;
use crate::data_directory::DataDirectory;
use crate::pipeline::Engine;
use crate::pipeline::engine::LogHold;
use crate::store::records::{
    BatchRecord, EnrolmentRecord, JournalPlace, JournalRecord, PaymentRecord, Registry, StoredOutcome,
};
use crate::store::rocksdb::log::LogRecord;
use crate::store::{Reader, StoreError};

/// The whole log, wherever it lies: archived transactions first, then the ledger's. All else is the ledger's own. Nothing archived
/// leaves the ledger while this lives.
pub struct WholeLog {
    ledger: Arc<dyn Reader>,
    directory: PathBuf,
    segments: Vec<SegmentHeader>,
    archived: Place,
    /// The batch whose transactions are being visited: whoever visits them asks for it.
    open: Mutex<Option<(u64, BatchRecord)>>,
    /// Segments that were read to their last byte.
    whole: Mutex<BTreeSet<u64>>,
    _hold: LogHold,
}

impl WholeLog {
    /// The log of a TPS: its own keys vouch for the archive.
    ///
    /// # Errors
    /// [`AdminError`] where keys or archive cannot be used.
    pub fn of(engine: &Engine, data: &DataDirectory) -> Result<Self, AdminError> {
        let signers = super::signers(&crate::keys::KeyRing::load(data)?);
        Ok(Self::open(engine, &data.archive(), &signers)?)
    }

    /// The log of `engine`, with the archive in `directory`.
    ///
    /// # Errors
    /// [`StoreError::Archive`] for a segment that none of `signers` signed; [`StoreError`].
    pub fn open(engine: &Engine, directory: &Path, signers: &Signers) -> Result<Self, StoreError> {
        // Before the archive is asked how far it reaches.
        let hold = engine.hold_log();
        let ledger = Arc::clone(engine.reader());
        let segments = segments(&*ledger)?;
        for header in &segments {
            if !signers.get(&header.key).is_some_and(|public| header.is_signed_by(public)) {
                return Err(StoreError::Archive {
                    segment: header.number,
                    path: Segment::of(directory, header).path().display().to_string(),
                    detail: format!("is not signed by a desk key of this TPS (it names key {})", header.key),
                });
            }
        }
        let archived = archived_up_to(&*ledger)?;
        let (open, whole) = (Mutex::default(), Mutex::default());
        Ok(Self { ledger, directory: directory.to_owned(), segments, archived, open, whole, _hold: hold })
    }

    /// Headers of all segments, in their order.
    pub fn segments(&self) -> &[SegmentHeader] {
        &self.segments
    }

    /// Reads a segment to its last byte and compares its journal entries with the ledger's.
    ///
    /// # Errors
    /// [`StoreError::Archive`] with what is wrong; [`StoreError`].
    pub fn check(&self, header: &SegmentHeader) -> Result<(), StoreError> {
        let segment = Segment::of(&self.directory, header);
        let mut entries = Vec::new();
        segment.visit(&mut |record| {
            if let LogRecord::Journal(_, entry) = record {
                entries.push(entry);
            }
            ControlFlow::Continue(())
        })?;
        let (mut number, mut same) = (0, 0);
        self.ledger.for_each_journal(&mut |entry| {
            if number >= header.journal_from && number < header.journal_until() {
                same += usize::from(entries.get((number - header.journal_from) as usize) == Some(entry));
            }
            number += 1;
        })?;
        if same == entries.len() {
            return Ok(());
        }
        let path = segment.path().display().to_string();
        let detail = "holds other journal entries than the ledger".to_owned();
        Err(StoreError::Archive { segment: header.number, path, detail })
    }

    /// Visits the archive's records from the segment on that holds batch `from`. Whoever breaks off has seen nothing of a segment
    /// that is not whole: the rest of it is read the first time.
    fn visit_archive(
        &self,
        from: u64,
        visit: &mut dyn FnMut(LogRecord) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        for header in self.segments.iter().filter(|header| header.last().batch >= from) {
            let whole = || self.whole.lock().unwrap_or_else(PoisonError::into_inner);
            let known = whole().contains(&header.number);
            let mut broken = false;
            Segment::of(&self.directory, header).visit(&mut |record| {
                broken = broken || visit(record).is_break();
                if broken && known { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            whole().insert(header.number);
            if broken {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn archived_batch(&self, number: u64) -> Result<Option<BatchRecord>, StoreError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, batch)) = open.as_ref().filter(|(open, _)| *open == number) {
            return Ok(Some(batch.clone()));
        }
        drop(open);
        let mut found = None;
        let _ = self.visit_archive(number, &mut |record| match record {
            LogRecord::Batch(other, batch) if other == number => {
                found = Some(batch);
                ControlFlow::Break(())
            }
            LogRecord::Batch(other, _) if other > number => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })?;
        Ok(found)
    }
}

impl Reader for WholeLog {
    fn registry(&self) -> Result<Registry, StoreError> {
        self.ledger.registry()
    }

    fn realm(&self) -> Result<RealmId, StoreError> {
        self.ledger.realm()
    }

    fn instruments_about(&self) -> Result<usize, StoreError> {
        self.ledger.instruments_about()
    }

    fn for_each_account(&self, visit: &mut dyn FnMut(Account)) -> Result<(), StoreError> {
        self.ledger.for_each_account(visit)
    }

    fn for_each_enrolment(&self, visit: &mut dyn FnMut(EnrolmentRecord)) -> Result<(), StoreError> {
        self.ledger.for_each_enrolment(visit)
    }

    fn for_each_instrument(&self, visit: &mut dyn FnMut(InstrumentId, InstrumentState)) -> Result<(), StoreError> {
        self.ledger.for_each_instrument(visit)
    }

    fn enrolment(&self, id: InstrumentId) -> Result<Option<EnrolmentRecord>, StoreError> {
        self.ledger.enrolment(id)
    }

    fn inconsistent(&self, detail: &str) -> StoreError {
        self.ledger.inconsistent(detail)
    }

    fn outcome(&self, place: Place) -> Result<StoredOutcome, StoreError> {
        match self.ledger.outcome(place) {
            Err(StoreError::Unreadable { .. }) if place <= self.archived => {}
            other => return other,
        }
        let (mut batch, mut payment) = (None, None);
        let _ = self.visit_archive(place.batch, &mut |record| match record {
            LogRecord::Batch(number, record) if number == place.batch => {
                batch = Some(record);
                ControlFlow::Continue(())
            }
            LogRecord::Payment(at, record) if at == place => {
                payment = Some(record);
                ControlFlow::Break(())
            }
            LogRecord::Batch(number, _) if number > place.batch => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })?;
        match (payment, batch) {
            (Some(payment), Some(batch)) => Ok(StoredOutcome { payment, batch }),
            _ => Err(StoreError::missing_outcome(&self.directory.display().to_string(), place)),
        }
    }

    fn batch(&self, number: u64) -> Result<Option<BatchRecord>, StoreError> {
        if number > self.archived.batch {
            return self.ledger.batch(number);
        }
        self.archived_batch(number)
    }

    fn visit_payments(
        &self,
        after: Option<Place>,
        visit: &mut dyn FnMut(Place, &PaymentRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let after = after.unwrap_or_default();
        if after < self.archived {
            let visited = self.visit_archive(after.batch, &mut |record| match record {
                LogRecord::Batch(number, record) => {
                    *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, record));
                    ControlFlow::Continue(())
                }
                LogRecord::Payment(place, record) if place > after => visit(place, &record),
                _ => ControlFlow::Continue(()),
            });
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
            if visited?.is_break() {
                return Ok(());
            }
        }
        self.ledger.visit_payments(Some(after.max(self.archived)), visit)
    }

    fn desk(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.ledger.desk(key)
    }

    fn visit_desk(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.ledger.visit_desk(prefix, after, visit)
    }

    fn visit_accounts(
        &self,
        from: AccountId,
        visit: &mut dyn FnMut(Account) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.ledger.visit_accounts(from, visit)
    }

    fn visit_journal(
        &self,
        after: Option<JournalPlace>,
        visit: &mut dyn FnMut(JournalPlace, &JournalRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.ledger.visit_journal(after, visit)
    }

    fn for_each_journal(&self, visit: &mut dyn FnMut(&JournalRecord)) -> Result<(), StoreError> {
        self.ledger.for_each_journal(visit)
    }

    fn reference(&self, account: AccountId) -> Result<String, StoreError> {
        self.ledger.reference(account)
    }

    fn last_commit(&self) -> Result<u64, StoreError> {
        self.ledger.last_commit()
    }

    fn checkpoint(&self, directory: &Path) -> Result<crate::store::CheckpointView, StoreError> {
        self.ledger.checkpoint(directory)
    }

    fn free_bytes(&self) -> Option<u64> {
        self.ledger.free_bytes()
    }
}
