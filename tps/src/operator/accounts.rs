//! Accounts: open, list, show, fund, hold, release.

use protocol::ids::AccountId;
use protocol::ledger::account::Account;
use protocol::ledger::posting::Party;
use protocol::money::{Amount, Asset, parse};

use super::ids::IdPrefix;
use super::{Operator, random};
use crate::admin::views::AccountView;
use crate::admin::{AdminError, AdminResponse};
use crate::book::orders::{Done, Order, deposit_key};

/// Longest funding reference and longest name of a deposit, in bytes.
const REFERENCE_BYTES_MAX: usize = 64;

/// What the funding agency calls an account or a deposit: a token that names nobody (K-04).
fn check_reference(what: &str, text: &str) -> Result<(), AdminError> {
    let fits = text.len() <= REFERENCE_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte));
    if fits {
        return Ok(());
    }
    Err(AdminError::bad_input(format!(
        "{what} is an opaque token of at most {REFERENCE_BYTES_MAX} letters, digits and . _ : / -; names, addresses and cards stay at the funding agency"
    )))
}

impl Operator {
    /// The account that `text` names.
    pub(super) fn account(&self, text: &str) -> Result<Account, AdminError> {
        let prefix = IdPrefix::parse("an account", text)?;
        let found = self.engine.read(move |book| match prefix.whole() {
            Some(id) => book.account(AccountId(id)).into_iter().collect(),
            None => book.accounts().filter(|account| prefix.matches(&account.id.0)).collect::<Vec<_>>(),
        });
        prefix.only("account", "account", found.concat())
    }

    fn account_view(&self, account: &Account) -> Result<AccountView, AdminError> {
        Ok(AccountView {
            account: account.id,
            balance: self.money(account.balance, account.asset),
            held: account.held,
            reference: self.engine.reader().reference(account.id)?,
            instruments: Vec::new(),
        })
    }

    pub(super) fn open_account(&self, asset: Option<Asset>, reference: String) -> Result<AdminResponse, AdminError> {
        let first = self.realm.assets.first().map(|asset| asset.code);
        let asset = asset.or(first).unwrap_or(Asset::USD6);
        self.exponent(asset)?;
        check_reference("a funding reference", &reference)?;
        let id = AccountId(random()?);
        self.engine.order(id.shard_key(), Order::OpenAccount { id, asset, reference: reference.clone() })?;
        Ok(AdminResponse::Account(AccountView {
            account: id,
            balance: self.money(0, asset),
            held: false,
            reference,
            instruments: Vec::new(),
        }))
    }

    pub(super) fn list_accounts(&self) -> Result<AdminResponse, AdminError> {
        // From the store, so that a long list never holds up payments.
        let mut accounts = Vec::new();
        self.engine.reader().for_each_account(&mut |account| accounts.push(account))?;
        let accounts: Result<_, _> = accounts.iter().map(|account| self.account_view(account)).collect();
        Ok(AdminResponse::Accounts { accounts: accounts? })
    }

    pub(super) fn show_account(&self, text: &str) -> Result<AdminResponse, AdminError> {
        let account = self.account(text)?;
        let instruments = self.instruments_of(account.id)?;
        Ok(AdminResponse::Account(AccountView { instruments, ..self.account_view(&account)? }))
    }

    pub(super) fn fund(&self, text: &str, amount: &str, deposit: Option<String>) -> Result<AdminResponse, AdminError> {
        let account = self.account(text)?;
        let amount = parse(amount, account.asset, self.exponent(account.asset)?)?;
        if let Some(name) = &deposit {
            check_reference("the name of a deposit", name)?;
            if name.is_empty() {
                return Err(AdminError::bad_input(
                    "the name of a deposit must not be empty: leave out --deposit, or name it",
                ));
            }
        }
        // Every account has its own deposits: the same name for another account is another deposit.
        let deposit = deposit.map(|name| format!("{}/{name}", account.id));
        let order = Order::Fund { account: account.id, amount, deposit: deposit.clone() };
        let done = self.engine.order(account.id.shard_key(), order)?;
        if let (Done::AlreadyApplied, Some(name)) = (&done, &deposit) {
            self.check_same_deposit(&account, amount, name)?;
        }
        let balance = self.account(&account.id.to_string())?.balance;
        Ok(AdminResponse::Funded {
            account: account.id,
            amount: self.money(amount.signed(), account.asset),
            balance: self.money(balance, account.asset),
            already_applied: done == Done::AlreadyApplied,
        })
    }

    /// A deposit that was applied before had the same amount, or somebody mistook its name.
    fn check_same_deposit(&self, account: &Account, amount: Amount, deposit: &str) -> Result<(), AdminError> {
        let (party, key) = (Party::Customer(account.id), deposit_key(deposit));
        let mut before = None;
        self.engine.reader().for_each_journal(&mut |record| {
            if record.order == Some(key) {
                before = record.postings.iter().find(|posting| posting.party == party).map(|posting| posting.change);
            }
        })?;
        match before {
            Some(units) if units != amount.signed() => Err(AdminError::refused(format!(
                "a deposit of this name over {} was applied before; nothing was changed: give this one another name",
                self.money(units, account.asset)
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn hold_account(&self, text: &str, held: bool) -> Result<AdminResponse, AdminError> {
        let account = self.account(text)?;
        self.engine.order(account.id.shard_key(), Order::HoldAccount { account: account.id, held })?;
        Ok(AdminResponse::Account(self.account_view(&self.account(&account.id.to_string())?)?))
    }
}
