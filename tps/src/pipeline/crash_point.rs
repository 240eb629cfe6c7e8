//! Named points of a payment at which the crash tests end the process, as if the power had failed, or let a thread stand
//! still, as if the disk did not answer.
//!
//! Without the feature `crash-points` they are nothing at all.

/// A point between two stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// Received, not yet opened.
    Received,
    /// Proofs prepared and signed, nothing decided.
    Proved,
    /// Decided in memory, nothing written.
    Sequenced,
    /// Durable, nobody told.
    Committed,
    /// Answer made, not yet handed to the network.
    Revealed,
    /// Answer handed to the network.
    Sent,
}

impl CrashPoint {
    /// All points, in the order of a payment.
    pub const ALL: [Self; 6] =
        [Self::Received, Self::Proved, Self::Sequenced, Self::Committed, Self::Revealed, Self::Sent];

    /// The name to put into the environment variable `TPS_CRASH_AT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Proved => "proved",
            Self::Sequenced => "sequenced",
            Self::Committed => "committed",
            Self::Revealed => "revealed",
            Self::Sent => "sent",
        }
    }

    /// Ends the process here if the environment says so: `TPS_CRASH_AT=committed`, or `committed:3` for the third time.
    /// With `TPS_STALL_AT` in its place the thread stands still for ever.
    #[cfg(feature = "crash-points")]
    pub fn reached(self) {
        use std::sync::LazyLock;
        use std::sync::atomic::{AtomicU64, Ordering};

        type Wanted = LazyLock<Option<(String, AtomicU64)>>;
        fn wanted(variable: &str) -> Option<(String, AtomicU64)> {
            let text = std::env::var(variable).ok()?;
            let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
            Some((name.to_owned(), AtomicU64::new(times.parse().unwrap_or(1))))
        }
        static CRASH: Wanted = LazyLock::new(|| wanted("TPS_CRASH_AT"));
        static STALL: Wanted = LazyLock::new(|| wanted("TPS_STALL_AT"));
        let is_now = |wanted: &Wanted| matches!(&**wanted, Some((name, left)) if name == self.name() && left.fetch_sub(1, Ordering::SeqCst) == 1);
        if is_now(&CRASH) {
            std::process::abort();
        }
        if is_now(&STALL) {
            loop {
                std::thread::park();
            }
        }
    }

    /// Nothing: this build has no crash points.
    #[cfg(not(feature = "crash-points"))]
    #[inline]
    pub fn reached(self) {}
}
