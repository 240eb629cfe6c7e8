//! What the VRU does for its callers and what the operator does to the VRU: all of it on one thread ([`super::desk`]), all changes
//! through the shards' writers, durable before anybody is told.

mod access;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use protocol::ids::InstrumentId;
use protocol::ledger::instrument::Place;
use protocol::limits::{PIN_DIGITS_MAX, PIN_DIGITS_MIN, PIN_FAILURES_MAX};
use protocol::money::Asset;
use protocol::pin::Pin;
use protocol::response::Reason;
use protocol::time::Timestamp;

use super::budget::AttemptBudget;
use super::call::{Action, Outcome};
use super::credentials::{AccessNumber, Passcode, PasscodeHash};
use super::prompts::{PastAmount, PastAmounts, Reading};
use super::records::{PASSCODE_FAILURES_MAX, VruAccess};
use crate::admin::views::{Money, PinStage};
use crate::book::orders::{Order, OrderError};
use crate::data_directory::Realm;
use crate::pipeline::Engine;
use crate::reports::{Closed, Report, ReportReason};
use crate::store::StoreError;
use crate::store::desk::DeskRecord;
use crate::store::holds::Holder;

pub use access::NewAccess;

/// Transactions that are read back at most.
pub const AMOUNTS_MAX: usize = 5;
/// Records that are looked at for them at most, so that a call never keeps the disk busy.
const RECORDS_LOOKED_AT_MAX: usize = 20_000;

/// A customer who was admitted. Only [`Office`] makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    number: AccessNumber,
    instrument: InstrumentId,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Caller(hidden)")
    }
}

#[cfg(test)]
impl Caller {
    pub(super) fn for_tests(number: AccessNumber) -> Self {
        Self { number, instrument: InstrumentId([7; 16]) }
    }
}

/// Why something was not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// The ledger refused.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no randomness.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// The instrument has no access.
    #[error("instrument {0} has no access to the VRU: write a mailer with `tps vru mailer {0} FILE`")]
    NoAccess(InstrumentId),
    /// No such report.
    #[error("there is no report {0}: see `tps report list --all`")]
    NoReport(u64),
    /// The digits of a PIN are out of range.
    #[error("a PIN has {PIN_DIGITS_MIN} to {PIN_DIGITS_MAX} digits")]
    PinDigits,
}

/// The desk's work.
pub struct Office {
    engine: Arc<Engine>,
    realm: Realm,
    pin_digits: usize,
    budget: AttemptBudget,
    decoy: PasscodeHash,
}

impl Office {
    /// Over `engine`; PINs get `pin_digits` digits. `random` makes the decoy hash.
    pub fn new(engine: Arc<Engine>, realm: Realm, pin_digits: usize, random: [u8; 32]) -> Self {
        Self {
            engine,
            realm,
            pin_digits,
            budget: AttemptBudget::new(Instant::now()),
            decoy: PasscodeHash::decoy(random),
        }
    }

    /// Carries an action of a call out; what became of it, and for how many milliseconds that is to be held back. `network` is where
    /// the caller is, where that tells callers apart.
    pub fn carry_out(&mut self, action: Action, network: Option<IpAddr>) -> (Outcome, u64) {
        let done = match action {
            Action::Authenticate(number, passcode) => return self.authenticate(number, &passcode, network),
            Action::NewPin(caller) => {
                self.admitted(&caller).and_then(|id| self.new_pin(id, self.pin_digits).map(Outcome::PinSet))
            }
            Action::ReadAccount(caller) => self.admitted(&caller).and_then(|id| self.read_account(id)),
            Action::ReadAmounts(caller) => {
                self.admitted(&caller).and_then(|id| self.past_amounts(id).map(Outcome::Amounts))
            }
            Action::Hold(caller, held) => self.admitted(&caller).and_then(|id| self.hold(id, held)),
            Action::Report(caller, reason) => self
                .admitted(&caller)
                .and_then(|id| self.file(reason, Some(id), String::new()).map(|report| Outcome::Filed(report.number))),
        };
        let outcome = done.unwrap_or_else(|error| match error {
            OfficeError::NoAccess(_) => Outcome::AccessEnded,
            OfficeError::Order(OrderError::Revoked(_)) => Outcome::Revoked,
            error => {
                tracing::error!(%error, "the VRU could not do what a caller wanted");
                Outcome::Unavailable
            }
        });
        (outcome, 0)
    }

