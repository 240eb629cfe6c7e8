//! Instruments: what pays from an account, with its own keys, PIN, modifier, count and limits.

use std::sync::Arc;

use crate::ids::{AccountId, Digest, InstrumentId, MerchantId};
use crate::limits::{PERMITTED_MERCHANTS_MAX, PIN_FAILURES_MAX};
use crate::money::Amount;
use crate::pin::{ModifiedPin, Modifier, ModifierPart, Pin};
use crate::time::Timestamp;

/// Where the outcome of a transaction is stored: batch number, and place in the batch.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct Place {
    /// Number of the batch at this TPS; never shown to anybody.
    pub batch: u64,
    /// Place of the leaf in the batch.
    pub index: u16,
}

/// Hashes of requests that failed at the current count: a repeat is not counted again (DESIGN section 6, row 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct FailedRequests {
    hashes: [[u8; 8]; PIN_FAILURES_MAX as usize],
}

impl FailedRequests {
    /// Eight bytes of a hash are enough: at most five are kept, and a false match only fails to count one wrong PIN.
    fn short(request: &Digest) -> [u8; 8] {
        let mut short = [0; 8];
        short.copy_from_slice(&request.0[..8]);
        short
    }

    /// Whether the request failed before at this count.
    pub fn contains(&self, request: &Digest) -> bool {
        let short = Self::short(request);
        short != [0; 8] && self.hashes.contains(&short)
    }

    fn insert(&mut self, request: &Digest) {
        self.hashes.rotate_right(1);
        self.hashes[0] = Self::short(request);
    }
}

/// What an instrument may pay.
#[derive(
    Clone,
    PartialEq,
    Eq,
    Debug,
    Default,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most per payment.
    pub per_payment: Option<Amount>,
    /// Most per period, and the period's length in milliseconds.
    pub per_period: Option<PeriodLimit>,
    /// Merchants it may pay; empty means all. At most [`PERMITTED_MERCHANTS_MAX`].
    pub permitted_merchants: Vec<MerchantId>,
    /// Last moment it may pay.
    pub expires_at: Option<Timestamp>,
}

/// Most money in a period. A period begins with the first payment after the last one ended.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct PeriodLimit {
    /// Most in one period.
    pub amount: Amount,
    /// Length of a period in milliseconds, at least 1.
    pub period_ms: u64,
}

impl Limits {
    /// Whether the limits are within bounds themselves.
    pub fn is_valid(&self) -> bool {
        self.permitted_merchants.len() <= PERMITTED_MERCHANTS_MAX
            && self.per_period.is_none_or(|limit| limit.period_ms > 0)
    }
}

/// The changing state of an instrument: what a payment reads and writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct InstrumentState {
    /// Count of the last consumed transaction; 0 before the first.
    pub last_count: u64,
    /// Content of the last consumed transaction.
    pub last_content: Digest,
    /// Where its outcome is stored.
    pub last_place: Place,
    /// Current modified PIN; `None` until the second channel has set a PIN (K-05, K-113).
    pub current: Option<ModifiedPin>,
    /// Modified PIN before the last consumed transaction; erased when a new PIN is set.
    pub previous: Option<ModifiedPin>,
    /// Wrong PINs in a row.
    pub pin_failures: u8,
    /// Which requests failed at this count.
    pub failed_requests: FailedRequests,
    /// Start of the spending period.
    pub period_start: Timestamp,
    /// Spent in the period, in smallest units.
    pub period_spent: i128,
}

impl InstrumentState {
    /// State of an instrument that was never used and has no PIN.
    pub const fn new() -> Self {
        Self {
            last_count: 0,
            last_content: Digest::ZERO,
            last_place: Place { batch: 0, index: 0 },
            current: None,
            previous: None,
            pin_failures: 0,
            failed_requests: FailedRequests { hashes: [[0; 8]; PIN_FAILURES_MAX as usize] },
            period_start: Timestamp(0),
            period_spent: 0,
        }
    }

    /// A transaction was authenticated and consumed its count: the modifier moves on, whatever was decided (K-116).
    pub fn consume(
        &mut self,
        content: Digest,
        place: Place,
        customer_part: ModifierPart,
        processor_part: ModifierPart,
    ) {
        self.last_count += 1;
        self.last_content = content;
        self.last_place = place;
        self.previous = self.current;
        self.current = self.current.map(|pin| pin.advanced(customer_part, processor_part));
        self.pin_failures = 0;
        self.failed_requests = FailedRequests::default();
    }

    /// Counts a wrong PIN, once per request.
    pub fn record_failure(&mut self, request: &Digest) {
        self.pin_failures = self.pin_failures.saturating_add(1);
        self.failed_requests.insert(request);
    }

    /// A new PIN from the second channel: modifier zero, no failures, the previous modified PIN erased. Requests that
    /// failed at this count stay known, so that replaying them changes nothing.
    pub fn set_pin(&mut self, pin: &Pin) {
        self.current = Some(pin.modified(Modifier(0)));
        self.previous = None;
        self.pin_failures = 0;
    }

    /// Spent in the period that `now` falls into.
    pub fn spent(&self, limit: &PeriodLimit, now: Timestamp) -> i128 {
        if now.since(self.period_start) < limit.period_ms { self.period_spent } else { 0 }
    }

    /// Counts a payment against the period.
    pub fn spend(&mut self, limit: &PeriodLimit, amount: Amount, now: Timestamp) {
        if now.since(self.period_start) >= limit.period_ms {
            self.period_start = now;
            self.period_spent = 0;
        }
        self.period_spent += amount.signed();
    }
}

impl Default for InstrumentState {
    fn default() -> Self {
        Self::new()
    }
}

/// An instrument as the decision sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instrument {
    /// Names the instrument.
    pub id: InstrumentId,
    /// The account it pays from.
    pub account: AccountId,
    /// Stopped until released.
    pub held: bool,
    /// Ended for ever.
    pub revoked: bool,
    /// What it may pay; `None` without limits.
    pub limits: Option<Arc<Limits>>,
    /// What payments change.
    pub state: InstrumentState,
}
