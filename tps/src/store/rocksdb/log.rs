//! The records of the log as a stream of bytes, for the archive: the very keys and values of the store, in the layout of a
//! commit's image (number of the column family, lengths of key and value, key, value).

use std::io::{self, Read};

use protocol::codec::DecodeError;
use protocol::ledger::instrument::Place;

use super::super::records::{BatchRecord, JournalRecord, PaymentRecord};
use super::columns::{Batches, Column, Journal, Payments, RECORD_HEAD_BYTES};
use super::format::{JournalPlace, Key, Value};

/// Longest value that is read: a journal entry moves what one order moves.
const VALUE_BYTES_MAX: usize = 1 << 20;

/// A record of the log.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all records are the largest, and one is held at a time")]
pub enum LogRecord {
    /// A signed batch; its transactions follow.
    Batch(u64, BatchRecord),
    /// A consumed transaction.
    Payment(Place, PaymentRecord),
    /// The journal entry of this number, counted from 0.
    Journal(u64, JournalRecord),
}

/// Why a stream of records is not read.
#[derive(Debug, thiserror::Error)]
pub enum LogReadError {
    /// The bytes do not come.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// They are no record.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

fn append<C: Column>(key: &impl Key, value: &impl Value, out: &mut Vec<u8>) {
    let head = out.len();
    out.extend_from_slice(&[C::NUMBER, 0, 0, 0, 0, 0]);
    let key_start = head + RECORD_HEAD_BYTES;
    key.write(out);
    let value_start = out.len();
    value.write(out);
    let value_bytes = (out.len() - value_start) as u32;
    out[head + 1] = (value_start - key_start) as u8;
    out[head + 2..key_start].copy_from_slice(&value_bytes.to_le_bytes());
}

impl LogRecord {
    /// Appends the bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Batch(number, record) => append::<Batches>(number, record, out),
            Self::Payment(place, record) => append::<Payments>(place, record, out),
            // The ledger's own key names the commit, which says nothing to others; entries are never removed from it.
            Self::Journal(number, record) => {
                append::<Journal>(&JournalPlace { commit: *number, index: 0 }, record, out);
            }
        }
    }

    /// Reads the next record; `None` at the end of the stream. `buffer` is reused.
    ///
    /// # Errors
    /// [`LogReadError`] for anything that [`Self::write`] does not write.
    pub fn read(stream: &mut impl Read, buffer: &mut Vec<u8>) -> Result<Option<Self>, LogReadError> {
        let mut head = [0; RECORD_HEAD_BYTES];
        match stream.read(&mut head[..1])? {
            0 => return Ok(None),
            _ => stream.read_exact(&mut head[1..])?,
        }
        let [column, key_bytes, length @ ..] = head;
        let (key_bytes, value_bytes) = (usize::from(key_bytes), u32::from_le_bytes(length) as usize);
        if value_bytes > VALUE_BYTES_MAX {
            return Err(DecodeError::Length { what: "record", expected: VALUE_BYTES_MAX, actual: value_bytes }.into());
        }
        buffer.resize(key_bytes + value_bytes, 0);
        stream.read_exact(buffer)?;
        let (key, value) = buffer.split_at(key_bytes);
        let record = match column {
            Batches::NUMBER => Self::Batch(u64::read(key)?, BatchRecord::read(value)?),
            Payments::NUMBER => Self::Payment(Place::read(key)?, PaymentRecord::read(value)?),
            Journal::NUMBER => match JournalPlace::read(key)? {
                JournalPlace { commit, index: 0 } => Self::Journal(commit, JournalRecord::read(value)?),
                _ => return Err(DecodeError::Field { what: "journal entry", field: "number" }.into()),
            },
            _ => return Err(DecodeError::Field { what: "record", field: "kind" }.into()),
        };
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::sample::Draw;
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let changes = Draw::new(11).changes(20);
        let mut records: Vec<LogRecord> = Vec::new();
        records.extend(changes.batches.into_iter().map(|(number, record)| LogRecord::Batch(number, record)));
        records.extend(changes.payments.into_iter().map(|(place, record)| LogRecord::Payment(place, record)));
        records.extend((0..).zip(changes.journal).map(|(number, record)| LogRecord::Journal(number, record)));
        assert!(records.len() > 10);
        let mut bytes = Vec::new();
        records.iter().for_each(|record| record.write(&mut bytes));
        let (mut stream, mut buffer, mut read) = (&bytes[..], Vec::new(), Vec::new());
        while let Some(record) = LogRecord::read(&mut stream, &mut buffer).unwrap() {
            read.push(record);
        }
        assert_eq!(read, records);
        for (position, wrong) in [(0, 5), (1, 9), (5, 0x7f)] {
            let mut altered = bytes.clone();
            altered[position] = wrong;
            assert!(LogRecord::read(&mut &altered[..], &mut buffer).is_err(), "byte {position}");
        }
        assert!(LogRecord::read(&mut &bytes[..20], &mut buffer).is_err(), "cut off");
    }
}
