//! What desks change: orders together with the desks' own records, in one commit.

use protocol::ledger::posting::{Posting, balanced};
use protocol::time::Timestamp;

use super::Book;
use super::orders::{Done, Order, OrderError};
use crate::store::desk::DeskEntry;
use crate::store::records::Pruned;

impl Book {
    /// Carries out orders and keeps records with them, all or nothing. The records are kept also where every order had been
    /// applied before.
    ///
    /// # Errors
    /// That of the order that cannot be carried out; nothing was changed.
    pub fn order_with(&mut self, order: &Order, records: Vec<DeskEntry>, now: Timestamp) -> Result<Done, OrderError> {
        let done = self.order(order, now)?;
        self.record(records, now);
        Ok(done)
    }

    /// Moves money that is not a customer's, with a journal entry and records, in one commit.
    ///
    /// # Errors
    /// [`OrderError::Overflow`]; nothing was changed.
    pub fn transfer(
        &mut self,
        what: String,
        postings: &[Posting],
        records: Vec<DeskEntry>,
        now: Timestamp,
    ) -> Result<(), OrderError> {
        assert_eq!(balanced(postings), Ok(true), "postings sum to zero");
        self.post(postings).map_err(|_| OrderError::Overflow)?;
        self.note(now, what, postings.to_vec(), None);
        self.record(records, now);
        Ok(())
    }

    /// Keeps records of a desk.
    pub fn record(&mut self, mut records: Vec<DeskEntry>, now: Timestamp) {
        self.keep_time(now);
        self.changed.desk.append(&mut records);
    }

    /// Has records leave the ledger. The caller answers for it that the archive has them and that none is the last outcome of an
    /// instrument.
    pub fn prune(&mut self, mut pruned: Vec<Pruned>) {
        self.changed.pruned.append(&mut pruned);
    }
}
