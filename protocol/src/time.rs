//! Times: milliseconds since 1970-01-01 UTC. This crate reads no clock; a time is always an argument.

use std::fmt;

/// A point in time, in milliseconds since the Unix epoch.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// One second in the unit of [`Timestamp`].
pub const SECOND_MS: u64 = 1_000;
/// One minute in the unit of [`Timestamp`].
pub const MINUTE_MS: u64 = 60 * SECOND_MS;
/// One day in the unit of [`Timestamp`].
pub const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

impl Timestamp {
    /// Milliseconds since the Unix epoch.
    pub const fn milliseconds(self) -> u64 {
        self.0
    }

    /// This time and `milliseconds` more; stays at the end of time rather than wrapping.
    #[must_use]
    pub const fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to this time; zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// `2026-01-31 12:00:00.000 UTC`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0 / DAY_MS;
        let in_day = self.0 % DAY_MS;
        // Civil date from days: the year starts in March so that the leap day comes last.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03} UTC",
            in_day / 3_600_000,
            in_day / MINUTE_MS % 60,
            in_day / SECOND_MS % 60,
            in_day % SECOND_MS
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({} = {self})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil_dates() {
        for (milliseconds, text) in [
            (0, "1970-01-01 00:00:00.000 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00.000 UTC"),
            (1_767_225_599_999, "2025-12-31 23:59:59.999 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00.000 UTC"),
        ] {
            assert_eq!(Timestamp(milliseconds).to_string(), text);
        }
    }
}
