//! Moves old transactions from the ledger into the archive, in spare time.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::ids::{Digest, InstrumentId};
use protocol::ledger::instrument::Place;
use protocol::signature::{DeskRole, SigningKey};
use protocol::time::{DAY_MS, Timestamp};

use super::segment::{Segment, WriteError, Writer, path};
use super::{ArchiveSegment, SEGMENT_BYTES_MAX, SegmentHeader, segments};
use crate::admin::{AdminError, AdminErrorCode};
use crate::book::orders::OrderError;
use crate::data_directory::{DataDirectory, make_private_directory};
use crate::desk::records::PAIR_INDEX;
use crate::jobs::cursor::Cursor;
use crate::jobs::{Job, Pause, deferred};
use crate::keys::KeyRing;
use crate::pipeline::Engine;
use crate::settlement::close::last_cycle;
use crate::store::desk::DeskRecord;
use crate::store::records::{BatchRecord, PaymentRecord, Pruned};
use crate::store::rocksdb::log::LogRecord;
use crate::store::{Reader, StoreError};

/// Transactions that leave the ledger in one commit, about: its write is then smaller than that of a common batch.
const PRUNED_PER_COMMIT: usize = 256;
/// Pause between two such commits, so that those of payments come between.
const BETWEEN_PRUNINGS: Duration = Duration::from_millis(5);
/// How soon pruning goes on while somebody reads the whole log.
const WHILE_HELD: Duration = Duration::from_secs(1);
/// How often the job looks whether something has grown old.
const LOOK: Duration = Duration::from_secs(60);
/// So much time gathers before segments are written, so that a quiet TPS writes one a day and not one a minute.
const GATHERED_MS: u64 = DAY_MS;

/// Everything that archiving needs.
pub struct Archiving<'a> {
    /// The pipeline.
    pub engine: &'a Engine,
    /// Where segments lie.
    pub directory: &'a Path,
    /// A segment takes no further batch once its records have so many bytes.
    pub bytes_max: u64,
}

/// What a pruning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruning {
    /// Everything up to here that may leave the ledger has left it.
    UpTo(Place),
    /// Somebody reads the whole log: nothing was done.
    Held,
    /// There is nothing more.
    Done,
}

