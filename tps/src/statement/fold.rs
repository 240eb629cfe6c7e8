//! The fold: movements in, sums out. Pure.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::ledger::posting::Party;
use protocol::money::{Asset, MoneyError, add};
use protocol::time::Timestamp;

use super::movement::{Kind, Movement};

/// A number of movements and what they came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// By how much the balance changed, in smallest units.
    pub units: i128,
}

impl Sum {
    fn add(&mut self, more: Self) -> Result<(), MoneyError> {
        self.units = add(self.units, more.units)?;
        self.count += more.count;
        Ok(())
    }
}

/// What sums are kept of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Title {
    /// Whose.
    pub party: Party,
    /// Of what.
    pub asset: Asset,
    /// Movements of this kind in the period; `None`: everything before the period.
    pub kind: Option<Kind>,
}

/// A period: from a time on, and before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Period {
    /// From this time on ...
    pub from: Timestamp,
    /// ... and before this time.
    pub until: Timestamp,
}

impl Period {
    /// Where a movement at `time` is counted; `None` where it comes after the period.
    pub fn title(&self, time: Timestamp, movement: &Movement) -> Option<Title> {
        let kind = if time < self.from { None } else { Some(movement.kind) };
        (time < self.until).then_some(Title { party: movement.party, asset: movement.asset, kind })
    }
}

/// Sums under their titles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(pub BTreeMap<Title, Sum>);

impl Sums {
    /// Adds to a title.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn add(&mut self, title: Title, sum: Sum) -> Result<(), MoneyError> {
        self.0.entry(title).or_default().add(sum)
    }
}

/// What one party had and has of one asset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// At the beginning of the period.
    pub opening: i128,
    /// In the period, by [`Kind::ALL`].
    pub kinds: [Sum; Kind::ALL.len()],
}

impl Balance {
    /// Adds sums of a title.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn add(&mut self, kind: Option<Kind>, sum: Sum) -> Result<(), MoneyError> {
        match kind {
            None => self.opening = add(self.opening, sum.units)?,
            Some(kind) => self.kinds[kind as usize].add(sum)?,
        }
        Ok(())
    }

    /// At the end of the period: the opening balance and all sums.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn closing(&self) -> Result<i128, MoneyError> {
        self.kinds.iter().try_fold(self.opening, |balance, sum| add(balance, sum.units))
    }

    /// Kinds with movements, in the order of statements.
    pub fn moved(&self) -> impl Iterator<Item = (Kind, Sum)> {
        Kind::ALL.into_iter().zip(self.kinds).filter(|(_, sum)| sum.count > 0)
    }
}

/// One party's balances, by asset. Boxed, because a map has room for eleven in its first node, and nearly everybody has one.
pub type Balances = BTreeMap<Asset, Box<Balance>>;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::ids::AccountId;

    use super::*;

    proptest! {
        /// Periods that follow each other: what one closes with the next opens with, and nothing is counted twice or not at all.
        #[test]
        fn periods_follow_each_other_without_a_gap(
            moved in prop::collection::vec((0u64..100, 0usize..10, -1_000i128..1_000), 0..50),
            cuts in prop::array::uniform2(1u64..100),
        ) {
            let party = Party::Customer(AccountId([1; 16]));
            let (first, second) = (cuts[0].min(cuts[1]), cuts[0].max(cuts[1]) + 1);
            let balance = |from, until| {
                let period = Period { from: Timestamp(from), until: Timestamp(until) };
                let mut balance = Balance::default();
                for (time, kind, change) in &moved {
                    let movement = Movement {
                        party, asset: Asset::USD6, kind: Kind::ALL[*kind], change: *change, merchant: None, number: None,
                    };
                    if let Some(title) = period.title(Timestamp(*time), &movement) {
                        balance.add(title.kind, Sum { count: 1, units: *change }).unwrap();
                    }
                }
                balance
            };
            let (one, two, all) = (balance(first, second), balance(second, 100), balance(0, 100));
            prop_assert_eq!(one.closing().unwrap(), two.opening);
            prop_assert_eq!(two.closing().unwrap(), all.closing().unwrap());
            let before = moved.iter().filter(|(time, ..)| *time < first).count() as u64;
            let counted = |balance: &Balance| balance.kinds.iter().map(|sum| sum.count).sum::<u64>();
            prop_assert_eq!(before + counted(&one) + counted(&two), counted(&all));
        }
    }
}
