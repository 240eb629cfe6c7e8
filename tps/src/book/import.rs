//! Importing instruments that an issuer personalised itself: accounts, opening balances, keys and PINs, many at once.
//!
//! A chunk is one order: everything in it is checked first, then applied together and written with one commit, so that of a chunk
//! that is refused nothing was done. What is there already, and is the same, is left as it is: importing a file a second
//! time, or after an interruption, changes nothing that had been done.

use std::collections::{BTreeMap, HashMap};

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::ids::{AccountId, Digest, InstrumentId};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Limits};
use protocol::ledger::posting::{Party, Posting};
use protocol::money::{Amount, Asset, add};
use protocol::pin::Pin;
use protocol::time::Timestamp;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::Book;
use super::orders::OrderError;
use crate::store::holds::Holds;
use crate::store::records::{ActivationState, EnrolmentRecord, JournalRecord};

/// Most rows of one chunk: its commit stays far below a second, in which payments of the shard wait.
pub const IMPORT_ROWS_MAX: usize = 10_000;

/// One instrument as an issuer hands it over. Overwritten when dropped; `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ImportRow {
    /// Line of the issuer's file, for messages.
    pub line: u64,
    /// Names the instrument; shares the shard of its account.
    pub instrument: InstrumentId,
    /// The account it pays from; opened where it does not exist yet.
    pub account: AccountId,
    /// What the account holds.
    pub asset: Asset,
    /// What the account is opened with, in smallest units; zero where the account exists or holds nothing yet.
    pub opening_units: u64,
    /// The customer's Ed25519 public key.
    pub signing_public: [u8; 32],
    /// Device key.
    pub device_key: [u8; 32],
    /// Decimal digits of the PIN.
    pub pin: String,
    /// The operator's label.
    pub label: String,
}

impl Drop for ImportRow {
    fn drop(&mut self) {
        self.device_key.zeroize();
        self.pin.zeroize();
    }
}

impl ZeroizeOnDrop for ImportRow {}

impl std::fmt::Debug for ImportRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportRow")
            .field("line", &self.line)
            .field("instrument", &self.instrument)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportProblem {
    /// Instrument and account would be kept by different shards.
    #[error("instrument {0} and account {1} belong to different shards: give both ids the same first two bytes")]
    Apart(InstrumentId, AccountId),
    /// The row belongs to another shard than its chunk.
    #[error(
        "instrument {0} belongs to another shard than the first row of its chunk: send each shard's rows by themselves"
    )]
    OtherShard(InstrumentId),
    /// The instrument exists, and the row says something else about it.
    #[error("instrument {instrument} exists already with another {field}")]
    Contradicts {
        /// Which.
        instrument: InstrumentId,
        /// What differs.
        field: &'static str,
    },
    /// The account exists with another asset.
    #[error("account {0} exists already and holds {1}")]
    OtherAsset(AccountId, Asset),
    /// The account exists, so it cannot be opened with money.
    #[error("account {0} exists already: leave `opening_balance` empty, and fund it with `tps account fund`")]
    AlreadyOpen(AccountId),
    /// Not a PIN.
    #[error("{0}")]
    Pin(#[from] protocol::pin::NotAPin),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] OrderError),
    /// Not an amount.
    #[error("the opening balance is out of range: {0}")]
    Balance(protocol::money::MoneyError),
}

/// Why a chunk was refused. Nothing of it was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}; nothing of its chunk was applied")]
pub struct ImportError {
    /// Line of the issuer's file.
    pub line: u64,
    /// What is wrong.
    pub problem: ImportProblem,
}

/// What an import did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Instruments that are new, in the order of their rows.
    pub instruments: Vec<InstrumentId>,
    /// Rows whose instrument was there already.
    pub already_there: u64,
    /// Accounts opened.
    pub accounts: u64,
    /// Opening balances, summed per asset.
    pub credited: BTreeMap<Asset, i128>,
}

/// Rows that passed every check and wait to be applied together.
#[derive(Default)]
struct Staged<'a> {
    rows: Vec<(&'a ImportRow, Pin)>,
    by_instrument: HashMap<InstrumentId, &'a ImportRow>,
    accounts: HashMap<AccountId, Asset>,
    /// In the order of the rows, so that the journal is.
    openings: Vec<(AccountId, Asset, i128)>,
    credited: BTreeMap<Asset, i128>,
    already_there: u64,
}

impl Book {
    /// Imports a chunk of at most [`IMPORT_ROWS_MAX`] rows. Public keys must have passed
    /// [`protocol::signature::CustomerKey::parse`] before: that takes too long for this thread.
    ///
    /// # Errors
    /// [`ImportError`] for the first row that cannot be; nothing is changed then.
    pub fn import(&mut self, rows: &[ImportRow], shards: u16, now: Timestamp) -> Result<Imported, ImportError> {
        let mut staged = Staged::default();
        for row in rows {
            self.stage(row, shards, &mut staged).map_err(|problem| ImportError { line: row.line, problem })?;
        }
        for (asset, units) in &staged.credited {
            // The customers' side of it is below: amounts are bounded, and the accounts are new.
            add(self.balance(Party::Funding, *asset), -*units).map_err(|error| ImportError {
                line: rows.first().map_or(0, |row| row.line),
                problem: ImportProblem::Balance(error),
            })?;
        }
        Ok(self.apply(staged, now))
    }