impl Archiving<'_> {
    fn reader(&self) -> &dyn Reader {
        self.engine.reader().as_ref()
    }

    /// The last place that everybody is done with: it is complete in the log, settled, and behind the cursors of all jobs. `None`
    /// where that is nothing.
    ///
    /// # Errors
    /// [`AdminError`] where the store does not answer.
    pub fn done_with(&self) -> Result<Option<Place>, AdminError> {
        let Some(complete) = self.engine.log_complete_up_to() else { return Ok(None) };
        let Some(cycle) = last_cycle(self.reader())? else { return Ok(None) };
        let settled = if cycle.closed { cycle.last() } else { cycle.after() };
        let cursors = Cursor::all(self.reader(), &[])?;
        // Before the index for refunds has begun, none of the log is in it.
        if !cursors.iter().any(|cursor| cursor.job == PAIR_INDEX) {
            return Ok(None);
        }
        let cursors = cursors.iter().filter(|cursor| !deferred::is_finished(cursor)).map(Cursor::place);
        let complete = Place { batch: complete, index: u16::MAX };
        Ok(cursors.chain([complete, settled]).min().filter(|place| *place > Place::default()))
    }

    /// Writes the next segment of transactions whose batches are older than `before` and that everybody is done with; when this
    /// returns it is read back, compared and recorded in the ledger. `None` where there are none.
    ///
    /// # Errors
    /// [`AdminError`]; nothing is recorded then, and doing it again begins anew.
    pub fn write_next(
        &self,
        key: &SigningKey<DeskRole>,
        before: Timestamp,
    ) -> Result<Option<SegmentHeader>, AdminError> {
        let Some(limit) = self.done_with()? else { return Ok(None) };
        let reader = self.reader();
        let header = match segments(reader)?.last() {
            Some(last) => {
                let (number, journal_from) = (last.number + 1, last.journal_until());
                SegmentHeader::new(last.realm, number, last.digest(), last.last(), journal_from)
            }
            None => SegmentHeader::new(reader.realm()?, 1, Digest([0; 32]), Place::default(), 0),
        };
        let mut filling = Filling { archiving: self, header, limit, before, writer: None, batch: None };
        let Some(writer) = filling.fill()? else { return Ok(None) };
        let header = writer.finish(key)?;
        self.compare(&header)?;
        self.engine.record(vec![ArchiveSegment::new(&header).entry()])?;
        let counters = &self.engine.counters().archive;
        counters.segments.add(1);
        counters.payments.add(header.payments);
        tracing::info!(segment = header.number, payments = header.payments, until = %header.until, "archived a segment");
        Ok(Some(header))
    }

    /// Reads a segment back and compares it with the ledger.
    fn compare(&self, header: &SegmentHeader) -> Result<(), AdminError> {
        let segment = Segment::of(self.directory, header);
        let reader = self.reader();
        let (mut expected, mut outcome) = (Vec::new().into_iter(), Ok(true));
        segment.visit(&mut |record| {
            outcome = match &record {
                LogRecord::Batch(number, batch) => of_batch(reader, *number).map(|(stored, payments)| {
                    let whole = expected.len() == 0;
                    expected = payments.into_iter();
                    whole && stored.as_ref() == Some(batch)
                }),
                LogRecord::Payment(place, payment) => Ok(expected.next() == Some((*place, *payment))),
                LogRecord::Journal(..) => Ok(true),
            };
            if matches!(outcome, Ok(true)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if outcome? && expected.len() == 0 {
            return Ok(());
        }
        let message = format!("{} does not hold what the ledger holds; nothing was removed", segment.path().display());
        Err(AdminError::new(AdminErrorCode::Store, message))
    }

    /// Has the next transactions after `after` leave the ledger whose segments are recorded, but for the last outcome of each
    /// instrument. What is left behind by a crash is the same as what was never begun.
    ///
    /// # Errors
    /// [`AdminError`]: a segment that is missing or was altered keeps its transactions in the ledger.
    pub fn prune_next(&self, after: Place, checked: &mut u64) -> Result<Pruning, AdminError> {
        if self.engine.log_is_held() {
            return Ok(Pruning::Held);
        }
        let segments = segments(self.reader())?;
        let Some(segment) = segments.iter().find(|header| header.last() > after) else { return Ok(Pruning::Done) };
        let mut chunk: Vec<(Place, InstrumentId)> = Vec::new();
        self.reader().visit_payments(Some(after), &mut |place, record| {
            let last = chunk.last().map(|(last, _)| last.batch);
            let full = chunk.len() >= PRUNED_PER_COMMIT && last != Some(place.batch);
            if place > segment.last() || full {
                return ControlFlow::Break(());
            }
            chunk.push((place, record.instrument));
            ControlFlow::Continue(())
        })?;
        let Some((end, _)) = chunk.last().copied() else { return Ok(Pruning::UpTo(segment.last())) };
        let kept = self.last_outcomes(chunk.clone())?;
        let pruned = leaving(&chunk, &kept);
        if pruned.is_empty() {
            return Ok(Pruning::UpTo(end));
        }
        if *checked < segment.number {
            // Once per segment and process: the file has to be there when the ledger no longer is.
            Segment::of(self.directory, segment).visit(&mut |_| ControlFlow::Continue(()))?;
            *checked = segment.number;
        }
        let counters = Arc::clone(self.engine.counters());
        self.engine.with_book(0, move |book, _| {
            let begun = Instant::now();
            counters.archive.pruned.add(pruned.len() as u64);
            counters.archive.prunings.add(1);
            book.prune(pruned);
            counters.archive.pruning_us.add(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
            Ok(())
        })?;
        Ok(Pruning::UpTo(end))
    }

    /// Those of `chunk` that are the last outcome of their instrument. A place that is not will never be again.
    fn last_outcomes(&self, chunk: Vec<(Place, InstrumentId)>) -> Result<BTreeSet<Place>, AdminError> {
        let chunk = Arc::new(chunk);
        let found = self.engine.read(move |book| {
            let is_last = |(place, id): &&(Place, InstrumentId)| {
                book.instrument(*id).is_some_and(|instrument| instrument.state.last_place == *place)
            };
            chunk.iter().filter(is_last).map(|(place, _)| *place).collect::<Vec<_>>()
        });
        // A shard that did not answer knows of outcomes, too.
        if found.len() != usize::from(self.engine.shards()) {
            return Err(OrderError::Stopping.into());
        }
        Ok(found.concat().into_iter().collect())
    }
}

type Payments = Vec<(Place, PaymentRecord)>;

/// A batch with its transactions, as the ledger holds it.
fn of_batch(reader: &dyn Reader, number: u64) -> Result<(Option<BatchRecord>, Payments), StoreError> {
    let mut payments = Vec::new();
    let before = Place { batch: number.saturating_sub(1), index: u16::MAX };
    reader.visit_payments(Some(before), &mut |place, record| {
        if place.batch != number {
            return ControlFlow::Break(());
        }
        payments.push((place, *record));
        ControlFlow::Continue(())
    })?;
    Ok((reader.batch(number)?, payments))
}

/// What leaves the ledger of whole batches: transactions that are not `kept`, and batches of which none is.
fn leaving(chunk: &[(Place, InstrumentId)], kept: &BTreeSet<Place>) -> Vec<Pruned> {
    let mut pruned = Vec::new();
    for batch in chunk.chunk_by(|(first, _), (second, _)| first.batch == second.batch) {
        let leaving = batch.iter().map(|(place, _)| *place).filter(|place| !kept.contains(place));
        let before = pruned.len();
        pruned.extend(leaving.map(Pruned::Payment));
        if pruned.len() - before == batch.len() {
            pruned.push(Pruned::Batch(batch[0].0.batch));
        }
    }
    pruned
}

/// A batch that waits until all of it was read.
struct Waiting {
    number: u64,
    batch: BatchRecord,
    payments: Payments,
}

/// A segment that is being filled. Its file is made with the first batch.
struct Filling<'a> {
    archiving: &'a Archiving<'a>,
    header: SegmentHeader,
    limit: Place,
    before: Timestamp,
    writer: Option<Writer>,
    batch: Option<Waiting>,
}

impl Filling<'_> {
    fn fill(&mut self) -> Result<Option<Writer>, AdminError> {
        let reader = self.archiving.reader();
        let mut outcome = Ok(ControlFlow::Continue(()));
        reader.visit_payments(Some(self.header.after()), &mut |place, record| {
            outcome = self.take(reader, place, record);
            if matches!(outcome, Ok(ControlFlow::Continue(()))) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if outcome?.is_continue() {
            let _ = self.end_batch()?;
        }
        let Some(mut writer) = self.writer.take() else { return Ok(None) };
        writer.journal(reader)?;
        Ok(Some(writer))
    }

    fn take(
        &mut self,
        reader: &dyn Reader,
        place: Place,
        record: &PaymentRecord,
    ) -> Result<ControlFlow<()>, AdminError> {
        if let Some(batch) = self.batch.as_mut().filter(|batch| batch.number == place.batch) {
            batch.payments.push((place, *record));
            return Ok(ControlFlow::Continue(()));
        }
        if self.end_batch()?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let number = place.batch;
        let lost = || reader.inconsistent(&format!("batch {number} is missing"));
        let batch = reader.batch(number)?.ok_or_else(lost)?;
        if number > self.limit.batch || batch.header.batch_time >= self.before {
            return Ok(ControlFlow::Break(()));
        }
        self.batch = Some(Waiting { number, batch, payments: vec![(place, *record)] });
        Ok(ControlFlow::Continue(()))
    }

    /// Writes the batch that was read; breaks where nothing more belongs into the segment.
    fn end_batch(&mut self) -> Result<ControlFlow<()>, AdminError> {
        let Some(Waiting { number, batch, payments }) = self.batch.take() else { return Ok(ControlFlow::Continue(())) };
        if payments.last().is_none_or(|(last, _)| *last > self.limit) {
            return Ok(ControlFlow::Break(()));
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let directory = self.archiving.directory;
                if !directory.exists() {
                    make_private_directory(directory)?;
                }
                let path = path(directory, self.header.number);
                self.writer.insert(Writer::create(&path, self.header.clone())?)
            }
        };
        writer.batch(number, batch, &payments)?;
        let full = writer.is_full(self.archiving.bytes_max);
        Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

impl From<WriteError> for AdminError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Data(error) => error.into(),
            WriteError::Store(error) => error.into(),
        }
    }
}

/// Keeps the ledger to what is younger than the retention.
pub struct RetentionJob {
    data: DataDirectory,
    /// Older transactions leave the ledger; `None`: none do, but what was archived before still leaves it.
    retention_ms: Option<u64>,
    /// Up to here everything has left the ledger that may. From the beginning at every start, for what a crash left and for what
    /// was kept as a last outcome and no longer is.
    pruned: Place,
    /// The last segment whose file was found whole.
    checked: u64,
    /// Segments are being written until nothing old is left.
    writing: bool,
}

impl RetentionJob {
    /// A job that keeps `retention_days` in the ledger; 0 keeps everything.
    pub fn new(data: DataDirectory, retention_days: u64) -> Self {
        let retention_ms = (retention_days > 0).then_some(retention_days * DAY_MS);
        Self { data, retention_ms, pruned: Place::default(), checked: 0, writing: false }
    }

    /// Whether so much has grown old that segments are worth writing.
    fn is_due(&self, archiving: &Archiving<'_>, before: Timestamp) -> Result<bool, AdminError> {
        let reader = archiving.reader();
        let after = super::archived_up_to(reader)?;
        let mut first = None;
        reader.visit_payments(Some(after), &mut |place, _| {
            first = Some(place.batch);
            ControlFlow::Break(())
        })?;
        let batch = first.map(|number| reader.batch(number)).transpose()?.flatten();
        Ok(batch.is_some_and(|batch| batch.header.batch_time.plus(GATHERED_MS) < before))
    }
}

impl Job for RetentionJob {
    fn name(&self) -> &'static str {
        "retention"
    }

    fn step(&mut self, engine: &Engine) -> Result<Pause, AdminError> {
        let directory = self.data.archive();
        let archiving = Archiving { engine, directory: &directory, bytes_max: SEGMENT_BYTES_MAX };
        match archiving.prune_next(self.pruned, &mut self.checked)? {
            Pruning::UpTo(place) => {
                self.pruned = place;
                return Ok(Pause::For(BETWEEN_PRUNINGS));
            }
            Pruning::Held => return Ok(Pause::For(WHILE_HELD)),
            Pruning::Done => {}
        }
        let Some(retention_ms) = self.retention_ms else { return Ok(Pause::For(LOOK)) };
        let before = Timestamp(engine.now().0.saturating_sub(retention_ms));
        self.writing = self.writing || self.is_due(&archiving, before)?;
        if self.writing {
            let key = KeyRing::load(&self.data)?.desk_key(engine.now())?;
            self.writing = archiving.write_next(&key, before)?.is_some();
        }
        Ok(if self.writing { Pause::None } else { Pause::For(LOOK) })
    }
}
