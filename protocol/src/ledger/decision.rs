//! The one decision: which answer a request gets (DESIGN section 6). The first rung of the ladder that applies decides.
//!
//! Rows 1 and 2 never get here: they are answered before anything of the customer is known.

use super::account::Account;
use super::instrument::Instrument;
use crate::ids::Digest;
use crate::limits::{PIN_FAILURES_MAX, VALID_UNTIL_AHEAD_MAX_MS};
use crate::money::{Amount, Asset};
use crate::pin::ModifiedPin;
use crate::response::Reason;
use crate::time::Timestamp;

/// Whether the device tag and, under a live policy, the customer's signature held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Authentication {
    /// They held.
    Held,
    /// One did not, or the instrument is unknown.
    Failed,
}

/// How the merchant stands with the operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MerchantStanding {
    /// Not registered.
    Unknown,
    /// Registered, but not certified now.
    Suspended,
    /// Certified.
    Certified,
}

/// What the ladder reads. All of it was fetched before.
pub struct Facts<'a> {
    /// The instrument, if there is one.
    pub instrument: Option<&'a Instrument>,
    /// Its account.
    pub account: Option<&'a Account>,
    /// The named merchant's standing.
    pub merchant: MerchantStanding,
    /// Batch time.
    pub now: Timestamp,
}

/// What the ladder reads of the request.
pub struct Asked<'a> {
    /// Result of the checks by the workers.
    pub authentication: Authentication,
    /// Identifies the bytes received.
    pub request: &'a Digest,
    /// Transaction count.
    pub count: u64,
    /// Hash of the content.
    pub content: &'a Digest,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: Asset,
    /// Until when the customer wants it.
    pub valid_until: Timestamp,
    /// Merchant to be paid.
    pub merchant: crate::ids::MerchantId,
}

/// A rung of the ladder: a row of DESIGN section 6.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Row {
    /// Row 3: unknown or revoked instrument, wrong device tag, bad signature.
    NotAuthentic = 3,
    /// Row 4: PIN failures at the limit; the PIN is not looked at.
    Locked = 4,
    /// Row 5: a replay, or a copy of the instrument is in use; the PIN is not looked at.
    OutOfStep = 5,
    /// Row 6: wrong PIN.
    WrongPin = 6,
    /// Row 7: the last transaction asked again.
    Again = 7,
    /// Row 8: count too far ahead.
    Ahead = 8,
    /// Row 9: authenticated, and denied.
    Denied = 9,
    /// Row 10: paid.
    Paid = 10,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Rows 3, 4 and 5, and 6 for a request already counted: denied, nothing changes.
    Refuse(Row, Reason),
    /// Row 6: denied, one more failure, durable before the answer.
    RefuseAndCount,
    /// Row 7: the stored outcome.
    Repeat,
    /// Row 8: denied with the right count.
    TellCount(u64),
    /// Row 9: denied; the count is consumed and the modifier advances.
    Deny(Reason),
    /// Row 10: the money moves.
    Pay,
}

impl Decision {
    /// The row that decided.
    pub fn row(self) -> Row {
        match self {
            Self::Refuse(row, _) => row,
            Self::RefuseAndCount => Row::WrongPin,
            Self::Repeat => Row::Again,
            Self::TellCount(_) => Row::Ahead,
            Self::Deny(_) => Row::Denied,
            Self::Pay => Row::Paid,
        }
    }
}

/// Decides. `pin_opens` says whether the PIN authenticator holds under a given modified PIN.
pub fn decide(facts: &Facts<'_>, asked: &Asked<'_>, pin_opens: impl Fn(ModifiedPin) -> bool) -> Decision {
    let unknown = Decision::Refuse(Row::NotAuthentic, Reason::AuthenticationFailed);
    let (Some(instrument), Some(account)) = (facts.instrument, facts.account) else { return unknown };
    if asked.authentication == Authentication::Failed || instrument.revoked {
        return unknown;
    }
    let state = &instrument.state;
    if state.pin_failures >= PIN_FAILURES_MAX {
        return Decision::Refuse(Row::Locked, Reason::PinLocked);
    }
    let repeated = asked.count == state.last_count && *asked.content == state.last_content;
    if asked.count < state.last_count || (asked.count == state.last_count && !repeated) {
        return Decision::Refuse(Row::OutOfStep, Reason::OutOfStep);
    }
    // After a new PIN the previous modified PIN is gone, and the new one opens the last outcome.
    let expected = if repeated { state.previous.or(state.current) } else { state.current };
    if !expected.is_some_and(pin_opens) {
        return if state.failed_requests.contains(asked.request) {
            Decision::Refuse(Row::WrongPin, Reason::AuthenticationFailed)
        } else {
            Decision::RefuseAndCount
        };
    }
    if repeated {
        return Decision::Repeat;
    }
    let next = state.last_count + 1;
    if asked.count != next {
        return Decision::TellCount(next);
    }
    match denial(facts, asked, instrument, account) {
        Some(reason) => Decision::Deny(reason),
        None => Decision::Pay,
    }
}

/// Row 9: the first thing that stands against the payment.
fn denial(facts: &Facts<'_>, asked: &Asked<'_>, instrument: &Instrument, account: &Account) -> Option<Reason> {
    if instrument.held || account.held {
        return Some(Reason::Held);
    }
    if let Some(limits) = instrument.limits.as_deref() {
        if limits.expires_at.is_some_and(|end| facts.now > end) {
            return Some(Reason::InstrumentExpired);
        }
        if limits.per_payment.is_some_and(|most| asked.amount > most) {
            return Some(Reason::AboveLimitPerPayment);
        }
        if let Some(limit) = &limits.per_period
            && instrument.state.spent(limit, facts.now) + asked.amount.signed() > limit.amount.signed()
        {
            return Some(Reason::AboveLimitPerPeriod);
        }
        if !limits.permitted_merchants.is_empty() && !limits.permitted_merchants.contains(&asked.merchant) {
            return Some(Reason::MerchantNotPermitted);
        }
    }
    match facts.merchant {
        MerchantStanding::Unknown => return Some(Reason::MerchantUnknown),
        MerchantStanding::Suspended => return Some(Reason::MerchantSuspended),
        MerchantStanding::Certified => {}
    }
    if account.asset != asked.asset {
        return Some(Reason::AssetMismatch);
    }
    if facts.now > asked.valid_until {
        return Some(Reason::Expired);
    }
    if asked.valid_until.since(facts.now) > VALID_UNTIL_AHEAD_MAX_MS {
        return Some(Reason::ValidTooLong);
    }
    if account.balance < asked.amount.signed() {
        return Some(Reason::InsufficientFunds);
    }
    None
}

#[cfg(test)]
mod tests;
