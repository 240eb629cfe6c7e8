//! Processor time and wall time of a piece of work, and their spread over rounds.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// What one round took, in microseconds per payment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// User and system time of all threads of this process.
    pub cpu_us: f64,
    /// Time on the wall.
    pub wall_us: f64,
}

/// Runs `work` for so many payments, or whatever is counted.
pub fn measure<T>(payments: usize, work: impl FnOnce() -> T) -> (T, Sample) {
    let (wall, cpu_ns) = (Instant::now(), process_cpu_ns());
    let value = work();
    let (cpu_ns, wall) = (process_cpu_ns() - cpu_ns, wall.elapsed());
    let each = payments as f64;
    (value, Sample { cpu_us: cpu_ns as f64 / 1e3 / each, wall_us: wall.as_secs_f64() * 1e6 / each })
}

/// Processor time of this process so far, in nanoseconds.
pub fn process_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Least, middle and greatest of several values.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Spread {
    /// The least.
    pub minimum: f64,
    /// The middle one; of an even number of values the lower one of the middle.
    pub median: f64,
    /// The greatest.
    pub maximum: f64,
}

impl Spread {
    /// The spread of at least one value.
    ///
    /// # Panics
    /// Without any value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let median = values[(values.len() - 1) / 2];
        Self { minimum: values[0], median, maximum: values[values.len() - 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_least_middle_and_greatest() {
        let spread = Spread::of([5.0, 1.0, 3.0, 9.0]);
        assert_eq!(spread, Spread { minimum: 1.0, median: 3.0, maximum: 9.0 });
        assert_eq!(Spread::of([2.0]), Spread { minimum: 2.0, median: 2.0, maximum: 2.0 });
    }
}
