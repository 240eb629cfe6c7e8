//! Budgets: how many requests may be unanswered per connection, per network address and in all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// The budgets of a listener.
pub(super) struct Budgets {
    per_connection_max: usize,
    per_address_max: usize,
    open: AtomicUsize,
    changed: Notify,
    addresses: Mutex<HashMap<IpAddr, Weak<AtomicUsize>>>,
}

impl Budgets {
    pub(super) fn new(per_connection_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self {
            per_connection_max,
            per_address_max,
            open: AtomicUsize::new(0),
            changed: Notify::new(),
            addresses: Mutex::new(HashMap::new()),
        })
    }

    /// The budget of a new connection from `address`.
    pub(super) fn connection(self: &Arc<Self>, address: IpAddr) -> Arc<ConnectionBudget> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.retain(|_, count| count.strong_count() > 0);
        let known = addresses.get(&address).and_then(Weak::upgrade);
        let of_address = known.unwrap_or_else(|| {
            let count = Arc::new(AtomicUsize::new(0));
            addresses.insert(address, Arc::downgrade(&count));
            count
        });
        Arc::new(ConnectionBudget {
            all: Arc::clone(self),
            of_address,
            open: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        })
    }

    /// Requests unanswered in all.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Waits until nothing is unanswered.
    pub(super) async fn all_answered(&self) {
        loop {
            let changed = self.changed.notified();
            if self.open() == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// The budget of one connection.
pub(super) struct ConnectionBudget {
    all: Arc<Budgets>,
    of_address: Arc<AtomicUsize>,
    open: AtomicUsize,
    refused: AtomicUsize,
}

impl ConnectionBudget {
    /// Takes a place for one refusal; false where the client does not even read those.
    pub(super) fn take_refusal(&self) -> bool {
        self.refused.fetch_add(1, Ordering::AcqRel) < self.all.per_connection_max
    }

    /// Gives back the places of refusals that were written.
    pub(super) fn give_back_refusals(&self, places: usize) {
        self.refused.fetch_sub(places, Ordering::AcqRel);
    }

    /// Takes a place for one request; false if there is none.
    pub(super) fn take(&self) -> bool {
        if self.open.fetch_add(1, Ordering::AcqRel) >= self.all.per_connection_max {
            self.open.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        if self.of_address.fetch_add(1, Ordering::AcqRel) >= self.all.per_address_max {
            self.of_address.fetch_sub(1, Ordering::AcqRel);
            self.open.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        self.all.open.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Gives back `places`.
    pub(super) fn give_back(&self, places: usize) {
        self.open.fetch_sub(places, Ordering::AcqRel);
        self.of_address.fetch_sub(places, Ordering::AcqRel);
        if self.all.open.fetch_sub(places, Ordering::AcqRel) == places {
            self.all.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_addresses_have_their_own_bounds() {
        let budgets = Budgets::new(2, 3);
        let here = IpAddr::from([127, 0, 0, 1]);
        let (left, right) = (budgets.connection(here), budgets.connection(here));
        assert!(left.take() && left.take() && !left.take(), "two per connection");
        assert!(right.take() && !right.take(), "three per address");
        assert!(budgets.connection(IpAddr::from([127, 0, 0, 2])).take(), "another address");
        assert_eq!(budgets.open(), 4);
        left.give_back(2);
        assert!(right.take());
        assert_eq!(budgets.open(), 3);
    }
}
