//! The book of one account shard: instruments, accounts and balances in memory, and what changed since the last commit.
//!
//! One thread writes a book. Everything in it is a function of what was committed; if a commit fails, the process ends
//! and memory is forgotten.

pub mod orders;
pub mod pay;

use std::collections::{HashMap, HashSet};

use protocol::ids::{AccountId, Digest, InstrumentId, MerchantId};
use protocol::ledger::account::Account;
use protocol::ledger::decision::MerchantStanding;
use protocol::ledger::instrument::Instrument;
use protocol::ledger::posting::{Party, Posting};
use protocol::money::{Asset, MoneyError, add};
use protocol::time::Timestamp;

use crate::store::records::{
    BalanceKey, BatchRecord, Changes, EnrolmentRecord, JournalRecord, MerchantRecord, MerchantStatus, PaymentRecord,
    Snapshot,
};
use protocol::ledger::instrument::{InstrumentState, Place};

/// One shard's state.
pub struct Book {
    shard: u16,
    instruments: HashMap<InstrumentId, Instrument>,
    enrolments: HashMap<InstrumentId, EnrolmentRecord>,
    accounts: HashMap<AccountId, Account>,
    merchants: HashMap<MerchantId, MerchantRecord>,
    balances: HashMap<(Party, Asset), i128>,
    orders: HashSet<Digest>,
    changed: Changed,
}

/// What must be written with the next commit.
#[derive(Default)]
struct Changed {
    clock: Timestamp,
    batches: Vec<(u64, BatchRecord)>,
    payments: Vec<(Place, PaymentRecord)>,
    instruments: HashSet<InstrumentId>,
    enrolments: HashSet<InstrumentId>,
    accounts: HashSet<AccountId>,
    references: Vec<(AccountId, String)>,
    merchants: HashSet<MerchantId>,
    balances: HashSet<(Party, Asset)>,
    journal: Vec<JournalRecord>,
}

impl Book {
    /// The book of `shard` of `shards`, out of what a store holds.
    pub fn from_snapshot(snapshot: &Snapshot, shard: u16, shards: u16) -> Self {
        let here = |key: u16| key % shards == shard;
        let states: HashMap<InstrumentId, InstrumentState> =
            snapshot.instruments.iter().filter(|(id, _)| here(id.shard_key())).copied().collect();
        let mut book = Self {
            shard,
            instruments: HashMap::new(),
            enrolments: HashMap::new(),
            accounts: snapshot
                .accounts
                .iter()
                .filter(|account| here(account.id.shard_key()))
                .map(|account| (account.id, *account))
                .collect(),
            merchants: HashMap::new(),
            balances: snapshot
                .balances
                .iter()
                .filter(|(key, _)| key.shard == shard)
                .map(|(key, balance)| ((key.party, key.asset), *balance))
                .collect(),
            orders: snapshot.orders.iter().copied().collect(),
            changed: Changed::default(),
        };
        for record in snapshot.enrolments.iter().filter(|record| here(record.id.shard_key())) {
            let state = states.get(&record.id).copied().unwrap_or_default();
            book.insert_instrument(record.clone(), state);
        }
        for merchant in &snapshot.merchants {
            book.insert_merchant(merchant.clone());
        }
        book
    }

    /// The shard's number.
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// An instrument.
    pub fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        self.instruments.get(&id)
    }

    /// An instrument as enrolled.
    pub fn enrolment(&self, id: InstrumentId) -> Option<&EnrolmentRecord> {
        self.enrolments.get(&id)
    }

    /// All instruments as enrolled.
    pub fn enrolments(&self) -> impl Iterator<Item = &EnrolmentRecord> {
        self.enrolments.values()
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    /// All accounts of the shard.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
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
        self.balances.get(&(party, asset)).copied().unwrap_or(0)
    }

    /// All balances of this shard that are not customers'.
    pub fn balances(&self) -> impl Iterator<Item = (Party, Asset, i128)> {
        self.balances.iter().map(|((party, asset), balance)| (*party, *asset, *balance))
    }

    /// How a merchant stands.
    pub fn standing(&self, merchant: MerchantId) -> MerchantStanding {
        match self.merchants.get(&merchant).map(|record| record.status) {
            None => MerchantStanding::Unknown,
            Some(MerchantStatus::Certified) => MerchantStanding::Certified,
            Some(MerchantStatus::PendingReview | MerchantStatus::Suspended) => MerchantStanding::Suspended,
        }
    }

    fn insert_instrument(&mut self, record: EnrolmentRecord, state: InstrumentState) {
        let limited = record.limits != protocol::ledger::instrument::Limits::default();
        let instrument = Instrument {
            id: record.id,
            account: record.account,
            held: record.held,
            revoked: record.revoked,
            limits: limited.then(|| Box::new(record.limits.clone())),
            state,
        };
        self.instruments.insert(record.id, instrument);
        self.enrolments.insert(record.id, record);
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
        let mut after = Vec::with_capacity(postings.len());
        for posting in postings {
            let before = match posting.party {
                Party::Customer(id) => self.accounts.get(&id).map_or(0, |account| account.balance),
                party => self.balance(party, posting.asset),
            };
            after.push(add(before, posting.change)?);
        }
        for (posting, balance) in postings.iter().zip(after) {
            match posting.party {
                Party::Customer(id) => {
                    let account = self.accounts.get_mut(&id).expect("postings name accounts that exist");
                    assert!(balance >= 0 && account.asset == posting.asset, "customers never owe");
                    account.balance = balance;
                    self.changed.accounts.insert(id);
                }
                party => {
                    self.balances.insert((party, posting.asset), balance);
                    self.changed.balances.insert((party, posting.asset));
                }
            }
        }
        Ok(())
    }

    /// Everything that changed since this was last called: the final states, each once.
    pub fn take_changes(&mut self) -> Changes {
        let changed = std::mem::take(&mut self.changed);
        let instruments = changed.instruments.iter().filter_map(|id| Some((*id, self.instruments.get(id)?.state)));
        let enrolments = changed.enrolments.iter().filter_map(|id| self.enrolments.get(id).cloned());
        let balances = changed.balances.iter().map(|(party, asset)| {
            let key = BalanceKey { party: *party, asset: *asset, shard: self.shard };
            (key, self.balance(*party, *asset))
        });
        Changes {
            clock: changed.clock,
            batches: changed.batches,
            payments: changed.payments,
            instruments: instruments.collect(),
            enrolments: enrolments.collect(),
            accounts: changed.accounts.iter().filter_map(|id| self.accounts.get(id).copied()).collect(),
            references: changed.references,
            merchants: changed.merchants.iter().filter_map(|id| self.merchants.get(id).cloned()).collect(),
            balances: balances.collect(),
            journal: changed.journal,
        }
    }
}
