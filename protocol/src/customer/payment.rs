//! The payment state of an instrument: count, modifier, and the one request that may be open (K-60, K-61, K-115 to K-125).
//!
//! The rules, in the order of their importance:
//!
//! * **Stored before sent.** Count and content are stored when a payment begins, and the number of attempts before each
//!   attempt leaves. Nothing stored permits a search for the PIN: no ephemeral secret, no session key, no authenticator (K-64).
//! * **A count is bound to its content** until the TPS has said under seal of *every* attempt sent that it consumed nothing.
//!   A wrong PIN in the second attempt says nothing about a first attempt whose answer was lost: that one may have paid.
//!   So the same content is asked for again under the same count, and the TPS answers with the stored outcome.
//! * **Errors in clear and lost answers resolve nothing.**
//! * **A breach is never healed silently** (K-124). `OutOfStep` means that a copy of this instrument is in use. From then on
//!   nothing is paid until a new PIN was set through the second channel and the count it tells was entered by hand.
//!
//! | Answer | Count | Modifier | Content |
//! |---|---|---|---|
//! | paid, or denied with a reason that consumes the count | next | both parts added, if in force | resolved |
//! | `AuthenticationFailed` | stays | stays | stays; the PIN is typed again |
//! | `PinLocked` | stays | stays | stays; needs a new PIN |
//! | `CountMismatch` | the one that the answer tells | stays | stays; sent again under that count |
//! | `OutOfStep` | stays | stays | outcome unknown; breach |

mod words;

pub use words::{Attempt, PaymentEffect, PaymentEvent, PaymentRefused, Pending, Resolution, Standing};

use crate::pin::Modifier;
use crate::proof::Proof;
use crate::request::Content;
use crate::response::{Answer, OpenedResponse, Reason};

/// What an instrument remembers between payments. Stored as a whole, before every sending and after every answer.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Stored")]
pub struct PaymentState {
    /// The count that the next transaction uses.
    next_count: u64,
    /// Sum of all modifier parts since the PIN was set.
    modifier: Modifier,
    /// Grows with every new PIN: an answer from before it changes no modifier after it.
    pin_epoch: u32,
    standing: Standing,
    pending: Option<Pending>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    next_count: u64,
    modifier: Modifier,
    pin_epoch: u32,
    standing: Standing,
    pending: Option<Pending>,
}

/// Stored bytes that no payment state writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored payment state contradicts itself: it was altered; restore it, or enrol a new instrument")]
pub struct CorruptPaymentState;

impl TryFrom<Stored> for PaymentState {
    type Error = CorruptPaymentState;

    fn try_from(stored: Stored) -> Result<Self, CorruptPaymentState> {
        let Stored { next_count, modifier, pin_epoch, standing, pending } = stored;
        if next_count == 0 || pending.is_some_and(|pending| pending.count != next_count) {
            return Err(CorruptPaymentState);
        }
        Ok(Self { next_count, modifier, pin_epoch, standing, pending })
    }
}

impl PaymentState {
    /// State of an instrument whose last consumed count is `last_count` (0 for a new one): modifier zero, nothing open.
    ///
    /// # Errors
    /// [`PaymentRefused::CountTooLarge`].
    pub fn new(last_count: u64) -> Result<Self, PaymentRefused> {
        let next_count = last_count.checked_add(1).ok_or(PaymentRefused::CountTooLarge(last_count))?;
        Ok(Self { next_count, modifier: Modifier(0), pin_epoch: 0, standing: Standing::Ready, pending: None })
    }

    /// The count that the next transaction uses.
    pub fn next_count(&self) -> u64 {
        self.next_count
    }

    /// What the typed PIN is combined with (K-53).
    pub fn modifier(&self) -> Modifier {
        self.modifier
    }

    /// Whether the instrument may pay.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The payment that is open, if any.
    pub fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// Whether a payment may be made now.
    ///
    /// # Errors
    /// [`PaymentRefused::Breached`], [`PaymentRefused::NewPinNeeded`].
    pub fn may_pay(&self) -> Result<(), PaymentRefused> {
        self.standing.may_pay()
    }

    /// Begins to pay `content`; to be stored before [`Self::about_to_send`].
    ///
    /// # Errors
    /// [`PaymentRefused::PaymentPending`], [`PaymentRefused::Breached`], [`PaymentRefused::NewPinNeeded`].
    pub fn begin(&mut self, content: Content) -> Result<(), PaymentRefused> {
        self.on(PaymentEvent::Begin(content)).map(|_| ())
    }

