//! How many attempts the VRU takes, and how long a refusal is held back. Kept in memory and alike for access numbers that exist
//! and those that do not, so that neither words nor time tell which is which. What locks an access is durable and elsewhere
//! ([`super::records`]).

use std::collections::HashMap;

use protocol::time::{MINUTE_MS, Timestamp};

use super::credentials::AccessNumber;

/// Attempts of all callers in a minute: each costs tens of milliseconds of one processor.
pub const ATTEMPTS_PER_MINUTE_MAX: u32 = 120;
/// Attempts for one access number in an hour, right ones too.
pub const ATTEMPTS_PER_NUMBER_MAX: u32 = 30;
/// How long attempts for an access number are remembered.
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// First delay of a refusal; every further one in a row doubles it.
pub const DELAY_FIRST_MS: u64 = 500;
/// Longest delay.
pub const DELAY_MAX_MS: u64 = 8_000;

#[derive(Default)]
struct OfNumber {
    since: Timestamp,
    attempts: u32,
    refused: u32,
}

/// The budget of attempts.
#[derive(Default)]
pub struct AttemptBudget {
    minute: Timestamp,
    in_minute: u32,
    /// At most [`ATTEMPTS_PER_MINUTE_MAX`] times the minutes of an hour, twice.
    numbers: HashMap<AccessNumber, OfNumber>,
    swept: Timestamp,
}

impl AttemptBudget {
    /// Takes one attempt for `number`; false where there is none left.
    pub fn take(&mut self, number: AccessNumber, now: Timestamp) -> bool {
        if now.since(self.minute) >= MINUTE_MS {
            (self.minute, self.in_minute) = (now, 0);
        }
        if now.since(self.swept) >= HOUR_MS {
            self.numbers.retain(|_, of_number| now.since(of_number.since) < HOUR_MS);
            self.swept = now;
        }
        if self.in_minute >= ATTEMPTS_PER_MINUTE_MAX {
            return false;
        }
        let of_number = self.numbers.entry(number).or_insert_with(|| OfNumber { since: now, ..OfNumber::default() });
        if now.since(of_number.since) >= HOUR_MS {
            *of_number = OfNumber { since: now, ..OfNumber::default() };
        }
        if of_number.attempts >= ATTEMPTS_PER_NUMBER_MAX {
            return false;
        }
        of_number.attempts += 1;
        self.in_minute += 1;
        true
    }

    /// Notes a refusal; how long it is to be held back, in milliseconds.
    pub fn refused(&mut self, number: AccessNumber) -> u64 {
        let Some(of_number) = self.numbers.get_mut(&number) else { return DELAY_FIRST_MS };
        let delay = DELAY_FIRST_MS << of_number.refused.min(16);
        of_number.refused += 1;
        delay.min(DELAY_MAX_MS)
    }

    /// Notes an admission: delays begin anew.
    pub fn admitted(&mut self, number: AccessNumber) {
        if let Some(of_number) = self.numbers.get_mut(&number) {
            of_number.refused = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(seed: u8) -> AccessNumber {
        AccessNumber::random(&mut || Ok::<_, std::convert::Infallible>([seed; 8])).unwrap()
    }

    #[test]
    fn delays_grow_and_are_forgotten_after_an_admission() {
        let mut budget = AttemptBudget::default();
        let delays: Vec<u64> = (0..6)
            .map(|_| {
                assert!(budget.take(number(1), Timestamp(1)));
                budget.refused(number(1))
            })
            .collect();
        assert_eq!(delays, [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
        assert!(budget.take(number(2), Timestamp(1)));
        assert_eq!(budget.refused(number(2)), 500, "each access number by itself");
        budget.admitted(number(1));
        assert_eq!(budget.refused(number(1)), 500);
    }

    #[test]
    fn one_access_number_and_all_together_are_bounded() {
        let mut budget = AttemptBudget::default();
        let taken = (0..100).filter(|_| budget.take(number(1), Timestamp(5))).count();
        assert_eq!(taken, ATTEMPTS_PER_NUMBER_MAX as usize);
        let others = (2..200).filter(|seed| budget.take(number(*seed), Timestamp(5))).count();
        assert_eq!(others, (ATTEMPTS_PER_MINUTE_MAX - ATTEMPTS_PER_NUMBER_MAX) as usize);
        assert!(!budget.take(number(1), Timestamp(5 + MINUTE_MS)), "the hour is not over");
        assert!(budget.take(number(2), Timestamp(5 + MINUTE_MS)), "the minute is");
        assert!(budget.take(number(1), Timestamp(5 + HOUR_MS)));
        assert_eq!(budget.numbers.len(), 1, "old ones are swept");
    }
}
