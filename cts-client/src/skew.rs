//! What the TPS's answers say about this machine's clock.
//!
//! An answer's statement carries the TPS's time, under the authenticated session. Where it answers the first attempt of a request
//! it was made between sending and receiving, so it tells how far this machine's clock is off. The difference is kept and
//! added to the clock wherever a time is compared with the TPS's or a merchant's: a wrong clock then costs one denied payment,
//! not all of them. Key sets are judged by the machine's clock alone, so that nobody can make an old one look fresh.
//!
//! A quote that was asked for this moment and looks expired is judged by the time that it says it was issued at, for the clock may be
//! wrong. It may as well be an old quote: that costs nothing, because no request is valid longer than its quote and the TPS judges
//! that by its own time. What a quote says of the time counts for this quote alone, and its certificate must be valid at both times.

use std::sync::{Mutex, PoisonError};

use protocol::time::{DAY_MS, MINUTE_MS, SECOND_MS, Timestamp};
use serde::{Deserialize, Serialize};

/// The user is told of a clock that is further off.
pub const TOLD_FROM_MS: u64 = MINUTE_MS;
/// Smaller differences are the network's and the clocks' own.
const CORRECTED_FROM_MS: u64 = 5 * SECOND_MS;
/// Larger differences are told but not corrected: certificates and quotes are judged by the corrected time.
const CORRECTED_MAX_MS: u64 = DAY_MS;
/// An answer that took longer says too little.
const ANSWER_MS_MAX: u64 = 30 * SECOND_MS;
/// Differences are stored again when they change by more.
const STORED_FROM_MS: u64 = SECOND_MS;

/// How far the TPS's clock is from this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockSkew {
    /// The TPS's time less this machine's, in milliseconds: positive where this machine is behind.
    pub behind_ms: i64,
    /// When it was learnt, by this machine's clock.
    pub learnt_at: Timestamp,
}

impl ClockSkew {
    /// From a time that was told between sending and receiving; `None` where too long lay between.
    fn measured(told: Timestamp, sent: Timestamp, received: Timestamp) -> Option<Self> {
        if received < sent || received.since(sent) > ANSWER_MS_MAX {
            return None;
        }
        let middle = sent.plus(received.since(sent) / 2);
        let behind_ms = i64::try_from(i128::from(told.0) - i128::from(middle.0)).ok()?;
        Some(Self { behind_ms, learnt_at: received })
    }

    /// Whether the user should set the machine's clock.
    pub fn is_to_be_told(&self) -> bool {
        self.behind_ms.unsigned_abs() > TOLD_FROM_MS
    }

    fn correct(&self, time: Timestamp) -> Timestamp {
        match self.behind_ms.unsigned_abs() {
            CORRECTED_FROM_MS..=CORRECTED_MAX_MS => Timestamp(time.0.saturating_add_signed(self.behind_ms)),
            _ => time,
        }
    }
}

impl std::fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.behind_ms.unsigned_abs() / SECOND_MS;
        let direction = if self.behind_ms > 0 { "behind" } else { "ahead of" };
        write!(f, "this machine's clock is {seconds} s {direction} the TPS's")
    }
}

/// A machine's clock. The default is this machine's.
#[derive(Clone, Copy, Debug)]
pub struct WallClock(pub fn() -> Timestamp);

impl Default for WallClock {
    fn default() -> Self {
        Self(crate::clock::now)
    }
}

/// The machine's clock and what is known of it.
pub(crate) struct Clock {
    wall: WallClock,
    learnt: Mutex<Option<ClockSkew>>,
}

impl Clock {
    pub(crate) fn new(wall: WallClock, learnt: Option<ClockSkew>) -> Self {
        Self { wall, learnt: Mutex::new(learnt) }
    }

    /// The machine's time.
    pub(crate) fn wall(&self) -> Timestamp {
        (self.wall.0)()
    }

    /// The TPS's time, as far as it is known.
    pub(crate) fn now(&self) -> Timestamp {
        self.now_for(None)
    }

