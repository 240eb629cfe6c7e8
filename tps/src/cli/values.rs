//! Values on the command line.

use protocol::money::Asset;
use protocol::time::{DAY_MS, MINUTE_MS, SECOND_MS, Timestamp};

use crate::data_directory::RealmAsset;

/// A length of time: a number with `s`, `m`, `h`, `d` or `w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DurationMs(pub(super) u64);

impl std::str::FromStr for DurationMs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a length of time: write for example 30s, 15m, 12h, 1d or 4w");
        let (number, unit_ms) = match text.char_indices().next_back() {
            Some((at, 's')) => (&text[..at], SECOND_MS),
            Some((at, 'm')) => (&text[..at], MINUTE_MS),
            Some((at, 'h')) => (&text[..at], 60 * MINUTE_MS),
            Some((at, 'd')) => (&text[..at], DAY_MS),
            Some((at, 'w')) => (&text[..at], 7 * DAY_MS),
            _ => return Err(wrong()),
        };
        // Digits only: `parse` alone would take a plus sign.
        let valid = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = if valid { number.parse().map_err(|_| wrong())? } else { return Err(wrong()) };
        match number.checked_mul(unit_ms) {
            Some(length) if length > 0 && length <= 36_500 * DAY_MS => Ok(Self(length)),
            _ => Err(format!("`{text}` must be more than nothing and at most 36500d")),
        }
    }
}

/// A time: a length of time from now, or a date, which lasts until its end in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// From now.
    In(DurationMs),
    /// The last millisecond of a day.
    At(Timestamp),
}

impl When {
    pub(super) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::In(length) => now.plus(length.0),
            Self::At(time) => time,
        }
    }
}

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(length) = text.parse() {
            return Ok(Self::In(length));
        }
        let date = || {
            let mut parts = text.splitn(3, '-').map(|part| part.parse::<u64>().ok());
            let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
            Some(Timestamp(start_of_day(year, month, day)?.0 + (DAY_MS - 1)))
        };
        date()
            .map(Self::At)
            .ok_or_else(|| format!("`{text}` is neither a length of time (90d) nor a date (2030-12-31)"))
    }
}

/// The first millisecond of a civil day; `None` for a day that no calendar has.
pub(super) fn start_of_day(year: u64, month: u64, day: u64) -> Option<Timestamp> {
    let in_range = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let end = if in_range { end_of_day(year, month, day) } else { None };
    Some(Timestamp(end?.0 + 1 - DAY_MS))
}

/// The last millisecond of a civil day; `None` for a day that no calendar has.
fn end_of_day(year: u64, month: u64, day: u64) -> Option<Timestamp> {
    // Days from civil date: the year starts in March so that the leap day comes last.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = 365 * shifted_year + shifted_year / 4 - shifted_year / 100 + shifted_year / 400 + day_of_year - 719_468;
    let end = Timestamp(days.checked_add(1)?.checked_mul(DAY_MS)? - 1);
    end.to_string().starts_with(&format!("{year:04}-{month:02}-{day:02} ")).then_some(end)
}

/// An asset of the registry: `USD6:6`.
pub(super) fn parse_asset(text: &str) -> Result<RealmAsset, String> {
    let wrong = || format!("`{text}` is not an asset: write CODE:DECIMALS, for example USD6:6");
    let (code, exponent) = text.split_once(':').ok_or_else(wrong)?;
    let code: Asset = code.parse().map_err(|error: protocol::money::MoneyError| error.to_string())?;
    Ok(RealmAsset { code, exponent: exponent.parse().map_err(|_| wrong())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (text, length_ms) in
            [("1s", 1_000), ("15m", 900_000), ("12h", 43_200_000), ("1d", DAY_MS), ("4w", 28 * DAY_MS)]
        {
            assert_eq!(text.parse(), Ok(DurationMs(length_ms)), "{text}");
        }
        for wrong in ["", "d", "1", "+1d", "-1d", "0d", "1.5d", "99999999999999999999d", "36501d", "1y", "1 d", "ü"] {
            assert!(wrong.parse::<DurationMs>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn dates_last_until_their_end() {
        for text in ["2026-01-31", "2028-02-29", "1999-12-31", "2100-03-01"] {
            let When::At(time) = text.parse().unwrap() else { panic!("{text} is a date") };
            assert_eq!(time.to_string(), format!("{text} 23:59:59.999 UTC"));
        }
        for wrong in ["2026-02-29", "2026-13-01", "2026-00-01", "2026-01-32", "26-01-01", "2026-1", "x-y-z"] {
            assert!(wrong.parse::<When>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn assets() {
        assert_eq!(parse_asset("EUR:2").map(|asset| asset.exponent), Ok(2));
        for wrong in ["EUR", "eur:2", "EUR:", "EUR:x", ":2", "EUR:300"] {
            assert!(parse_asset(wrong).is_err(), "{wrong}");
        }
    }
}