    /// Notes that an attempt is about to leave. The new state must be durable before the first byte is sent.
    ///
    /// # Errors
    /// [`PaymentRefused::NothingPending`], [`PaymentRefused::Breached`], [`PaymentRefused::NewPinNeeded`].
    pub fn about_to_send(&mut self) -> Result<Attempt, PaymentRefused> {
        match self.on(PaymentEvent::Send)? {
            PaymentEffect::Send(attempt) => Ok(attempt),
            // Sending has no other effect; were there one, nothing would have to be sent.
            _ => Err(PaymentRefused::NothingPending),
        }
    }

    /// What an answer that the session key authenticated changes. What it says must be about this content: the merchant
    /// checks the TPS's signature, the customer does not (K-73).
    ///
    /// # Errors
    /// [`PaymentRefused::Contradiction`].
    pub fn answered(&mut self, attempt: Attempt, response: &OpenedResponse) -> Result<PaymentEffect, PaymentRefused> {
        let proof = Proof::decode(&response.proof_bytes).map_err(|_| PaymentRefused::Contradiction)?;
        let (statement, content) = (&proof.statement, &attempt.content);
        let same = statement.merchant == content.merchant
            && statement.number == content.number
            && statement.amount == content.amount
            && statement.asset == content.asset
            && statement.quote_digest == content.quote_digest
            && statement.kind == content.kind
            && statement.terms == content.terms;
        if !same || proof.outcome != response.answer.reason.outcome() {
            return Err(PaymentRefused::Contradiction);
        }
        self.on(PaymentEvent::Answered(attempt, &response.answer))
    }

    /// Gives up what was begun; only once every attempt was answered under seal and consumed nothing.
    ///
    /// # Errors
    /// [`PaymentRefused::NothingPending`], [`PaymentRefused::StillBound`], [`PaymentRefused::Breached`].
    pub fn abandon(&mut self) -> Result<PaymentEffect, PaymentRefused> {
        self.on(PaymentEvent::Abandon)
    }

    /// A new PIN was set through the second channel: the modifier is zero; count and open payment stay (K-120).
    pub fn new_pin(&mut self) {
        // The only event that no state refuses.
        let accepted = self.on(PaymentEvent::NewPin);
        debug_assert!(accepted.is_ok(), "a new PIN is always welcome");
    }

    /// Enters by hand the count of the last transaction, as the second channel tells it. One more does no harm: the TPS
    /// then tells the right one.
    ///
    /// # Errors
    /// [`PaymentRefused::PaymentPending`] unless the instrument is breached, [`PaymentRefused::CountTooLarge`].
    pub fn resync(&mut self, last_count: u64) -> Result<PaymentEffect, PaymentRefused> {
        self.on(PaymentEvent::Resync { last_count })
    }

