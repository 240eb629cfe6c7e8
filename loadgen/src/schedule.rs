//! When requests are due. The schedule does not wait for answers: whoever is late counts as late (open loop).

use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How many requests per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// As many as the outstanding limit lets through: a closed loop.
    Max,
    /// So many per second, whatever the server does.
    PerSecond(f64),
}

impl Rate {
    /// The rate, if it is one.
    pub fn per_second(self) -> Option<f64> {
        match self {
            Self::Max => None,
            Self::PerSecond(rate) => Some(rate),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let rate = text.replace([',', '_'], "").parse().ok().filter(|rate| (0.001..=10_000_000.0).contains(rate));
        rate.map(Self::PerSecond).ok_or_else(|| format!("`{text}` is not a rate: write requests per second, or max"))
    }
}

/// How the requests of a rate are spread over time.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// As independent customers come: intervals are exponentially distributed.
    Poisson,
    /// At equal intervals.
    Constant,
}

/// The due times of requests, in nanoseconds from the start.
#[derive(Debug)]
pub struct Schedule {
    interval_ns: Option<f64>,
    arrivals: Arrivals,
    random: StdRng,
    next_ns: f64,
}

impl Schedule {
    /// A schedule; the same seed gives the same one.
    pub fn new(rate: Rate, arrivals: Arrivals, seed: u64) -> Self {
        let interval_ns = rate.per_second().map(|rate| 1e9 / rate);
        let mut schedule = Self { interval_ns, arrivals, random: StdRng::seed_from_u64(seed), next_ns: 0.0 };
        schedule.take();
        schedule
    }

    /// When the next request is due; `None` where it always is.
    pub fn next_due_ns(&self) -> Option<u64> {
        self.interval_ns.map(|_| self.next_ns as u64)
    }

    /// Goes on to the request after the next one.
    pub fn take(&mut self) {
        let Some(interval) = self.interval_ns else { return };
        self.next_ns += match self.arrivals {
            Arrivals::Constant => interval,
            // Of u in [0, 1), 1 - u is never zero.
            Arrivals::Poisson => -(1.0 - self.random.random::<f64>()).ln() * interval,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(mut schedule: Schedule, count: usize) -> Vec<f64> {
        (0..count)
            .map(|_| {
                let due = schedule.next_due_ns().unwrap() as f64;
                schedule.take();
                due
            })
            .collect()
    }

    #[test]
    fn constant_arrivals_are_equally_far_apart() {
        let times = times(Schedule::new(Rate::PerSecond(1_000.0), Arrivals::Constant, 1), 1_000);
        assert!(times.windows(2).all(|pair| ((pair[1] - pair[0]) - 1e6).abs() < 2.0));
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_independent_customers() {
        let count = 100_000;
        let times = times(Schedule::new(Rate::PerSecond(50_000.0), Arrivals::Poisson, 42), count);
        let intervals: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = intervals.iter().sum::<f64>() / intervals.len() as f64;
        let variance = intervals.iter().map(|interval| (interval - mean).powi(2)).sum::<f64>() / intervals.len() as f64;
        // The mean of n exponential intervals deviates by 1/sqrt(n): eight times that is never chance.
        assert!((mean / 20_000.0 - 1.0).abs() < 8.0 / (count as f64).sqrt(), "mean {mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "of exponential intervals the deviation is the mean");
        let short = intervals.iter().filter(|interval| **interval < 20_000.0).count() as f64 / intervals.len() as f64;
        assert!((short - 0.632).abs() < 0.02, "63.2 % are shorter than the mean: {short}");
    }

    #[test]
    fn a_seed_gives_the_same_schedule_again() {
        let of = |seed| times(Schedule::new(Rate::PerSecond(10.0), Arrivals::Poisson, seed), 50);
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
    }

    #[test]
    fn rates_are_read() {
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert_eq!("40,000".parse(), Ok(Rate::PerSecond(40_000.0)));
        assert_eq!(Schedule::new(Rate::Max, Arrivals::Poisson, 1).next_due_ns(), None);
        for wrong in ["0", "-1", "fast", "inf", "NaN"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
