//! When cycles end.

use protocol::time::{DAY_MS, MINUTE_MS, Timestamp};

/// Hours of a day, which cycles divide or are multiples of.
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// Cut-offs at fixed distances, counted from midnight UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    period_ms: u64,
    offset_ms: u64,
}

impl Schedule {
    /// A cut-off every `cycle_hours`, shifted by `cut_off_minutes`; `None` where a cycle is empty or longer than a year, or the
    /// shift reaches a whole day.
    pub fn new(cycle_hours: u64, cut_off_minutes: u64) -> Option<Self> {
        let (period_ms, offset_ms) = (cycle_hours.checked_mul(HOUR_MS)?, cut_off_minutes.checked_mul(MINUTE_MS)?);
        let valid = (1..=366 * DAY_MS).contains(&period_ms) && offset_ms < DAY_MS;
        valid.then(|| Self { period_ms, offset_ms: offset_ms % period_ms })
    }

    /// The first cut-off after `time`.
    pub fn cut_off_after(&self, time: Timestamp) -> Timestamp {
        let periods = (time.0 + self.period_ms - self.offset_ms) / self.period_ms;
        Timestamp(periods * self.period_ms + self.offset_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_offs_follow_each_other() {
        let daily = Schedule::new(24, 90).unwrap();
        let cut_off = Timestamp(20_000 * DAY_MS + 90 * MINUTE_MS);
        for (time, next) in [
            (cut_off.0 - 1, cut_off),
            (cut_off.0, cut_off.plus(DAY_MS)),
            (cut_off.0 + 1, cut_off.plus(DAY_MS)),
            (cut_off.0 + DAY_MS - 1, cut_off.plus(DAY_MS)),
        ] {
            assert_eq!(daily.cut_off_after(Timestamp(time)), next);
        }
        let hourly = Schedule::new(1, 0).unwrap();
        assert_eq!(hourly.cut_off_after(Timestamp(0)), Timestamp(HOUR_MS));
        assert_eq!(hourly.cut_off_after(Timestamp(HOUR_MS)), Timestamp(2 * HOUR_MS));
    }

    #[test]
    fn impossible_schedules_are_refused() {
        for (hours, minutes) in [(0, 0), (24, 24 * 60), (367 * 24, 0), (u64::MAX, 0), (1, u64::MAX)] {
            assert_eq!(Schedule::new(hours, minutes), None);
        }
    }
}
