//! Accounts: money of one customer in one asset. Nothing here says who the customer is (K-04).

use crate::ids::AccountId;
use crate::money::Asset;

/// An account as the TPS keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Account {
    /// Names the account.
    pub id: AccountId,
    /// What it holds.
    pub asset: Asset,
    /// How much, in smallest units; never negative.
    pub balance: i128,
    /// Whether payments are stopped (K-127).
    pub held: bool,
}

impl Account {
    /// An empty account.
    pub const fn new(id: AccountId, asset: Asset) -> Self {
        Self { id, asset, balance: 0, held: false }
    }
}
