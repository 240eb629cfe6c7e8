//! Batch numbers and batch times. Times never decrease, across restarts too, whatever the machine's clock does.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use protocol::time::Timestamp;

/// The machine's clock.
pub fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A batch's number and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Sequencers take batches in the order of their numbers.
    pub number: u64,
    /// `now` of every decision in the batch.
    pub time: Timestamp,
}

/// Gives out tickets: numbers without gaps, times in the same order.
#[derive(Debug)]
pub struct BatchClock {
    next: Mutex<Ticket>,
    first_number: u64,
    wall: fn() -> Timestamp,
}

impl BatchClock {
    /// A clock that continues after `last_time`, with `next_number` as its first number.
    pub fn new(next_number: u64, last_time: Timestamp) -> Self {
        Self::with_wall(next_number, last_time, wall_clock)
    }

    /// The same over another clock, for tests and simulation.
    pub fn with_wall(next_number: u64, last_time: Timestamp, wall: fn() -> Timestamp) -> Self {
        Self { next: Mutex::new(Ticket { number: next_number, time: last_time }), first_number: next_number, wall }
    }

    /// Draws the next ticket.
    pub fn draw(&self) -> Ticket {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.time = next.time.max((self.wall)());
        let ticket = *next;
        next.number += 1;
        ticket
    }

    /// The number of the next ticket. Its batch, and all after it, will have a time that is not before [`Self::now`].
    pub fn next_number(&self) -> u64 {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).number
    }

    /// The number of the first ticket.
    pub fn first_number(&self) -> u64 {
        self.first_number
    }

    /// How far this clock is ahead of the machine's, in milliseconds.
    pub fn ahead_ms(&self) -> u64 {
        let latest = self.next.lock().unwrap_or_else(PoisonError::into_inner).time;
        latest.since((self.wall)())
    }

    /// The current time, without drawing a number.
    pub fn now(&self) -> Timestamp {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.time = next.time.max((self.wall)());
        next.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_never_decrease_even_behind_a_clock_that_does() {
        let clock = BatchClock::with_wall(5, Timestamp(1_000), || Timestamp(900));
        let (first, second) = (clock.draw(), clock.draw());
        assert_eq!((first.number, second.number), (5, 6));
        assert_eq!((first.time, second.time), (Timestamp(1_000), Timestamp(1_000)));
        assert_eq!(BatchClock::with_wall(0, Timestamp(0), || Timestamp(7)).draw().time, Timestamp(7));
    }
}
