//! The reference ledger: what the TPS must answer and what everybody must have, in as few words as possible. It knows nothing of
//! the TPS's code but the names of reasons and results.

use std::collections::{BTreeMap, BTreeSet};

use protocol::desk::{EntryRefusal, EntryResult, RefundedTotal};
use protocol::ids::{AccountId, InstrumentId};
use protocol::money::Asset;
use protocol::pin::{ModifiedPin, Modifier, ModifierPart, Pin};
use protocol::request::Content;
use protocol::response::Reason;

const LOCKED_AFTER: u8 = 5;
/// Fees of a settlement: two in a hundred, one unit a payment, and payouts of whole hundreds.
pub(super) const FEE_PPM: i128 = 20_000;
pub(super) const FEE_PER_PAYMENT: i128 = 1;
pub(super) const PAYOUT_UNIT: i128 = 100;

/// An instrument as the TPS must know it.
#[derive(Clone)]
pub(super) struct Instrument {
    pub(super) account: AccountId,
    pub(super) last_count: u64,
    /// What was last consumed, and the answer.
    last: Option<(Content, Reason)>,
    pin: Option<Pin>,
    modifier: Modifier,
    /// The modified PIN before the last consumed transaction; gone once a new PIN was set.
    previous: Option<ModifiedPin>,
    pub(super) failures: u8,
    pub(super) held: bool,
    pub(super) revoked: bool,
}

impl Instrument {
    pub(super) fn new(account: AccountId) -> Self {
        let (last, pin, previous, modifier) = (None, None, None, Modifier(0));
        Self { account, last_count: 0, last, pin, modifier, previous, failures: 0, held: false, revoked: false }
    }

    pub(super) fn current(&self) -> Option<ModifiedPin> {
        self.pin.as_ref().map(|pin| pin.modified(self.modifier))
    }

    pub(super) fn set_pin(&mut self, pin: Pin) {
        (self.pin, self.modifier, self.previous, self.failures) = (Some(pin), Modifier(0), None, 0);
    }

    /// Both sides' parts of the modifier, after a transaction was consumed.
    pub(super) fn advance(&mut self, customer_part: ModifierPart, processor_part: ModifierPart) {
        self.modifier = self.modifier.advanced(customer_part, processor_part);
    }
}

/// A payment that was made.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) number: u8,
    pub(super) account: AccountId,
    pub(super) units: u64,
    /// The order that gave it back.
    pub(super) refunded_by: Option<u8>,
}

/// Everything that a backup holds.
#[derive(Clone, Default)]
pub(super) struct Reference {
    pub(super) instruments: BTreeMap<InstrumentId, Instrument>,
    pub(super) accounts: BTreeMap<AccountId, i128>,
    pub(super) held_accounts: BTreeSet<AccountId>,
    pub(super) shop: i128,
    pub(super) fees: i128,
    /// Outside: what went out less what came in.
    pub(super) outside: i128,
    pub(super) payments: Vec<Payment>,
    /// What became of refund orders.
    orders: BTreeMap<u8, (u8, EntryResult)>,
    pub(super) suspended: bool,
    carried: i128,
    /// Of the open cycle: payments, credited, refunded.
    cycle: (u64, i128, i128),
}

impl Reference {
    pub(super) fn fund(&mut self, account: AccountId, units: u64) {
        *self.accounts.entry(account).or_default() += i128::from(units);
        self.outside -= i128::from(units);
    }

