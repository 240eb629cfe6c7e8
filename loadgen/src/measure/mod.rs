//! What a run measures while it runs: latencies from the scheduled time, rates over time, and what went wrong.

pub mod saturation;

use std::collections::BTreeMap;
use std::ops::Range;

use hdrhistogram::Histogram;
use protocol::error::ErrorCode;

/// Longest latency that is told apart from longer ones, in microseconds: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;
/// Decimal digits that a histogram keeps.
const DIGITS: u8 = 3;
/// Decimal digits of the histograms of single seconds.
const DIGITS_OF_SECONDS: u8 = 2;
const SECOND_NS: u64 = 1_000_000_000;

fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, digits).expect("the bounds are right")
}

/// One second of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Second {
    /// Requests sent.
    pub sent: u64,
    /// Sealed answers.
    pub answered: u64,
    /// Answers in clear.
    pub refused: u64,
    /// Median latency of the answers, in microseconds.
    pub p50_us: u64,
    /// 99th percentile, in microseconds.
    pub p99_us: u64,
}

/// Counts and times of one sending thread.
pub struct Meter {
    window_ns: Range<u64>,
    /// From the scheduled time to the answer, of requests scheduled after the warm-up, in microseconds.
    pub latency_us: Histogram<u64>,
    /// How late the generator itself was, in microseconds: only of requests that had room to be sent.
    pub lag_us: Histogram<u64>,
    /// Every second since the start, warm-up included.
    pub seconds: Vec<Second>,
    second: Histogram<u64>,
    /// Requests sent, repeats included.
    pub sent: u64,
    /// Of these, the same bytes once more.
    pub repeats: u64,
    /// Sealed answers.
    pub answered: u64,
    /// Sealed answers that came within the measured time.
    pub answered_in_window: u64,
    /// Answers in clear, by code.
    pub refused: BTreeMap<u16, u64>,
    /// Frames that answer nothing that was asked.
    pub strays: u64,
    /// Requests that were due, but had to wait for room on a connection.
    pub waited_for_room: u64,
    /// Requests that were due, but had to wait because none was prepared.
    pub waited_for_requests: u64,
}

impl Meter {
    /// A meter whose measured time is `window_ns` since the start.
    pub fn new(window_ns: Range<u64>) -> Self {
        Self {
            window_ns,
            latency_us: histogram(DIGITS),
            lag_us: histogram(DIGITS),
            seconds: Vec::new(),
            second: histogram(DIGITS_OF_SECONDS),
            sent: 0,
            repeats: 0,
            answered: 0,
            answered_in_window: 0,
            refused: BTreeMap::new(),
            strays: 0,
            waited_for_room: 0,
            waited_for_requests: 0,
        }
    }

    /// The measured time since the start.
    pub fn window_ns(&self) -> Range<u64> {
        self.window_ns.clone()
    }

    fn second_at(&mut self, now_ns: u64) -> &mut Second {
        let index = (now_ns / SECOND_NS) as usize;
        if index >= self.seconds.len() {
            self.close_second();
            self.seconds.resize(index + 1, Second::default());
        }
        self.seconds.last_mut().expect("just made")
    }

    fn close_second(&mut self) {
        if let Some(last) = self.seconds.last_mut()
            && !self.second.is_empty()
        {
            last.p50_us = self.second.value_at_quantile(0.5);
            last.p99_us = self.second.value_at_quantile(0.99);
            self.second.reset();
        }
    }

    /// A request went out. `lag_ns` is how late, where nothing but the generator was to blame.
    pub fn sent(&mut self, now_ns: u64, repeat: bool, lag_ns: Option<u64>) {
        self.sent += 1;
        self.repeats += u64::from(repeat);
        self.second_at(now_ns).sent += 1;
        if let Some(lag_ns) = lag_ns
            && self.window_ns.contains(&now_ns)
        {
            self.lag_us.saturating_record((lag_ns / 1_000).max(1));
        }
    }

    /// A sealed answer came to a request that was due at `due_ns`.
    pub fn answered(&mut self, due_ns: u64, now_ns: u64) {
        let latency_us = (now_ns.saturating_sub(due_ns) / 1_000).max(1);
        self.answered += 1;
        self.second_at(now_ns).answered += 1;
        self.second.saturating_record(latency_us);
        self.answered_in_window += u64::from(self.window_ns.contains(&now_ns));
        if self.window_ns.contains(&due_ns) {
            self.latency_us.saturating_record(latency_us);
        }
    }

    /// An answer in clear came.
    pub fn refused(&mut self, code: ErrorCode, now_ns: u64) {
        *self.refused.entry(code as u16).or_insert(0) += 1;
        self.second_at(now_ns).refused += 1;
    }

    /// Closes the last second.
    pub fn finish(&mut self) {
        self.close_second();
    }

    /// Adds what another thread measured.
    pub fn add(&mut self, other: &Self) {
        self.latency_us.add(&other.latency_us).expect("of the same bounds");
        self.lag_us.add(&other.lag_us).expect("of the same bounds");
        if self.seconds.len() < other.seconds.len() {
            self.seconds.resize(other.seconds.len(), Second::default());
        }
        for (second, more) in self.seconds.iter_mut().zip(&other.seconds) {
            second.sent += more.sent;
            second.answered += more.answered;
            second.refused += more.refused;
            // Percentiles do not add up; the worse of the two is told.
            second.p50_us = second.p50_us.max(more.p50_us);
            second.p99_us = second.p99_us.max(more.p99_us);
        }
        self.sent += other.sent;
        self.repeats += other.repeats;
        self.answered += other.answered;
        self.answered_in_window += other.answered_in_window;
        for (code, count) in &other.refused {
            *self.refused.entry(*code).or_insert(0) += count;
        }
        self.strays += other.strays;
        self.waited_for_room += other.waited_for_room;
        self.waited_for_requests += other.waited_for_requests;
    }

    /// All answers in clear.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_counts_from_the_schedule_and_without_the_warm_up() {
        let mut meter = Meter::new(SECOND_NS..3 * SECOND_NS);
        meter.sent(500_000_000, false, Some(1_000));
        meter.answered(500_000_000, 900_000_000);
        assert_eq!((meter.latency_us.len(), meter.answered_in_window), (0, 0), "warm-up");
        meter.sent(1_400_000_000, false, Some(5_000_000));
        meter.answered(1_200_000_000, 1_500_000_000);
        assert_eq!(meter.latency_us.len(), 1);
        assert!((299_000..=301_000).contains(&meter.latency_us.max()), "not from when it was sent");
        assert_eq!(meter.lag_us.len(), 1);
        meter.answered(2_900_000_000, 3_100_000_000);
        assert_eq!((meter.latency_us.len(), meter.answered_in_window), (2, 1), "answered after the end");
        meter.refused(ErrorCode::Overloaded, 2_500_000_000);
        meter.finish();
        let answered: Vec<u64> = meter.seconds.iter().map(|second| second.answered).collect();
        assert_eq!(answered, [1, 1, 0, 1]);
        assert!(meter.seconds[1].p99_us > 290_000 && meter.seconds[3].p50_us > 190_000);
    }

    #[test]
    fn threads_add_up() {
        let mut left = Meter::new(0..SECOND_NS);
        let mut right = Meter::new(0..SECOND_NS);
        left.answered(0, 1_000_000);
        right.answered(0, 2_000_000_000);
        right.refused(ErrorCode::Overloaded, 0);
        left.add(&right);
        assert_eq!((left.answered, left.seconds.len(), left.refused_in_all(), left.latency_us.len()), (2, 3, 1, 2));
    }
}
