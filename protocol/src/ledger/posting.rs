//! Double entry: every effect is a set of postings that sums to zero per asset (DESIGN section 8).

use crate::ids::{AccountId, MerchantId};
use crate::money::{Amount, Asset, MoneyError, add};

/// Whose money a posting changes.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// A customer's account.
    Customer(AccountId),
    /// What the system owes a merchant.
    Merchant(MerchantId),
    /// Fees earned by the operator.
    Fees,
    /// Money outside the system: negative by what came in, so that everything sums to zero.
    Funding,
}

/// One change of one balance.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Posting {
    /// Whose balance.
    pub party: Party,
    /// In what.
    pub asset: Asset,
    /// By how much, in smallest units.
    pub change: i128,
}

/// The postings of a payment.
pub fn payment(payer: AccountId, payee: MerchantId, asset: Asset, amount: Amount) -> [Posting; 2] {
    transfer(Party::Customer(payer), Party::Merchant(payee), asset, amount)
}

/// Postings that move `amount` from one party to another.
pub fn transfer(from: Party, to: Party, asset: Asset, amount: Amount) -> [Posting; 2] {
    [Posting { party: from, asset, change: -amount.signed() }, Posting { party: to, asset, change: amount.signed() }]
}

/// Whether the postings sum to zero in every asset.
///
/// # Errors
/// [`MoneyError::Overflow`] where a sum leaves the range of money.
pub fn balanced(postings: &[Posting]) -> Result<bool, MoneyError> {
    let mut sums: Vec<(Asset, i128)> = Vec::new();
    for posting in postings {
        match sums.iter_mut().find(|(asset, _)| *asset == posting.asset) {
            Some((_, sum)) => *sum = add(*sum, posting.change)?,
            None => sums.push((posting.asset, posting.change)),
        }
    }
    Ok(sums.iter().all(|(_, sum)| *sum == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payments_balance_and_half_of_one_does_not() {
        let postings = payment(AccountId([1; 16]), MerchantId([2; 16]), Asset::USD6, Amount::new(5).unwrap());
        assert_eq!(balanced(&postings), Ok(true));
        assert_eq!(balanced(&postings[..1]), Ok(false));
        let other = Posting { asset: Asset(*b"EUR2\0\0\0\0"), ..postings[1] };
        assert_eq!(balanced(&[postings[0], other]), Ok(false), "assets do not mix");
    }
}
