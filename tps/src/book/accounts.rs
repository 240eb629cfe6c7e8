//! Accounts and their balances in memory: 40 bytes each.

use protocol::ids::AccountId;
use protocol::ledger::account::Account;
use protocol::money::Asset;

use crate::dense::{Dense, Named, Slot};

/// An account, packed.
struct Entry {
    id: AccountId,
    /// The balance, its two's complement in two halves: as one number it would be aligned to 16 bytes.
    balance: [u64; 2],
    /// Place in [`Accounts::assets`].
    asset: u16,
    held: bool,
    /// It is among [`Accounts::changed`].
    changed: bool,
}

const _: () = assert!(size_of::<Entry>() == 40, "docs/performance.md counts on it");

impl Named for Entry {
    fn name(&self) -> &[u8; 16] {
        &self.id.0
    }
}

impl Entry {
    fn balance(&self) -> i128 {
        (u128::from(self.balance[1]) << 64 | u128::from(self.balance[0])) as i128
    }

    fn set_balance(&mut self, balance: i128) {
        self.balance = [balance as u64, (balance >> 64) as u64];
    }
}

/// All accounts of a shard.
pub(super) struct Accounts {
    entries: Dense<Entry>,
    assets: Vec<Asset>,
    /// Sum of all balances per asset, in the order of `assets`.
    sums: Vec<i128>,
    changed: Vec<Slot>,
}

impl Accounts {
    pub(super) fn new() -> Self {
        Self { entries: Dense::new(), assets: Vec::new(), sums: Vec::new(), changed: Vec::new() }
    }

    /// Sets memory aside for so many more.
    pub(super) fn reserve(&mut self, additional: usize) {
        self.entries.reserve(additional);
    }

    fn unpack(&self, entry: &Entry) -> Account {
        let asset = self.assets[usize::from(entry.asset)];
        Account { id: entry.id, asset, balance: entry.balance(), held: entry.held }
    }

    pub(super) fn slot(&self, id: AccountId) -> Option<Slot> {
        self.entries.slot(&id.0)
    }

    pub(super) fn get(&self, id: AccountId) -> Option<Account> {
        self.entries.get(&id.0).map(|entry| self.unpack(entry))
    }

    pub(super) fn at(&self, slot: Slot) -> Account {
        self.unpack(&self.entries[slot])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Account> {
        self.entries.iter().map(|entry| self.unpack(entry))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The sum of all balances, per asset.
    pub(super) fn sums(&self) -> impl Iterator<Item = (Asset, i128)> {
        self.assets.iter().copied().zip(self.sums.iter().copied())
    }

    /// Takes over a stored account.
    pub(super) fn load(&mut self, account: &Account) -> Slot {
        let known = self.assets.iter().position(|asset| *asset == account.asset);
        let asset = known.unwrap_or_else(|| {
            self.assets.push(account.asset);
            self.sums.push(0);
            self.assets.len() - 1
        });
        self.sums[asset] += account.balance;
        let asset = u16::try_from(asset).expect("a registry has fewer assets than that");
        let mut entry = Entry { id: account.id, balance: [0; 2], asset, held: account.held, changed: false };
        entry.set_balance(account.balance);
        self.entries.insert(entry)
    }

    /// Adds a new account.
    pub(super) fn insert(&mut self, account: &Account) {
        let slot = self.load(account);
        self.mark(slot);
    }

    pub(super) fn set_held(&mut self, slot: Slot, held: bool) {
        self.entries[slot].held = held;
        self.mark(slot);
    }

    pub(super) fn set_balance(&mut self, slot: Slot, balance: i128) {
        let entry = &mut self.entries[slot];
        self.sums[usize::from(entry.asset)] += balance - entry.balance();
        entry.set_balance(balance);
        self.mark(slot);
    }

    fn mark(&mut self, slot: Slot) {
        if !std::mem::replace(&mut self.entries[slot].changed, true) {
            self.changed.push(slot);
        }
    }

    /// Final states of what changed since the last call, each once.
    pub(super) fn take_changed(&mut self) -> Vec<Account> {
        let changed = std::mem::take(&mut self.changed);
        let take = |slot: &Slot| {
            self.entries[*slot].changed = false;
            self.at(*slot)
        };
        changed.iter().map(take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_come_back_as_they_went_in() {
        let mut accounts = Accounts::new();
        for (index, balance) in [0, 1, -1, i128::MAX / 4, i128::MIN / 4, u64::MAX.into()].into_iter().enumerate() {
            let id = AccountId([index as u8; 16]);
            let asset = if index % 2 == 0 { Asset::USD6 } else { Asset(*b"EUR\0\0\0\0\0") };
            let account = Account { id, asset, balance, held: index % 3 == 0 };
            accounts.insert(&account);
            assert_eq!(accounts.get(id), Some(account));
        }
        assert_eq!(accounts.take_changed().len(), 6);
        let slot = accounts.slot(AccountId([1; 16])).unwrap();
        accounts.set_balance(slot, 500);
        accounts.set_balance(slot, 700);
        accounts.set_held(slot, true);
        let changed = accounts.take_changed();
        assert_eq!(
            changed,
            [Account { balance: 700, held: true, ..accounts.at(slot) }],
            "each once, in its final state"
        );
        let sums: Vec<_> = accounts.sums().collect();
        for (asset, sum) in &sums {
            let of_asset = accounts.iter().filter(|account| account.asset == *asset);
            assert_eq!(of_asset.map(|account| account.balance).sum::<i128>(), *sum);
        }
        assert_eq!(sums.len(), 2);
    }
}
