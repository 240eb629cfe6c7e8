//! How often one network may come to the desk, and with how many connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::desk::budget::Budgets;
use crate::networks::network;

/// Batches that a network may hand in at once; merchants come some times an hour.
const BURST: u32 = 30;
/// After this one more is permitted.
const REFILL: Duration = Duration::from_secs(1);
/// Networks remembered.
const NETWORKS_MAX: usize = 16_384;
/// Connections of one network at a time: slow ones leave room for merchants elsewhere.
pub(super) const CONNECTIONS_MAX: usize = 32;

/// What networks have left, and the connections that they hold.
#[derive(Debug)]
pub(super) struct Limits {
    budgets: Mutex<Budgets<IpAddr>>,
    connections: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that counts as long as this lives.
#[derive(Debug)]
pub(super) struct Counted {
    limits: Arc<Limits>,
    network: IpAddr,
}

impl Limits {
    pub(super) fn new() -> Self {
        Self { budgets: Mutex::new(Budgets::new(BURST, REFILL, NETWORKS_MAX)), connections: Mutex::default() }
    }

    /// Takes one from the budget of an address's network; false if it is used up.
    pub(super) fn take(&self, address: IpAddr, now: Instant) -> bool {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner).take(network(address), now)
    }

    /// Counts a connection; `None` where the network of its address holds as many as it may.
    pub(super) fn connect(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let network = network(address);
        let mut connections = self.connections();
        let count = connections.entry(network).or_insert(0);
        (*count < CONNECTIONS_MAX).then(|| {
            *count += 1;
            Counted { limits: Arc::clone(self), network }
        })
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut connections = self.limits.connections();
        match connections.get_mut(&self.network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(connections.remove(&self.network)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_one_budget() {
        let (limits, start) = (Limits::new(), Instant::now());
        assert!((0..BURST).all(|_| limits.take(address("2001:db8::1"), start)));
        assert!(!limits.take(address("2001:db8::1"), start) && !limits.take(address("2001:db8::2"), start));
        assert!(limits.take(address("2001:db8:0:1::1"), start), "another network");
        assert!(limits.take(address("2001:db8::1"), start + REFILL));
    }

    #[test]
    fn a_network_has_so_many_connections_at_a_time() {
        let limits = Arc::new(Limits::new());
        let here = address("192.0.2.1");
        let mut held: Vec<_> = (0..CONNECTIONS_MAX).map(|_| limits.connect(here).unwrap()).collect();
        assert!(limits.connect(here).is_none());
        assert!(limits.connect(address("192.0.2.2")).is_some(), "another network");
        held.pop();
        held.push(limits.connect(here).unwrap());
        assert!(limits.connect(here).is_none());
        held.clear();
        assert!(limits.connections().is_empty(), "nothing is remembered of those that left");
    }
}
