//! The book of one account shard: instruments, accounts and balances in memory, and what changed since the last commit.
//!
//! One thread writes a book. Everything in it is a function of what was committed; if a commit fails, the process ends
//! and memory is forgotten.

mod accounts;
pub mod desk;
pub mod import;
mod instruments;
mod load;
pub mod orders;
pub mod pay;
pub mod refund;

use std::collections::HashSet;
use std::sync::Arc;

use hashbrown::HashMap;
use protocol::ids::{AccountId, Digest, InstrumentId, MerchantId};
use protocol::ledger::account::Account;
use protocol::ledger::decision::MerchantStanding;
use protocol::ledger::instrument::{Instrument, InstrumentState, Place};
use protocol::ledger::posting::{Party, Posting};
use protocol::money::{Asset, MoneyError, add};
use protocol::time::Timestamp;

use crate::dense::Slot;
use crate::store::desk::DeskEntry;
use crate::store::records::{
    BalanceKey, BatchRecord, Changes, EnrolmentRecord, JournalRecord, MerchantRecord, MerchantStatus, PaymentRecord,
    Pruned, Registry,
};
use crate::store::{Reader, StoreError};
use accounts::Accounts;
use instruments::Instruments;

pub use instruments::EnrolmentsDurable;

/// One shard's state.
pub struct Book {
    shard: u16,
    instruments: Instruments,
    accounts: Accounts,
    merchants: HashMap<MerchantId, MerchantRecord>,
    balances: HashMap<(Party, Asset), Balance>,
    orders: HashSet<Digest>,
    changed: Changed,
}

/// This shard's part of a balance that is not a customer's.
#[derive(Default, Clone, Copy)]
struct Balance {
    units: i128,
    /// It is among [`Changed::balances`].
    changed: bool,
}

/// What must be written with the next commit, besides what instruments and accounts note themselves.
#[derive(Default)]
struct Changed {
    clock: Timestamp,
    batches: Vec<(u64, BatchRecord)>,
    payments: Vec<(Place, PaymentRecord)>,
    references: Vec<(AccountId, String)>,
    merchants: HashSet<MerchantId>,
    balances: Vec<(Party, Asset)>,
    journal: Vec<JournalRecord>,
    desk: Vec<DeskEntry>,
    pruned: Vec<Pruned>,
}

impl Book {
    fn empty(registry: &Registry, shard: u16, reader: Arc<dyn Reader>) -> Self {
        let balances = registry.balances.iter().filter(|(key, _)| key.shard == shard);
        Self {
            shard,
            instruments: Instruments::new(reader),
            accounts: Accounts::new(),
            merchants: registry.merchants.iter().map(|record| (record.id, record.clone())).collect(),
            balances: balances
                .map(|(key, units)| ((key.party, key.asset), Balance { units: *units, changed: false }))
                .collect(),
            orders: registry.orders.iter().copied().collect(),
            changed: Changed::default(),
        }
    }

    /// The shard's number.
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// An instrument.
    pub fn instrument(&self, id: InstrumentId) -> Option<Instrument> {
        let slot = self.instruments.slot(id)?;
        Some(self.instruments.at(slot, &self.accounts.at(self.instruments.account(slot))))
    }

    /// Names, accounts and states of all instruments.
    pub fn instruments(&self) -> impl Iterator<Item = (InstrumentId, AccountId, InstrumentState)> {
        self.instruments.iter().map(|(id, account, state)| (id, self.accounts.at(account).id, state))
    }

    /// Number of instruments.
    pub fn instrument_count(&self) -> usize {
        self.instruments.len()
    }

    /// An instrument as enrolled. Reads the store.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read.
    pub fn enrolment(&self, id: InstrumentId) -> Result<Option<EnrolmentRecord>, StoreError> {
        self.instruments.enrolment(id)
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> Option<Account> {
        self.accounts.get(id)
    }

    /// All accounts of the shard.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        self.accounts.iter()
    }

    /// Number of accounts.
    pub fn account_count(&self) -> usize {
        self.accounts.len()
    }

