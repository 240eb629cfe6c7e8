//! Audit: everything that was ever committed is replayed and compared with the book (DESIGN section 8).
//!
//! Works on a running server: the books are copied first, and of the log only what they had seen is replayed. Each
//! instrument's transactions are strictly sequential, so its count in the book says exactly how far that is.

mod proofs;
mod refunds;
mod replay;

use std::collections::{BTreeMap, HashMap};

use protocol::ids::{AccountId, InstrumentId};
use protocol::key_set::Audience;
use protocol::ledger::account::Account;
use protocol::ledger::instrument::InstrumentState;
use protocol::ledger::posting::Party;
use protocol::money::{Asset, format};

use crate::admin::{AdminError, AdminErrorCode};
use crate::data_directory::{DataDirectory, Realm};
use crate::pipeline::Engine;
use crate::store::Reader;

/// Differences listed; more are only counted.
const DIFFERENCES_LISTED_MAX: usize = 1_000;
/// Attempts to copy the books while no operator's order comes between.
const ATTEMPTS_MAX: usize = 20;

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AuditReport {
    /// Transactions replayed.
    pub payments: u64,
    /// Journal entries replayed.
    pub journal: u64,
    /// Accounts compared.
    pub accounts: u64,
    /// Refunded payments compared with their postings.
    #[serde(default)]
    pub refunds: u64,
    /// Instruments compared.
    pub instruments: u64,
    /// Proofs rebuilt and verified; 0 unless asked for.
    pub proofs: u64,
    /// Number of differences.
    pub differences_found: u64,
    /// The first thousand of them, in words.
    pub differences: Vec<String>,
}

impl AuditReport {
    fn differs(&mut self, difference: String) {
        self.differences_found += 1;
        if self.differences.len() < DIFFERENCES_LISTED_MAX {
            self.differences.push(difference);
        }
    }
}

/// A copy of all books at one moment each.
struct Books {
    accounts: Vec<Account>,
    instruments: HashMap<InstrumentId, (AccountId, InstrumentState)>,
    balances: BTreeMap<(Party, Asset), i128>,
    merchants: Vec<protocol::ids::MerchantId>,
}

impl Books {
    fn copy(engine: &Engine) -> Self {
        let shards = engine.read(|book| {
            let accounts: Vec<Account> = book.accounts().collect();
            let instruments: Vec<_> = book.instruments().map(|(id, account, state)| (id, (account, state))).collect();
            let balances: Vec<_> = book.balances().collect();
            let merchants: Vec<_> = book.merchants().map(|record| record.id).collect();
            (accounts, instruments, balances, merchants)
        });
        let mut books = Self {
            accounts: Vec::new(),
            instruments: HashMap::new(),
            balances: BTreeMap::new(),
            merchants: Vec::new(),
        };
        for (accounts, instruments, balances, merchants) in shards {
            books.accounts.extend(accounts);
            books.instruments.extend(instruments);
            books.merchants = merchants;
            for (party, asset, balance) in balances {
                *books.balances.entry((party, asset)).or_insert(0) += balance;
            }
        }
        books.accounts.sort_unstable_by_key(|account| account.id);
        books
    }
}

/// Journal entries that move money.
fn moving_entries(reader: &dyn Reader) -> Result<u64, AdminError> {
    let mut count = 0;
    reader.for_each_journal(&mut |record| count += u64::from(!record.postings.is_empty()))?;
    Ok(count)
}

/// Replays the log, with what is archived of it, and compares; with `proofs`, rebuilds every stored proof and verifies it as a merchant would.
///
/// # Errors
/// [`AdminError`] where the store or the keys cannot be read; differences are no error.
pub fn audit(engine: &Engine, data: &DataDirectory, realm: &Realm, proofs: bool) -> Result<AuditReport, AdminError> {
    #[cfg(feature = "rocksdb")]
    let reader = &crate::archive::WholeLog::of(engine, data)?;
    #[cfg(not(feature = "rocksdb"))]
    let reader = engine.reader().as_ref();
    let mut report = AuditReport::default();
    let mut attempts = 0;
    let (books, moving, marks) = loop {
        let before = moving_entries(reader)?;
        let books = Books::copy(engine);
        // A mark is written with its posting: those read here are those of the entries counted.
        let marks = refunds::Marks::read(reader)?;
        if moving_entries(reader)? == before {
            break (books, before, marks);
        }
        attempts += 1;
        if attempts == ATTEMPTS_MAX {
            let message =
                "deposits and refunds come in faster than they can be compared: audit again when there are fewer";
            return Err(AdminError::new(AdminErrorCode::Unavailable, message));
        }
    };
    let copied_at = reader.last_commit()?;
    let replayed = replay::replay(reader, &books, moving, marks, &mut report)?;
    if reader.last_commit()? == copied_at {
        // Nothing was committed meanwhile, so what the books do not know they have lost.
        for (id, number) in &replayed.beyond {
            report.differs(format!("instrument {id}: the log holds {number} transactions beyond its count"));
        }
    }
    compare(&books, &replayed, &mut report, realm);
    if proofs {
        let (_, keys) = crate::keys::load_key_set(data, realm, Audience::Merchant, engine.now())?;
        proofs::verify_all(reader, &books, realm, &keys, &mut report)?;
    }
    Ok(report)
}

fn compare(books: &Books, replayed: &replay::Replayed, report: &mut AuditReport, realm: &Realm) {
    let shown = |units: i128, asset: Asset| format!("{} {asset}", format(units, realm.exponent(asset).unwrap_or(0)));
    let mut expected = replayed.balances.clone();
    let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
    let customers =
        books.accounts.iter().map(|account| ((Party::Customer(account.id), account.asset), account.balance));
    let others = books.balances.iter().map(|(key, balance)| (*key, *balance));
    for ((party, asset), balance) in customers.chain(others) {
        let replayed = expected.remove(&(party, asset)).unwrap_or(0);
        if replayed != balance {
            let (book, log) = (shown(balance, asset), shown(replayed, asset));
            report.differs(format!("{}: the book says {book}, the log adds up to {log}", named(party)));
        }
        match (balance, party) {
            (..=-1, Party::Customer(_)) => report.differs(format!("{} owes {}", named(party), shown(-balance, asset))),
            // The sum over all shards; a shard's part of it may be negative.
            (..=-1, Party::Merchant(_)) => report.differs(format!("{} owes {}", named(party), shown(-balance, asset))),
            (_, Party::Merchant(id)) if balance != 0 && !books.merchants.contains(&id) => {
                report.differs(format!("{} is owed money, but is not registered", named(party)));
            }
            _ => {}
        }
        match sums.entry(asset).or_insert(0).checked_add(balance) {
            Some(sum) => drop(sums.insert(asset, sum)),
            None => report.differs(format!("the sum of {asset} leaves the range of money")),
        }
    }
    report.accounts = books.accounts.len() as u64;
    for ((party, asset), units) in expected.into_iter().filter(|(_, units)| *units != 0) {
        let log = shown(units, asset);
        report.differs(format!("{}: the log adds up to {log}, the book does not know of it", named(party)));
    }
    for (asset, sum) in sums.into_iter().filter(|(_, sum)| *sum != 0) {
        report.differs(format!("all balances of {asset} add up to {}, not to zero", shown(sum, asset)));
    }
}

/// A party in words.
fn named(party: Party) -> String {
    match party {
        Party::Customer(id) => format!("account {id}"),
        Party::Merchant(id) => format!("merchant {id}"),
        Party::Fees => "fees".to_owned(),
        Party::Funding => "funding".to_owned(),
    }
}