    /// The one transition. On an error nothing has changed.
    ///
    /// # Errors
    /// [`PaymentRefused`].
    pub fn on(&mut self, event: PaymentEvent<'_>) -> Result<PaymentEffect, PaymentRefused> {
        match (self.pending, event) {
            (None, PaymentEvent::Begin(content)) => {
                self.standing.may_pay()?;
                self.pending = Some(Pending { count: self.next_count, content, attempts_unanswered: 0 });
                Ok(PaymentEffect::Nothing)
            }
            (Some(pending), PaymentEvent::Begin(_)) => {
                self.standing.may_pay()?;
                Err(PaymentRefused::PaymentPending { count: pending.count })
            }

            (Some(mut pending), PaymentEvent::Send) => {
                self.standing.may_pay()?;
                pending.attempts_unanswered = pending.attempts_unanswered.saturating_add(1);
                self.pending = Some(pending);
                Ok(PaymentEffect::Send(Attempt {
                    count: pending.count,
                    content: pending.content,
                    pin_epoch: self.pin_epoch,
                }))
            }

            (Some(pending), PaymentEvent::Answered(attempt, answer))
                if attempt.count == pending.count && attempt.content == pending.content =>
            {
                self.on_answer(pending, &attempt, answer)
            }
            // An answer to what was resolved meanwhile, for example by a later attempt.
            (_, PaymentEvent::Answered(..)) => Ok(PaymentEffect::Nothing),
            (_, PaymentEvent::Lost(_)) => Ok(PaymentEffect::Nothing),

            (Some(pending), PaymentEvent::Abandon) => {
                if self.standing.is_breached() {
                    return Err(PaymentRefused::Breached(self.standing));
                }
                if pending.attempts_unanswered > 0 {
                    return Err(PaymentRefused::StillBound { attempts_unanswered: pending.attempts_unanswered });
                }
                self.pending = None;
                Ok(PaymentEffect::Dropped { pending, maybe_paid: false })
            }
            (None, PaymentEvent::Send | PaymentEvent::Abandon) => Err(PaymentRefused::NothingPending),

            (_, PaymentEvent::NewPin) => {
                self.modifier = Modifier(0);
                self.pin_epoch = self.pin_epoch.wrapping_add(1);
                self.standing = match self.standing {
                    Standing::Ready | Standing::PinLocked | Standing::BreachedCountEntered => Standing::Ready,
                    Standing::Breached | Standing::BreachedPinRenewed => Standing::BreachedPinRenewed,
                };
                Ok(PaymentEffect::Nothing)
            }

            (pending, PaymentEvent::Resync { last_count }) => {
                let next_count = last_count.checked_add(1).ok_or(PaymentRefused::CountTooLarge(last_count))?;
                if let Some(pending) = pending.filter(|_| !self.standing.is_breached()) {
                    return Err(PaymentRefused::PaymentPending { count: pending.count });
                }
                self.next_count = next_count;
                self.pending = None;
                self.standing = match self.standing {
                    Standing::Ready | Standing::BreachedPinRenewed => Standing::Ready,
                    Standing::PinLocked => Standing::PinLocked,
                    Standing::Breached | Standing::BreachedCountEntered => Standing::BreachedCountEntered,
                };
                // Whoever holds the copy may have sent the stored content too: nobody here knows whether it was paid.
                Ok(pending
                    .map_or(PaymentEffect::Nothing, |pending| PaymentEffect::Dropped { pending, maybe_paid: true }))
            }
        }
    }

    fn on_answer(
        &mut self,
        mut pending: Pending,
        attempt: &Attempt,
        answer: &Answer,
    ) -> Result<PaymentEffect, PaymentRefused> {
        if answer.reason.consumes_count() {
            let told =
                answer.authenticated.filter(|_| answer.count == pending.count).ok_or(PaymentRefused::Contradiction)?;
            let next_count = pending.count.checked_add(1).ok_or(PaymentRefused::CountTooLarge(pending.count))?;
            // After a new PIN the TPS's modifier is zero too; parts from before it belong to nothing any more.
            if told.modifier_in_force && attempt.pin_epoch == self.pin_epoch {
                self.modifier = self.modifier.advanced(pending.content.customer_part, told.processor_part);
            }
            self.next_count = next_count;
            self.pending = None;
            let Pending { count, content, .. } = pending;
            return Ok(PaymentEffect::Resolved(Resolution {
                count,
                content,
                reason: answer.reason,
                balance: told.balance,
            }));
        }

        // This attempt consumed nothing, nor will its bytes when somebody repeats them: a wrong PIN stays wrong, and what
        // the TPS did not look at while it was locked is sealed with a PIN that has to be replaced first.
        pending.attempts_unanswered = pending.attempts_unanswered.saturating_sub(1);
        let effect = match answer.reason {
            Reason::PinLocked if attempt.pin_epoch == self.pin_epoch => {
                if self.standing == Standing::Ready {
                    self.standing = Standing::PinLocked;
                }
                PaymentEffect::NewPinNeeded
            }
            Reason::CountMismatch => {
                // The PIN was right, so nobody else has used the instrument since: the count alone was ahead. Attempts under
                // the old count cannot be paid later either: before the TPS gets there, the modified PIN has changed.
                if answer.count == 0 || answer.count >= pending.count {
                    return Err(PaymentRefused::Contradiction);
                }
                self.next_count = answer.count;
                pending.count = answer.count;
                pending.attempts_unanswered = 0;
                PaymentEffect::SendAgain
            }
            Reason::OutOfStep => {
                if !self.standing.is_breached() {
                    self.standing = Standing::Breached;
                }
                PaymentEffect::Breach
            }
            _ => PaymentEffect::TypePinAgain,
        };
        self.pending = Some(pending);
        Ok(effect)
    }
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