    /// The sum of all accounts of the shard, per asset.
    pub fn account_sums(&self) -> impl Iterator<Item = (Asset, i128)> {
        self.accounts.sums()
    }

    /// All merchants.
    pub fn merchants(&self) -> impl Iterator<Item = &MerchantRecord> {
        self.merchants.values()
    }

    /// A merchant.
    pub fn merchant(&self, id: MerchantId) -> Option<&MerchantRecord> {
        self.merchants.get(&id)
    }

    /// This shard's part of a balance that is not a customer's.
    pub fn balance(&self, party: Party, asset: Asset) -> i128 {
        self.balances.get(&(party, asset)).map_or(0, |balance| balance.units)
    }

    /// All balances of this shard that are not customers'.
    pub fn balances(&self) -> impl Iterator<Item = (Party, Asset, i128)> {
        self.balances.iter().map(|((party, asset), balance)| (*party, *asset, balance.units))
    }

    /// How a merchant stands.
    pub fn standing(&self, merchant: MerchantId) -> MerchantStanding {
        match self.merchants.get(&merchant).map(|record| record.status) {
            None => MerchantStanding::Unknown,
            Some(MerchantStatus::Certified) => MerchantStanding::Certified,
            Some(MerchantStatus::PendingReview | MerchantStatus::Suspended) => MerchantStanding::Suspended,
        }
    }

    fn insert_merchant(&mut self, record: MerchantRecord) {
        self.merchants.insert(record.id, record);
    }

    /// Takes over a merchant as another shard keeps it durable.
    pub fn adopt_merchant(&mut self, record: MerchantRecord) {
        self.insert_merchant(record);
    }

    /// Applies postings that sum to zero.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`], with nothing applied.
    fn post(&mut self, postings: &[Posting]) -> Result<(), MoneyError> {
        assert_eq!(protocol::ledger::posting::balanced(postings), Ok(true), "postings sum to zero");
        for posting in postings {
            self.after(posting)?;
        }
        for posting in postings {
            let (slot, balance) = self.after(posting)?;
            match slot {
                Some(slot) => {
                    let account = self.accounts.at(slot);
                    assert!(balance >= 0 && account.asset == posting.asset, "customers never owe");
                    self.accounts.set_balance(slot, balance);
                }
                None => {
                    let key = (posting.party, posting.asset);
                    let entry = self.balances.entry(key).or_default();
                    entry.units = balance;
                    if !std::mem::replace(&mut entry.changed, true) {
                        self.changed.balances.push(key);
                    }
                }
            }
        }
        Ok(())
    }

    /// The balance after a posting, and the slot of the account if it is a customer's.
    fn after(&self, posting: &Posting) -> Result<(Option<Slot>, i128), MoneyError> {
        let (slot, before) = match posting.party {
            Party::Customer(id) => {
                let slot = self.accounts.slot(id).expect("postings name accounts that exist");
                (Some(slot), self.accounts.at(slot).balance)
            }
            party => (None, self.balance(party, posting.asset)),
        };
        Ok((slot, add(before, posting.change)?))
    }

    /// Everything that changed since this was last called: the final states, each once. Where enrolments are among it, what
    /// to call once they are durable.
    pub fn take_changes(&mut self) -> (Changes, Option<EnrolmentsDurable>) {
        let changed = std::mem::take(&mut self.changed);
        let (enrolments, durable) = self.instruments.take_enrolments();
        let balances = changed.balances.iter().map(|key| {
            let balance = self.balances.get_mut(key).expect("it was changed");
            balance.changed = false;
            (BalanceKey { party: key.0, asset: key.1, shard: self.shard }, balance.units)
        });
        let changes = Changes {
            clock: changed.clock,
            batches: changed.batches,
            payments: changed.payments,
            balances: balances.collect(),
            instruments: self.instruments.take_changed(),
            enrolments,
            accounts: self.accounts.take_changed(),
            references: changed.references,
            merchants: changed.merchants.iter().filter_map(|id| self.merchants.get(id).cloned()).collect(),
            journal: changed.journal,
            desk: changed.desk,
            pruned: changed.pruned,
        };
        (changes, durable)
    }
}
