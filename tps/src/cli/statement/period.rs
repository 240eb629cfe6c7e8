//! Periods on the command line. Everything is in UTC.

use clap::Args;
use protocol::time::{DAY_MS, Timestamp};

use crate::admin::AdminError;
use crate::cli::values::start_of_day;
use crate::pipeline::clock::wall_clock;
use crate::statement::fold::Period;

#[derive(Debug, Args)]
pub(super) struct PeriodFlags {
    /// A month: 2026-11 [default: the last whole month]
    #[arg(long, value_name = "MONTH", value_parser = month, conflicts_with_all = ["day", "from", "until"])]
    month: Option<Period>,
    /// A day: 2026-11-21
    #[arg(long, value_name = "DAY", value_parser = day, conflicts_with_all = ["from", "until"])]
    day: Option<Period>,
    /// From the beginning of this day on, or from a time on: 2026-11-21, 2026-11-21T12:30 [default: the beginning]
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Before the beginning of this day, or before a time [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
}

impl PeriodFlags {
    /// The period that was named.
    pub(super) fn period(&self) -> Result<Period, AdminError> {
        match (self.month.or(self.day), self.from, self.until) {
            (Some(period), ..) => Ok(period),
            (None, None, None) => last_month(wall_clock())
                .ok_or_else(|| AdminError::bad_input("this machine's clock is wrong: name a period with --month")),
            // The server's clock says what now is.
            (None, from, until) => {
                Ok(Period { from: from.unwrap_or_default(), until: until.unwrap_or(Timestamp(u64::MAX)) })
            }
        }
    }
}

/// The month before the one that `now` is in.
fn last_month(now: Timestamp) -> Option<Period> {
    // Times are shown as `2026-01-31 ...`.
    let shown = now.to_string();
    let (year, month): (u64, u64) = (shown.get(..4)?.parse().ok()?, shown.get(5..7)?.parse().ok()?);
    if month == 1 { of_month(year.checked_sub(1)?, 12) } else { of_month(year, month - 1) }
}

fn of_month(year: u64, month: u64) -> Option<Period> {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    Some(Period { from: start_of_day(year, month, 1)?, until: start_of_day(next_year, next_month, 1)? })
}

/// Numbers of exactly these digits between the separators.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[u64; N]> {
    let parts: Vec<&str> = text.split(separator).collect();
    let parts = <[&str; N]>::try_from(parts).ok()?;
    let mut numbers = [0; N];
    for ((part, digits), number) in parts.iter().zip(digits).zip(&mut numbers) {
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    Some(numbers)
}

fn date(text: &str) -> Option<Timestamp> {
    let [year, month, day] = numbers(text, '-', [4, 2, 2])?;
    start_of_day(year, month, day)
}

fn month(text: &str) -> Result<Period, String> {
    let read = numbers(text, '-', [4, 2]).and_then(|[year, month]| of_month(year, month));
    read.ok_or_else(|| format!("`{text}` is not a month: write for example 2026-11"))
}

fn day(text: &str) -> Result<Period, String> {
    let from = date(text).ok_or_else(|| format!("`{text}` is not a day: write for example 2026-11-21"))?;
    Ok(Period { from, until: from.plus(DAY_MS) })
}

fn time(text: &str) -> Result<Timestamp, String> {
    let read = || match text.split_once('T') {
        None => date(text),
        Some((day, clock)) => {
            let [hour, minute, second] = match clock.len() {
                5 => numbers(clock, ':', [2, 2]).map(|[hour, minute]| [hour, minute, 0])?,
                _ => numbers(clock, ':', [2, 2, 2])?,
            };
            let valid = hour < 24 && minute < 60 && second < 60;
            let start = date(day)?;
            valid.then(|| start.plus(((hour * 60 + minute) * 60 + second) * 1_000))
        }
    };
    read().ok_or_else(|| format!("`{text}` is not a time: write for example 2026-11-21 or 2026-11-21T12:30:00, in UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(period: Period) -> (String, String) {
        (period.from.to_string(), period.until.to_string())
    }

    #[test]
    fn months_and_days_begin_and_end_at_midnight() {
        let (from, until) = shown(month("2026-11").unwrap());
        assert_eq!((from.as_str(), until.as_str()), ("2026-11-01 00:00:00.000 UTC", "2026-12-01 00:00:00.000 UTC"));
        let (from, until) = shown(month("2028-02").unwrap());
        assert_eq!((from.as_str(), until.as_str()), ("2028-02-01 00:00:00.000 UTC", "2028-03-01 00:00:00.000 UTC"));
        let (from, until) = shown(month("2026-12").unwrap());
        assert_eq!((from.as_str(), until.as_str()), ("2026-12-01 00:00:00.000 UTC", "2027-01-01 00:00:00.000 UTC"));
        let (from, until) = shown(day("2028-02-29").unwrap());
        assert_eq!((from.as_str(), until.as_str()), ("2028-02-29 00:00:00.000 UTC", "2028-03-01 00:00:00.000 UTC"));
        for wrong in ["2026-13", "2026-00", "2026-1", "26-01", "2026-+1", "2026-11-21", ""] {
            assert!(month(wrong).is_err(), "{wrong}");
        }
        for wrong in ["2026-02-29", "2026-11", "2026-11-32", "2026-11-21T00:00"] {
            assert!(day(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_last_month_is_whole() {
        let now = |text: &str| time(text).unwrap();
        assert_eq!(last_month(now("2026-11-30")), Some(month("2026-10").unwrap()));
        assert_eq!(last_month(now("2026-11-01")), Some(month("2026-10").unwrap()));
        assert_eq!(last_month(now("2027-01-01T00:00")), Some(month("2026-12").unwrap()));
    }

    #[test]
    fn times_have_minutes_and_maybe_seconds() {
        assert_eq!(time("2026-11-21T12:30").unwrap().to_string(), "2026-11-21 12:30:00.000 UTC");
        assert_eq!(time("2026-11-21T23:59:59").unwrap().to_string(), "2026-11-21 23:59:59.000 UTC");
        for wrong in ["2026-11-21T24:00", "2026-11-21T12", "2026-11-21T12:60", "2026-11-21 12:30", "T12:30"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
