//! Processor time of threads, read between stages.

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

use crate::counters::StageCounters;

/// Attributes a thread's processor time to stages: each mark takes what was used since the last one.
pub(crate) struct StageClock {
    last_ns: u64,
}

impl StageClock {
    /// Starts now, for the calling thread, which must also make the marks.
    pub(crate) fn start() -> Self {
        Self { last_ns: thread_cpu_ns() }
    }

    /// `items` went through `stage` since the last mark. Time spent waiting is no processor time.
    pub(crate) fn mark(&mut self, stage: &StageCounters, items: usize) {
        let now_ns = thread_cpu_ns();
        stage.items.add(items as u64);
        stage.batches.add(1);
        stage.cpu_ns.add(now_ns.saturating_sub(self.last_ns));
        self.last_ns = now_ns;
    }
}

/// The same for a thread that belongs to one stage, whose items are counted elsewhere. Always called on that thread.
#[derive(Default)]
pub(crate) struct ThreadClock {
    last_ns: AtomicU64,
}

impl ThreadClock {
    /// The thread has done all it could.
    pub(crate) fn mark(&self, stage: &StageCounters) {
        let now_ns = thread_cpu_ns();
        stage.batches.add(1);
        stage.cpu_ns.add(now_ns.saturating_sub(self.last_ns.swap(now_ns, Ordering::Relaxed)));
    }
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
