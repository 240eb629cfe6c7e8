//! Criterion's benches by processor time instead of time on the wall, so that others on the machine disturb less.

use std::time::Duration;

use criterion::Criterion;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};

use crate::measure::process_cpu_ns;

/// User and system time of all threads of this process.
#[derive(Debug)]
pub struct CpuTime;

/// Both are durations, so they are printed alike.
static PRINTED_AS: WallTime = WallTime;

impl Measurement for CpuTime {
    type Intermediate = u64;
    type Value = Duration;

    fn start(&self) -> u64 {
        process_cpu_ns()
    }

    fn end(&self, start: u64) -> Duration {
        Duration::from_nanos(process_cpu_ns() - start)
    }

    fn add(&self, left: &Duration, right: &Duration) -> Duration {
        *left + *right
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        PRINTED_AS.formatter()
    }
}

/// Criterion by processor time.
pub fn by_cpu_time() -> Criterion<CpuTime> {
    Criterion::default().with_measurement(CpuTime)
}
