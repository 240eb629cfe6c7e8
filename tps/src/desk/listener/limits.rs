//! How often one network address may come to the desk.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::networks::network;

/// Batches that an address may hand in at once; merchants come some times an hour.
const BURST: u32 = 30;
/// After this one more is permitted.
const REFILL: Duration = Duration::from_secs(1);
/// Addresses remembered; beyond that those that are full again are forgotten.
const ADDRESSES_MAX: usize = 16_384;

/// A budget that fills again.
#[derive(Debug, Clone, Copy)]
struct Budget {
    left: u32,
    since: Instant,
}

impl Budget {
    fn refilled(self, now: Instant) -> Self {
        let more = now.saturating_duration_since(self.since).as_nanos() / REFILL.as_nanos();
        match u32::try_from(more) {
            Ok(more) if more < BURST - self.left => Self { left: self.left + more, since: self.since + REFILL * more },
            _ => Self { left: BURST, since: now },
        }
    }
}

/// The budgets of all addresses.
#[derive(Debug, Default)]
pub(super) struct Limits(Mutex<HashMap<IpAddr, Budget>>);

impl Limits {
    /// Takes one from the budget of an address; false if it is used up.
    pub(super) fn take(&self, address: IpAddr, now: Instant) -> bool {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if budgets.len() >= ADDRESSES_MAX {
            budgets.retain(|_, budget| budget.refilled(now).left < BURST);
        }
        if budgets.len() >= ADDRESSES_MAX {
            return false;
        }
        let budget = budgets.entry(network(address)).or_insert(Budget { left: BURST, since: now });
        *budget = budget.refilled(now);
        match budget.left.checked_sub(1) {
            Some(left) => {
                budget.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_budget_that_fills_again() {
        let (limits, start) = (Limits::default(), Instant::now());
        let here: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        assert!((0..BURST).all(|_| limits.take(here, start)));
        assert!(!limits.take(here, start) && !limits.take(neighbour, start));
        assert!(limits.take("192.0.2.1".parse().unwrap(), start), "another network");
        assert!(limits.take(here, start + REFILL) && !limits.take(here, start + REFILL));
        let later = start + 100 * REFILL;
        assert!((0..BURST).all(|_| limits.take(here, later)) && !limits.take(here, later));
    }
}
