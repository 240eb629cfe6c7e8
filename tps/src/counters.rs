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

/// What went through one stage of the pipeline, and what that cost.
#[derive(Debug, Default)]
pub struct StageCounters {
    /// Requests.
    pub items: Counter,
    /// Times the stage ran.
    pub batches: Counter,
    /// Processor time, in nanoseconds.
    pub cpu_ns: Counter,
}

/// The stages of the data path, in its order.
#[derive(Debug, Default)]
pub struct Stages {
    /// The network's thread: receive and send.
    pub receive: StageCounters,
    /// Session keys and customers' halves.
    pub open: StageCounters,
    /// Device tags and signatures.
    pub verify: StageCounters,
    /// Both outcomes and the batch's signature.
    pub prove: StageCounters,
    /// Decisions.
    pub sequence: StageCounters,
    /// Writes and syncs, without what the database does in threads of its own.
    pub commit: StageCounters,
    /// Sealed answers.
    pub reveal: StageCounters,
}

impl Stages {
    /// All stages by name.
    pub fn named(&self) -> [(&'static str, &StageCounters); 7] {
        [
            ("receive", &self.receive),
            ("open", &self.open),
            ("verify", &self.verify),
            ("prove", &self.prove),
            ("sequence", &self.sequence),
            ("commit", &self.commit),
            ("reveal", &self.reveal),
        ]
    }
}

/// What the pipeline counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Processor time per stage.
    pub stages: Stages,
    /// Requests answered `Overloaded`.
    pub overloaded: Counter,
    /// Requests whose sealed half did not open.
    pub unopened: Counter,
    /// Customers' signatures checked on the way of payments.
    pub signatures: Counter,
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

    /// Requests taken in.
    pub fn received(&self) -> u64 {
        self.stages.receive.items.get()
    }

    /// Payments made.
    pub fn paid(&self) -> u64 {
        self.answered[Reason::Paid as usize].get()
    }
}
