//! Counts per stage, for `tps status` and `/metrics`. Written by batches, not by payments, wherever that is possible.

mod histogram;

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::error::ErrorCode;
use protocol::response::Reason;

use crate::book::pay::Verdict;
use crate::pipeline::sequence::Committed;
pub use histogram::{Distribution, Histogram};

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

/// Values up to these bounds are counted together: durations, in microseconds.
const DURATION_BOUNDS_US: &[u64] = &[
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
    5_000_000, 10_000_000,
];
/// The same of requests per batch.
const BATCH_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 192, 256];
/// The same of requests per commit.
const COMMIT_BOUNDS: &[u64] = &[0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096];

/// How large batches are and how long what matters takes. Each is written once per batch or once per commit.
#[derive(Debug)]
pub struct Histograms {
    /// Requests that a worker took at once.
    pub batch_requests: Histogram,
    /// Requests that became durable in one commit; none where it held orders alone.
    pub commit_requests: Histogram,
    /// Time from a worker's taking a request to its being durable, in microseconds, per request.
    pub durable_us: Histogram,
    /// Time of a commit's write and sync, in microseconds.
    pub sync_us: Histogram,
}

impl Default for Histograms {
    fn default() -> Self {
        Self {
            batch_requests: Histogram::new(BATCH_BOUNDS),
            commit_requests: Histogram::new(COMMIT_BOUNDS),
            durable_us: Histogram::new(DURATION_BOUNDS_US),
            sync_us: Histogram::new(DURATION_BOUNDS_US),
        }
    }
}

impl Histograms {
    /// All of them by name; a unit that is no number of requests stands in the name.
    pub fn named(&self) -> [(&'static str, &Histogram); 4] {
        [
            ("batch_requests", &self.batch_requests),
            ("commit_requests", &self.commit_requests),
            ("durable_us", &self.durable_us),
            ("sync_us", &self.sync_us),
        ]
    }
}

/// Customers' connections.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    /// Taken in.
    pub accepted: Counter,
    /// Of these, ended.
    pub ended: Counter,
    /// Refused, because as many as may be were open.
    pub refused: Counter,
}

impl ConnectionCounters {
    /// Open now.
    pub fn open(&self) -> u64 {
        let ended = self.ended.get();
        self.accepted.get().saturating_sub(ended)
    }
}

/// What the archive took out of the ledger.
#[derive(Debug, Default)]
pub struct ArchiveCounters {
    /// Segments written.
    pub segments: Counter,
    /// Transactions in them.
    pub payments: Counter,
    /// Records that left the ledger.
    pub pruned: Counter,
    /// Commits in which they did.
    pub prunings: Counter,
    /// Time that the shard of these commits was kept from payments, in microseconds.
    pub pruning_us: Counter,
}

/// What the pipeline counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Processor time per stage.
    pub stages: Stages,
    /// Sizes and durations.
    pub histograms: Histograms,
    /// Customers' connections.
    pub connections: ConnectionCounters,
    /// The archive.
    pub archive: ArchiveCounters,
    /// Messages answered with a typed error, by [`ErrorCode::ALL`].
    pub refused: [Counter; ErrorCode::ALL.len()],
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

    /// Counts a message that is answered with a typed error.
    pub fn count_refusal(&self, code: ErrorCode) {
        if let Some(position) = ErrorCode::ALL.iter().position(|known| *known == code) {
            self.refused[position].add(1);
        }
    }

    /// Messages answered with a typed error, by code.
    pub fn refusals(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        ErrorCode::ALL.iter().copied().zip(self.refused.iter().map(Counter::get))
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