    /// Whatever is wrong, the answer is the same, costs the same hash and the same commit, and is held back alike.
    fn authenticate(&mut self, number: AccessNumber, passcode: &Passcode, network: Option<IpAddr>) -> (Outcome, u64) {
        if !self.budget.take(number, network, Instant::now()) {
            tracing::warn!("the VRU takes no more attempts for now");
            return (Outcome::Busy, 0);
        }
        match self.judge(number, passcode, self.engine.now()) {
            Ok(Some(caller)) => {
                self.budget.admitted(number);
                (Outcome::Admitted(caller), 0)
            }
            Ok(None) => (Outcome::Refused, self.budget.refused(number)),
            Err(error) => {
                tracing::error!(%error, "the VRU cannot judge a caller");
                (Outcome::Unavailable, 0)
            }
        }
    }

    fn judge(&self, number: AccessNumber, passcode: &Passcode, now: Timestamp) -> Result<Option<Caller>, OfficeError> {
        let access = VruAccess::read(&**self.engine.reader(), &number.bytes())?;
        let right = access.as_ref().map_or(&self.decoy, |access| &access.passcode).is_that_of(passcode);
        let Some(mut access) = access else {
            // Nothing stands under this key: as many writes and syncs as a wrong passcode, and no effect.
            self.engine.record(vec![VruAccess::removal(&number.bytes())])?;
            return Ok(None);
        };
        if access.is_locked() {
            self.engine.record(vec![access.entry()])?;
            return Ok(None);
        }
        let instrument = access.instrument;
        if right {
            if access.failures > 0 {
                access.failures = 0;
                self.engine.record(vec![access.entry()])?;
            }
            return Ok(Some(Caller { number, instrument }));
        }
        access.failures += 1;
        let mut entries = vec![access.entry()];
        if access.is_locked() {
            tracing::warn!(%instrument, "too many wrong passcodes locked the access to the VRU");
            let text = format!("{PASSCODE_FAILURES_MAX} wrong passcodes in a row");
            entries.push(self.report(ReportReason::AccessLocked, Some(instrument), text, now)?.entry());
        }
        self.engine.record(entries)?;
        Ok(None)
    }

    /// The instrument of a caller whose access still stands.
    fn admitted(&self, caller: &Caller) -> Result<InstrumentId, OfficeError> {
        let access = VruAccess::read(&**self.engine.reader(), &caller.number.bytes())?;
        let stands = access.is_some_and(|access| access.instrument == caller.instrument && !access.is_locked());
        if stands { Ok(caller.instrument) } else { Err(OfficeError::NoAccess(caller.instrument)) }
    }

    /// Draws a uniformly random PIN and sets it (K-114, K-120).
    ///
    /// # Errors
    /// [`OfficeError`].
    pub fn new_pin(&self, id: InstrumentId, digits: usize) -> Result<Pin, OfficeError> {
        if !(PIN_DIGITS_MIN..=PIN_DIGITS_MAX).contains(&digits) {
            return Err(OfficeError::PinDigits);
        }
        let pin = loop {
            if let Some(pin) = Pin::from_random(digits, u64::from_le_bytes(random()?)) {
                break pin;
            }
        };
        self.engine.order(id.shard_key(), Order::SetPin { id, pin: pin.clone() })?;
        Ok(pin)
    }

    fn read_account(&self, id: InstrumentId) -> Result<Outcome, OfficeError> {
        let (instrument, holds, account) = self.engine.with_book(id.shard_key(), move |book, _| {
            let instrument = book.instrument(id).ok_or(OrderError::NoInstrument(id))?;
            let holds = book.enrolment(id)?.ok_or(OrderError::NoInstrument(id))?.holds;
            let account = book.account(instrument.account).ok_or(OrderError::NoAccount(instrument.account))?;
            Ok((instrument, holds, account))
        })?;
        let pin = match instrument.state.current {
            None => PinStage::None,
            Some(_) if instrument.state.pin_failures >= PIN_FAILURES_MAX => PinStage::Locked,
            Some(_) => PinStage::Set,
        };
        Ok(Outcome::Account(Reading {
            count: instrument.state.last_count,
            balance: self.money(account.balance, account.asset),
            held_by: holds.holders(),
            account_held: account.held,
            pin,
        }))
    }

