//! Movements: what an entry of the ledger means to each party. Pure: postings in, movements out.
//!
//! Postings are read as money that went from somebody to somebody, whatever desk made them: a refund is money from a merchant to a
//! customer, a fee money from either to the operator.

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::ids::{AccountId, MerchantId, TransactionNumber};
use protocol::ledger::posting::{Party, Posting, payment};
use protocol::money::Asset;

use crate::store::records::PaymentRecord;

/// What a movement is to the party whose statement it stands in.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, serde::Serialize,
)]
#[serde(rename_all = "kebab-case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Kind {
    /// Money came in from outside.
    Deposit = 0,
    /// Money went back outside, to the customer.
    Withdrawal = 1,
    /// A customer paid a merchant.
    Payment = 2,
    /// A merchant paid a customer back.
    Refund = 3,
    /// The operator charged something.
    Fee = 4,
    /// The operator gave something back.
    FeeReturned = 5,
    /// Money went out to a merchant.
    Payout = 6,
    /// A payout that did not arrive came back.
    PayoutReturned = 7,
    /// From another account, or another merchant.
    TransferIn = 8,
    /// To another account, or another merchant.
    TransferOut = 9,
}

impl Kind {
    /// All kinds, in the order of statements; each stands at its own number.
    pub const ALL: [Self; 10] = [
        Self::Deposit,
        Self::Withdrawal,
        Self::Payment,
        Self::Refund,
        Self::Fee,
        Self::FeeReturned,
        Self::Payout,
        Self::PayoutReturned,
        Self::TransferIn,
        Self::TransferOut,
    ];

    /// The name in statements.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Withdrawal => "withdrawal",
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Fee => "fee",
            Self::FeeReturned => "fee-returned",
            Self::Payout => "payout",
            Self::PayoutReturned => "payout-returned",
            Self::TransferIn => "transfer-in",
            Self::TransferOut => "transfer-out",
        }
    }

    /// What money between `own` and `other` is to `own`; `None` where nobody gets a statement of it.
    fn of(own: Party, other: Party, incoming: bool) -> Option<Self> {
        let (own_is_customer, between_equals) = match (own, other) {
            (Party::Customer(_), other) => (true, matches!(other, Party::Customer(_))),
            (Party::Merchant(_), other) => (false, matches!(other, Party::Merchant(_))),
            (Party::Fees | Party::Funding, _) => return None,
        };
        Some(match (other, incoming) {
            _ if between_equals && incoming => Self::TransferIn,
            _ if between_equals => Self::TransferOut,
            (Party::Fees, true) => Self::FeeReturned,
            (Party::Fees, false) => Self::Fee,
            (Party::Funding, true) if own_is_customer => Self::Deposit,
            (Party::Funding, false) if own_is_customer => Self::Withdrawal,
            (Party::Funding, true) => Self::PayoutReturned,
            (Party::Funding, false) => Self::Payout,
            (Party::Customer(_) | Party::Merchant(_), incoming) => {
                if incoming == own_is_customer {
                    Self::Refund
                } else {
                    Self::Payment
                }
            }
        })
    }
}

/// A movement on one party's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Movement {
    /// A customer or a merchant.
    pub party: Party,
    /// Of what.
    pub asset: Asset,
    /// What it is to the party.
    pub kind: Kind,
    /// How the party's balance changed, in smallest units.
    pub change: i128,
    /// To a customer: which merchant. To a merchant nothing tells who paid.
    pub merchant: Option<MerchantId>,
    /// The merchant's number, of payments.
    pub number: Option<TransactionNumber>,
}

/// Postings that do not sum to zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("postings do not sum to zero in {0}")]
pub struct Unbalanced(pub Asset);

/// The two sides of a payment that was made.
pub fn of_payment(payer: AccountId, record: &PaymentRecord) -> Result<Vec<Movement>, Unbalanced> {
    let postings = payment(payer, record.merchant, record.asset, record.amount);
    let mut movements = of_postings(&postings)?;
    movements.iter_mut().for_each(|movement| movement.number = Some(record.number));
    Ok(movements)
}

/// What an entry of the journal means to every customer and merchant in it. A merchant gets one movement of each kind, so that the
/// number of customers does not show either.
///
/// # Errors
/// [`Unbalanced`].
pub fn of_postings(postings: &[Posting]) -> Result<Vec<Movement>, Unbalanced> {
    let mut movements: Vec<Movement> = Vec::with_capacity(postings.len());
    for Flow { from, to, asset, units } in flows(postings)? {
        for (own, other, incoming) in [(from, to, false), (to, from, true)] {
            let Some(kind) = Kind::of(own, other, incoming) else { continue };
            let merchant = match (own, other) {
                (Party::Customer(_), Party::Merchant(merchant)) => Some(merchant),
                _ => None,
            };
            let change = if incoming { units } else { -units };
            let same = |known: &&mut Movement| {
                (known.party, known.asset, known.kind, known.merchant) == (own, asset, kind, merchant)
            };
            match movements.iter_mut().find(same) {
                // Both are parts of one entry whose sums were checked.
                Some(known) => known.change += change,
                None => movements.push(Movement { party: own, asset, kind, change, merchant, number: None }),
            }
        }
    }
    Ok(movements)
}

/// Money that went from one party to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flow {
    from: Party,
    to: Party,
    asset: Asset,
    units: i128,
}

