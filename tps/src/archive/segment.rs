//! One segment: a file written as a stream, and read as one.
//!
//! | Bytes | |
//! |---|---|
//! | [`SegmentHeader::BYTES`] | the header |
//! | the rest | the records in an LZ4 frame: each batch before its transactions, then the journal's entries |

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use protocol::hash::{Purpose, Tagged};
use protocol::ids::Digest;
use protocol::ledger::instrument::Place;
use protocol::signature::{DeskRole, SigningKey};

use super::SegmentHeader;
use crate::data_directory::{DataError, sync_directory};
use crate::store::records::{BatchRecord, PaymentRecord};
use crate::store::rocksdb::log::LogRecord;
use crate::store::{Reader, StoreError};

/// A segment takes no further batch once its records have so many bytes: about a hundred thousand transactions.
pub const SEGMENT_BYTES_MAX: u64 = 48 << 20;
/// Bytes read and written at once.
const BUFFER_BYTES: usize = 1 << 18;

/// Why a segment was not written. Nothing has its name then.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The ledger, or what was read back.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Counts and hashes what goes through it.
struct Hashing<Inner> {
    inner: Inner,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<Inner> Hashing<Inner> {
    fn new(inner: Inner) -> Self {
        Self { inner, hasher: Tagged::new(Purpose::ARCHIVE_BODY).hasher(), bytes: 0 }
    }

    fn seen(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn digest(&self) -> Digest {
        Digest(*self.hasher.finalize().as_bytes())
    }
}

impl<Inner: Write> Write for Hashing<Inner> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.seen(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<Inner: Read> Read for Hashing<Inner> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.seen(&bytes[..read]);
        Ok(read)
    }
}

/// Writes a segment. What is not finished has another name and is removed when this is dropped.
pub(super) struct Writer {
    path: PathBuf,
    unfinished: tempfile::TempPath,
    encoder: FrameEncoder<Hashing<BufWriter<File>>>,
    header: SegmentHeader,
    buffer: Vec<u8>,
}

impl Writer {
    /// Begins the segment `header` at `path`.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn create(path: &Path, header: SegmentHeader) -> Result<Self, DataError> {
        let unfinished = path.with_added_extension("new");
        let begin = || -> io::Result<File> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(&[0; SegmentHeader::BYTES])?;
            Ok(file)
        };
        let file = begin().map_err(DataError::system("write", &unfinished))?;
        let encoder = FrameEncoder::new(Hashing::new(BufWriter::with_capacity(BUFFER_BYTES, file)));
        let named = tempfile::TempPath::try_from_path(&unfinished);
        let unfinished = named.map_err(DataError::system("write", &unfinished))?;
        Ok(Self { path: path.to_owned(), unfinished, encoder, header, buffer: Vec::new() })
    }

    fn put(&mut self, record: &LogRecord) -> Result<(), DataError> {
        self.buffer.clear();
        record.write(&mut self.buffer);
        self.header.record_bytes += self.buffer.len() as u64;
        self.encoder.write_all(&self.buffer).map_err(DataError::system("write", &self.unfinished))
    }

    /// Adds a batch with its transactions.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn batch(
        &mut self,
        number: u64,
        batch: BatchRecord,
        payments: &[(Place, PaymentRecord)],
    ) -> Result<(), DataError> {
        if self.header.batches == 0 {
            self.header.from = batch.header.batch_time;
        }
        self.header.until = batch.header.batch_time;
        self.header.batches += 1;
        self.put(&LogRecord::Batch(number, batch))?;
        for (place, record) in payments {
            self.put(&LogRecord::Payment(*place, *record))?;
            self.header.set_last(*place);
            self.header.payments += 1;
        }
        Ok(())
    }

    /// Whether it takes no further batch.
    pub(super) fn is_full(&self, bytes_max: u64) -> bool {
        self.header.record_bytes >= bytes_max
    }

    /// Adds the journal's entries of the segment's time: those after the segment before, up to the first that is later.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(super) fn journal(&mut self, reader: &dyn Reader) -> Result<(), WriteError> {
        let (mut number, mut passed, mut outcome) = (0u64, false, Ok(()));
        reader.for_each_journal(&mut |record| {
            let own = number;
            number += 1;
            passed |= own >= self.header.journal_from && record.time > self.header.until;
            if own < self.header.journal_from || passed || outcome.is_err() {
                return;
            }
            outcome = self.put(&LogRecord::Journal(own, record.clone()));
            self.header.journal += 1;
        })?;
        Ok(outcome?)
    }

    /// Ends the segment: signs it and makes it durable under its name.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn finish(self, key: &SigningKey<DeskRole>) -> Result<SegmentHeader, DataError> {
        let Self { path, unfinished, encoder, mut header, .. } = self;
        let failed = |error: io::Error| DataError::system("write", &path)(error);
        let hashing = encoder.finish().map_err(|error| failed(error.into()))?;
        (header.body, header.body_bytes) = (hashing.digest(), hashing.bytes);
        let header = header.sign(key);
        let mut file = hashing.inner.into_inner().map_err(|error| failed(error.into_error()))?;
        let end = |file: &mut File| -> io::Result<()> {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header.encode())?;
            file.sync_all()
        };
        end(&mut file).map_err(failed)?;
        // What a crash left before the ledger knew of it; or what a ledger knew that a backup took the place of: then it holds
        // payments that are nowhere else.
        if path.exists() {
            let digest = hex::encode(&header.digest().0[..8]);
            std::fs::rename(&path, path.with_added_extension(format!("superseded-{digest}"))).map_err(failed)?;
        }
        unfinished.persist(&path).map_err(|error| failed(error.error))?;
        path.parent().map_or(Ok(()), sync_directory).map_err(failed)?;
        Ok(header)
    }
}

