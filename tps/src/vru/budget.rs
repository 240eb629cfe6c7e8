//! How many attempts the VRU takes, and how long a refusal is held back. Kept in memory and alike for access numbers that exist
//! and those that do not, so that neither words nor time tell which is which. What locks an access is durable and elsewhere
//! ([`super::records`]).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::credentials::AccessNumber;

/// Attempts of all callers in a minute: each costs tens of milliseconds of one processor.
pub const ATTEMPTS_PER_MINUTE_MAX: u32 = 120;
/// Attempts from one network in a minute, so that nobody uses up everybody's.
pub const ATTEMPTS_PER_NETWORK_MAX: u32 = 20;
/// Attempts for one access number in an hour, right ones too.
pub const ATTEMPTS_PER_NUMBER_MAX: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);
/// How long attempts for an access number are remembered.
const HOUR: Duration = Duration::from_secs(3_600);
/// First delay of a refusal; every further one in a row doubles it.
pub const DELAY_FIRST_MS: u64 = 500;
/// Longest delay.
pub const DELAY_MAX_MS: u64 = 8_000;

struct OfNumber {
    since: Instant,
    attempts: u32,
    refused: u32,
}

/// The budget of attempts. Its time is the machine's, which nobody sets: the ledger's clock may stand still for hours.
pub struct AttemptBudget {
    minute: Instant,
    in_minute: u32,
    /// Of this minute: at most [`ATTEMPTS_PER_MINUTE_MAX`].
    networks: HashMap<IpAddr, u32>,
    /// At most [`ATTEMPTS_PER_MINUTE_MAX`] times the minutes of an hour, twice.
    numbers: HashMap<AccessNumber, OfNumber>,
    swept: Instant,
}

impl AttemptBudget {
    /// Nobody has tried yet.
    pub fn new(now: Instant) -> Self {
        Self { minute: now, in_minute: 0, networks: HashMap::new(), numbers: HashMap::new(), swept: now }
    }

    /// Takes one attempt for `number`; false where there is none left. `network` is where the caller is, where that tells callers
    /// apart.
    pub fn take(&mut self, number: AccessNumber, network: Option<IpAddr>, now: Instant) -> bool {
        if now - self.minute >= MINUTE {
            (self.minute, self.in_minute) = (now, 0);
            self.networks.clear();
        }
        if now - self.swept >= HOUR {
            self.numbers.retain(|_, of_number| now - of_number.since < HOUR);
            self.swept = now;
        }
        let of_network = network.and_then(|network| self.networks.get(&network)).copied().unwrap_or(0);
        if self.in_minute >= ATTEMPTS_PER_MINUTE_MAX || of_network >= ATTEMPTS_PER_NETWORK_MAX {
            return false;
        }
        let none = || OfNumber { since: now, attempts: 0, refused: 0 };
        let of_number = self.numbers.entry(number).or_insert_with(none);
        if now - of_number.since >= HOUR {
            *of_number = none();
        }
        if of_number.attempts >= ATTEMPTS_PER_NUMBER_MAX {
            return false;
        }
        of_number.attempts += 1;
        self.in_minute += 1;
        if let Some(network) = network {
            self.networks.insert(network, of_network + 1);
        }
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
        let start = Instant::now();
        let mut budget = AttemptBudget::new(start);
        let delays: Vec<u64> = (0..6)
            .map(|_| {
                assert!(budget.take(number(1), None, start));
                budget.refused(number(1))
            })
            .collect();
        assert_eq!(delays, [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
        assert!(budget.take(number(2), None, start));
        assert_eq!(budget.refused(number(2)), 500, "each access number by itself");
        budget.admitted(number(1));
        assert_eq!(budget.refused(number(1)), 500);
    }

    #[test]
    fn one_access_number_and_all_together_are_bounded() {
        let start = Instant::now();
        let mut budget = AttemptBudget::new(start);
        let taken = (0..100).filter(|_| budget.take(number(1), None, start)).count();
        assert_eq!(taken, ATTEMPTS_PER_NUMBER_MAX as usize);
        let others = (2..200).filter(|seed| budget.take(number(*seed), None, start)).count();
        assert_eq!(others, (ATTEMPTS_PER_MINUTE_MAX - ATTEMPTS_PER_NUMBER_MAX) as usize);
        assert!(!budget.take(number(1), None, start + MINUTE), "the hour is not over");
        assert!(budget.take(number(2), None, start + MINUTE), "the minute is");
        assert!(budget.take(number(1), None, start + HOUR));
        assert_eq!(budget.numbers.len(), 1, "old ones are swept");
    }

    #[test]
    fn one_network_does_not_use_up_everybodys_attempts() {
        let start = Instant::now();
        let mut budget = AttemptBudget::new(start);
        let [here, there] = ["192.0.2.1", "192.0.2.2"].map(|text| Some(text.parse::<IpAddr>().unwrap()));
        let taken = (0..100).filter(|seed| budget.take(number(*seed), here, start)).count();
        assert_eq!(taken, ATTEMPTS_PER_NETWORK_MAX as usize);
        assert!(budget.take(number(200), there, start) && budget.take(number(201), None, start));
        assert!(!budget.take(number(202), here, start + MINUTE / 2));
        assert!(budget.take(number(202), here, start + MINUTE));
        assert_eq!(budget.networks.len(), 1, "those of the last minute are forgotten");
    }
}
