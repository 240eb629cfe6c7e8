//! The archive (DESIGN section 8): transactions older than the retention leave the ledger for signed files, segments, that audits
//! and statements read as if nothing had moved.
//!
//! ```text
//! write      a segment of consecutive batches -> file, synced
//! read back  header, digest, every record, compared with the ledger's
//! record     its header in the ledger, durable
//! prune      the same transactions leave the ledger, a few at a time
//! ```
//!
//! A crash between any two steps repeats the step. What an instrument may still be asked for, its last outcome, stays in the
//! ledger for ever (K-61), and so does the journal, whose names of orders are needed for ever; the archive has copies.
//! `docs/archive.md` has the bytes.

mod header;
pub mod job;
mod reader;
mod segment;

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::ids::{Digest, KeyId};
use protocol::key_set::KeyRole;
use protocol::ledger::instrument::Place;

use crate::keys::KeyRing;
use crate::store::desk::{DeskKind, DeskRecord};
use crate::store::{Reader, StoreError};

pub use header::SegmentHeader;
pub use job::{Archiving, Pruning, RetentionJob};
pub use reader::WholeLog;
pub use segment::{SEGMENT_BYTES_MAX, Segment, WriteError};

/// A segment that the archive holds, as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ArchiveSegment {
    /// Its number, from 1.
    pub number: u64,
    /// The first bytes of its file.
    header: Vec<u8>,
}

impl ArchiveSegment {
    /// The ledger's record of a segment.
    pub fn new(header: &SegmentHeader) -> Self {
        Self { number: header.number, header: header.encode() }
    }

    /// The header.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where the ledger holds none.
    pub fn header(&self, reader: &dyn Reader) -> Result<SegmentHeader, StoreError> {
        let header = SegmentHeader::decode(&self.header).filter(|header| header.number == self.number);
        header.ok_or_else(|| reader.inconsistent(&format!("its record of archive segment {} is damaged", self.number)))
    }
}

impl DeskRecord for ArchiveSegment {
    const KIND: DeskKind = DeskKind::ArchiveSegment;
    type Key = [u8; 8];

    fn key(&self) -> [u8; 8] {
        self.number.to_be_bytes()
    }
}

/// Headers of all segments as the ledger knows them, in their order. Their chain is checked.
///
/// # Errors
/// [`StoreError`].
pub fn segments(reader: &dyn Reader) -> Result<Vec<SegmentHeader>, StoreError> {
    let mut headers: Vec<SegmentHeader> = Vec::new();
    for record in ArchiveSegment::all(reader, &[])? {
        let header = record.header(reader)?;
        let (number, previous, after) = match headers.last() {
            Some(last) => (last.number + 1, last.digest(), last.last()),
            None => (1, Digest([0; 32]), Place::default()),
        };
        if (header.number, header.previous, header.after()) != (number, previous, after) {
            return Err(reader.inconsistent(&format!("its records of archive segments {number} and before do not fit")));
        }
        headers.push(header);
    }
    Ok(headers)
}

/// The last place that the archive holds; the ledger holds everything after it. Refunds of payments up to here go by the index
/// (`crate::desk`), which nothing leaves.
///
/// # Errors
/// [`StoreError`].
pub fn archived_up_to(reader: &dyn Reader) -> Result<Place, StoreError> {
    Ok(segments(reader)?.last().map(SegmentHeader::last).unwrap_or_default())
}

/// Public keys that may have signed segments. One may since have left its validity or be revoked: the ledger holds what it signed,
/// and so says that it was signed before.
pub type Signers = BTreeMap<KeyId, [u8; 32]>;

/// All desk keys that this TPS ever had.
pub fn signers(ring: &KeyRing) -> Signers {
    ring.keys().iter().filter(|key| key.role == KeyRole::Desk).map(|key| (key.id(), key.public)).collect()
}
