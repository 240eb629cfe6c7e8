//! Budgets that fill again with time: how often somebody may come.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// What is left to somebody, and since when.
#[derive(Debug, Clone, Copy)]
struct Budget {
    left: u32,
    since: Instant,
}

impl Budget {
    fn refilled(self, now: Instant, burst: u32, refill: Duration) -> Self {
        let more = now.saturating_duration_since(self.since).as_nanos() / refill.as_nanos();
        match u32::try_from(more) {
            Ok(more) if more < burst - self.left => Self { left: self.left + more, since: self.since + refill * more },
            _ => Self { left: burst, since: now },
        }
    }
}

/// A budget for each of many.
#[derive(Debug)]
pub(super) struct Budgets<Key> {
    burst: u32,
    refill: Duration,
    keys_max: usize,
    budgets: HashMap<Key, Budget>,
}

impl<Key: Eq + Hash> Budgets<Key> {
    /// Budgets of `burst` at once and one more after each `refill`. At most `keys_max` are remembered; beyond that those that are
    /// full again are forgotten, and nobody new is let in where none is.
    pub(super) fn new(burst: u32, refill: Duration, keys_max: usize) -> Self {
        Self { burst, refill, keys_max, budgets: HashMap::new() }
    }

    /// Takes one from a budget; false if it is used up.
    pub(super) fn take(&mut self, key: Key, now: Instant) -> bool {
        let (burst, refill) = (self.burst, self.refill);
        let known = self.budgets.get(&key).copied();
        if known.is_none() && self.budgets.len() >= self.keys_max {
            self.budgets.retain(|_, budget| budget.refilled(now, burst, refill).left < burst);
            if self.budgets.len() >= self.keys_max {
                return false;
            }
        }
        let budget = known.unwrap_or(Budget { left: burst, since: now }).refilled(now, burst, refill);
        let left = budget.left.checked_sub(1);
        self.budgets.insert(key, Budget { left: left.unwrap_or(0), ..budget });
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFILL: Duration = Duration::from_secs(1);

    #[test]
    fn a_budget_fills_again_up_to_its_burst() {
        let (mut budgets, start) = (Budgets::new(3, REFILL, 10), Instant::now());
        assert!((0..3).all(|_| budgets.take('a', start)) && !budgets.take('a', start));
        assert!(budgets.take('b', start), "another's own");
        assert!(budgets.take('a', start + REFILL) && !budgets.take('a', start + REFILL));
        let later = start + 100 * REFILL;
        assert!((0..3).all(|_| budgets.take('a', later)) && !budgets.take('a', later));
    }

    #[test]
    fn a_crowd_of_strangers_shuts_out_nobody_who_is_known() {
        let (mut budgets, start) = (Budgets::new(2, REFILL, 2), Instant::now());
        assert!(budgets.take('a', start) && budgets.take('b', start));
        assert!(!budgets.take('c', start), "no room for another");
        assert!(budgets.take('a', start), "known before the crowd came");
        // Full again after a second: forgotten to make room.
        assert!(budgets.take('c', start + REFILL));
        assert_eq!(budgets.budgets.len(), 2);
    }
}