    fn stage<'a>(&self, row: &'a ImportRow, shards: u16, staged: &mut Staged<'a>) -> Result<(), ImportProblem> {
        if row.instrument.shard_key() % shards != row.account.shard_key() % shards {
            return Err(ImportProblem::Apart(row.instrument, row.account));
        }
        if row.instrument.shard_key() % shards != self.shard {
            return Err(ImportProblem::OtherShard(row.instrument));
        }
        let pin = Pin::parse(&row.pin)?;
        if let Some(earlier) = staged.by_instrument.get(&row.instrument) {
            let contradicts = |field| Err(ImportProblem::Contradicts { instrument: row.instrument, field });
            return match first_difference(row, earlier) {
                Some(field) => contradicts(field),
                None => {
                    staged.already_there += 1;
                    Ok(())
                }
            };
        }
        if self.instruments.slot(row.instrument).is_some()
            && let Some(record) = self.enrolment(row.instrument).map_err(OrderError::from)?
        {
            self.compare(row, &record)?;
            staged.already_there += 1;
            return Ok(());
        }
        let known = self.accounts.get(row.account).map(|account| account.asset);
        match known.or_else(|| staged.accounts.get(&row.account).copied()) {
            Some(asset) if asset != row.asset => return Err(ImportProblem::OtherAsset(row.account, asset)),
            Some(_) if row.opening_units > 0 => return Err(ImportProblem::AlreadyOpen(row.account)),
            Some(_) => {}
            None => {
                staged.accounts.insert(row.account, row.asset);
                let units = match row.opening_units {
                    0 => 0,
                    units => Amount::new(units).map_err(ImportProblem::Balance)?.signed(),
                };
                let sum = staged.credited.entry(row.asset).or_insert(0);
                *sum = add(*sum, units).map_err(ImportProblem::Balance)?;
                staged.openings.push((row.account, row.asset, units));
            }
        }
        staged.by_instrument.insert(row.instrument, row);
        staged.rows.push((row, pin));
        Ok(())
    }

    /// Whether a row says what the book knows. PIN and balance moved on with every payment since, and are not compared.
    fn compare(&self, row: &ImportRow, record: &EnrolmentRecord) -> Result<(), ImportProblem> {
        let asset = self.accounts.get(record.account).map(|account| account.asset);
        let (public, device) = match &record.activation {
            ActivationState::Active { signing_public, device_key, .. } => {
                (signing_public == &row.signing_public, bool::from(device_key.ct_eq(&row.device_key)))
            }
            ActivationState::Waiting { .. } => (false, false),
        };
        let same = [
            ("account", record.account == row.account),
            ("asset", asset == Some(row.asset)),
            ("public key", public),
            ("device key", device),
            ("label", record.label == row.label),
        ];
        match same.into_iter().find(|(_, same)| !same) {
            Some((field, _)) => Err(ImportProblem::Contradicts { instrument: row.instrument, field }),
            None => Ok(()),
        }
    }

    fn apply(&mut self, staged: Staged<'_>, now: Timestamp) -> Imported {
        let Staged { rows, openings, credited, already_there, .. } = staged;
        let mut imported = Imported { already_there, accounts: openings.len() as u64, credited, ..Imported::default() };
        imported.credited.retain(|_, units| *units != 0);
        if rows.is_empty() {
            return imported;
        }
        let mut postings = Vec::with_capacity(openings.len() + imported.credited.len());
        for (id, asset, units) in openings {
            self.accounts.insert(&Account::new(id, asset));
            if units != 0 {
                postings.push(Posting { party: Party::Customer(id), asset, change: units });
            }
        }
        postings.extend(imported.credited.iter().map(|(asset, units)| Posting {
            party: Party::Funding,
            asset: *asset,
            change: -units,
        }));
        self.post(&postings).expect("checked before anything was applied");
        imported.instruments.reserve(rows.len());
        for (row, pin) in rows {
            let mut state = InstrumentState::new();
            state.set_pin(&pin);
            let record = EnrolmentRecord {
                id: row.instrument,
                account: row.account,
                label: row.label.clone(),
                // There was no activation code: no code has this hash.
                activation: ActivationState::Active {
                    code_hash: Digest::ZERO,
                    signing_public: row.signing_public,
                    device_key: row.device_key,
                },
                holds: Holds::NONE,
                revoked: false,
                limits: Limits::default(),
                enrolled_at: now,
            };
            let account = self.accounts.slot(row.account).expect("opened above, or there before");
            self.instruments.insert(record, account, &state);
            imported.instruments.push(row.instrument);
        }
        let what = format!("imported {} instruments and {} accounts", imported.instruments.len(), imported.accounts);
        self.keep_time(now);
        self.changed.journal.push(JournalRecord { time: now, what, postings, order: None });
        imported
    }
}

/// The first field in which two rows about one instrument differ.
fn first_difference(row: &ImportRow, earlier: &ImportRow) -> Option<&'static str> {
    let same = [
        ("account", row.account == earlier.account),
        ("asset", row.asset == earlier.asset),
        ("opening balance", row.opening_units == earlier.opening_units),
        ("public key", row.signing_public == earlier.signing_public),
        ("device key", bool::from(row.device_key.ct_eq(&earlier.device_key))),
        ("PIN", row.pin == earlier.pin),
        ("label", row.label == earlier.label),
    ];
    same.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
}

#[cfg(test)]
mod tests;
