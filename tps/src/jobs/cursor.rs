//! Up to which place of the log a job has come.

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::ledger::instrument::Place;

use crate::store::desk::{DeskKind, DeskRecord};

/// Longest name of a job, in bytes.
const NAME_BYTES_MAX: usize = 32;

/// A job's durable place in the log.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Cursor {
    /// The job.
    pub job: String,
    /// Everything up to here is done.
    pub batch: u64,
    /// Place in that batch.
    pub index: u16,
    /// What the job keeps besides; its own business.
    pub note: u8,
}

impl Cursor {
    /// A cursor of `job` at `place`.
    pub fn new(job: &str, place: Place, note: u8) -> Self {
        debug_assert!(job.len() <= NAME_BYTES_MAX, "names of jobs are short");
        Self { job: job.to_owned(), batch: place.batch, index: place.index, note }
    }

    /// The place.
    pub fn place(&self) -> Place {
        Place { batch: self.batch, index: self.index }
    }
}

impl DeskRecord for Cursor {
    const KIND: DeskKind = DeskKind::Cursor;
    type Key = String;

    fn key(&self) -> String {
        self.job.clone()
    }
}
