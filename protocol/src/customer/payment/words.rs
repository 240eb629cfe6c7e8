//! The words of the payment state: standings, events, effects and refusals.

use crate::request::Content;
use crate::response::{Answer, Reason};

/// Whether the instrument may pay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It may.
    Ready,
    /// Too many wrong PINs: a new PIN is needed (K-125).
    PinLocked,
    /// A copy of this instrument may be in use: a new PIN and the count are needed (K-124).
    Breached,
    /// As [`Self::Breached`], and the new PIN was set: the count is needed.
    BreachedPinRenewed,
    /// As [`Self::Breached`], and the count was entered: a new PIN is needed.
    BreachedCountEntered,
}

impl Standing {
    /// All standings.
    pub const ALL: [Self; 5] =
        [Self::Ready, Self::PinLocked, Self::Breached, Self::BreachedPinRenewed, Self::BreachedCountEntered];

    /// Whether a copy of the instrument may be in use.
    pub const fn is_breached(self) -> bool {
        matches!(self, Self::Breached | Self::BreachedPinRenewed | Self::BreachedCountEntered)
    }

    pub(super) fn may_pay(self) -> Result<(), PaymentRefused> {
        match self {
            Self::Ready => Ok(()),
            Self::PinLocked => Err(PaymentRefused::NewPinNeeded),
            Self::Breached | Self::BreachedPinRenewed | Self::BreachedCountEntered => {
                Err(PaymentRefused::Breached(self))
            }
        }
    }
}

/// A payment that was begun and is not resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Pending {
    /// The count it is bound to.
    pub count: u64,
    /// What is to be paid.
    pub content: Content,
    /// Attempts that were sent, or may have been, and that no sealed answer told of.
    pub attempts_unanswered: u32,
}

/// Names one attempt. It lives in memory only, and is used up by its answer.
#[derive(PartialEq, Eq, Debug)]
pub struct Attempt {
    pub(super) count: u64,
    pub(super) content: Content,
    pub(super) pin_epoch: u32,
}

impl Attempt {
    /// The count to send.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The content to send.
    pub fn content(&self) -> &Content {
        &self.content
    }
}

/// Why the payment state refuses. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaymentRefused {
    /// An instrument pays one thing after the other (K-60).
    #[error("another payment of this instrument, count {count}, is unresolved: ask for its outcome first")]
    PaymentPending {
        /// Its count.
        count: u64,
    },
    /// There is nothing to send, answer or give up.
    #[error("no payment of this instrument is open")]
    NothingPending,
    /// A copy may be in use (K-124).
    #[error(
        "a copy of this instrument may be in use, nothing is paid: call the second channel, have a new PIN set, then enter it (new-pin) and the count it tells (resync); state: {0:?}"
    )]
    Breached(Standing),
    /// Locked by wrong PINs (K-125).
    #[error(
        "the instrument is locked after too many wrong PINs: have a new PIN set through the second channel, then enter it (new-pin)"
    )]
    NewPinNeeded,
    /// Giving up could pay for something that nobody waits for.
    #[error(
        "the payment cannot be given up: {attempts_unanswered} request(s) were sent and not answered, and may have been paid; ask for the outcome"
    )]
    StillBound {
        /// Attempts without a sealed answer.
        attempts_unanswered: u32,
    },
    /// No count lies beyond.
    #[error("the count {0} is too large: enter the count that the second channel tells")]
    CountTooLarge(u64),
    /// The TPS said what cannot be.
    #[error("the TPS's answer contradicts the request: report this to the operator; the payment stays unresolved")]
    Contradiction,
}

/// What becomes of the payment state, or is asked of it.
#[derive(Debug)]
pub enum PaymentEvent<'a> {
    /// Begin to pay `content`.
    Begin(Content),
    /// An attempt is about to be sent.
    Send,
    /// A sealed answer to an attempt.
    Answered(Attempt, &'a Answer),
    /// An attempt was answered in clear, or not at all.
    Lost(Attempt),
    /// Give up what was begun.
    Abandon,
    /// A new PIN was set through the second channel (K-120).
    NewPin,
    /// The count of the last transaction, as the second channel tells it, was entered by hand.
    Resync {
        /// Count of the last consumed transaction.
        last_count: u64,
    },
}

/// What the caller has to do once the new state is stored.
#[derive(Debug, PartialEq, Eq)]
pub enum PaymentEffect {
    /// Nothing.
    Nothing,
    /// Seal a request under this attempt and send it.
    Send(Attempt),
    /// The payment is decided.
    Resolved(Resolution),
    /// The PIN was wrong, or the TPS does not know the instrument: type the PIN again, for the same content.
    TypePinAgain,
    /// A new PIN is needed.
    NewPinNeeded,
    /// The count was ahead and is corrected: send again (K-123).
    SendAgain,
    /// A copy of this instrument may be in use: warn (K-124).
    Breach,
    /// The content is given up. With `maybe_paid` nobody here can tell whether it was paid: the second channel can.
    Dropped {
        /// What was to be paid.
        pending: Pending,
        /// Whether it may have been paid.
        maybe_paid: bool,
    },
}

/// How a payment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resolution {
    /// The count it used.
    pub count: u64,
    /// What was asked for.
    pub content: Content,
    /// [`Reason::Paid`], or why not.
    #[serde(with = "reason_number")]
    pub reason: Reason,
    /// Balance of the account after it, in smallest units.
    pub balance: i128,
}

mod reason_number {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::response::Reason;

    pub(super) fn serialize<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*reason as u8)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reason, D::Error> {
        let number = u8::deserialize(deserializer)?;
        let known = Reason::ALL.into_iter().find(|reason| *reason as u8 == number);
        known.ok_or_else(|| serde::de::Error::custom("unknown reason of a denial"))
    }
}