    /// The time by which a quote is judged that suggests another one; what the TPS told since then is better.
    pub(crate) fn now_for(&self, supposed: Option<ClockSkew>) -> Timestamp {
        let learnt = self.skew();
        let supposed = supposed.filter(|skew| learnt.is_none_or(|learnt| learnt.learnt_at < skew.learnt_at));
        supposed.or(learnt).map_or(self.wall(), |skew| skew.correct(self.wall()))
    }

    /// What the TPS's answers said last.
    pub(crate) fn skew(&self) -> Option<ClockSkew> {
        *self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the time of an answer to what was sent at `sent`; what is to be stored, where that is something new.
    pub(crate) fn learn(&self, told: Timestamp, sent: Timestamp) -> Option<ClockSkew> {
        let skew = ClockSkew::measured(told, sent, self.wall())?;
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        let before = learnt.replace(skew).map_or(0, |before| before.behind_ms);
        (skew.behind_ms.abs_diff(before) > STORED_FROM_MS).then_some(skew)
    }

    /// A quote that was asked for this moment says when it was issued. For this quote, and until the TPS tells the time, that is the
    /// best there is.
    pub(crate) fn suppose(&self, issued_at: Timestamp) -> Option<ClockSkew> {
        let now = self.wall();
        ClockSkew::measured(issued_at, now, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall() -> Timestamp {
        Timestamp(10 * DAY_MS)
    }

    fn told(behind_ms: i64) -> Timestamp {
        Timestamp(wall().0.saturating_add_signed(behind_ms))
    }

    #[test]
    fn differences_are_corrected_told_and_stored_by_their_size() {
        let hour = 3_600_000;
        for (behind_ms, corrected, is_told, stored) in [
            (0, false, false, false),
            (900, false, false, false),
            (4_000, false, false, true),
            (6_000, true, false, true),
            (hour, true, true, true),
            (-hour, true, true, true),
            (25 * hour, false, true, true),
            (-25 * hour, false, true, true),
        ] {
            let clock = Clock::new(WallClock(wall), None);
            let learnt = clock.learn(told(behind_ms), wall());
            assert_eq!(learnt.is_some(), stored, "{behind_ms}");
            assert_eq!(clock.now(), if corrected { told(behind_ms) } else { wall() }, "{behind_ms}");
            assert_eq!(clock.skew().unwrap().is_to_be_told(), is_told, "{behind_ms}");
            // The same again is nothing new, and a clock that was set right is right again.
            assert_eq!(clock.learn(told(behind_ms), wall()), None);
            let healed = clock.learn(told(0), wall());
            assert_eq!((healed.is_some(), clock.now()), (stored, wall()), "{behind_ms}");
        }
    }

    #[test]
    fn an_answer_that_took_too_long_says_nothing() {
        let clock = Clock::new(WallClock(wall), None);
        assert_eq!(clock.learn(told(50_000), told(-31_000)), None);
        assert_eq!(clock.learn(told(50_000), told(1)), None, "the clock was set back meanwhile");
        assert_eq!(clock.skew(), None);
        clock.learn(told(-5_000), told(-20_000));
        assert_eq!(clock.skew().unwrap().behind_ms, 5_000, "from the middle");
    }

    #[test]
    fn what_a_quote_says_counts_for_the_quote_until_the_tps_speaks() {
        let clock = Clock::new(WallClock(wall), None);
        let supposed = clock.suppose(told(-3_600_000));
        assert_eq!((clock.now_for(supposed), clock.now(), clock.skew()), (told(-3_600_000), wall(), None));
        clock.learn(told(10), wall());
        assert_eq!(clock.now_for(supposed), wall());
        // What was learnt before may have become wrong since.
        let earlier = ClockSkew { behind_ms: 0, learnt_at: told(-1) };
        assert_eq!(Clock::new(WallClock(wall), Some(earlier)).now_for(supposed), told(-3_600_000));
    }
}
