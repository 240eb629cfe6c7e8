//! The walk: log and journal side by side, oldest first, a page at a time.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use protocol::ids::{AccountId, InstrumentId, MerchantId};
use protocol::ledger::instrument::Place;
use protocol::ledger::posting::Party;
use protocol::response::Reason;
use protocol::time::Timestamp;

use super::movement::{Movement, Unbalanced, of_payment, of_postings};
use super::range::Range;
use crate::admin::AdminError;
use crate::settlement::pages::batch_time;
use crate::store::Reader;
use crate::store::records::{JournalPlace, PaymentRecord};

/// Records of the log and of the journal that are looked at in one step.
pub const RECORDS_PER_PAGE: usize = 4_096;
/// Instruments whose accounts are remembered.
const ACCOUNTS_REMEMBERED_MAX: usize = 65_536;

/// Whose movements are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Of one account.
    Account(AccountId),
    /// Of one merchant.
    Merchant(MerchantId),
    /// Of everybody.
    All,
}

impl Scope {
    fn wants(self, party: Party) -> bool {
        match self {
            Self::All => true,
            Self::Account(id) => party == Party::Customer(id),
            Self::Merchant(id) => party == Party::Merchant(id),
        }
    }

    /// Whether the payment can be wanted, told without looking anything up. An instrument is in its account's shard; that their ids
    /// begin alike is not said, for issuers choose ids as they like.
    fn may_want(self, record: &PaymentRecord, shards: u16) -> bool {
        match self {
            Self::All => true,
            Self::Account(id) => record.instrument.shard_key() % shards == id.shard_key() % shards,
            Self::Merchant(id) => record.merchant == id,
        }
    }
}

/// One side of the walk: what was read and not taken yet.
struct Side<Position, Record> {
    after: Option<Position>,
    page: VecDeque<(Timestamp, Record)>,
    ended: bool,
}

impl<Position, Record> Side<Position, Record> {
    fn new() -> Self {
        Self { after: None, page: VecDeque::new(), ended: false }
    }

    /// The time of the next record on the page.
    fn next_time(&self) -> Option<Timestamp> {
        self.page.front().map(|(time, _)| *time)
    }
}

/// How far a walk is.
pub struct Walk {
    range: Range,
    scope: Scope,
    shards: u16,
    payments: Side<Place, PaymentRecord>,
    journal: Side<JournalPlace, Vec<Movement>>,
    accounts: HashMap<InstrumentId, AccountId>,
}

impl Walk {
    /// The walk over everything before the end of `range`, for what is wanted of the ledger of so many shards.
    pub fn new(range: Range, scope: Scope, shards: u16) -> Self {
        Self { range, scope, shards, payments: Side::new(), journal: Side::new(), accounts: HashMap::new() }
    }

    /// Goes on by at most a page of the log and a page of the journal; whether there is more.
    ///
    /// # Errors
    /// [`AdminError`] where the store cannot be read, and what `take` returns.
    pub fn step(
        &mut self,
        reader: &dyn Reader,
        take: &mut dyn FnMut(Timestamp, &Movement) -> Result<(), AdminError>,
    ) -> Result<bool, AdminError> {
        if self.payments.page.is_empty() && !self.payments.ended {
            self.read_payments(reader)?;
        }
        if self.journal.page.is_empty() && !self.journal.ended {
            self.read_journal(reader)?;
        }
        // Until one side has to be read on.
        loop {
            let (payment, entry) = (self.payments.next_time(), self.journal.next_time());
            if (payment.is_none() && !self.payments.ended) || (entry.is_none() && !self.journal.ended) {
                return Ok(true);
            }
            let payment_is_next = match (payment, entry) {
                (None, None) => return Ok(false),
                (Some(payment), Some(entry)) => payment < entry,
                (payment, _) => payment.is_some(),
            };
            if payment_is_next {
                if let Some((time, record)) = self.payments.page.pop_front() {
                    self.take_payment(reader, time, &record, take)?;
                }
            } else if let Some((time, movements)) = self.journal.page.pop_front() {
                movements.iter().try_for_each(|movement| take(time, movement))?;
            }
        }
    }

    fn take_payment(
        &mut self,
        reader: &dyn Reader,
        time: Timestamp,
        record: &PaymentRecord,
        take: &mut dyn FnMut(Timestamp, &Movement) -> Result<(), AdminError>,
    ) -> Result<(), AdminError> {
        let payer = match self.scope {
            // Whoever paid is no business of a merchant's statement.
            Scope::Merchant(_) => AccountId::ZERO,
            _ => self.account_of(reader, record.instrument)?,
        };
        let movements = of_payment(payer, record).map_err(|error| broken(reader, error))?;
        movements
            .iter()
            .filter(|movement| self.scope.wants(movement.party))
            .try_for_each(|movement| take(time, movement))
    }

    fn account_of(&mut self, reader: &dyn Reader, instrument: InstrumentId) -> Result<AccountId, AdminError> {
        if let Some(account) = self.accounts.get(&instrument) {
            return Ok(*account);
        }
        let enrolled = reader.enrolment(instrument)?;
        let enrolled = enrolled
            .ok_or_else(|| reader.inconsistent(&format!("instrument {instrument} paid, but was never enrolled")))?;
        if self.accounts.len() >= ACCOUNTS_REMEMBERED_MAX {
            self.accounts.clear();
        }
        self.accounts.insert(instrument, enrolled.account);
        Ok(enrolled.account)
    }

    fn read_payments(&mut self, reader: &dyn Reader) -> Result<(), AdminError> {
        let (range, scope, shards, side) = (self.range, self.scope, self.shards, &mut self.payments);
        let (mut left, mut batch, mut outcome) = (RECORDS_PER_PAGE, None, Ok(()));
        side.ended = true;
        reader.visit_payments(side.after, &mut |place, record| {
            if place.batch > range.batch {
                return ControlFlow::Break(());
            }
            let time = match batch {
                Some((number, time)) if number == place.batch => time,
                _ => match batch_time(reader, place.batch) {
                    Ok(time) => time,
                    Err(error) => {
                        outcome = Err(error);
                        return ControlFlow::Break(());
                    }
                },
            };
            batch = Some((place.batch, time));
            if time >= range.period.until {
                return ControlFlow::Break(());
            }
            side.after = Some(place);
            if record.reason == Reason::Paid && scope.may_want(record, shards) {
                side.page.push_back((time, *record));
            }
            left -= 1;
            if left == 0 {
                side.ended = false;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        outcome
    }

    fn read_journal(&mut self, reader: &dyn Reader) -> Result<(), AdminError> {
        let (range, scope, side) = (self.range, self.scope, &mut self.journal);
        let (mut left, mut outcome) = (RECORDS_PER_PAGE, Ok(()));
        side.ended = true;
        reader.visit_journal(side.after, &mut |place, record| {
            if place.commit > range.commit {
                return ControlFlow::Break(());
            }
            side.after = Some(place);
            // Shards commit on their own: an entry of after the period may stand before one that belongs into it.
            if !record.postings.is_empty() && record.time < range.period.until {
                match of_postings(&record.postings) {
                    Ok(mut movements) => {
                        movements.retain(|movement| scope.wants(movement.party));
                        if !movements.is_empty() {
                            side.page.push_back((record.time, movements));
                        }
                    }
                    Err(error) => {
                        outcome = Err(broken(reader, error));
                        return ControlFlow::Break(());
                    }
                }
            }
            left -= 1;
            if left == 0 {
                side.ended = false;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        outcome
    }
}

fn broken(reader: &dyn Reader, error: Unbalanced) -> AdminError {
    reader.inconsistent(&error.to_string()).into()
}