/// Reads postings as money from those who lost to those who gained, both in the order in which they stand there: pairs stay pairs.
fn flows(postings: &[Posting]) -> Result<Vec<Flow>, Unbalanced> {
    let mut flows = Vec::new();
    let mut assets: Vec<Asset> = postings.iter().map(|posting| posting.asset).collect();
    assets.sort_unstable();
    assets.dedup();
    for asset in assets {
        let of_asset = || postings.iter().filter(move |posting| posting.asset == asset);
        let mut gains = of_asset().filter(|posting| posting.change > 0).map(|posting| (posting.party, posting.change));
        let mut gain = gains.next();
        for loss in of_asset().filter(|posting| posting.change < 0) {
            let mut left = loss.change.checked_neg().ok_or(Unbalanced(asset))?;
            while left > 0 {
                let (to, wanted) = gain.ok_or(Unbalanced(asset))?;
                let units = left.min(wanted);
                if loss.party != to {
                    flows.push(Flow { from: loss.party, to, asset, units });
                }
                left -= units;
                gain = if wanted == units { gains.next() } else { Some((to, wanted - units)) };
            }
        }
        if gain.is_some() {
            return Err(Unbalanced(asset));
        }
    }
    Ok(flows)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use protocol::ledger::posting::transfer;
    use protocol::money::Amount;

    use super::*;

    const CUSTOMER: Party = Party::Customer(AccountId([1; 16]));
    const OTHER: Party = Party::Customer(AccountId([2; 16]));
    const MERCHANT: Party = Party::Merchant(MerchantId([3; 16]));

    fn posting(party: Party, change: i128) -> Posting {
        Posting { party, asset: Asset::USD6, change }
    }

    fn told(postings: &[Posting]) -> Vec<(Party, Kind, i128)> {
        of_postings(postings).unwrap().iter().map(|one| (one.party, one.kind, one.change)).collect()
    }

    #[test]
    fn every_pair_of_parties_has_its_kinds() {
        let between = |from, to| {
            told(&transfer(from, to, Asset::USD6, Amount::new(5).unwrap()))
                .into_iter()
                .map(|(_, kind, change)| (kind, change))
                .collect::<Vec<_>>()
        };
        assert_eq!(between(Party::Funding, CUSTOMER), [(Kind::Deposit, 5)]);
        assert_eq!(between(CUSTOMER, Party::Funding), [(Kind::Withdrawal, -5)]);
        assert_eq!(between(CUSTOMER, MERCHANT), [(Kind::Payment, -5), (Kind::Payment, 5)]);
        assert_eq!(between(MERCHANT, CUSTOMER), [(Kind::Refund, -5), (Kind::Refund, 5)]);
        assert_eq!(between(MERCHANT, Party::Fees), [(Kind::Fee, -5)]);
        assert_eq!(between(Party::Fees, MERCHANT), [(Kind::FeeReturned, 5)]);
        assert_eq!(between(MERCHANT, Party::Funding), [(Kind::Payout, -5)]);
        assert_eq!(between(Party::Funding, MERCHANT), [(Kind::PayoutReturned, 5)]);
        assert_eq!(between(CUSTOMER, OTHER), [(Kind::TransferOut, -5), (Kind::TransferIn, 5)]);
        assert_eq!(between(Party::Fees, Party::Funding), []);
        assert_eq!(Kind::ALL.map(|kind| kind as usize), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_settlement_is_a_fee_and_a_payout_and_a_refund_to_several_is_one_to_the_merchant() {
        let settled =
            [posting(MERCHANT, -3), posting(Party::Fees, 3), posting(MERCHANT, -40), posting(Party::Funding, 40)];
        assert_eq!(told(&settled), [(MERCHANT, Kind::Fee, -3), (MERCHANT, Kind::Payout, -40)]);
        let refunded = [posting(MERCHANT, -9), posting(CUSTOMER, 4), posting(OTHER, 5)];
        let expected = [(MERCHANT, Kind::Refund, -9), (CUSTOMER, Kind::Refund, 4), (OTHER, Kind::Refund, 5)];
        assert_eq!(told(&refunded), expected);
        assert_eq!(of_postings(&refunded[..2]), Err(Unbalanced(Asset::USD6)));
        assert_eq!(of_postings(&[posting(CUSTOMER, 1)]), Err(Unbalanced(Asset::USD6)));
    }

    proptest! {
        /// Whatever a desk posts, movements change every balance by exactly what the postings do.
        #[test]
        fn movements_and_postings_change_balances_alike(
            parts in prop::collection::vec((0usize..5, -1_000i128..1_000), 1..8),
        ) {
            let parties = [CUSTOMER, OTHER, MERCHANT, Party::Fees, Party::Funding];
            let mut postings: Vec<Posting> =
                parts.iter().map(|(party, change)| posting(parties[*party], *change)).collect();
            let sum: i128 = postings.iter().map(|posting| posting.change).sum();
            postings.push(posting(Party::Funding, -sum));
            let mut left: BTreeMap<Party, i128> = BTreeMap::new();
            for posting in &postings {
                *left.entry(posting.party).or_default() += posting.change;
            }
            for movement in of_postings(&postings).unwrap() {
                *left.entry(movement.party).or_default() -= movement.change;
                let outgoing = matches!(
                    (movement.party, movement.kind),
                    (_, Kind::Withdrawal | Kind::Fee | Kind::Payout | Kind::TransferOut)
                        | (Party::Customer(_), Kind::Payment)
                        | (Party::Merchant(_), Kind::Refund)
                );
                prop_assert_eq!(movement.change < 0, outgoing);
                prop_assert!(movement.merchant.is_none() || matches!(movement.party, Party::Customer(_)));
            }
            left.retain(|party, _| !matches!(party, Party::Fees | Party::Funding));
            prop_assert!(left.values().all(|left| *left == 0), "{left:?}");
        }
    }
}