    /// What the answer to a request is, and what it changes (the ladder of DESIGN section 6).
    pub(super) fn request(&mut self, id: InstrumentId, count: u64, content: &Content, pin: ModifiedPin) -> Reason {
        let Some(known) = self.instruments.get_mut(&id) else { return Reason::AuthenticationFailed };
        if known.revoked {
            return Reason::AuthenticationFailed;
        }
        if known.failures >= LOCKED_AFTER {
            return Reason::PinLocked;
        }
        let same = count == known.last_count;
        if count < known.last_count || (same && known.last.as_ref().is_none_or(|(last, _)| last != content)) {
            return Reason::OutOfStep;
        }
        let right = if same { known.previous.or(known.current()) } else { known.current() };
        if right != Some(pin) {
            known.failures += 1;
            return Reason::AuthenticationFailed;
        }
        if let Some((_, reason)) = known.last.as_ref().filter(|_| same) {
            return *reason;
        }
        if count > known.last_count + 1 {
            return Reason::CountMismatch;
        }
        let reason = self.decide(id, content);
        let known = self.instruments.get_mut(&id).expect("found above");
        (known.previous, known.failures) = (known.current(), 0);
        (known.last_count, known.last) = (count, Some((*content, reason)));
        reason
    }

    fn decide(&mut self, id: InstrumentId, content: &Content) -> Reason {
        let known = &self.instruments[&id];
        if known.held || self.held_accounts.contains(&known.account) {
            return Reason::Held;
        }
        if self.suspended {
            return Reason::MerchantSuspended;
        }
        let (units, balance) = (content.amount.signed(), self.accounts.entry(known.account).or_default());
        if *balance < units {
            return Reason::InsufficientFunds;
        }
        *balance -= units;
        self.shop += units;
        self.cycle.0 += 1;
        self.cycle.1 += units;
        let (account, units) = (known.account, u64::try_from(units).expect("amounts are positive"));
        self.payments.push(Payment { number: content.number.0[0], account, units, refunded_by: None });
        Reason::Paid
    }

    /// What the result of a refund order is, and what it changes.
    pub(super) fn refund(&mut self, number: u8, order: u8) -> EntryResult {
        if let Some((before, result)) = self.orders.get(&order) {
            return if *before == number { result.clone() } else { EntryResult::Refused(EntryRefusal::OtherNumber) };
        }
        if self.suspended {
            return EntryResult::Refused(EntryRefusal::MerchantSuspended);
        }
        let of_number = || self.payments.iter().filter(|payment| payment.number == number);
        if of_number().next().is_none() {
            return EntryResult::Refused(EntryRefusal::NothingPaid);
        }
        let sum: u64 = of_number().filter(|payment| payment.refunded_by.is_none()).map(|payment| payment.units).sum();
        if sum == 0 {
            return EntryResult::Refused(EntryRefusal::NothingLeft);
        }
        if self.shop < i128::from(sum) {
            return EntryResult::Refused(EntryRefusal::TooLittleAccrued);
        }
        let open = |payment: &&mut Payment| payment.number == number && payment.refunded_by.is_none();
        for payment in self.payments.iter_mut().filter(open) {
            payment.refunded_by = Some(order);
            *self.accounts.entry(payment.account).or_default() += i128::from(payment.units);
        }
        self.shop -= i128::from(sum);
        self.cycle.2 += i128::from(sum);
        let result = EntryResult::Refunded(vec![RefundedTotal { asset: Asset::USD6, units: sum.into() }]);
        self.orders.insert(order, (number, result.clone()));
        result
    }

    pub(super) fn settle(&mut self) {
        let (payments, credited, refunded) = std::mem::take(&mut self.cycle);
        let gained = self.carried + credited - refunded;
        let there = gained.min(self.shop).max(0);
        let fees = (credited * FEE_PPM / 1_000_000 + i128::from(payments) * FEE_PER_PAYMENT).min(there);
        let payout = if self.suspended { 0 } else { (there - fees) / PAYOUT_UNIT * PAYOUT_UNIT };
        self.carried = gained - fees - payout;
        self.shop -= fees + payout;
        self.fees += fees;
        self.outside += payout;
    }

    /// Units given back by each order, sorted.
    pub(super) fn refunds(&self) -> BTreeMap<u8, Vec<u64>> {
        let mut refunds: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
        for payment in &self.payments {
            if let Some(order) = payment.refunded_by {
                refunds.entry(order).or_default().push(payment.units);
            }
        }
        refunds.values_mut().for_each(|units| units.sort_unstable());
        refunds
    }
}