    /// The last consumed transactions: the latest surely, earlier ones as far as a bounded look back finds them.
    fn past_amounts(&self, id: InstrumentId) -> Result<PastAmounts, OfficeError> {
        let state = self.engine.with_book(id.shard_key(), move |book, _| {
            Ok(book.instrument(id).ok_or(OrderError::NoInstrument(id))?.state)
        })?;
        if state.last_count == 0 {
            return Ok(PastAmounts::default());
        }
        let reader = self.engine.reader();
        let mut found = vec![(state.last_place, reader.outcome(state.last_place)?.payment)];
        let (mut end, mut looked_at) = (state.last_place.batch, 0);
        for window in [64, 1_024, 16_384] {
            let begin = end.saturating_sub(window);
            let mut earlier = Vec::new();
            let after = begin.checked_sub(1).map(|batch| Place { batch, index: u16::MAX });
            reader.visit_payments(after, &mut |place, record| {
                looked_at += 1;
                let over = place.batch > end || looked_at > RECORDS_LOOKED_AT_MAX;
                if !over && record.instrument == id && place != state.last_place {
                    earlier.push((place, *record));
                }
                if over { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
            })?;
            // Cut short, the window misses its latest records: what it has would leave a gap.
            if looked_at > RECORDS_LOOKED_AT_MAX {
                break;
            }
            found.extend(earlier.into_iter().rev());
            if begin == 0 || found.len() >= AMOUNTS_MAX {
                break;
            }
            end = begin - 1;
        }
        // Within a batch the place says nothing about the order.
        found.sort_by_key(|(_, payment)| std::cmp::Reverse(payment.count));
        found.truncate(AMOUNTS_MAX);
        let mut amounts = Vec::with_capacity(found.len());
        for (place, payment) in found {
            let batch = reader.batch(place.batch)?;
            amounts.push(PastAmount {
                count: payment.count,
                amount: self.money(payment.amount.signed(), payment.asset),
                paid: payment.reason == Reason::Paid,
                at: batch.map_or(Timestamp(0), |batch| batch.header.batch_time),
            });
        }
        let more = amounts.last().is_some_and(|past| past.count > 1);
        Ok(PastAmounts { amounts, more })
    }

    fn hold(&self, id: InstrumentId, held: bool) -> Result<Outcome, OfficeError> {
        self.engine.order(id.shard_key(), Order::HoldInstrument { id, by: Holder::Customer, held })?;
        if held {
            return Ok(Outcome::Held);
        }
        let holds = self.engine.with_book(id.shard_key(), move |book, _| {
            Ok(book.enrolment(id)?.ok_or(OrderError::NoInstrument(id))?.holds)
        })?;
        Ok(if holds.any() { Outcome::StillHeld } else { Outcome::Released })
    }

    fn report(
        &self,
        reason: ReportReason,
        instrument: Option<InstrumentId>,
        text: String,
        now: Timestamp,
    ) -> Result<Report, OfficeError> {
        Report::new(&**self.engine.reader(), reason, instrument, text, now, &mut random::<8>)
    }

    /// Files a report.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub fn file(
        &self,
        reason: ReportReason,
        instrument: Option<InstrumentId>,
        text: String,
    ) -> Result<Report, OfficeError> {
        let report = self.report(reason, instrument, text, self.engine.now())?;
        self.engine.record(vec![report.entry()])?;
        tracing::info!(number = report.number, ?reason, "a problem was reported");
        Ok(report)
    }

    /// Closes a report; one that is closed stays as it was.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub fn close_report(&self, number: u64, note: String) -> Result<Report, OfficeError> {
        let mut report =
            Report::read(&**self.engine.reader(), &number.to_be_bytes())?.ok_or(OfficeError::NoReport(number))?;
        if report.closed.is_none() {
            report.closed = Some(Closed { at: self.engine.now(), note });
            self.engine.record(vec![report.entry()])?;
        }
        Ok(report)
    }

    fn money(&self, units: i128, asset: Asset) -> Money {
        Money::new(units, asset, self.realm.exponent(asset).unwrap_or(0))
    }
}

/// Random bytes from the operating system.
fn random<const N: usize>() -> Result<[u8; N], OfficeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| OfficeError::NoRandomness)?;
    Ok(bytes)
}
