//! Whether the pipeline makes progress. An empty order goes through every shard's sequencer and through the committer as
//! any other order does, an empty task through the network's thread; and requests that wait must be taken by a worker.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::pipeline::Engine;

/// A pipeline that has not answered for so long is stuck: a commit takes milliseconds, and on a bad disk seconds.
pub const STUCK_AFTER: Duration = Duration::from_secs(15);

/// What the books hold, as told by the last answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Accounts.
    pub accounts: usize,
    /// Instruments.
    pub instruments: usize,
}

/// When the pipeline last answered.
#[derive(Debug)]
pub struct Progress(Mutex<(Instant, Holdings)>);

impl Progress {
    /// A pipeline that has just started.
    pub fn starting() -> Self {
        Self(Mutex::new((Instant::now(), Holdings::default())))
    }

    /// The pipeline answered.
    pub fn answered(&self, holdings: Holdings) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), holdings);
    }

    /// How long ago the last answer was, and what it told.
    pub fn last(&self) -> (Duration, Holdings) {
        let (at, holdings) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (at.elapsed(), holdings)
    }
}

/// The workers at one moment: batches they opened so far, and requests that wait for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkersSeen {
    opened_batches: u64,
    waiting: usize,
}

impl WorkersSeen {
    /// Looks at an engine's workers.
    pub fn now(engine: &Engine) -> Self {
        let [workers, ..] = engine.queues();
        Self { opened_batches: engine.counters().stages.open.batches.get(), waiting: workers.length }
    }

    /// Whether requests that waited at an earlier moment were taken since. Nothing waiting is progress enough.
    pub fn moved_since(self, earlier: Self) -> bool {
        earlier.waiting == 0 || self.waiting == 0 || self.opened_batches != earlier.opened_batches
    }
}

/// Sends an empty order through all sequencers and the committer and waits for it. Blocks, as long as they are stuck. `None`
/// where the engine is about to stop.
pub fn probe(engine: &Engine, shards: u16) -> Option<Holdings> {
    let counts = engine.read(|book| Holdings { accounts: book.account_count(), instruments: book.instrument_count() });
    (counts.len() == usize::from(shards)).then(|| {
        counts.into_iter().fold(Holdings::default(), |sum, shard| Holdings {
            accounts: sum.accounts + shard.accounts,
            instruments: sum.instruments + shard.instruments,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_leave_requests_waiting_do_not_move() {
        let seen = |opened_batches, waiting| WorkersSeen { opened_batches, waiting };
        assert!(seen(5, 0).moved_since(seen(5, 0)));
        assert!(seen(6, 9).moved_since(seen(5, 9)), "more arrive than they take, but they take");
        assert!(seen(5, 9).moved_since(seen(5, 0)), "they have only just arrived");
        assert!(!seen(5, 9).moved_since(seen(5, 3)));
    }
}
