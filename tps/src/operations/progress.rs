//! Whether the pipeline makes progress. An empty order goes through every shard's sequencer and through the committer as
//! any other order does, an empty task through the network's thread; and where requests wait, some must have passed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::pipeline::Engine;

/// A pipeline that has not answered for so long is stuck, unless the service manager names another time: a commit takes
/// milliseconds, and on a bad disk seconds.
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

/// The flow of requests at one moment: what waits before each of four places, and what has passed it since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowSeen {
    waiting: [u64; 4],
    passed: [u64; 4],
}

impl FlowSeen {
    /// Looks at the counters of an engine.
    pub fn now(engine: &Engine) -> Self {
        let counters = engine.counters();
        let stages = &counters.stages;
        // What passed is read first: what waits is then rather too much than too little.
        let (revealed, sequenced) = (stages.reveal.items.get(), stages.sequence.items.get());
        let (proved, batches) = (stages.prove.items.get(), stages.open.batches.get());
        let opened = stages.open.items.get().saturating_sub(counters.unopened.get());
        let [workers, ..] = engine.queues();
        Self {
            waiting: [
                workers.length as u64,
                opened.saturating_sub(proved),
                proved.saturating_sub(sequenced),
                sequenced.saturating_sub(revealed),
            ],
            passed: [batches, proved, sequenced, revealed],
        }
    }

    /// Whether something passed wherever requests waited at an earlier moment and wait now. Nothing waiting is progress
    /// enough.
    pub fn moved_since(self, earlier: Self) -> bool {
        (0..4).all(|place| {
            earlier.waiting[place] == 0 || self.waiting[place] == 0 || self.passed[place] != earlier.passed[place]
        })
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
    fn requests_that_wait_must_move() {
        let seen = |waiting, passed| FlowSeen { waiting, passed };
        let idle = seen([0; 4], [5, 9, 9, 9]);
        assert!(idle.moved_since(idle));
        assert!(seen([9, 0, 0, 0], [5, 9, 9, 9]).moved_since(idle), "they have only just arrived");
        let full = seen([900, 2, 2, 2], [5, 9, 9, 9]);
        assert!(seen([900, 2, 2, 2], [6, 10, 10, 10]).moved_since(full), "more arrive than pass, but they pass");
        for place in 0..4 {
            let mut passed = [6, 10, 10, 10];
            passed[place] = full.passed[place];
            assert!(!seen([900, 2, 2, 2], passed).moved_since(full), "place {place}");
        }
    }
}