/// A segment that is read.
pub struct Segment<'a> {
    path: PathBuf,
    header: &'a SegmentHeader,
}

impl<'a> Segment<'a> {
    /// The segment `header` in the archive's directory.
    pub fn of(directory: &Path, header: &'a SegmentHeader) -> Self {
        Self { path: path(directory, header.number), header }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn wrong(&self, detail: impl std::fmt::Display) -> StoreError {
        StoreError::Archive {
            segment: self.header.number,
            path: self.path.display().to_string(),
            detail: detail.to_string(),
        }
    }

    /// Calls `visit` for every record, in their order, until it breaks. Whatever does not break is checked to the last byte: header,
    /// digest, order and numbers of records. What was visited before an error is not to be relied upon.
    ///
    /// # Errors
    /// [`StoreError::Archive`].
    pub fn visit(&self, visit: &mut dyn FnMut(LogRecord) -> ControlFlow<()>) -> Result<(), StoreError> {
        let mut file = File::open(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.wrong("is missing"),
            _ => self.wrong(format!("cannot be read ({error})")),
        })?;
        let mut head = [0; SegmentHeader::BYTES];
        let read = file.read_exact(&mut head);
        if read.is_err() || head[..] != self.header.encode() {
            return Err(self.wrong("has another header than the ledger knows"));
        }
        let mut stream = FrameDecoder::new(Hashing::new(BufReader::with_capacity(
            BUFFER_BYTES,
            file.take(self.header.body_bytes + 1),
        )));
        let (mut buffer, mut found) = (Vec::new(), Found::after(self.header));
        loop {
            let record = LogRecord::read(&mut stream, &mut buffer).map_err(|error| self.damaged(&error))?;
            let Some(record) = record else { break };
            found.check(&record).map_err(|detail| self.wrong(detail))?;
            if visit(record).is_break() {
                return Ok(());
            }
        }
        let mut hashing = stream.into_inner();
        io::copy(&mut hashing, &mut io::sink()).map_err(|error| self.damaged(&error))?;
        let header = self.header;
        if (hashing.bytes, hashing.digest()) != (header.body_bytes, header.body) {
            return Err(self.wrong("was altered"));
        }
        let expected = (header.batches, header.payments, header.journal, header.last());
        if (found.batches, found.payments, found.journal, found.place) != expected {
            return Err(self.wrong("holds other records than its header says"));
        }
        Ok(())
    }

    fn damaged(&self, error: &dyn std::fmt::Display) -> StoreError {
        self.wrong(format!("is damaged ({error})"))
    }
}

/// The file of a segment.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08}.segment"))
}

/// What was found of a segment so far.
struct Found {
    batch: Option<u64>,
    place: Place,
    batches: u64,
    payments: u64,
    journal_from: u64,
    journal: u64,
}

impl Found {
    fn after(header: &SegmentHeader) -> Self {
        let (place, journal_from) = (header.after(), header.journal_from);
        Self { batch: None, place, batches: 0, payments: 0, journal_from, journal: 0 }
    }

    fn check(&mut self, record: &LogRecord) -> Result<(), &'static str> {
        match record {
            LogRecord::Batch(number, _) if *number > self.place.batch && self.journal == 0 => {
                self.batch = Some(*number);
                self.batches += 1;
            }
            LogRecord::Payment(place, _) if Some(place.batch) == self.batch && *place > self.place => {
                self.place = *place;
                self.payments += 1;
            }
            LogRecord::Journal(number, _) if *number == self.journal_from + self.journal => self.journal += 1,
            _ => return Err("holds records in another order"),
        }
        Ok(())
    }
}
