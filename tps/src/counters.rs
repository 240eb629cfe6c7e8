//! Counts per stage, for `tps status`. Written by batches, not by payments, wherever that is possible.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::response::Reason;

use crate::book::pay::Verdict;
use crate::pipeline::sequence::Committed;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the pipeline counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests taken in.
    pub received: Counter,
    /// Requests answered `Overloaded`.
    pub overloaded: Counter,
    /// Requests whose sealed half did not open.
    pub unopened: Counter,
    /// Batches signed.
    pub batches: Counter,
    /// Commits synced.
    pub commits: Counter,
    /// Requests answered with a stored outcome.
    pub repeated: Counter,
    /// Requests answered for the first time, by reason; the first is "paid".
    pub answered: [Counter; Reason::ALL.len()],
}

impl Counters {
    /// Counts an answer that is about to be told.
    pub fn count(&self, payment: &Committed) {
        match payment.verdict() {
            Verdict::Fresh(answer, _) => self.answered[answer.reason as usize].add(1),
            Verdict::Stored(..) => self.repeated.add(1),
        }
    }

    /// Payments made.
    pub fn paid(&self) -> u64 {
        self.answered[Reason::Paid as usize].get()
    }
}
